//! How close a decoder comes to the particles where it was not fitted.

use serde::{Deserialize, Serialize};

use crate::decoder::{ProbePool, energy_score};
use crate::device::Device;
use crate::metrics::mean;
use crate::network::Architecture;
use crate::task::{Calibration, Share};

/// How close a decoder comes to the particles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closeness {
    /// Energy score of its functions against the particles'.
    pub energy_score: f64,
    /// Divergence KL(particles ‖ decoder) of the predictives near the rows, nats.
    pub divergence: f64,
}

impl Closeness {
    /// Measures `networks: [N][P]`, which are all that a decoder makes or some of it, at the probes of `pool`, of which
    /// foreign ones weigh `foreign` where predictives are compared.
    ///
    /// # Errors
    /// The device fails.
    pub(super) fn of(
        architecture: &Architecture,
        networks: &[Vec<f32>],
        share: Share,
        pool: &ProbePool,
        foreign: f32,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let mut outputs = device.outputs(architecture, networks, &pool.probes.batch)?;
        let calibration = Calibration::of(pool.likelihood);
        let theirs = &pool.predictive;
        let own = pool.likelihood.mixture(outputs.clone(), pool.len());
        let excess: Vec<f64> = own
            .cross_entropy(calibration, theirs, calibration)
            .into_iter()
            .zip(theirs.cross_entropy(calibration, theirs, calibration))
            .map(|(of_own, entropy)| of_own - entropy)
            .collect();
        let (near, far) = excess.split_at(pool.len() / 2);
        let (near, far) = (mean(near), mean(far));
        let foreign = f64::from(foreign);
        outputs.iter_mut().for_each(|outputs| pool.probes.standardise(outputs));
        let (energy_score, _) = energy_score(&outputs, share, &all_functions(pool), pool.len());
        Ok(Self { energy_score, divergence: (near + foreign * far) / (1.0 + foreign) })
    }

    /// What a fit minimises, with this weight of the divergence.
    pub(super) fn objective(self, predictive: f32) -> f64 {
        self.energy_score + f64::from(predictive) * self.divergence
    }

    /// Whether both are numbers.
    pub(super) const fn is_finite(self) -> bool {
        self.energy_score.is_finite() && self.divergence.is_finite()
    }
}

/// Energy score of one half of the particles against the other.
pub(super) fn between_particles(pool: &ProbePool) -> f64 {
    let functions = all_functions(pool);
    let (left, right) = functions.split_at(functions.len() / 2);
    energy_score(left, Share::Some, right, pool.len()).0
}

/// Every particle's standardised outputs at every probe.
fn all_functions(pool: &ProbePool) -> Vec<Vec<f32>> {
    let (particles, probes): (Vec<_>, Vec<_>) =
        ((0..pool.particles()).collect(), (0..pool.len()).collect());
    pool.functions_at(&particles, &probes)
}
