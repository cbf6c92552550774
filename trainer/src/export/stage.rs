//! From a fitted decoder to the board's file: codes, bits, calibration, and what other files would have given.

use std::time::Instant;

use anyhow::Context;
use tracing::{debug, info};

use fiberwalk_formats::CodeSource;

use super::cost_curve::{COST_CURVE, CostCurve, CostPoint, DecoderCurve, MOST_ROWS, code_counts};
use super::file::{DecoderExport, NetworkExport, rust_module};
use super::record::{
    ARTIFACT, CALIBRATION, CONFIG, CalibrationRecord, MODULE, PRECISION, PrecisionRecord,
};
use crate::choose::Choices;
use crate::config::{self, Choice, CodesChoice, Config, PerLayer};
use crate::costs::{choose_precision, cost};
use crate::data::evenly;
use crate::decoder::{DecoderShape, LatentLaw, ProbePool, draw_modulations, draw_networks};
use crate::engine::{Draws, Engine, FLOAT_SAMPLES, Predictor};
use crate::latent::{self, LatentRecord, choose_codes};
use crate::map;
use crate::metrics::auroc;
use crate::metrics::mean;
use crate::network::{Architecture, Batch};
use crate::quantise::{Precision, Quantised, Ranges, Unquantised};
use crate::random::{Purpose, stream};
use crate::refine;
use crate::run_data::{CALIBRATION_ROWS, write_calibration_rows};
use crate::stage::{Stage, Training};
use crate::task::{Calibration, Likelihood, Predictions, Predictive, Scores, Thresholds};

/// Random codes that activation ranges are measured under.
const RANGE_CODES: usize = 256;

/// Foreign inputs that a precision is judged on, and the AUROC of telling them from training rows
/// that it may cost.
const FOREIGN_ROWS: usize = 512;
const DETECTION_LOSS: f64 = 0.01;
/// Most training rows that a precision is judged on.
const PRECISION_ROWS: usize = 1000;

/// A fitted decoder on its way to a board.
struct Exportable<'a> {
    shape: DecoderShape,
    decoder: Vec<f32>,
    /// Modulations of the codes to store, of which the first are a good set too.
    stored: Vec<Vec<f32>>,
    /// Modulations of random codes, for ranges.
    sampled: Vec<Vec<f32>>,
    /// Inputs, for ranges.
    batch: &'a Batch,
    ranges: Ranges,
}

/// Options by which the files of one decoder differ.
struct Variant<'a> {
    precision: &'a Precision,
    thresholds: Thresholds,
    /// Number of codes that it stores and predicts with.
    samples: usize,
    trunk: bool,
}

/// Quantisation, calibration and export.
pub const STAGE: Stage = Stage {
    name: "export",
    about: "Artifact",
    files: &[PRECISION, CALIBRATION, CONFIG, ARTIFACT, CALIBRATION_ROWS, COST_CURVE, MODULE],
    more: None,
    scratch: None,
    check: Some(check),
    reads: None,
    reads_network: true,
    run: |training| training.export(),
};

/// Refuses a network or columns that the format has no room for.
fn check(training: &Training<'_>) -> anyhow::Result<()> {
    let calibration = Calibration::of(match training.classifies() {
        true => Likelihood::CATEGORICAL,
        false => Likelihood::gaussian(1.0),
    });
    for architecture in [&training.architecture, &training.decoded] {
        // Any parameters take as many bytes.
        let mut rng = stream(training.seed, Purpose::Initialisation, 0);
        let theta = architecture.initialise(&mut rng);
        training.network_bytes(architecture, &theta, calibration)?;
    }
    Ok(())
}

