//! The search as a stage of a run.

use std::ops::RangeInclusive;

use anyhow::bail;

use super::record::CHOICES;
use super::{Fixed, Kept, Search};
use crate::config::{Config, Walk};
use crate::sampler::Sampler;
use crate::stage::{Stage, Training};

/// Choosing hyper-parameters.
pub const STAGE: Stage = Stage {
    name: "choose",
    about: "Hyper-parameters",
    files: &[CHOICES],
    more: None,
    scratch: Some("choose"),
    check: Some(check),
    reads: Some(reads),
    reads_network: false,
    run,
};

fn reads(from: &Config, to: &mut Config) {
    to.network = from.network.clone();
    to.map = from.map.clone();
    to.refine = from.refine.clone();
    // Its walks have numbers of particles of their own.
    to.walk = Walk { particles: to.walk.particles, ..from.walk.clone() };
    to.calibration = from.calibration.clone();
}

/// Least and most noise that a regression can be given, in standard deviations of its target: beyond them single
/// precision tells nothing apart.
const NOISE: RangeInclusive<f32> = 1e-6..=1e6;

/// Refuses a noise that has nothing to do with the target.
fn check(training: &Training<'_>) -> anyhow::Result<()> {
    let unit = training.record.schema.task.unit();
    match training.config.map.noise_std.fixed() {
        Some(noise) if !training.classifies() && !NOISE.contains(&(noise / unit)) => bail!(
            "configuration field map.noise_std: found {noise:?}, expected {:?} to {:?} times the target's \
             standard deviation, {unit:?}",
            NOISE.start(),
            NOISE.end()
        ),
        _ => Ok(()),
    }
}

fn run(training: &Training<'_>) -> anyhow::Result<()> {
    let config = training.config;
    let depth = training.architecture.depth();
    // The noise is configured in the target's own units.
    let unit = training.record.schema.task.unit();
    let fixed = Fixed {
        prior_precision: config.map.layer_precisions(depth),
        noise_std: config.map.noise_std.fixed().map(|noise| noise / unit),
        drift: config.walk.drift.fixed().copied(),
        temperature: config.walk.temperature.fixed().copied(),
        maps: config.walk.starts.fixed().copied(),
    };
    let rows = training.training_rows();
    let search = Search {
        architecture: &training.architecture,
        rows: &rows,
        map_schedule: config.map.schedule(),
        walk_schedule: config.walk.schedule(),
        batch_rows: config.walk.batch_rows,
        walked: &training.walked,
        sampler: Sampler::of(training),
        seed: training.seed,
        device: training.device,
        note: &|text| training.progress.note(text),
        kept: Kept::at(STAGE.scratch(training)),
    };
    let stage = training.progress.stage(STAGE.name, search.steps(&fixed));
    let choices = search.run(&fixed, &|steps| stage.advance(steps))?;
    let chosen = &choices.chosen;
    stage.finish(&format!(
        "prior {:?}, {} drift, temperature {}, held-out NLL {:.4} ± {:.4}",
        chosen.prior_precision, chosen.drift, chosen.temperature, chosen.nll, chosen.standard_error
    ));
    training.dir.write_json(CHOICES, &choices)
}
