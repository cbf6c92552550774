//! All that training asks of a device.

use super::Peaks;
use crate::checkpoints::Checkpoints;
use crate::decoder::fit::{Observer, Start};
use crate::decoder::{Fit, Fitted};
use crate::descent::{Descended, Descent, Particle};
use crate::network::{Architecture, Batch};

/// A kind of device. Every method fails where the device does.
pub(crate) trait Compute: Send + Sync {
    /// Name of the device, for the user.
    fn describe(&self) -> String;

    /// Particles that descend at the same time, where up to `rows` rows pass through the network
    /// together.
    fn particles_at_once(&self, architecture: &Architecture, rows: usize) -> usize;

    /// Outputs of every particle of `thetas: [N][P]` at every row of `batch`, `[N][C, rows]`.
    fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> anyhow::Result<Vec<Vec<f32>>>;

    /// Ends of the descents of all particles, measured at the checkpoints. `report` is called with the
    /// number of particle-steps done since its last call.
    fn descend(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>>;

    /// The fit from `start`, its trace left empty. `observer` looks at the decoder at every checkpoint,
    /// `report` with the number of steps done since its last call.
    fn fit(
        &self,
        fit: &Fit<'_>,
        start: Start,
        checkpoints: &Checkpoints,
        observer: &mut Observer<'_>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted>;

    /// The rates that bound the device, each measured for about `seconds`.
    fn peaks(&self, seconds: f64) -> anyhow::Result<Peaks>;
}
