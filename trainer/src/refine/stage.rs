//! Refining the particles of a run.

use anyhow::bail;

use super::record::{RECORD, RefineRecord, Refined, STATES, THETA};
use crate::choose::Choices;
use crate::posterior::{Chain, Convergence, Refine, convergence};
use crate::run_dir::RunDir;
use crate::sampler::Sampler;
use crate::stage::{Stage, Training};
use crate::walk;

/// Refining the particles.
pub const STAGE: Stage = Stage {
    name: "refine",
    about: "Samples of the posterior",
    files: &[RECORD],
    more: Some(more),
    scratch: None,
    check: None,
    // Nothing that the choice of hyper-parameters does not read.
    reads: Some(|_, _| {}),
    reads_network: true,
    run,
};

/// R-hat beyond which chains have nothing in common.
const MOST_R_HAT: f64 = 1e6;

fn more(dir: &RunDir) -> anyhow::Result<Vec<String>> {
    let refined = RefineRecord::read(dir)?.refined.is_some();
    Ok(refined.then(|| STATES.to_owned()).into_iter().collect())
}

fn run(training: &Training<'_>) -> anyhow::Result<()> {
    let dir = &training.dir;
    let Some(sampler) = Sampler::of(training) else {
        return dir.write_json(RECORD, &RefineRecord { refined: None });
    };
    let choices = Choices::of(training)?;
    let starts = walk::read(dir, &training.architecture, training.config.walk.particles)?;
    let set = training.training_set(&training.training_rows());
    let refine = sampler.on(&training.architecture, &set, choices.likelihood(), training.seed);
    let sweeps = Refine::tuning_sweeps(starts.len()) + starts.len() * refine.sweeps;
    let stage = training.progress.stage(STAGE.name, sweeps);
    let advance = |sweeps| stage.advance(sweeps);
    let tuned = refine.tune(&starts, &advance)?;
    let chains = refine.run(&tuned, &starts, 0, &advance);
    let record = summary(&chains, refine.sweeps, tuned.step);
    if record.convergence.acceptance == 0.0 {
        bail!(
            "refine: no trajectory was accepted in {} sweeps of {} particles: `refine.sweeps = 0` leaves them where \
             the walk ends",
            refine.sweeps,
            starts.len()
        );
    }
    stage.finish(&record.convergence.to_string());
    let states: Vec<Vec<f32>> =
        chains.into_iter().flat_map(|chain| chain.states).map(|state| state.theta).collect();
    dir.write_tensors(STATES, &[(THETA, &states)])?;
    dir.write_json(RECORD, &RefineRecord { refined: Some(record) })
}

/// What came of chains of so many sweeps.
fn summary(chains: &[Chain], sweeps: usize, step: f64) -> Refined {
    let functions: Vec<_> = chains.iter().map(|chain| chain.functions.clone()).collect();
    let (r_hat, effective_samples) = convergence(&functions);
    let draws: usize = functions.iter().map(Vec::len).sum();
    let states = || chains.iter().flat_map(|chain| &chain.states);
    let accepted: f64 = chains.iter().map(|chain| chain.acceptance).sum();
    let groups = states().next().map_or(0, |state| state.precisions.len());
    Refined {
        sweeps,
        states: states().count(),
        step,
        convergence: Convergence {
            // Where a function stays the same in every chain, there is none to tell.
            r_hat: r_hat.min(MOST_R_HAT),
            effective_samples: effective_samples.min(draws as f64),
            acceptance: accepted / chains.len() as f64,
            divergences: chains.iter().map(|chain| chain.divergences).sum(),
            gradients: chains.iter().map(|chain| chain.gradients).sum(),
        },
        precisions: (0..groups)
            .filter_map(|group| median(states().map(|state| state.precisions[group]).collect()))
            .collect(),
        noise_std: median(states().filter_map(|state| state.noise_std).collect()),
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}
