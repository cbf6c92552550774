//! Training from a CSV file to an artifact, stage by stage. Every stage's result is a file in the
//! run's directory; a stage whose file is there is not done again.

use std::path::{Path, PathBuf};
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rayon::prelude::*;
use tracing::{debug, info};

use fiberwalk_formats::{CodeSource, MAX_WIDTH, Reading};

use crate::calibrate::Thresholds;
use crate::choose::{Choices, Fixed, Search};
use crate::config::{self, Choice, CodesChoice, Config, PerLayer};
use crate::cost_curve::{COST_CURVE, CostCurve, CostPoint, DecoderCurve, MOST_ROWS, code_counts};
use crate::data::{Features, Rows, Schema, Table, Target, Task, TaskKind, evenly, split};
use crate::descent::{Descended, Descent, Particle, Schedule, TrainingSet, Watch};
use crate::device::{Device, threads};
use crate::engine::{Draws, Engine, FLOAT_SAMPLES, Predictor, draw_modulations, draw_networks};
use crate::export::{Export, NetworkExport, rust_module};
use crate::latent::{
    DecoderShape, Fit, Fitted, ProbePool, affordable_structures, choose_codes, cost, energy_score,
    structure_name,
};
use crate::metrics::{Scores, auroc};
use crate::network::{Architecture, Batch};
use crate::particles::{self, CHOICES, MAP, RunAtMap, WalkStage};
use crate::precision::choose_precision;
use crate::predictions::Predictions;
use crate::predictive::{Calibration, Predictive, mean};
use crate::progress::Progress;
use crate::quantise::{Precision, Quantised, Ranges, Source};
use crate::random::{Purpose, stream};
use crate::records::{
    CalibrationRecord, LATENT, LATENT_CANDIDATES, LATENT_TRACE, LatentRecord, MAP_TRACE,
    PrecisionRecord, candidate_name,
};
use crate::report::{self, HeldOut, REPORT};
use crate::reuse::reuse;
use crate::run_data::{DATA, DataRecord, write_calibration_rows, write_rows};
use crate::run_dir::{REQUESTED, RunDir};
use crate::trace::{Checkpoints, Trace, curves};
use crate::validation::Validation;

/// Probes that the decoder is fitted on.
const POOL: usize = 16_384;
/// Fresh probes, and draws at them, that decoder structures are compared on.
const TEST_POOL: usize = 1024;
const TEST_DRAWS: usize = 128;
/// Draws from a decoder under way whose mixture is validated, and how often that is.
const VALIDATION_DRAWS: usize = 32;
const VALIDATIONS: usize = 10;
/// Random codes that activation ranges are measured under.
const RANGE_CODES: usize = 256;

/// Foreign inputs that a precision is judged on, and the AUROC of telling them from training rows
/// that it may cost.
const FOREIGN_ROWS: usize = 512;
const DETECTION_LOSS: f64 = 0.01;
/// Most training rows that a precision is judged on.
const PRECISION_ROWS: usize = 1000;

/// What to train on, and how.
#[derive(Clone)]
pub struct TrainOptions {
    /// CSV file.
    pub data: PathBuf,
    /// Name of the target column.
    pub target: String,
    /// Classification or regression.
    pub task: TaskKind,
    /// Settings.
    pub config: Config,
    /// Directory of the run.
    pub out: PathBuf,
    /// What computes.
    pub device: Arc<Device>,
    /// Seed of everything random.
    pub seed: u64,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// A run to take over stages from, as far as data and settings agree.
    pub from: Option<PathBuf>,
    /// The stage to stop after; none for the whole way.
    pub until: Option<Until>,
    /// How to show progress.
    pub progress: Progress,
}

/// A stage that training can stop after, to go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// Hyper-parameters.
    Choose,
    /// MAP: all that `walk --shard` needs.
    Map,
    /// Particles.
    Walk,
    /// Decoder.
    Latent,
}

/// A fitted decoder on its way to a board.
struct Exportable<'a> {
    shape: DecoderShape,
    decoder: Vec<f32>,
    /// Modulations of the codes to store, of which the first are a good set too.
    stored: Vec<Vec<f32>>,
    /// Those of random codes, for ranges.
    sampled: Vec<Vec<f32>>,
    /// Inputs, for ranges.
    batch: &'a Batch,
    ranges: Ranges,
}

/// What may differ between the files of one decoder.
struct Variant<'a> {
    precision: &'a Precision,
    thresholds: Thresholds,
    /// Number of codes that it stores and predicts with.
    samples: usize,
    trunk: bool,
}

/// A run under way: data, network, and where results go.
struct Training<'a> {
    options: &'a TrainOptions,
    dir: RunDir,
    record: DataRecord,
    raw: Vec<f32>,
    target: Target,
    rows: Rows,
    architecture: Architecture,
}

