//! Measurements of descending particles at a checkpoint: three numbers each are read back.

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, GpuError, Kernel};
use super::descent::{target_words, tile_of};
use super::network::{Activations, Parameters, Pass};
use super::product::index;
use crate::descent::{Descent, Measured, MiniBatch, Particle};
use crate::task::{Gaussian, Likelihood};

/// Numbers of a particle.
const VALUES: usize = 3;

/// Where the particles of a group are while they descend.
pub(super) struct Measure {
    program: Vec<Dispatch>,
    measured: Buffer,
    count: usize,
    /// Rows that the loss is summed over, and what the sum lacks for each, nats.
    rows: usize,
    constant: f64,
}

/// Constants of `measure.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Words {
    rows: u32,
    classes: u32,
    first: u32,
    parameters: u32,
    inverse_variance: f32,
    // Uniforms are whole multiples of 16 bytes.
    unused: [u32; 3],
}

impl Measure {
    /// Records the passes of all `particles`, which are in `theta: [N, P]`, over the first mini-batch,
    /// as many at once as there are activations for.
    pub fn new(
        gpu: &Gpu,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        theta: &Buffer,
        activations: &Activations,
    ) -> Result<Self, GpuError> {
        let (architecture, count) = (descent.architecture, particles.len());
        let parameters = architecture.parameters();
        let MiniBatch { batch, targets } = &*descent.set.mini_batch(0);
        let (inverse_variance, constant) = match descent.likelihood {
            Likelihood::Classification(_) => (0.0, 0.0),
            Likelihood::Regression(Gaussian { noise_std }) => {
                let constant = f64::from(noise_std).ln() + 0.5 * std::f64::consts::TAU.ln();
                (1.0 / (noise_std * noise_std), constant)
            }
        };
        let measured = gpu.zeros(VALUES * count);
        let prior = gpu.upload(descent.prior_precision);
        let (starts, of_particle) = distinct_starts(particles);
        let starts = gpu.upload_rows(&starts)?;
        let words = |first: usize, rows: usize| Words {
            rows: index(rows),
            classes: index(architecture.outputs()),
            first: index(first),
            parameters: index(parameters),
            inverse_variance,
            unused: [0; 3],
        };
        let kernel = |entry: &'static str, accumulate: bool| Kernel {
            name: format!("measure: {entry}"),
            source: include_str!("measure.wgsl").to_owned(),
            entry,
            bindings: &[
                Access::Uniform,
                Access::Write,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
            ],
            constants: vec![
                ("CATEGORICAL", u32::from(descent.likelihood == Likelihood::CATEGORICAL)),
                ("ACCUMULATE", u32::from(accumulate)),
            ],
        };
        let inputs = gpu.upload(batch.values());
        let mut program = Vec::new();
        let tiles = batch
            .tiles(descent.architecture)
            .map(|tile| (gpu.upload(&target_words(targets, tile.clone())), tile));
        let tiles: Vec<_> = tiles.collect();
        for first in (0..count).step_by(activations.count()) {
            // Where fewer are left, some are measured again.
            let first = first.min(count - activations.count());
            for (own, tile) in &tiles {
                let pass = Pass {
                    architecture,
                    theta: Parameters {
                        buffer: theta,
                        offset: first * parameters,
                        stride: parameters,
                    },
                    input: tile_of(&inputs, batch, tile),
                    activations,
                };
                gpu.record_forward(&pass, &mut program);
                let words = gpu.uniform(&words(first, tile.len()));
                let buffers = [&words, &measured, activations.outputs(), own, &prior, &starts];
                let kernel = kernel("losses", tile.start > 0);
                program.push(gpu.dispatch(kernel, &buffers, [activations.count(), 1, 1]));
            }
        }
        let words = gpu.uniform(&words(0, 0));
        let of_particle = gpu.upload(&of_particle);
        let buffers = [&words, &measured, theta, &of_particle, &prior, &starts];
        program.push(gpu.dispatch(kernel("squares", false), &buffers, [count, 1, 1]));
        Ok(Self { program, measured, count, rows: batch.rows(), constant })
    }

    /// Measures the particles where they are, once the steps submitted are done.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<Measured>, GpuError> {
        gpu.run(&self.program)?;
        let values = gpu.read(&self.measured, 0..VALUES * self.count)?;
        let measured = values.chunks_exact(VALUES).map(|values| Measured {
            nll: f64::from(values[0]) / self.rows as f64 + self.constant,
            prior: 0.5 * f64::from(values[1]),
            distance: f64::from(values[2]).sqrt(),
        });
        Ok(measured.collect())
    }
}

/// The particles' starts, each once, and which of them each particle has.
fn distinct_starts<'a>(particles: &[Particle<'a>]) -> (Vec<&'a [f32]>, Vec<u32>) {
    let mut distinct: Vec<&[f32]> = Vec::new();
    let each = particles.iter().map(|particle| {
        let known = distinct.iter().position(|start| std::ptr::eq(*start, particle.start));
        index(known.unwrap_or_else(|| {
            distinct.push(particle.start);
            distinct.len() - 1
        }))
    });
    let each = each.collect();
    (distinct, each)
}
