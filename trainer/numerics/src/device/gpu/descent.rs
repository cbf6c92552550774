//! Descents of many particles at once, every step a fixed list of dispatches, or a single one where the
//! network is small enough.

use std::ops::Range;

use crate::checkpoints::Checkpoints;
use crate::descent::{AdamBias, ControlVariate, Descended, Descent, MiniBatch, Particle};
use crate::network::Batch;
use crate::task::{Classes, Targets};

use super::context::{Access, Buffer, Dispatch, Gpu, GpuError, Kernel, MAX_STEPS, Step, Steps};
use super::fused::{FusedBuffers, FusedStep};
use super::groups::in_groups;
use super::measure::Measure;
use super::network::{Activations, Parameters, Pass};
use super::product::{View, index};

impl Gpu {
    /// Runs `descent` for all particles, as many at once as fit, to their ends, and measures them at the
    /// checkpoints. `report` is called with the number of particle-steps done since its last call.
    ///
    /// # Errors
    /// The device is lost, or has not even memory for one particle; or limits that the fit after a walk
    /// would exceed.
    pub(crate) fn descend(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Descended>, GpuError> {
        self.check_fit(descent.architecture)?;
        let fused = FusedStep::new(self, descent);
        self.descend_by(fused.as_ref(), descent, particles, checkpoints, report)
    }

    /// Descends as [`Self::descend`] does, by the fused step or, without one, by products one after another.
    pub(super) fn descend_by(
        &self,
        fused: Option<&FusedStep>,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Descended>, GpuError> {
        let most = match fused {
            Some(_) => self.fused_at_once(descent),
            None => self.particles_at_once(
                descent.architecture,
                descent.set.largest_tile(descent.architecture),
            ),
        };
        in_groups(particles, most, |group| {
            self.descend_group(fused, descent, group, checkpoints, report)
        })
    }

    fn descend_group(
        &self,
        fused: Option<&FusedStep>,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Descended>, GpuError> {
        let (count, size) = (particles.len(), descent.architecture.parameters());
        let group = Group::new(self, fused, descent, particles)?;
        let set = descent.set;
        let programs: Vec<_> =
            (0..set.parts()).map(|part| group.record_step(descent, part)).collect();
        let watched = !checkpoints.steps().is_empty();
        let measure = watched.then(|| group.measure(descent, particles)).transpose()?;
        self.check()?;
        let mut traces = vec![Vec::with_capacity(checkpoints.steps().len()); count];
        let look = || {
            for (index, watch) in particles.iter().enumerate() {
                if let Some(watch) = watch.watch {
                    watch(&self.read(&group.theta, index * size..(index + 1) * size)?);
                }
            }
            let Some(measure) = &measure else { return Ok(()) };
            traces.iter_mut().zip(measure.read(self)?).for_each(|(trace, now)| trace.push(now));
            Ok(())
        };
        let mut bias = AdamBias::default();
        let prepare = |range: Range<usize>| -> Result<_, GpuError> {
            let (mut values, mut chosen) = (Vec::new(), Vec::new());
            for (slot, step) in range.enumerate() {
                let part = set.part(step);
                let (rate, correction) = bias.next(descent.schedule.rate(step));
                let scale = set.scale(part);
                values.push(Step { slot: index(slot), rate, correction, scale });
                chosen.push(programs[part].as_slice());
            }
            Ok(Steps { values, programs: chosen })
        };
        let report = |steps: usize| report(steps * count);
        let steps = descent.schedule.steps;
        self.run_steps(steps, MAX_STEPS, &group.steps, prepare, (checkpoints, look), &report)?;
        let ends = self.read(&group.theta, 0..count * size)?;
        let ends = ends.chunks_exact(size).zip(traces);
        Ok(ends.map(|(theta, trace)| Descended { theta: theta.to_vec(), trace }).collect())
    }

    /// Records a step of Adam for `count` particles of `size` parameters.
    pub(super) fn adam(&self, state: &AdamState<'_>, count: usize, size: usize) -> Dispatch {
        let (of_batch, of_all, starts) =
            state.control.unwrap_or((state.gradient, state.gradient, state.gradient));
        let kernel = Kernel {
            name: "Adam".to_owned(),
            source: include_str!("adam.wgsl").to_owned(),
            entry: "adam",
            bindings: &[
                Access::Step,
                Access::Uniform,
                Access::Write,
                Access::Write,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
            ],
            constants: vec![
                ("PRIOR", u32::from(state.prior.is_some())),
                ("DRIFT", u32::from(state.drift.is_some())),
                ("CONTROL", u32::from(state.control.is_some())),
            ],
        };
        let buffers = [
            state.steps,
            &self.uniform(&[index(size), 0, 0, 0]),
            state.theta,
            state.moments,
            state.gradient,
            state.drift.unwrap_or(state.gradient),
            state.prior.unwrap_or(state.gradient),
            of_batch,
            of_all,
            starts,
        ];
        self.dispatch(kernel, &buffers, [size.div_ceil(256), count, 1])
    }
}

/// Buffers that a step of Adam reads and writes.
pub(super) struct AdamState<'a> {
    pub steps: &'a Buffer,
    /// `[count, P]`.
    pub theta: &'a Buffer,
    /// `[count, P, 2]`.
    pub moments: &'a Buffer,
    /// `[count, P]`.
    pub gradient: &'a Buffer,
    /// `[count, P]`.
    pub drift: Option<&'a Buffer>,
    /// `[P]`.
    pub prior: Option<&'a Buffer>,
    /// Gradients at the starts, of the mini-batch and of all rows, `[starts, P]`, and each
    /// particle's start.
    pub control: Option<(&'a Buffer, &'a Buffer, &'a Buffer)>,
}

/// The buffers of particles that descend together.
struct Group<'a> {
    gpu: &'a Gpu,
    count: usize,
    steps: Buffer,
    theta: Buffer,
    moments: Buffer,
    drift: Option<Buffer>,
    prior: Buffer,
    controls: Option<Controls<'a>>,
    kernels: Kernels<'a>,
}

/// Kernels that compute a step.
enum Kernels<'a> {
    Fused(&'a FusedStep),
    /// One product after another, with room for what passes between them.
    Tiled {
        gradient: Buffer,
        activations: Activations,
    },
}

/// The particles' control variates.
struct Controls<'a> {
    distinct: Vec<&'a ControlVariate>,
    of_all: Buffer,
    starts: Buffer,
}

impl<'a> Group<'a> {
    fn new(
        gpu: &'a Gpu,
        fused: Option<&'a FusedStep>,
        descent: &Descent<'_>,
        particles: &[Particle<'a>],
    ) -> Result<Self, GpuError> {
        let (count, size) = (particles.len(), descent.architecture.parameters());
        let starts: Vec<&[f32]> = particles.iter().map(|particle| particle.start).collect();
        let drifts: Option<Vec<&[f32]>> =
            particles.iter().map(|one| one.drift.as_deref()).collect();
        let kernels = match fused {
            Some(step) => Kernels::Fused(step),
            None => Kernels::Tiled {
                gradient: gpu.zeros(count * size),
                activations: Activations::new(
                    gpu,
                    descent.architecture,
                    count,
                    descent.set.largest_tile(descent.architecture),
                ),
            },
        };
        Ok(Self {
            gpu,
            count,
            steps: gpu.step_constants(),
            theta: gpu.upload_rows(&starts)?,
            moments: gpu.zeros(2 * count * size),
            drift: drifts.map(|drifts| gpu.upload_rows(&drifts)).transpose()?,
            prior: gpu.upload(&marked(descent)),
            controls: Controls::new(gpu, particles)?,
            kernels,
        })
    }

    /// Returns the measurements at a checkpoint.
    fn measure(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
    ) -> Result<Measure, GpuError> {
        let (architecture, rows) =
            (descent.architecture, descent.set.largest_tile(descent.architecture));
        let own;
        let activations = match &self.kernels {
            // Nothing passes between steps.
            Kernels::Tiled { activations, .. } => activations,
            Kernels::Fused(_) => {
                let most = self.gpu.particles_at_once(architecture, rows);
                own = Activations::new(self.gpu, architecture, self.count.min(most), rows);
                &own
            }
        };
        Measure::new(self.gpu, descent, particles, &self.theta, activations)
    }

    /// One step on a mini-batch.
    fn record_step(&self, descent: &Descent<'_>, part: usize) -> Vec<Dispatch> {
        match &self.kernels {
            Kernels::Fused(step) => vec![self.record_fused(step, descent, part)],
            Kernels::Tiled { gradient, activations } => {
                self.record_tiled(gradient, activations, descent, part)
            }
        }
    }

    fn record_fused(&self, step: &FusedStep, descent: &Descent<'_>, part: usize) -> Dispatch {
        let control = self.controls.as_ref().map(|controls| {
            let pairs = controls.distinct.iter().flat_map(|control| {
                control.part(part).iter().zip(control.total()).flat_map(|(&own, &all)| [own, all])
            });
            (self.gpu.upload(&pairs.collect::<Vec<f32>>()), &controls.starts)
        });
        let buffers = FusedBuffers {
            steps: &self.steps,
            theta: &self.theta,
            moments: &self.moments,
            drift: self.drift.as_ref(),
            prior: &self.prior,
            control: control.as_ref().map(|(gradients, starts)| (gradients, *starts)),
        };
        step.record(self.gpu, self.count, &descent.set.mini_batch(part), &buffers)
    }

    fn record_tiled(
        &self,
        gradient: &Buffer,
        activations: &Activations,
        descent: &Descent<'_>,
        part: usize,
    ) -> Vec<Dispatch> {
        let (gpu, architecture) = (self.gpu, descent.architecture);
        let MiniBatch { batch, targets } = &*descent.set.mini_batch(part);
        let inputs = gpu.upload(batch.values());
        let size = architecture.parameters();
        let stride = size;
        let mut program = Vec::new();
        for tile in batch.tiles(architecture) {
            let pass = Pass {
                architecture,
                theta: Parameters { buffer: &self.theta, offset: 0, stride },
                input: tile_of(&inputs, batch, &tile),
                activations,
            };
            gpu.record_forward(&pass, &mut program);
            program.push(gpu.likelihood_gradient(
                self.count,
                architecture.outputs(),
                tile.len(),
                descent.likelihood,
                &gpu.upload(&target_words(targets, tile.clone())),
                activations.outputs(),
            ));
            let into = Parameters { buffer: gradient, offset: 0, stride };
            gpu.record_backward(&pass, into, tile.start > 0, None, &mut program);
        }
        let control = self.controls.as_ref().map(|controls| {
            let of_batch = controls.distinct.iter().map(|control| control.part(part));
            let of_batch: Vec<f32> = of_batch.flatten().copied().collect();
            (gpu.upload(&of_batch), controls)
        });
        program.push(gpu.adam(
            &AdamState {
                steps: &self.steps,
                theta: &self.theta,
                moments: &self.moments,
                gradient,
                drift: self.drift.as_ref(),
                prior: Some(&self.prior),
                control:
                    control.as_ref().map(|(of_batch, all)| (of_batch, &all.of_all, &all.starts)),
            },
            self.count,
            size,
        ));
        program
    }
}

impl<'a> Controls<'a> {
    fn new(gpu: &Gpu, particles: &[Particle<'a>]) -> Result<Option<Self>, GpuError> {
        let mut distinct: Vec<&ControlVariate> = Vec::new();
        let mut starts = Vec::with_capacity(particles.len());
        for particle in particles {
            let Some(control) = particle.control else { return Ok(None) };
            let known = distinct.iter().position(|other| std::ptr::eq(*other, control));
            starts.push(index(known.unwrap_or(distinct.len())));
            if known.is_none() {
                distinct.push(control);
            }
        }
        let of_all: Vec<&[f32]> = distinct.iter().map(|control| control.total()).collect();
        let of_all = gpu.upload_rows(&of_all)?;
        Ok(Some(Self { distinct, of_all, starts: gpu.upload(&starts) }))
    }
}

/// Rows `tile` of a batch that lies in `inputs`, `[features, rows]`, the same for all particles.
pub(super) fn tile_of<'a>(inputs: &'a Buffer, batch: &Batch, tile: &Range<usize>) -> View<'a> {
    let shape = [batch.features(), tile.len()];
    View::strided(inputs, shape, tile.start, 0, [batch.rows(), 1])
}

/// Targets as the shaders read them.
pub(super) fn target_words(targets: &Targets, rows: Range<usize>) -> Vec<u32> {
    match targets {
        Targets::Classification(Classes { labels, .. }) => labels[rows].to_vec(),
        Targets::Regression(values) => values[rows].iter().map(|value| value.to_bits()).collect(),
    }
}

/// The prior precisions, negative where a parameter stays.
fn marked(descent: &Descent<'_>) -> Vec<f32> {
    let held = descent.held.unwrap_or_default().iter().copied().chain(std::iter::repeat(false));
    let each = descent.prior_precision.iter().zip(held);
    each.map(|(&precision, held)| if held { -precision } else { precision }).collect()
}
