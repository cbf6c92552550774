//! The latent posterior: a decoder of every affordable structure is fitted, the best one taken.

use std::slice::from_ref;

use anyhow::{Context, bail};
use tracing::debug;

use super::closeness::{Closeness, between_particles};
use super::kept::KeptFit;
use super::record::{
    CANDIDATES, CODES, DECODER, DecoderCandidate, ENCODER, LATENT, LatentRecord, RECORD, TRACE,
    candidate_name,
};
use super::{PoolRole, ProbeSource, choose_codes, choose_particles, foreign_weight};
use crate::checkpoints::Checkpoints;
use crate::choose::Choices;
use crate::config::{Choice, Config, Export, Latent};
use crate::costs::{Networks, affordable_structures, cost};
use crate::data::Rows;
use crate::decoder::{
    DecoderShape, Fit, Fitted, LayerDecoder, ProbePool, Refresh, Structure, draw_networks, members,
    structure_name,
};
use crate::descent::{Schedule, is_divergence};
use crate::drift::first_of;
use crate::map;
use crate::random::{Purpose, stream};
use crate::refine;
use crate::run_dir::RunDir;
use crate::sampler::Sampler;
use crate::stage::{Stage, Training};
use crate::task::Share;
use crate::trace::{Trace, curves};

/// Probes that the decoder is fitted on.
const POOL: usize = 16_384;
/// Such probes of maps, which differ in more ways; fewer where their inputs have more than [`POOL_BYTES`].
const POOL_OF_MAPS: usize = 65_536;
const POOL_BYTES: usize = 256 << 20;
/// How often a probe of a map is met, on average, before others take its place.
const MEETINGS: usize = 8;
/// Probes that decoder structures are compared on, and networks where codes are drawn.
const TEST_POOL: usize = 1024;
const TEST_DRAWS: usize = 128;
/// Learning rate of a mixture, whose members start at particles, relative to that of a decoder.
const MIXTURE_RATE: f32 = 0.1;
/// Draws from a decoder under way whose mixture is validated, and how often that is.
const VALIDATION_DRAWS: usize = 32;
const VALIDATIONS: usize = 10;

/// Fitting the decoder.
pub const STAGE: Stage = Stage {
    name: "latent",
    about: "Decoder",
    files: &[LATENT, TRACE, RECORD],
    more: Some(more),
    scratch: Some("latent"),
    check: Some(check),
    reads: Some(reads),
    reads_network: true,
    run: |training| training.latent(),
};

fn more(dir: &RunDir) -> anyhow::Result<Vec<String>> {
    let record: LatentRecord = dir.read_json(RECORD, |_| Ok(()))?;
    let others = record.candidates.len() > 1;
    Ok(others.then(|| CANDIDATES.to_owned()).into_iter().collect())
}

fn reads(from: &Config, to: &mut Config) {
    to.latent = from.latent.clone();
    // Only a choice of decoders reads what they may cost.
    if from.latent.decoder == Choice::Auto {
        to.export = from.export.clone();
    }
}

/// Refuses a budget that no decoder keeps to, whatever the bytes of the network.
fn check(training: &Training<'_>) -> anyhow::Result<()> {
    training.structures(0).map(drop)
}

/// A decoder's shape, its fit, and how close it came.
type JudgedFit = (DecoderShape, Fitted, Closeness);

