//! MAP training as a stage of a run.

use anyhow::bail;
use rayon::prelude::*;
use tracing::debug;

use super::record::{MAP, THETA, TRACE};
use crate::checkpoints::Checkpoints;
use crate::choose::Choices;
use crate::descent::{Descended, Descent, Measured, Particle, Watch, is_divergence};
use crate::posterior;
use crate::run_data::{ROWS, write_rows};
use crate::stage::{Stage, Training};
use crate::trace::{Trace, curves};

/// Training the MAP networks. An imported network stays as it is.
pub const STAGE: Stage = Stage {
    name: "map",
    about: "MAP: all that a walk in shards needs",
    // The rows, so that a run with its MAP is all that a walk needs.
    files: &[ROWS, TRACE, MAP],
    more: None,
    scratch: None,
    check: None,
    // Nothing that the choice of hyper-parameters does not read.
    reads: Some(|_, _| {}),
    reads_network: true,
    run,
};

fn run(training: &Training<'_>) -> anyhow::Result<()> {
    let (dir, choices) = (&training.dir, Choices::of(training)?);
    let rows = training.training_rows();
    write_rows(dir, &rows)?;
    let count = choices.maps;
    let mut schedule = training.config.map.schedule();
    if training.imported.is_some() {
        schedule.steps = 0;
    }
    let set = training.training_set(&rows);
    let prior = training.architecture.per_parameter(&choices.chosen.prior_precision);
    let stage = training.progress.stage(STAGE.name, count * schedule.steps);
    let descent = Descent {
        architecture: &training.architecture,
        set: &set,
        likelihood: choices.likelihood(),
        prior_precision: &prior,
        held: None,
        schedule,
    };
    let starts = match &training.imported {
        Some(theta) => vec![theta.clone()],
        None => descent.initialisations(count, training.seed),
    };
    let validation = training.validation(&training.architecture);
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
    let mut ends = descent.run_traced(training.device, &particles, &checkpoints, &advance)?;
    let (all, batch_rows) = (set.rows(), training.config.walk.batch_rows);
    if training.imported.is_none()
        && training.config.refine.sweeps > 0
        && posterior::is_for(&training.architecture, all, batch_rows)
    {
        let thetas: Vec<Vec<f32>> = ends.iter().map(|end| end.theta.clone()).collect();
        for (end, mode) in ends.iter_mut().zip(posterior::modes(&descent, &thetas)) {
            debug!(above = mode.above, steps = mode.steps, "at the mode");
            end.theta = mode.narrow();
        }
    }
    let mut ends: Vec<(f64, Descended)> =
        ends.into_par_iter().map(|end| (descent.loss(&end.theta), end)).collect();
    let rows = set.rows() as f64;
    let loss = |measured: &Measured| rows * measured.nll + measured.prior;
    for (index, (last, end)) in ends.iter().enumerate() {
        let first = end.trace.first().map_or(*last, loss);
        if is_divergence(first, *last) {
            let mut steps = checkpoints.steps().iter().zip(&end.trace);
            let seen = steps.find(|(_, now)| is_divergence(first, loss(now)));
            bail!(
                "map: MAP {} of {count} diverged, its loss {last:.3e} by step {} of {}: lower \
                 map.learning_rate, found {:?}",
                index + 1,
                seen.map_or(schedule.steps, |(step, _)| *step),
                schedule.steps,
                schedule.learning_rate
            );
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    validate(&ends[0].1.theta);
    debug!(losses = ?ends.iter().map(|end| end.0).collect::<Vec<_>>(), "the best MAP first");
    stage.finish(&format!("loss {:.2} over {} rows", ends[0].0, set.rows()));
    let traces = || ends.iter().map(|(_, end)| end.trace.as_slice());
    let nll = curves(traces(), |measured| measured.nll);
    let loss = curves(traces(), loss);
    Trace::write(dir, TRACE, &checkpoints, &[("nll", &nll), ("loss", &loss)])?;
    let maps: Vec<Vec<f32>> = ends.into_iter().map(|(_, end)| end.theta).collect();
    dir.write_tensors(MAP, &[(THETA, &maps)])
}
