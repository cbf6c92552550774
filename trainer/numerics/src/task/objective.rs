//! The objective L(θ) = Σ −log p(y | x, θ) + ½ Σ α θ², without its prior.

use std::ops::Range;

use super::{Likelihood, Targets};
use crate::network::{Architecture, Batch, Tape};

/// The training objective on some rows.
#[derive(Clone, Copy)]
pub struct Objective<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Inputs.
    pub batch: &'a Batch,
    /// Targets, one a row.
    pub targets: &'a Targets,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
}

impl Objective<'_> {
    /// Σ −log p(y | x, θ) over all rows; its gradient is added to `gradient: [P]`.
    pub fn nll_gradient(&self, theta: &[f32], tape: &mut Tape, gradient: &mut [f32]) -> f64 {
        self.pull_back(theta, tape, gradient, |tile, outputs| {
            self.likelihood.nll_gradient(self.targets, tile, outputs)
        })
    }

    /// Σ −log p(y | x, θ) over all rows.
    pub fn nll(&self, theta: &[f32]) -> f64 {
        let mut tape = Tape::default();
        self.batch
            .tiles(self.architecture)
            .map(|tile| {
                let outputs = tape.forward(self.architecture, theta, self.batch, tile.clone());
                self.likelihood.nll_gradient(self.targets, tile, outputs)
            })
            .sum()
    }

    /// Pulls back any function of the outputs: `f` gets a range of rows and their outputs
    /// `[C, rows]`, replaces them by its gradient and returns its value. Returns the sum.
    pub fn pull_back(
        &self,
        theta: &[f32],
        tape: &mut Tape,
        gradient: &mut [f32],
        mut f: impl FnMut(Range<usize>, &mut [f32]) -> f64,
    ) -> f64 {
        let mut total = 0.0;
        let mut d_outputs = Vec::new();
        for tile in self.batch.tiles(self.architecture) {
            d_outputs.clear();
            d_outputs.extend_from_slice(tape.forward(
                self.architecture,
                theta,
                self.batch,
                tile.clone(),
            ));
            total += f(tile, &mut d_outputs);
            tape.backward(self.architecture, theta, self.batch, &d_outputs, gradient, None);
        }
        total
    }
}