/// Trains, or goes on training. The directory then holds `model.fwk`, `model.rs`, `report.html` and
/// every stage's result.
///
/// # Errors
/// Bad data or configuration, another run in the directory, or a full disk; each names the cause.
pub fn train(options: &TrainOptions) -> anyhow::Result<()> {
    train_with(options, &mut |_| {})
}

/// Like [`train`]; `after` is called with the name of every stage that is done or was there.
///
/// # Errors
/// Those of [`train`].
pub fn train_with(
    options: &TrainOptions,
    after: &mut dyn FnMut(&'static str),
) -> anyhow::Result<()> {
    options.config.check()?;
    let training = Training::start(options)?;
    let choices = training.choose()?;
    after("choose");
    if training.stops_after(Until::Choose) {
        return Ok(());
    }
    let maps = training.maps(&choices)?;
    after("map");
    if training.stops_after(Until::Map) {
        return Ok(());
    }
    // From the files, as any machine that walks a shard of them.
    let walk = WalkStage::open(RunAtMap::open(&options.out)?)?;
    let validation = training.validation();
    let particles = walk.run(&options.device, options.progress, validation.as_ref())?;
    after("walk");
    if training.stops_after(Until::Walk) {
        return Ok(());
    }
    let (shape, decoder) = training.latent(&choices, &maps, &particles)?;
    after("latent");
    if training.stops_after(Until::Latent) {
        return Ok(());
    }
    training.export(&choices, &maps, &particles, &shape, &decoder)?;
    after("export");
    Ok(())
}

impl<'a> Training<'a> {
    /// Reads the data and opens the run's directory.
    fn start(options: &'a TrainOptions) -> anyhow::Result<Self> {
        let table = Table::read(&options.data)?;
        let (target, decision) = Target::read(&table, &options.target, options.task)?;
        let features = Features::of(&table, &options.target)?;
        if features.0.len() > MAX_WIDTH {
            bail!(
                "{}: found {} features, expected at most {MAX_WIDTH}",
                options.data.display(),
                features.0.len()
            );
        }
        let raw = features.read(&table, &options.target)?;
        if let Some(reading) = options.config.export.input.reading() {
            check_readings(&table, &features, &raw, reading)?;
        }
        let calibration = &options.config.calibration;
        let split = split(&target, calibration.fraction, calibration.coverage, options.seed)
            .map_err(|message| table.unusable(message))?;
        let schema =
            Schema::learn(&table, features, &raw, &options.target, &target, &split.training)?;
        let record = DataRecord {
            rows: table.len(),
            sha256: table.sha256,
            seed: options.seed,
            schema,
            split,
        };
        let architecture = record.architecture(&options.config);
        options.config.check_depth(architecture.depth())?;

        let progress = options.progress;
        if let Some(decision) = decision {
            progress.note(&format!("task: {decision}"));
        }
        let constant = record.schema.constant_features(&raw, &record.split.training);
        if !constant.is_empty() {
            progress.note(&format!(
                "note: constant in the training rows, of no use: {}",
                constant.join(", ")
            ));
        }
        info!(
            data = %options.data.display(),
            rows = record.rows,
            training = record.split.training.len(),
            calibration = record.split.calibration.len(),
            features = architecture.inputs(),
            network = ?architecture.widths,
            parameters = architecture.parameters(),
            threads = threads(),
            seed = options.seed,
            "data"
        );
        let dir = open_run(options, &record)?;
        let rows = record.schema.rows(&raw, &target);
        Ok(Self { options, dir, record, raw, target, rows, architecture })
    }

    /// Whether to stop here; says how to go on.
    fn stops_after(&self, stage: Until) -> bool {
        let stops = self.options.until == Some(stage);
        if stops {
            let run = self.options.out.display();
            let elsewhere = match stage {
                Until::Map => format!(
                    "; other machines can walk its particles: fiberwalk walk {run} --shard I/N, \
                     fiberwalk merge {run} SHARD..."
                ),
                _ => String::new(),
            };
            self.options.progress.note(&format!(
                "stopped; train with --resume and without --until goes on with {run}{elsewhere}"
            ));
        }
        stops
    }

    fn training_rows(&self) -> Rows {
        self.rows.subset(&self.record.split.training)
    }

    fn training_set(&self, rows: &Rows) -> TrainingSet {
        let batch_rows = self.options.config.walk.batch_rows;
        let features = self.architecture.inputs();
        TrainingSet::new(&rows.x, features, &rows.targets, batch_rows, self.options.seed)
    }

    /// The calibration rows, for the eyes of the user; none where nobody looks.
    fn validation(&self) -> Option<Validation<'_>> {
        let calibration = &self.record.split.calibration;
        (self.options.progress == Progress::Shown)
            .then(|| Validation::new(&self.architecture, &self.rows, calibration))
    }

    /// Hyper-parameters: `choices.json`.
    fn choose(&self) -> anyhow::Result<Choices> {
        if self.dir.has(CHOICES) {
            return self.dir.read_json(CHOICES);
        }
        let config = &self.options.config;
        let depth = self.architecture.depth();
        // The noise is configured in the target's own units.
        let unit = match &self.record.schema.task {
            Task::Regression { std, .. } => *std,
            Task::Classification { .. } => 1.0,
        };
        let fixed = Fixed {
            prior_precision: config.map.prior_precision.fixed().map(|prior| match prior {
                PerLayer::Same(precision) => vec![*precision; depth],
                PerLayer::Each(precisions) => precisions.clone(),
            }),
            noise_std: config.map.noise_std.fixed().map(|noise| noise / unit),
            drift: config.walk.drift.fixed().copied(),
            temperature: config.walk.temperature.fixed().copied(),
            maps: config.walk.maps.fixed().copied(),
        };
        let rows = self.training_rows();
        let search = Search {
            architecture: &self.architecture,
            rows: &rows,
            map_schedule: config.map.schedule(),
            walk_schedule: config.walk.schedule(),
            batch_rows: config.walk.batch_rows,
            seed: self.options.seed,
            device: &self.options.device,
        };
        let stage = self.options.progress.stage("choose", search.steps(&fixed));
        let choices = search.run(&fixed, &|steps| stage.advance(steps))?;
        let chosen = &choices.chosen;
        stage.finish(&format!(
            "prior {:?}, {} drift, temperature {}, held-out NLL {:.4} ± {:.4}",
            chosen.prior_precision,
            chosen.drift,
            chosen.temperature,
            chosen.nll,
            chosen.standard_error
        ));
        self.dir.write_json(CHOICES, &choices)?;
        Ok(choices)
    }

    /// MAP training: `map-trace.safetensors`, then `map.safetensors`, the best one first.
    fn maps(&self, choices: &Choices) -> anyhow::Result<Vec<Vec<f32>>> {
        let rows = self.training_rows();
        // First, so that a run with its MAP is all that a walk needs.
        write_rows(&self.dir, &rows)?;
        if self.dir.has(MAP) {
            return self.dir.read_tensor(MAP, "theta");
        }
        let count = choices.maps;
        let schedule = self.options.config.map.schedule();
        let set = self.training_set(&rows);
        let prior = self.architecture.per_parameter(&choices.chosen.prior_precision);
        let stage = self.options.progress.stage("map", count * schedule.steps);
        let descent = Descent {
            architecture: &self.architecture,
            set: &set,
            likelihood: choices.likelihood(),
            prior_precision: &prior,
            schedule,
        };
        let starts: Vec<_> = (0..count as u64)
            .map(|index| {
                let mut rng = stream(self.options.seed, Purpose::Initialisation, index);
                self.architecture.initialise(&mut rng)
            })
            .collect();
        let validation = self.validation();
        let validate = |theta: &[f32]| {
            if let Some(validation) = &validation {
                stage.validated(validation.nll(&[theta.to_vec()], choices.map_calibration));
            }
        };
        let first: Watch<'_> = &validate;
        let particles: Vec<_> = starts
            .iter()
            .enumerate()
            .map(|(index, start)| Particle {
                start,
                drift: None,
                control: None,
                watch: (index == 0).then_some(first),
            })
            .collect();
        let checkpoints = Checkpoints::of(schedule.steps);
        let advance = |steps| stage.advance(steps);
        let ends = descent.run_traced(&self.options.device, &particles, &checkpoints, &advance)?;
        let mut ends: Vec<(f64, Descended)> =
            ends.into_par_iter().map(|end| (descent.loss(&end.theta), end)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        validate(&ends[0].1.theta);
        debug!(losses = ?ends.iter().map(|end| end.0).collect::<Vec<_>>(), "the best MAP first");
        stage.finish(&format!("loss {:.2} over {} rows", ends[0].0, set.rows()));
        let traces = || ends.iter().map(|(_, end)| end.trace.as_slice());
        let nll = curves(traces(), |measured| measured.nll);
        let rows = set.rows() as f64;
        let loss = curves(traces(), |measured| rows * measured.nll + measured.prior);
        Trace::write(&self.dir, MAP_TRACE, &checkpoints, &[("nll", &nll), ("loss", &loss)])?;
        let maps: Vec<Vec<f32>> = ends.into_iter().map(|(_, end)| end.theta).collect();
        self.dir.write_tensors(MAP, &[("theta", &maps)])?;
        Ok(maps)
    }

    /// The latent posterior: `latent-candidates.safetensors`, `latent.safetensors`,
    /// `latent-trace.safetensors`, `latent.json`.
    fn latent(
        &self,
        choices: &Choices,
        maps: &[Vec<f32>],
        particles: &[Vec<f32>],
    ) -> anyhow::Result<(DecoderShape, Vec<f32>)> {
        if self.dir.has("latent.json") {
            let record: LatentRecord = self.dir.read_json("latent.json")?;
            let decoder = self.dir.read_tensor(LATENT, "decoder")?;
            return Ok((record.shape, decoder.concat()));
        }
        let config = &self.options.config;
        let structures = match config.latent.decoder.fixed() {
            Some(structure) => vec![structure.clone()],
            None => affordable_structures(
                &self.architecture,
                config.latent.dim,
                self.network_bytes(choices, &maps[0])?,
                &config.export,
            ),
        };
        if structures.is_empty() {
            bail!(
                "configuration field export.cost: found {}, too small for {} samples of any decoder",
                config.export.cost,
                config.export.samples
            );
        }
        let rows = self.training_rows();
        let pool = |size, index| {
            let mut rng = stream(self.options.seed, Purpose::Probes, index);
            let likelihood = choices.calibrated_likelihood();
            let device = &self.options.device;
            ProbePool::new(
                device,
                &rows.x,
                &self.architecture,
                likelihood,
                particles,
                size,
                &mut rng,
            )
        };
        let (training, fresh) = (pool(POOL, 0)?, pool(TEST_POOL, 1)?);
        let schedule =
            Schedule { steps: config.latent.steps, learning_rate: config.latent.learning_rate };
        let stage = self.options.progress.stage("latent", structures.len() * config.latent.steps);
        let validation = self.validation();
        let checkpoints = Checkpoints::of(config.latent.steps);
        let every = checkpoints.steps().len().div_ceil(VALIDATIONS);
        let validate = |shape: &DecoderShape, decoder: &[f32]| {
            if let Some(validation) = &validation {
                let drawn = draw_networks(shape, decoder, VALIDATION_DRAWS, self.options.seed);
                stage.validated(validation.nll(&drawn, choices.particle_calibration));
            }
        };
        let fits: Vec<(DecoderShape, Fitted, f64)> = structures
            .into_iter()
            .map(|structure| {
                let shape = DecoderShape {
                    architecture: self.architecture.clone(),
                    structure,
                    latent_dim: config.latent.dim,
                };
                let fit = Fit {
                    shape: &shape,
                    pool: &training,
                    predictive: config.latent.predictive,
                    reconstruction: config.latent.reconstruction,
                    schedule,
                    seed: self.options.seed,
                };
                let device = &self.options.device;
                let mut seen = 0;
                let mut watch = |decoder: &[f32]| {
                    if seen % every == 0 {
                        validate(&shape, decoder);
                    }
                    seen += 1;
                };
                let advance = |steps| stage.advance(steps);
                let fitted = fit.run(device, &maps[0], &checkpoints, &mut watch, &advance)?;
                let score = self.fresh_score(&shape, &fitted.decoder, &fresh)?;
                debug!(
                    decoder = structure_name(&shape.structure),
                    energy_score = score,
                    passes = cost(&self.architecture, &shape.structure, &config.export),
                    parameters = fitted.decoder.len(),
                    "fitted"
                );
                Ok((shape, fitted, score))
            })
            .collect::<anyhow::Result<_>>()?;
        let traces = || fits.iter().map(|(_, fitted, _)| fitted.trace.as_slice());
        let energy = curves(traces(), |objective| objective.energy_score);
        let divergence = curves(traces(), |objective| objective.divergence);
        let candidates = fits.iter().map(|(shape, _, es)| (shape.structure.clone(), *es)).collect();
        let best = (0..fits.len())
            .min_by(|&a, &b| fits[a].2.total_cmp(&fits[b].2))
            .context("there is at least one decoder structure")?;
        let others: Vec<(String, &[Vec<f32>])> = (0..fits.len())
            .filter(|&index| index != best)
            .map(|index| (candidate_name(index), from_ref(&fits[index].1.decoder)))
            .collect();
        if !others.is_empty() {
            let views: Vec<_> = others.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
            self.dir.write_tensors(LATENT_CANDIDATES, &views)?;
        }
        let (shape, fitted, score) = fits.into_iter().nth(best).expect("the place of one of them");
        validate(&shape, &fitted.decoder);
        let functions = all_functions(&fresh);
        let (left, right) = functions.split_at(particles.len() / 2);
        let between = energy_score(left, right, fresh.len()).0;
        let passes = cost(&self.architecture, &shape.structure, &config.export);
        stage.finish(&format!(
            "{}, at most {passes:.1} passes: energy score {score:.4}, between particles {between:.4}",
            structure_name(&shape.structure)
        ));
        let mut tensors = vec![("decoder", vec![fitted.decoder.clone()])];
        if let Some((_, encoder)) = fitted.encoder {
            tensors.push(("encoder", vec![encoder]));
            tensors.push(("codes", fitted.codes));
        }
        let views: Vec<_> = tensors.iter().map(|(name, rows)| (*name, rows.as_slice())).collect();
        self.dir.write_tensors(LATENT, &views)?;
        let curves = [("energy_score", energy.as_slice()), ("divergence", &divergence)];
        Trace::write(&self.dir, LATENT_TRACE, &checkpoints, &curves)?;
        let record = LatentRecord { shape: shape.clone(), candidates, particles: between };
        self.dir.write_json("latent.json", &record)?;
        Ok((shape, fitted.decoder))
    }

    /// Energy score of random draws against the particles at probes that were not fitted to.
    fn fresh_score(
        &self,
        shape: &DecoderShape,
        decoder: &[f32],
        fresh: &ProbePool,
    ) -> anyhow::Result<f64> {
        let thetas = draw_networks(shape, decoder, TEST_DRAWS, self.options.seed);
        let device = &self.options.device;
        let mut outputs = device.outputs(&self.architecture, &thetas, &fresh.probes.batch)?;
        outputs.iter_mut().for_each(|outputs| fresh.probes.standardise(outputs));
        Ok(energy_score(&outputs, &all_functions(fresh), fresh.len()).0)
    }

    /// Quantisation, calibration and export: `calibration.json`, `config.toml`, `model.fwk`,
    /// `calibration-rows.safetensors`, `cost-curve.json`, `report.html`, `model.rs`.
    fn export(
        &self,
        choices: &Choices,
        maps: &[Vec<f32>],
        particles: &[Vec<f32>],
        shape: &DecoderShape,
        decoder: &[f32],
    ) -> anyhow::Result<()> {
        if self.dir.has("model.rs") {
            return Ok(());
        }
        let stage = self.options.progress.stage("export", 1);
        let (config, seed) = (&self.options.config, self.options.seed);
        let pool = ProbePool::for_ranges(
            &self.options.device,
            &self.training_rows().x,
            &self.architecture,
            choices.calibrated_likelihood(),
            particles,
            seed,
        )?;
        let chosen = self.exportable(shape.clone(), decoder.to_vec(), &pool)?;
        let samples = config.export.samples;
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
            Ok(self.predict_rows(engine, rows)?.uncalibrated(&self.record.schema))
        };
        let raw = |engine| raw_at(engine, aside);
        let reference = raw(self.networks(particles, neutral))?;
        let to_reference = |own: Predictive| own.calibrate_to(&reference, of_particles);
        let of_float = to_reference(raw(self.networks(&drawn, neutral))?);

        let eight = Precision::eight(self.architecture.depth());
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
        let sizes: Vec<usize> =
            self.architecture.layers().map(|layer| layer.inputs * layer.outputs).collect();
        let (precision, candidates) = choose_precision(&config.export, &sizes, loss)?;
        let of_runtime = to_reference(raw(runtime(&precision, neutral)?)?);
        let record = CalibrationRecord {
            map: self.thresholds(self.networks(&maps[..1], of_map), of_map)?,
            particles: self.thresholds(self.networks(particles, of_particles), of_particles)?,
            float: self.thresholds(self.networks(&drawn, of_float), of_float)?,
            runtime: self.thresholds(runtime(&precision, of_runtime)?, of_runtime)?,
        };
        let Thresholds { calibration, conformal, epistemic } = record.runtime;
        info!(?calibration, conformal, epistemic, "thresholds of the artifact");
        let variant =
            |trunk| Variant { precision: &precision, thresholds: record.runtime, samples, trunk };
        let with_trunk = self.artifact(&chosen, &variant(true))?;
        let network_bytes = self.network_bytes(choices, &maps[0])?;
        let affordable = with_trunk.len() as f64 <= config.export.flash * network_bytes as f64;
        let trunk = match config.export.trunk {
            Choice::Fixed(trunk) => trunk,
            Choice::Auto => affordable || config.export.codes.are_drawn(),
        };
        let bits = PrecisionRecord {
            weight_bits: precision.layers.iter().map(|bits| bits.count()).collect(),
            factor_bits: precision.factors.count(),
            trunk,
            bytes_with_trunk: with_trunk.len(),
            network_bytes,
            candidates,
        };
        self.dir.write_json("precision.json", &bits)?;
        let file = if trunk { with_trunk } else { self.artifact(&chosen, &variant(false))? };
        self.dir.write_json("calibration.json", &record)?;
        self.dir.write("config.toml", self.resolved(choices, shape, &bits).to_toml().as_bytes())?;
        self.dir.write("model.fwk", &file)?;
        write_calibration_rows(&self.dir, &self.raw_rows(aside), &self.target.subset(aside))?;
        let curve = self.cost_curve(&chosen, &pool, &variant(trunk), &reference, of_particles)?;
        self.dir.write_json(COST_CURVE, &curve)?;
        self.report()?;
        // Last, since its presence says that the run is complete.
        self.dir.write("model.rs", rust_module(&file, "model.fwk")?.as_bytes())?;
        stage.finish(&format!(
            "{} ({} bytes; weights of {} bits, factors of {}), {REPORT}",
            self.dir.path("model.fwk").display(),
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
        let (device, seed) = (&self.options.device, self.options.seed);
        let most = code_counts(self.options.config.export.samples).into_iter().max().unwrap_or(1);
        let stored = choose_codes(device, &shape, &decoder, pool, most, seed)?;
        let sampled = draw_modulations(&shape, &decoder, RANGE_CODES, seed);
        let ranges = Ranges::measure(&Source {
            shape: &shape,
            decoder: &decoder,
            logits: self.classifies(),
            stored: &stored,
            sampled: &sampled,
            batch: &pool.probes.batch,
        });
        Ok(Exportable { shape, decoder, stored, sampled, batch: &pool.probes.batch, ranges })
    }

    fn classifies(&self) -> bool {
        matches!(self.record.schema.task, Task::Classification { .. })
    }

    /// Bytes of the file of a network alone in int8. They do not depend on the inputs that its ranges are
    /// measured on.
    fn network_bytes(&self, choices: &Choices, theta: &[f32]) -> anyhow::Result<usize> {
        let config = &self.options.config;
        let features = self.architecture.inputs();
        let network = NetworkExport {
            architecture: &self.architecture,
            theta,
            inputs: &Batch::from_rows(&vec![0.0; features], features),
            schema: &self.record.schema,
            calibration: choices.map_calibration,
            coverage: config.calibration.coverage,
            reading: config.export.input.reading(),
            seed: self.options.seed,
        };
        Ok(network.to_bytes()?.len())
    }

    /// The `.fwk` file of a decoder.
    fn artifact(
        &self,
        exportable: &Exportable<'_>,
        variant: &Variant<'_>,
    ) -> anyhow::Result<Vec<u8>> {
        let config = &self.options.config;
        let &Variant { precision, thresholds, samples, trunk } = variant;
        let source = Source {
            shape: &exportable.shape,
            decoder: &exportable.decoder,
            logits: self.classifies(),
            stored: &exportable.stored[..samples],
            sampled: &exportable.sampled,
            batch: exportable.batch,
        };
        let export = Export {
            quantised: &Quantised::new(&source, &exportable.ranges, precision),
            schema: &self.record.schema,
            thresholds,
            coverage: config.calibration.coverage,
            latent_dim: exportable.shape.latent_dim,
            source: match config.export.codes {
                CodesChoice::Auto | CodesChoice::Stored => CodeSource::Stored,
                CodesChoice::LowDiscrepancy => CodeSource::LowDiscrepancy,
                CodesChoice::Normal => CodeSource::Normal,
            },
            samples,
            reading: config.export.input.reading(),
            trunk,
            seed: self.options.seed,
            date: config.export.date.as_deref(),
        };
        export.to_bytes()
    }

    /// The runtime on the bytes of a `.fwk` file.
    fn runtime(&self, bytes: Vec<u8>) -> Engine {
        Engine::Runtime { bytes, draws: Draws { seed: self.options.seed, ..Draws::default() } }
    }

    /// What every decoder that was fitted would have given with any number of codes, calibrated to
    /// the particles' predictive of the calibration rows, `reference`.
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
        let (raw, target) = (self.raw_rows(&rows).concat(), self.target.subset(&rows));
        let reference = reference.select(&places);
        let point = |decoder: &Exportable<'_>, samples| -> anyhow::Result<CostPoint> {
            let artifact = |calibration| {
                let thresholds = Thresholds::open(calibration);
                self.artifact(decoder, &Variant { thresholds, samples, ..*exported })
            };
            let predict = |bytes: &[u8]| self.predict(self.runtime(bytes.to_vec()), &raw);
            let own = predict(&artifact(calibration.neutral())?)?;
            let own = own.uncalibrated(&self.record.schema);
            let file = artifact(own.calibrate_to(&reference, calibration))?;
            let nll = Scores::of(&predict(&file)?, &target, None).nll();
            let export = config::Export { samples, ..self.options.config.export.clone() };
            let passes = cost(&self.architecture, &decoder.shape.structure, &export);
            Ok(CostPoint { samples, nll, bytes: file.len(), passes })
        };
        let curve = |decoder: &Exportable<'_>| -> anyhow::Result<DecoderCurve> {
            let counts = code_counts(exported_samples).into_iter();
            let points = counts.map(|samples| point(decoder, samples)).collect::<Result<_, _>>()?;
            Ok(DecoderCurve { structure: decoder.shape.structure.clone(), points })
        };
        let latent: LatentRecord = self.dir.read_json("latent.json")?;
        let exported_decoder = latent
            .candidates
            .iter()
            .position(|(structure, _)| *structure == chosen.shape.structure)
            .context("latent.json: the decoder taken is none of its candidates")?;
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

    fn networks(&self, thetas: &[Vec<f32>], calibration: Calibration) -> Engine {
        Engine::Networks {
            architecture: self.architecture.clone(),
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

    /// The named rows, original units.
    fn raw_rows(&self, rows: &[usize]) -> Vec<Vec<f32>> {
        let features = self.architecture.inputs();
        rows.iter().map(|&row| self.raw[row * features..(row + 1) * features].to_vec()).collect()
    }

    /// The page about the run, judged on its calibration rows: `report.html`.
    fn report(&self) -> anyhow::Result<()> {
        let run = Run { dir: self.dir.clone(), record: self.record.clone() };
        let page = report::html(&run, &HeldOut::calibration_rows(&run)?, None)?;
        self.dir.write(REPORT, page.as_bytes())
    }

    /// Thresholds of an engine under `calibration`, from the calibration rows.
    fn thresholds(&self, engine: Engine, calibration: Calibration) -> anyhow::Result<Thresholds> {
        let predictions = self.predict_rows(engine, &self.record.split.calibration)?;
        let target = self.target.subset(&self.record.split.calibration);
        let coverage = self.options.config.calibration.coverage;
        Ok(Thresholds::fit(calibration, &predictions, &target, coverage))
    }

    /// The configuration with every choice filled in.
    fn resolved(&self, choices: &Choices, shape: &DecoderShape, bits: &PrecisionRecord) -> Config {
        let mut config = self.options.config.clone();
        let hidden = &self.architecture.widths[1..self.architecture.depth()];
        config.network.hidden = Choice::Fixed(hidden.to_vec());
        let prior = choices.chosen.prior_precision.clone();
        config.map.prior_precision = Choice::Fixed(PerLayer::Each(prior));
        if let (Some(noise), Task::Regression { std, .. }) =
            (choices.noise_std, &self.record.schema.task)
        {
            config.map.noise_std = Choice::Fixed(noise * std);
        }
        config.walk.maps = Choice::Fixed(choices.maps);
        config.walk.drift = Choice::Fixed(choices.chosen.drift);
        config.walk.temperature = Choice::Fixed(choices.chosen.temperature);
        config.latent.decoder = Choice::Fixed(shape.structure.clone());
        config.export.weight_bits = Choice::Fixed(bits.weight_bits.clone());
        config.export.factor_bits = Choice::Fixed(bits.factor_bits);
        config.export.trunk = Choice::Fixed(bits.trunk);
        config
    }
}

/// Checks that every feature is a whole number that the board's readings can be.
fn check_readings(
    table: &Table,
    features: &Features,
    raw: &[f32],
    reading: Reading,
) -> anyhow::Result<()> {
    let (least, most) = reading.range();
    let columns = features.0.len();
    let fits = |x: f32| x.fract() == 0.0 && (least as f32..=most as f32).contains(&x);
    match raw.iter().position(|&x| !fits(x)) {
        None => Ok(()),
        Some(index) => {
            // A category's column is never refused: it holds 0 and 1.
            let column = table.column(&features.0[index % columns])?;
            let expected = format!(
                "a whole number from {least} to {most}, since export.input is not \"float\""
            );
            Err(table.bad_field(index / columns, column, expected))?
        }
    }
}

/// A finished run, for prediction.
pub struct Run {
    dir: RunDir,
    record: DataRecord,
}

impl Run {
    /// Opens the directory of a finished run.
    ///
    /// # Errors
    /// No run, or an unfinished one.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let dir = RunDir::open(root)?;
        if !dir.has("model.rs") {
            bail!("the run in {} is not finished: go on with train --resume", root.display());
        }
        let record = dir.read_json(DATA)?;
        Ok(Self { dir, record })
    }

    /// Its directory.
    pub const fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// What it was made from.
    pub const fn record(&self) -> &DataRecord {
        &self.record
    }

    /// The exported file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn artifact(&self) -> anyhow::Result<Vec<u8>> {
        self.dir.read("model.fwk")
    }

    /// Draws from the decoder, in floats.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn float_predictor(&self, draws: Draws) -> anyhow::Result<Predictor> {
        let record: LatentRecord = self.dir.read_json("latent.json")?;
        let decoder = self.dir.read_tensor(LATENT, "decoder")?.concat();
        let samples = draws.samples.unwrap_or(FLOAT_SAMPLES);
        if samples == 0 {
            bail!("found 0 samples, expected at least 1");
        }
        let thetas = draw_networks(&record.shape, &decoder, samples, draws.seed);
        self.networks(thetas, |calibration| calibration.float)
    }

    /// The walked particles.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn particle_predictor(&self) -> anyhow::Result<Predictor> {
        self.networks(particles::read(&self.dir)?, |calibration| calibration.particles)
    }

    /// The MAP network.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn map_predictor(&self) -> anyhow::Result<Predictor> {
        let maps = self.dir.read_tensor(MAP, "theta")?;
        self.networks(maps[..1].to_vec(), |calibration| calibration.map)
    }

    /// The MAP network as it was trained: no temperature, and the noise of the likelihood.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn uncalibrated_map_predictor(&self) -> anyhow::Result<Predictor> {
        let choices: Choices = self.dir.read_json(CHOICES)?;
        let mut predictor = self.map_predictor()?;
        if let Engine::Networks { thresholds, .. } = &mut predictor.engine {
            thresholds.calibration = Calibration::of(choices.likelihood());
        }
        Ok(predictor)
    }

    /// Every stage, from MAP to the exported file, each as it predicts by default.
    ///
    /// # Errors
    /// A stage's file is missing or damaged.
    pub fn stages(&self) -> anyhow::Result<[(&'static str, Predictor); 5]> {
        let draws = Draws::default();
        Ok([
            ("MAP", self.uncalibrated_map_predictor()?),
            ("MAP, calibrated", self.map_predictor()?),
            ("particles", self.particle_predictor()?),
            ("float decoder", self.float_predictor(draws)?),
            ("exported artifact", Predictor::from_artifact(self.artifact()?, draws)?),
        ])
    }

    fn networks(
        &self,
        thetas: Vec<Vec<f32>>,
        thresholds: fn(&CalibrationRecord) -> Thresholds,
    ) -> anyhow::Result<Predictor> {
        let record: CalibrationRecord = self.dir.read_json("calibration.json")?;
        let latent: LatentRecord = self.dir.read_json("latent.json")?;
        let engine = Engine::Networks {
            architecture: latent.shape.architecture,
            thetas,
            thresholds: thresholds(&record),
        };
        Ok(Predictor { schema: self.record.schema.clone(), engine })
    }
}