impl Training<'_> {
    /// Quantises, calibrates and exports the decoder that was fitted.
    fn export(&self) -> anyhow::Result<()> {
        let (dir, choices) = (&self.dir, &Choices::of(self)?);
        let maps = &map::read(dir, &self.architecture)?;
        let particles = &refine::read(dir, &self.architecture, self.config.walk.particles)?;
        let shape = &LatentRecord::read(dir, &self.decoded)?.shape;
        let decoder = &latent::read_decoder(dir, shape)?;
        let stage = self.progress.stage(STAGE.name, 1);
        let (config, seed) = (self.config, self.seed);
        let rows = self.training_rows();
        let pool = self.probe_source(choices, &rows, particles).for_ranges()?;
        let chosen = self.exportable(shape.clone(), decoder.clone(), &pool)?;
        let samples = shape.samples(config.export.samples);
        let runtime = |precision: &Precision, calibration| -> anyhow::Result<Engine> {
            let thresholds = Thresholds::open(calibration);
            let trunk = config.export.codes.are_drawn();
            let variant = Variant { precision, thresholds, samples, trunk };
            Ok(self.runtime(self.artifact(&chosen, &variant)?))
        };
        let drawn = draw_networks(shape, decoder, FLOAT_SAMPLES, seed);
        let (of_map, of_particles) = (choices.map_calibration, choices.particle_calibration);
        // The decoder is calibrated to the particles' predictive rather than to few labels.
        let neutral = of_particles.neutral();
        let aside = &self.record.split.calibration;
        let raw_at = |engine, rows: &[usize]| -> anyhow::Result<Predictive> {
            Ok(self.record.schema.task.uncalibrated(&self.predict_rows(engine, rows)?))
        };
        let raw = |engine| raw_at(engine, aside);
        let reference = raw(self.engine(&self.architecture, particles, neutral))?;
        let to_reference = |own: Predictive| own.calibrate_to(&reference, of_particles);
        let of_float = to_reference(raw(self.engine(&self.decoded, &drawn, neutral))?);

        let eight = Precision::eight(self.decoded.depth());
        let of_eight = to_reference(raw(runtime(&eight, neutral)?)?);
        let targets = self.rows.subset(aside).targets;
        let near: Vec<usize> =
            self.record.split.training.iter().take(PRECISION_ROWS).copied().collect();
        let [eight_aside, eight_near] = [aside, &near].map(|rows| {
            let engine = runtime(&eight, neutral)?;
            raw_at(engine, rows)
        });
        let (eight_aside, eight_near) = (eight_aside?, eight_near?);
        let mut rng = stream(seed, Purpose::Foreign, 1);
        let foreign = self.record.schema.foreign(FOREIGN_ROWS, &mut rng);
        let detection = |precision: &Precision| -> anyhow::Result<f64> {
            let engine = || runtime(precision, neutral);
            let (near, far) =
                (self.predict_rows(engine()?, &near)?, self.predict(engine()?, &foreign)?);
            Ok(auroc(near.doubt(), far.doubt()))
        };
        let eight_detection = detection(&eight)?;
        // What fewer bits cost: in held-out NLL; in the divergence from int8's predictive near the
        // training rows, which few held-out rows may not show; in telling foreign inputs, where a
        // DETECTION_LOSS of AUROC weighs as much as the allowed loss of NLL.
        let loss = |precision: &Precision| -> anyhow::Result<f64> {
            let own = raw(runtime(precision, neutral)?)?;
            let held_out = mean(&own.nll(&targets, of_eight));
            let held_out = held_out - mean(&eight_aside.nll(&targets, of_eight));
            let own = raw_at(runtime(precision, neutral)?, &near)?;
            let divergence = mean(&own.cross_entropy(of_eight, &eight_near, of_eight));
            let entropy = mean(&eight_near.cross_entropy(of_eight, &eight_near, of_eight));
            let blindness = (eight_detection - detection(precision)?) / DETECTION_LOSS;
            Ok(held_out.max(divergence - entropy).max(blindness * config.export.loss))
        };
        let layers = self.decoded.layers().zip(&self.decoded.blocks);
        let sizes: Vec<usize> = layers
            .map(|(layer, block)| if block.is_grouped() { 0 } else { layer.weights().len() })
            .collect();
        let (precision, candidates) = choose_precision(&config.export, &sizes, loss)?;
        let of_runtime = to_reference(raw(runtime(&precision, neutral)?)?);
        let record = CalibrationRecord {
            map: self.thresholds(self.engine(&self.architecture, &maps[..1], of_map), of_map)?,
            particles: self.thresholds(
                self.engine(&self.architecture, particles, of_particles),
                of_particles,
            )?,
            float: self.thresholds(self.engine(&self.decoded, &drawn, of_float), of_float)?,
            runtime: self.thresholds(runtime(&precision, of_runtime)?, of_runtime)?,
        };
        let Thresholds { calibration, conformal, epistemic } = record.runtime;
        info!(?calibration, conformal, epistemic, "thresholds of the artifact");
        let variant =
            |trunk| Variant { precision: &precision, thresholds: record.runtime, samples, trunk };
        let with_trunk = self.artifact(&chosen, &variant(true))?;
        let network_bytes = self.network_bytes(&self.architecture, &maps[0], of_map)?;
        let times_flash = config.export.times_flash(network_bytes);
        let affordable = with_trunk.len() as f64 <= times_flash * network_bytes as f64;
        let trunk = match config.export.trunk {
            Choice::Fixed(trunk) => trunk,
            Choice::Auto => {
                let possible = matches!(shape.law(), LatentLaw::Normal(_));
                possible && affordable || config.export.codes.are_drawn()
            }
        };
        let bits = PrecisionRecord {
            weight_bits: precision.layers.iter().map(|bits| bits.count()).collect(),
            factor_bits: precision.factors.count(),
            trunk,
            bytes_with_trunk: with_trunk.len(),
            network_bytes,
            candidates,
        };
        dir.write_json(PRECISION, &bits)?;
        let file = if trunk { with_trunk } else { self.artifact(&chosen, &variant(false))? };
        dir.write_json(CALIBRATION, &record)?;
        self.resolved(choices, shape, &bits).write_to(dir, CONFIG)?;
        dir.write(ARTIFACT, &file)?;
        write_calibration_rows(dir, &self.raw_rows(aside), &self.targets.subset(aside))?;
        let curve = self.cost_curve(&chosen, &pool, &variant(trunk), &reference, of_particles)?;
        dir.write_json(COST_CURVE, &curve)?;
        dir.write(MODULE, rust_module(&file, ARTIFACT)?.as_bytes())?;
        stage.finish(&format!(
            "{} ({} bytes; weights of {} bits, factors of {})",
            dir.path(ARTIFACT).display(),
            file.len(),
            bits.weight_bits.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
            bits.factor_bits
        ));
        Ok(())
    }

    /// Chooses codes for a decoder and measures its ranges.
    fn exportable<'p>(
        &self,
        shape: DecoderShape,
        decoder: Vec<f32>,
        pool: &'p ProbePool,
    ) -> anyhow::Result<Exportable<'p>> {
        let (device, seed) = (self.device, self.seed);
        let most = code_counts(self.config.export.samples).into_iter().max().unwrap_or(1);
        let stored = choose_codes(device, &shape, &decoder, pool, most, seed)?;
        let sampled = draw_modulations(&shape, &decoder, RANGE_CODES, seed);
        let ranges = Ranges::measure(&Unquantised {
            shape: &shape,
            decoder: &decoder,
            logits: self.classifies(),
            stored: &stored,
            sampled: &sampled,
            batch: &pool.probes.batch,
        });
        Ok(Exportable { shape, decoder, stored, sampled, batch: &pool.probes.batch, ranges })
    }

    /// Bytes of the file of a network alone in int8. They do not depend on the inputs that its ranges are
    /// measured on.
    pub(crate) fn network_bytes(
        &self,
        architecture: &Architecture,
        theta: &[f32],
        calibration: Calibration,
    ) -> anyhow::Result<usize> {
        let config = self.config;
        let features = architecture.inputs();
        let network = NetworkExport {
            architecture,
            theta,
            inputs: &Batch::from_rows(&vec![0.0; features], features),
            schema: &self.record.schema,
            calibration,
            coverage: config.calibration.coverage,
            reading: config.export.input.reading(),
            seed: self.seed,
        };
        Ok(network.to_bytes()?.len())
    }

    /// The `.fwk` file of a decoder.
    fn artifact(
        &self,
        exportable: &Exportable<'_>,
        variant: &Variant<'_>,
    ) -> anyhow::Result<Vec<u8>> {
        let config = self.config;
        let &Variant { precision, thresholds, samples, trunk } = variant;
        let source = Unquantised {
            shape: &exportable.shape,
            decoder: &exportable.decoder,
            logits: self.classifies(),
            stored: &exportable.stored[..samples],
            sampled: &exportable.sampled,
            batch: exportable.batch,
        };
        let export = DecoderExport {
            quantised: &Quantised::new(&source, &exportable.ranges, precision),
            schema: &self.record.schema,
            thresholds,
            coverage: config.calibration.coverage,
            latent_dim: exportable.shape.law().dimension(),
            source: match config.export.codes {
                CodesChoice::Auto | CodesChoice::Stored => CodeSource::Stored,
                CodesChoice::LowDiscrepancy => CodeSource::LowDiscrepancy,
                CodesChoice::Normal => CodeSource::Normal,
            },
            samples,
            reading: config.export.input.reading(),
            trunk,
            seed: self.seed,
            date: config.export.date.as_deref(),
        };
        export.to_bytes()
    }

    /// The runtime on the bytes of a `.fwk` file.
    fn runtime(&self, bytes: Vec<u8>) -> Engine {
        Engine::Runtime { bytes, draws: Draws { seed: self.seed, ..Draws::default() } }
    }

    /// Measures every decoder that was fitted with any number of codes, calibrated to the particles'
    /// predictive of the calibration rows, `reference`.
    fn cost_curve(
        &self,
        chosen: &Exportable<'_>,
        pool: &ProbePool,
        exported: &Variant<'_>,
        reference: &Predictive,
        calibration: Calibration,
    ) -> anyhow::Result<CostCurve> {
        let started = Instant::now();
        let exported_samples = exported.samples;
        let aside = &self.record.split.calibration;
        let places = evenly(aside.len(), MOST_ROWS);
        let rows: Vec<usize> = places.iter().map(|&place| aside[place]).collect();
        let (raw, targets) = (self.raw_rows(&rows).concat(), self.targets.subset(&rows));
        let reference = reference.select(&places);
        let point = |decoder: &Exportable<'_>, samples| -> anyhow::Result<CostPoint> {
            let artifact = |calibration| {
                let thresholds = Thresholds::open(calibration);
                self.artifact(decoder, &Variant { thresholds, samples, ..*exported })
            };
            let predict = |bytes: &[u8]| self.predict(self.runtime(bytes.to_vec()), &raw);
            let own = predict(&artifact(calibration.neutral())?)?;
            let own = self.record.schema.task.uncalibrated(&own);
            let file = artifact(own.calibrate_to(&reference, calibration))?;
            let nll = Scores::of(&predict(&file)?, &targets, None).nll();
            let export = config::Export { samples, ..self.config.export.clone() };
            let passes = cost(self.networks(), &decoder.shape.structure, &export);
            Ok(CostPoint { samples, nll, bytes: file.len(), passes })
        };
        let curve = |decoder: &Exportable<'_>| -> anyhow::Result<DecoderCurve> {
            // A mixture has no more codes than members.
            let most = decoder.stored.len();
            let counts = code_counts(exported_samples).into_iter().filter(|&count| count <= most);
            let points = counts.map(|samples| point(decoder, samples)).collect::<Result<_, _>>()?;
            Ok(DecoderCurve { structure: decoder.shape.structure.clone(), points })
        };
        let latent = LatentRecord::read(&self.dir, &self.decoded)?;
        let exported_decoder = latent
            .candidates
            .iter()
            .position(|tried| tried.structure == chosen.shape.structure)
            .context("the decoder taken is none of those that were fitted")?;
        let fitted = latent.decoders(&self.dir)?.into_iter().enumerate();
        let decoders = fitted
            .map(|(index, (shape, decoder))| match index == exported_decoder {
                true => curve(chosen),
                false => curve(&self.exportable(shape, decoder, pool)?),
            })
            .collect::<anyhow::Result<_>>()?;
        debug!(rows = rows.len(), seconds = started.elapsed().as_secs_f64(), "cost curve");
        Ok(CostCurve { rows: rows.len(), exported_samples, exported_decoder, decoders })
    }

    fn engine(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        calibration: Calibration,
    ) -> Engine {
        Engine::Networks {
            architecture: architecture.clone(),
            thetas: thetas.to_vec(),
            thresholds: Thresholds::open(calibration),
        }
    }

    /// An engine's predictions of raw rows.
    fn predict(&self, engine: Engine, raw: &[f32]) -> anyhow::Result<Predictions> {
        Predictor { schema: self.record.schema.clone(), engine }.predict(raw)
    }

    /// An engine's predictions of the named rows.
    fn predict_rows(&self, engine: Engine, rows: &[usize]) -> anyhow::Result<Predictions> {
        self.predict(engine, &self.raw_rows(rows).concat())
    }

    /// Thresholds of an engine under `calibration`, from the calibration rows.
    fn thresholds(&self, engine: Engine, calibration: Calibration) -> anyhow::Result<Thresholds> {
        let predictions = self.predict_rows(engine, &self.record.split.calibration)?;
        let targets = self.targets.subset(&self.record.split.calibration);
        let coverage = self.config.calibration.coverage;
        Ok(Thresholds::fit(calibration, &predictions, &targets, coverage))
    }

    /// The configuration with every choice filled in.
    fn resolved(&self, choices: &Choices, shape: &DecoderShape, bits: &PrecisionRecord) -> Config {
        let mut config = self.config.clone();
        let hidden = self.architecture.hidden(config.network.activation);
        config.network.hidden = Choice::Fixed(hidden);
        let prior = choices.chosen.prior_precision.clone();
        config.map.prior_precision = Choice::Fixed(PerLayer::Each(prior));
        if let Some(noise) = choices.noise_std {
            config.map.noise_std = Choice::Fixed(noise * self.record.schema.task.unit());
        }
        config.walk.starts = Choice::Fixed(choices.maps);
        config.walk.drift = Choice::Fixed(choices.chosen.drift);
        config.walk.temperature = Choice::Fixed(choices.chosen.temperature);
        config.latent.decoder = Choice::Fixed(shape.structure.clone());
        config.latent.foreign = Choice::Fixed(self.foreign_weight());
        config.export.flash = Choice::Fixed(config.export.times_flash(bits.network_bytes));
        config.export.weight_bits = Choice::Fixed(bits.weight_bits.clone());
        config.export.factor_bits = Choice::Fixed(bits.factor_bits);
        config.export.trunk = Choice::Fixed(bits.trunk);
        config
    }
}
