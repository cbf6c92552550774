//! Walking the particles of a run, group by group.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::bail;
use rayon::prelude::*;
use tracing::debug;

use super::at_map::RunAtMap;
use super::groups::{GROUP, Group, curves, groups, read};
use super::need::{Need, Setting, peak_memory};
use super::record::{WALK, WalkRecord};
use crate::checkpoints::Checkpoints;
use crate::choose::Choices;
use crate::config::Config;
use crate::descent::{Descended, Measured, TrainingSet, is_divergence};
use crate::device::Device;
use crate::drift::{Walk, first_of};
use crate::map;
use crate::progress::{Progress, Stage};
use crate::run_dir::{REQUESTED, RunDir};
use crate::stage::{self, Training};
use crate::validation::{Finished, Validation};

/// Walking the particles.
pub const STAGE: stage::Stage = stage::Stage {
    name: "walk",
    about: "Particles",
    files: &[WALK],
    more: Some(more),
    scratch: None,
    check: None,
    reads: Some(|from, to| to.walk.particles = from.walk.particles),
    reads_network: true,
    run,
};

fn more(dir: &RunDir) -> anyhow::Result<Vec<String>> {
    let all = groups(0..Config::read_from(dir, REQUESTED)?.walk.particles);
    Ok(all.flat_map(|group| [group.trace, group.file]).collect())
}

/// Walks from the files, as any machine does that walks a shard of the run.
fn run(training: &Training<'_>) -> anyhow::Result<()> {
    let walk = WalkStage::open(RunAtMap::open(training.dir.root())?)?;
    let validation = training.validation(&training.architecture);
    walk.run(training.device, training.progress, validation.as_ref())
}

/// All that the particles of a run share.
pub struct WalkStage {
    run: RunAtMap,
    choices: Choices,
    maps: Vec<Vec<f32>>,
    /// Prior precision of every parameter, `[P]`.
    prior_precision: Vec<f32>,
    set: TrainingSet,
    /// Mean NLL of a model that ignores the inputs, nats.
    baseline_nll: f64,
}