impl Training<'_> {
    /// Fits a decoder of every structure and takes the best one.
    fn latent(&self) -> anyhow::Result<()> {
        let (dir, choices) = (&self.dir, &Choices::of(self)?);
        let maps = &map::read(dir, &self.architecture)?;
        let particles = &refine::read(dir, &self.architecture, self.config.walk.particles)?;
        let config = self.config;
        let bytes = self.network_bytes(&self.architecture, &maps[0], choices.map_calibration)?;
        let structures = self.structures(bytes)?;
        let rows = self.training_rows();
        let source = self.probe_source(choices, &rows, particles);
        let draw = |size, number| source.pool(size, PoolRole::Fit(number));
        let input = self.architecture.input;
        let (size, refresh) = match input.positions() {
            1 => (POOL, None),
            _ => {
                let size = (POOL_BYTES / (size_of::<f32>() * input.len())).clamp(1, POOL_OF_MAPS);
                (size, Some(Refresh { draw: &draw, meetings: MEETINGS }))
            }
        };
        let training = source.pool(size, PoolRole::Fit(0))?;
        // Decoders are compared round rows that none of them was fitted at.
        let aside = self.rows.subset(&self.record.split.calibration);
        let fresh =
            self.probe_source(choices, &aside, particles).pool(TEST_POOL, PoolRole::Test)?;
        let stage = self.progress.stage(STAGE.name, structures.len() * config.latent.steps);
        let validation = self.validation(&self.decoded);
        let checkpoints = Checkpoints::of(config.latent.steps);
        let every = checkpoints.steps().len().div_ceil(VALIDATIONS);
        let validate = |shape: &DecoderShape, decoder: &[f32]| {
            if let Some(validation) = &validation {
                let drawn = draw_networks(shape, decoder, VALIDATION_DRAWS, self.seed);
                stage.validated(validation.nll(&drawn, choices.particle_calibration));
            }
        };
        let scratch = STAGE.scratch(self);
        let fits: Vec<JudgedFit> = structures
            .into_iter()
            .enumerate()
            .map(|(index, structure)| {
                let shape = DecoderShape {
                    architecture: self.decoded.clone(),
                    structure,
                    latent_dim: config.latent.dim,
                };
                let kept = KeptFit::new(&scratch, index);
                let members = members(&shape.structure);
                let (rate, reconstruction) = match members {
                    None => (1.0, config.latent.reconstruction),
                    // They have no place in a latent space.
                    Some(_) => (MIXTURE_RATE, 0.0),
                };
                let fit = Fit {
                    shape: &shape,
                    pool: &training,
                    refresh,
                    predictive: config.latent.predictive,
                    foreign: self.foreign_weight(),
                    reconstruction,
                    schedule: Schedule {
                        steps: config.latent.steps,
                        learning_rate: rate * config.latent.learning_rate,
                    },
                    seed: self.seed,
                    keeper: Some(&kept),
                };
                let device = self.device;
                let mut seen = 0;
                let mut watch = |decoder: &[f32]| {
                    if seen % every == 0 {
                        validate(&shape, decoder);
                    }
                    seen += 1;
                };
                let advance = |steps| stage.advance(steps);
                let encoder = (fit.reconstruction > 0.0).then(|| fit.encoder_architecture());
                let done = kept.fitted(shape.parameters(), encoder, &checkpoints)?;
                if let Some((fitted, closeness)) = done {
                    stage.advance(config.latent.steps);
                    return Ok((shape, fitted, closeness));
                }
                let starts = match members {
                    None => vec![self.initial(maps)],
                    Some(count) => {
                        let chosen = choose_particles(&training, count);
                        chosen.into_iter().map(|index| particles[index].clone()).collect()
                    }
                };
                let fitted = fit.run(device, &starts, &checkpoints, &mut watch, &advance)?;
                let (networks, share) = self.as_exported(&shape, &fitted.decoder, &training)?;
                let foreign = self.foreign_weight();
                let closeness =
                    Closeness::of(&shape.architecture, &networks, share, &fresh, foreign, device)?;
                kept.keep_fitted(&fitted, closeness)?;
                debug!(
                    decoder = structure_name(&shape.structure),
                    ?closeness,
                    passes = cost(self.networks(), &shape.structure, &config.export),
                    parameters = fitted.decoder.len(),
                    "fitted"
                );
                Ok((shape, fitted, closeness))
            })
            .collect::<anyhow::Result<_>>()?;
        let fits = self.without_divergence(fits, &checkpoints)?;
        let traces = || fits.iter().map(|(_, fitted, _)| fitted.trace.as_slice());
        let energy = curves(traces(), |objective| objective.energy_score);
        let divergence = curves(traces(), |objective| objective.divergence);
        let candidates = fits
            .iter()
            .map(|(shape, _, closeness)| DecoderCandidate {
                structure: shape.structure.clone(),
                closeness: *closeness,
            })
            .collect();
        let objective = |index: usize| fits[index].2.objective(config.latent.predictive);
        let best = (0..fits.len())
            .min_by(|&a, &b| objective(a).total_cmp(&objective(b)))
            .context("there is at least one decoder structure")?;
        let others: Vec<(String, &[Vec<f32>])> = (0..fits.len())
            .filter(|&index| index != best)
            .map(|index| (candidate_name(index), from_ref(&fits[index].1.decoder)))
            .collect();
        if !others.is_empty() {
            let views: Vec<_> = others.iter().map(|(name, rows)| (name.as_str(), *rows)).collect();
            dir.write_tensors(CANDIDATES, &views)?;
        }
        let (shape, fitted, closeness) =
            fits.into_iter().nth(best).expect("the place of one of them");
        validate(&shape, &fitted.decoder);
        let between = between_particles(&fresh);
        let passes = cost(self.networks(), &shape.structure, &config.export);
        stage.finish(&format!(
            "{}, at most {passes:.1} passes: divergence {:.4} nats, energy score {:.4}, between particles {between:.4}",
            structure_name(&shape.structure),
            closeness.divergence,
            closeness.energy_score
        ));
        let mut tensors = vec![(DECODER, vec![fitted.decoder.clone()])];
        if let Some((_, encoder)) = fitted.encoder {
            tensors.push((ENCODER, vec![encoder]));
            tensors.push((CODES, fitted.codes));
        }
        let views: Vec<_> = tensors.iter().map(|(name, rows)| (*name, rows.as_slice())).collect();
        dir.write_tensors(LATENT, &views)?;
        let curves = [("energy_score", energy.as_slice()), ("divergence", &divergence)];
        Trace::write(dir, TRACE, &checkpoints, &curves)?;
        dir.write_json(RECORD, &LatentRecord { shape, candidates, particles: between })
    }

    /// The networks that a decoder stands for on the board: those of the codes that are stored, or some of all.
    fn as_exported(
        &self,
        shape: &DecoderShape,
        decoder: &[f32],
        pool: &ProbePool,
    ) -> anyhow::Result<(Vec<Vec<f32>>, Share)> {
        let Export { codes, samples, .. } = self.config.export;
        if codes.are_drawn() {
            return Ok((draw_networks(shape, decoder, TEST_DRAWS, self.seed), Share::Some));
        }
        let stored = choose_codes(self.device, shape, decoder, pool, samples, self.seed)?;
        Ok((stored.iter().map(|s| shape.decode(decoder, s)).collect(), Share::All))
    }

    /// Structures of the decoders to fit: the one that was asked for, or all that can be afforded beside a network
    /// of so many bytes.
    fn structures(&self, network_bytes: usize) -> anyhow::Result<Vec<Structure>> {
        let Config { latent, export, .. } = self.config;
        if let Some(structure) = latent.decoder.fixed() {
            self.check_mixture(structure)?;
            return Ok(vec![structure.clone()]);
        }
        let first = first_of(&self.walked);
        let structures = affordable_structures(
            self.networks(),
            latent.dim,
            first,
            self.most_members(),
            network_bytes,
            export,
        );
        if structures.is_empty() {
            bail!(
                "configuration field export.cost: found {}, too small for {} samples of any decoder",
                export.cost,
                export.samples
            );
        }
        Ok(structures)
    }

    /// Most members of a mixture that is tried unasked: particles that walks alone made are one valley's, which few
    /// modulations follow.
    fn most_members(&self) -> usize {
        let most = self.config.walk.particles;
        let possible = |count| {
            self.check_mixture(&vec![LayerDecoder::Members(count); self.decoded.depth()]).is_ok()
        };
        if Sampler::of(self).is_some() && possible(most.min(2)) { most } else { 0 }
    }

    /// Refuses a mixture that cannot be made: of networks other than those that walked, or of more than there are; with
    /// maps, for which the format has none; with codes that are drawn.
    fn check_mixture(&self, structure: &[LayerDecoder]) -> anyhow::Result<()> {
        let Some(count) = members(structure) else { return Ok(()) };
        let Config { walk, export, .. } = self.config;
        let alone = |layer: &LayerDecoder| {
            matches!(layer, LayerDecoder::Frozen) || *layer == LayerDecoder::Members(count)
        };
        let expected = if !structure.iter().all(alone) {
            "as many members in every layer that is not frozen"
        } else if self.decoded.blocks.iter().any(|block| block.window.is_some()) {
            "no members in a network with convolutions"
        } else if self.architecture != self.decoded {
            "no members beside latent.hidden: they start at the particles"
        } else if export.codes.are_drawn() || export.trunk == Choice::Fixed(true) {
            "stored codes, and no trunk, for the members of a mixture"
        } else if count > walk.particles {
            "no more members than particles"
        } else {
            return Ok(());
        };
        bail!(
            "configuration field latent.decoder: found {}, expected {expected}",
            structure_name(structure)
        )
    }

    /// The fits that did not diverge.
    fn without_divergence(
        &self,
        fits: Vec<JudgedFit>,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<Vec<JudgedFit>> {
        let first = |fitted: &Fitted| fitted.trace.first().map_or(0.0, |first| first.energy_score);
        let diverged = |fitted: &Fitted, closeness: &Closeness| {
            !closeness.divergence.is_finite()
                || is_divergence(first(fitted), closeness.energy_score)
        };
        let told: Vec<String> = fits
            .iter()
            .filter(|(_, fitted, closeness)| diverged(fitted, closeness))
            .map(|(shape, fitted, _)| {
                let mut steps = checkpoints.steps().iter().zip(&fitted.trace);
                let seen = steps.find(|(_, now)| is_divergence(first(fitted), now.energy_score));
                let Latent { steps, learning_rate, predictive, .. } = self.config.latent;
                format!(
                    "latent: the fit of {} diverged by step {} of {steps}: lower latent.learning_rate, found \
                     {learning_rate:?}, or latent.predictive, found {predictive:?}",
                    structure_name(&shape.structure),
                    seen.map_or(steps, |(step, _)| *step)
                )
            })
            .collect();
        let sound: Vec<JudgedFit> = fits
            .into_iter()
            .filter(|(_, fitted, closeness)| !diverged(fitted, closeness))
            .collect();
        match told.first() {
            Some(message) if sound.is_empty() => bail!("{message}"),
            _ => told.iter().for_each(|message| self.progress.note(&format!("note: {message}"))),
        }
        Ok(sound)
    }

    /// Where probes round the training `rows` are drawn.
    pub(crate) fn probe_source<'s>(
        &'s self,
        choices: &Choices,
        rows: &'s Rows,
        particles: &'s [Vec<f32>],
    ) -> ProbeSource<'s> {
        ProbeSource {
            device: self.device,
            x: &rows.x,
            architecture: &self.architecture,
            likelihood: choices.calibrated_likelihood(),
            particles,
            seed: self.seed,
        }
    }

    pub(crate) fn networks(&self) -> Networks<'_> {
        Networks { walked: &self.architecture, decoded: &self.decoded }
    }

    /// Weight of a foreign probe where the decoder's predictive is matched.
    pub(crate) fn foreign_weight(&self) -> f32 {
        let fixed = self.config.latent.foreign.fixed().copied();
        fixed.unwrap_or_else(|| foreign_weight(self.decoded.input))
    }

    /// Where the decoder's mean starts: at the best MAP, or anew where it is another network.
    fn initial(&self, maps: &[Vec<f32>]) -> Vec<f32> {
        match self.architecture == self.decoded {
            true => maps[0].clone(),
            false => self.decoded.initialise(&mut stream(self.seed, Purpose::Decoder, 1)),
        }
    }
}