/// Every particle's standardised outputs at every probe.
fn all_functions(pool: &ProbePool) -> Vec<Vec<f32>> {
    let (particles, probes): (Vec<_>, Vec<_>) =
        ((0..pool.particles()).collect(), (0..pool.len()).collect());
    pool.functions_at(&particles, &probes)
}

/// Creates the run's directory, or checks that the one there is of the same data and settings.
fn open_run(options: &TrainOptions, record: &DataRecord) -> anyhow::Result<RunDir> {
    let requested = options.config.to_toml();
    let dir =
        if options.resume { RunDir::reopen(&options.out)? } else { RunDir::create(&options.out)? };
    if !dir.has(DATA) {
        dir.write(REQUESTED, requested.as_bytes())?;
        dir.write_json(DATA, record)?;
        if let Some(from) = &options.from {
            let stages = reuse(from, &dir, &options.config, record)?;
            let stages = if stages.is_empty() { "nothing".to_owned() } else { stages.join(", ") };
            options.progress.note(&format!("from {}: {stages}", from.display()));
        }
        return Ok(dir);
    }
    let before: DataRecord = dir.read_json(DATA)?;
    let shown = options.out.display();
    if before.sha256 != record.sha256 {
        bail!("{shown} is a run of other data than {}: use another --out", options.data.display());
    }
    if before.seed != record.seed {
        bail!("{shown} is a run with --seed {}, found --seed {}", before.seed, record.seed);
    }
    if dir.read(REQUESTED)? != requested.as_bytes() {
        bail!(
            "{shown} is a run with another configuration (see its requested.toml): use another --out"
        );
    }
    if &before != record {
        bail!("{shown} is a run with another target or task: use another --out");
    }
    Ok(dir)
}
