//! Descents and fits on a device.

use super::Device;
use crate::checkpoints::Checkpoints;
use crate::decoder::{Fit, Fitted, LatentLaw};
use crate::descent::{Descended, Descent, Particle};

impl Descent<'_> {
    /// Minimises Σ −log p(y | x, θ) + ½ Σ α θ² − dᵀθ for every particle by Adam; returns where they
    /// end, `[N][P]`. `report` is called with the number of particle-steps done since its last call.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(
        &self,
        device: &Device,
        particles: &[Particle<'_>],
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let ends = self.run_traced(device, particles, &Checkpoints::none(), report)?;
        Ok(ends.into_iter().map(|end| end.theta).collect())
    }

    /// MAP from each of the first `count` initialisations, `[count][P]`; `report` as in [`Self::run`].
    ///
    /// # Errors
    /// The device fails.
    pub fn maps(
        &self,
        device: &Device,
        count: usize,
        seed: u64,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let starts = self.initialisations(count, seed);
        let particles: Vec<Particle<'_>> = starts
            .iter()
            .map(|start| Particle { start, drift: None, control: None, watch: None })
            .collect();
        self.run(device, &particles, report)
    }

    /// Descends to the same ends as [`Self::run`], and measures every particle at the checkpoints.
    ///
    /// # Errors
    /// The device fails.
    pub fn run_traced(
        &self,
        device: &Device,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        device.compute().descend(self, particles, checkpoints, report)
    }
}

impl Fit<'_> {
    /// Fits from the networks `thetas: [_][P]`, a mixture on the processor. `watch` is called with the decoder at every checkpoint, `report`
    /// with the number of steps done since its last call.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(
        &self,
        device: &Device,
        thetas: &[Vec<f32>],
        checkpoints: &Checkpoints,
        watch: &mut dyn FnMut(&[f32]),
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted> {
        let device = match self.shape.law() {
            LatentLaw::Normal(_) => device,
            LatentLaw::UnitVectors(_) => &Device::Cpu,
        };
        self.run_by(thetas, watch, |start, observer| {
            device.compute().fit(self, start, checkpoints, observer, report)
        })
    }
}
