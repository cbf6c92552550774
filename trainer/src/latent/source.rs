//! Where probes are drawn: round the training inputs, with the particles' functions there.

use super::inputs::draw_inputs;
use crate::data::Inputs;
use crate::decoder::ProbePool;
use crate::device::Device;
use crate::network::{Architecture, Batch};
use crate::random::{Purpose, stream};
use crate::task::Likelihood;

/// Inputs that activation ranges are measured on.
const RANGE_INPUTS: usize = 512;

/// Purpose of a pool: each is drawn from a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolRole {
    /// The decoder is fitted on it; the pools of a fit are numbered.
    Fit(usize),
    /// Decoders are compared on it.
    Test,
    /// Ranges of an artifact are measured on it.
    Ranges,
}

impl PoolRole {
    fn stream(self) -> u64 {
        match self {
            Self::Fit(0) => 0,
            Self::Test => 1,
            Self::Ranges => 2,
            Self::Fit(number) => 2 + number as u64,
        }
    }
}

/// Training inputs that probes are drawn round, and particles that are evaluated there.
pub struct ProbeSource<'a> {
    /// Device that evaluates them.
    pub device: &'a Device,
    /// Training inputs.
    pub x: &'a Inputs,
    /// The particles' network.
    pub architecture: &'a Architecture,
    /// How outputs become a prediction.
    pub likelihood: Likelihood,
    /// The particles, `[N][P]`.
    pub particles: &'a [Vec<f32>],
    /// Seed of the draws.
    pub seed: u64,
}

impl ProbeSource<'_> {
    /// Draws `size` probes round the training inputs (`inputs.rs`) and evaluates the particles there.
    ///
    /// # Errors
    /// The device fails.
    pub fn pool(&self, size: usize, role: PoolRole) -> anyhow::Result<ProbePool> {
        let Self { architecture, likelihood, .. } = *self;
        let mut rng = stream(self.seed, Purpose::Probes, role.stream());
        let inputs = draw_inputs(self.x, architecture.input, size, &mut rng);
        let batch = Batch::from_rows(&inputs, architecture.inputs());
        let values = self.device.outputs(architecture, self.particles, &batch)?;
        Ok(ProbePool::new(likelihood, batch, values))
    }

    /// Inputs that the ranges of an artifact are measured on, and the particles' functions there.
    ///
    /// # Errors
    /// The device fails.
    pub fn for_ranges(&self) -> anyhow::Result<ProbePool> {
        self.pool(RANGE_INPUTS, PoolRole::Ranges)
    }
}