impl WalkStage {
    /// Reads MAPs, hyper-parameters and training rows.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn open(run: RunAtMap) -> anyhow::Result<Self> {
        let task = &run.record.schema.task;
        let choices = Choices::read(&run.dir, run.architecture.depth(), task)?;
        let maps = map::read(&run.dir, &run.architecture)?;
        let rows = run.record.read_rows(&run.dir)?;
        let batch_rows = run.config.walk.batch_rows;
        let set = TrainingSet::new(&rows.x, &rows.targets, batch_rows, run.record.seed);
        let prior_precision = run.architecture.per_parameter(&choices.chosen.prior_precision);
        let baseline_nll = rows.targets.constant_nll(choices.likelihood());
        Ok(Self { run, choices, maps, prior_precision, set, baseline_nll })
    }

    /// Parameters that are walked.
    fn moved(&self) -> usize {
        let layers = self.run.architecture.layers().zip(&self.run.walked);
        layers.filter(|(_, walked)| **walked).map(|(layer, _)| layer.parameters().len()).sum()
    }

    fn walk(&self) -> Walk<'_> {
        Walk {
            architecture: &self.run.architecture,
            set: &self.set,
            likelihood: self.choices.likelihood(),
            prior_precision: &self.prior_precision,
            drift: self.choices.chosen.drift,
            temperature: self.choices.chosen.temperature,
            schedule: self.run.config.walk.schedule(),
            second_order: self.run.second_order(),
            walked: &self.run.walked,
            seed: self.run.record.seed,
        }
    }

    /// Walks all particles: `particles/trace-NNN.safetensors` and `particles/group-NNN.safetensors`,
    /// then `walk.json`. Groups that are there are not walked again. `validation` is for the eyes of
    /// the user.
    ///
    /// # Errors
    /// A file cannot be written, one that is there is damaged, or the device fails.
    pub fn run(
        &self,
        device: &Device,
        progress: &Progress,
        validation: Option<&Validation<'_>>,
    ) -> anyhow::Result<()> {
        let (dir, count) = (&self.run.dir, self.run.particles());
        // All of them come to memory at the end.
        let calibration = self.choices.particle_calibration;
        let finished = validation.map(|validation| Finished::new(validation, calibration));
        let (stage, walked) = self.walk_groups(dir, 0..count, count, device, progress, finished)?;
        let particles = read(dir, &self.run.architecture, count)?;
        let walk = self.walk();
        let diagnostics = walk.diagnose(&self.maps, &particles, self.baseline_nll);
        let inside = diagnostics.iter().filter(|particle| particle.in_valley).count();
        let nll = |theta: &Vec<f32>| {
            self.set.nll(walk.architecture, walk.likelihood, theta) / self.set.rows() as f64
        };
        let record = WalkRecord {
            map_nll: self.maps.par_iter().map(nll).collect(),
            in_valley: inside as f64 / count as f64,
            particles: diagnostics,
        };
        stage.finish(&format!("{inside} of {count} particles stayed in the valley{walked}"));
        dir.write_json(WALK, &record)
    }

    /// Refuses particles of which one, the first of them `first`, went where it explains nothing.
    fn refuse_divergence(
        &self,
        walked: &[Descended],
        first: usize,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<()> {
        for (index, one) in walked.iter().enumerate() {
            let finite = one.theta.iter().all(|value| value.is_finite());
            let diverged = |now: &Measured| is_divergence(self.baseline_nll, now.nll);
            if finite && !one.trace.last().is_some_and(diverged) {
                continue;
            }
            let config = &self.run.config.walk;
            let mut steps = checkpoints.steps().iter().zip(&one.trace);
            bail!(
                "walk: particle {} diverged by step {} of {}: lower walk.learning_rate, found {:?}, or \
                 walk.temperature, found {:?}",
                first + index,
                steps.find(|(_, now)| diverged(now)).map_or(config.steps, |(step, _)| *step),
                config.steps,
                config.learning_rate,
                self.choices.chosen.temperature
            );
        }
        Ok(())
    }

    /// Walks the groups of `particles` whose files are not in `dir`. `held` particles are kept in
    /// memory by the caller. The mixture of those that are `finished` is validated after every group.
    /// The stage is left to the caller to finish.
    pub(super) fn walk_groups(
        &self,
        dir: &RunDir,
        particles: Range<usize>,
        held: usize,
        device: &Device,
        progress: &Progress,
        mut finished: Option<Finished<'_>>,
    ) -> anyhow::Result<(Stage, Walked)> {
        let (there, missing): (Vec<Group>, Vec<Group>) =
            groups(particles.clone()).partition(|group| group.is_done(dir));
        let threads = rayon::current_num_threads();
        debug!(?particles, threads, groups_left = missing.len(), "to walk");
        let (_, walked) = self.run.architecture.split_at(first_of(&self.run.walked));
        let largest_tile = self.set.largest_tile(&walked);
        let at_once = device.particles_at_once(&walked, largest_tile);
        // As many groups together as the device walks at the same time.
        let together = at_once.div_ceil(GROUP);
        let left: usize = missing.iter().map(|group| group.particles.len()).sum();
        let need = Need::of(
            &self.run.architecture,
            &walked,
            left,
            Setting {
                moved: self.moved(),
                maps: self.maps.len(),
                rows: self.set.rows(),
                parts: self.set.parts(),
                threads,
                at_once: at_once.min(left),
                on_gpu: !matches!(device, Device::Cpu),
                drifts: (together * GROUP).min(left),
                // A group is in memory three times while it is written.
                held: ((together + 2) * GROUP).min(3 * left).max(held),
                steps: self.walk().steps(),
            },
        );
        if left > 0 {
            progress.note(&format!("walk: {need}"));
        }
        let stage = progress.stage("walk", need.particle_steps());
        if let Some(finished) = &mut finished {
            for group in &there {
                stage
                    .validated(finished.add(&group.read(dir, self.run.architecture.parameters())?));
            }
        }
        let started = Instant::now();
        let (walk, checkpoints) = (self.walk(), self.run.checkpoints());
        let all = there.len() + missing.len();
        let mut done = there.len();
        let follows = |one: &Group, next: &Group| one.particles.end == next.particles.start;
        for groups in missing.chunk_by(follows).flat_map(|run| run.chunks(together)) {
            let first = groups[0].particles.start;
            let end = groups[groups.len() - 1].particles.end;
            let began = Instant::now();
            stage.part(match groups.len() {
                1 => format!("group {}/{all}", done + 1),
                more => format!("groups {} to {} of {all}", done + 1, done + more),
            });
            let advance = |steps| stage.advance(steps);
            let mut walked =
                walk.run_traced(device, &self.maps, first..end, &checkpoints, &advance)?;
            debug!(first, end, seconds = began.elapsed().as_secs_f64(), "walked");
            for group in groups {
                let own: Vec<Descended> = walked.drain(..group.particles.len()).collect();
                self.refuse_divergence(&own, group.particles.start, &checkpoints)?;
                let curves = curves(&own);
                let thetas: Vec<Vec<f32>> = own.into_iter().map(|one| one.theta).collect();
                group.write(dir, &thetas, &checkpoints, &curves)?;
                if let Some(finished) = &mut finished {
                    stage.validated(finished.add(&thetas));
                }
                done += 1;
            }
        }
        Ok((stage, Walked { need, elapsed: started.elapsed() }))
    }
}

/// Time and memory that a walk took; shows nothing where nothing was walked.
pub(super) struct Walked {
    need: Need,
    elapsed: Duration,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.need.particles == 0 {
            return Ok(());
        }
        let thread_ms = 1000.0 * self.elapsed.as_secs_f64() * self.need.at_once as f64;
        let each = thread_ms / self.need.particle_steps() as f64;
        write!(f, "; {each:.3} ms a particle-step and thread")?;
        match peak_memory() {
            Some(bytes) => write!(f, ", peak memory {} MB", bytes.div_ceil(1_000_000)),
            None => Ok(()),
        }
    }
}
