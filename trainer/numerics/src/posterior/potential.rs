//! The potential whose descent is MAP training or a walk, and whose level sets Hamiltonian Monte Carlo follows.

use crate::descent::TrainingSet;
use crate::network::{Architecture, Tape};
use crate::task::Likelihood;

/// U(θ) = Σ −log p(y | x, θ) + ½ Σ α θ² − dᵀθ, nats. Networks pass in single precision; sums over parameters are in
/// double precision.
pub struct Potential<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Rows that the likelihood is summed over.
    pub set: &'a TrainingSet,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
    /// Prior precision α of every parameter, `[P]`.
    pub prior_precision: Vec<f64>,
    /// Drift d, `[P]`; none for the posterior itself.
    pub drift: Option<&'a [f32]>,
    tape: Tape,
    theta: Vec<f32>,
    gradient: Vec<f32>,
}

/// The value of a potential, nats.
#[derive(Clone, Copy, Debug)]
pub struct Energy {
    /// Σ −log p(y | x, θ).
    pub nll: f64,
    /// ½ Σ α θ² − dᵀθ.
    pub prior: f64,
}

impl Energy {
    /// U(θ).
    pub fn total(self) -> f64 {
        self.nll + self.prior
    }
}

impl<'a> Potential<'a> {
    /// Returns the potential without drift.
    pub fn new(
        architecture: &'a Architecture,
        set: &'a TrainingSet,
        likelihood: Likelihood,
        prior_precision: impl Iterator<Item = f64>,
    ) -> Self {
        let prior_precision: Vec<f64> = prior_precision.collect();
        let zeros = vec![0.0; prior_precision.len()];
        let (tape, drift) = (Tape::default(), None);
        let (theta, gradient) = (zeros.clone(), zeros);
        Self { architecture, set, likelihood, prior_precision, drift, tape, theta, gradient }
    }

    /// U at `theta`; writes its gradient. Both are `[P]`.
    pub fn at(&mut self, theta: &[f64], gradient: &mut [f64]) -> Energy {
        self.theta.iter_mut().zip(theta).for_each(|(narrow, &wide)| *narrow = wide as f32);
        self.gradient.fill(0.0);
        let nll = self.set.each(self.architecture, self.likelihood, |objective| {
            objective.nll_gradient(&self.theta, &mut self.tape, &mut self.gradient)
        });
        let mut prior = 0.0;
        let parts = theta.iter().zip(&self.prior_precision).zip(&self.gradient);
        for (g, ((&value, &alpha), &own)) in gradient.iter_mut().zip(parts) {
            prior += 0.5 * alpha * value * value;
            *g = f64::from(own) + alpha * value;
        }
        if let Some(drift) = self.drift {
            for ((g, &value), &d) in gradient.iter_mut().zip(theta).zip(drift) {
                prior -= f64::from(d) * value;
                *g -= f64::from(d);
            }
        }
        Energy { nll: nll.iter().sum(), prior }
    }
}
