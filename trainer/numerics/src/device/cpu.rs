//! The processor: a thread a particle.

use rayon::prelude::*;

use super::compute::Compute;
use super::peaks::{Peaks, cpu_peaks};
use crate::checkpoints::Checkpoints;
use crate::decoder::fit::{Observer, Start};
use crate::decoder::{Fit, Fitted};
use crate::descent::{Descended, Descent, Particle};
use crate::network::{Architecture, Batch, outputs_of_each};

/// Threads that the processor computes with.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// All processors.
pub(super) struct Cpu;

impl Compute for Cpu {
    fn describe(&self) -> String {
        format!("cpu, {} threads", threads())
    }

    fn particles_at_once(&self, _: &Architecture, _: usize) -> usize {
        threads()
    }

    fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(outputs_of_each(architecture, thetas, batch))
    }

    fn descend(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        let each = particles.par_iter();
        Ok(each.map(|particle| descent.descend(particle, checkpoints, report)).collect())
    }

    fn fit(
        &self,
        fit: &Fit<'_>,
        start: Start,
        checkpoints: &Checkpoints,
        observer: &mut Observer<'_>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted> {
        fit.descend(start, checkpoints, observer, report)
    }

    fn peaks(&self, seconds: f64) -> anyhow::Result<Peaks> {
        Ok(cpu_peaks(seconds))
    }
}
