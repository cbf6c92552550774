//! Likelihoods and the objective L(θ) = Σ −log p(y | x, θ) + ½ Σ α θ².

use std::ops::Range;

use super::simd::{exp, vectorised};
use super::{Architecture, Batch, Tape};
use crate::data::Targets;

/// p(y | f): how outputs become a distribution of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likelihood {
    /// Softmax over the outputs.
    Categorical,
    /// Normal with the output as mean and this standard deviation, in standardised target units.
    Gaussian {
        /// Standard deviation of the noise.
        noise_std: f32,
    },
}

impl Likelihood {
    /// Replaces `outputs: [C, rows]` by the gradient of Σ −log p(y | f) with respect to them and
    /// returns that sum, in nats. `rows` selects the targets.
    pub fn nll_gradient(self, targets: &Targets, rows: Range<usize>, outputs: &mut [f32]) -> f64 {
        match (self, targets) {
            (Self::Categorical, Targets::Classes { labels, .. }) => {
                cross_entropy(outputs, &labels[rows])
            }
            (Self::Gaussian { noise_std }, Targets::Values(values)) => {
                gaussian(outputs, &values[rows], noise_std)
            }
            _ => unreachable!("the likelihood is chosen by the kind of target"),
        }
    }
}

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

/// Softmax of every row of `outputs: [C, rows]` in place; returns the rows' log-normalisers.
pub(crate) fn softmax(outputs: &mut [f32], rows: usize) -> Vec<f32> {
    vectorised(
        #[inline(always)]
        || {
            let mut max = vec![f32::NEG_INFINITY; rows];
            for row in outputs.chunks_exact(rows) {
                max.iter_mut().zip(row).for_each(|(m, &f)| *m = if f > *m { f } else { *m });
            }
            let mut sum = vec![0.0f32; rows];
            for row in outputs.chunks_exact_mut(rows) {
                for ((f, &max), sum) in row.iter_mut().zip(&max).zip(&mut sum) {
                    *f = exp(*f - max);
                    *sum += *f;
                }
            }
            let inverse: Vec<f32> = sum.iter().map(|&sum| 1.0 / sum).collect();
            for row in outputs.chunks_exact_mut(rows) {
                row.iter_mut().zip(&inverse).for_each(|(p, &inverse)| *p *= inverse);
            }
            max.iter().zip(&sum).map(|(&max, &sum)| max + sum.ln()).collect()
        },
    )
}

fn cross_entropy(outputs: &mut [f32], labels: &[u32]) -> f64 {
    let rows = labels.len();
    let own: Vec<f32> = labels
        .iter()
        .enumerate()
        .map(|(row, &label)| outputs[label as usize * rows + row])
        .collect();
    let normalisers = softmax(outputs, rows);
    for (row, &label) in labels.iter().enumerate() {
        outputs[label as usize * rows + row] -= 1.0;
    }
    normalisers.iter().zip(&own).map(|(&z, &f)| f64::from(z - f)).sum()
}

fn gaussian(outputs: &mut [f32], values: &[f32], noise_std: f32) -> f64 {
    let precision = 1.0 / (noise_std * noise_std);
    let constant = f64::from(noise_std).ln() + 0.5 * (2.0 * std::f64::consts::PI).ln();
    let mut squares = 0.0f64;
    for (f, &y) in outputs.iter_mut().zip(values) {
        let residual = *f - y;
        squares += f64::from(residual) * f64::from(residual);
        *f = residual * precision;
    }
    0.5 * f64::from(precision) * squares + constant * values.len() as f64
}
