//! Laplace's approximation with the generalised Gauss-Newton matrix (GGN) and the predictive of the
//! linearised network (Immer, Korzepa & Bauer 2021; Daxberger et al. 2021, "Laplace Redux").
//!
//! The posterior is N(θ*, (H + A)⁻¹) with H = Σ_n J_nᵀ Λ_n J_n, J_n = ∂f(x_n)/∂θ at θ*, Λ_n the Hessian
//! of −log p(y_n | f), and A the prior precision, chosen by the marginal likelihood at θ*. The outputs at
//! x are then N(f(x, θ*), J (H + A)⁻¹ Jᵀ).

use std::ops::Range;

use anyhow::Context;
use nalgebra::{Cholesky, DMatrix};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use super::{Baseline, Fitted, Problem, Sizes, sizes};
use crate::costs::footprint::{int8_bytes, pass_products};
use crate::network::{Architecture, Batch, outputs};
use crate::posterior::{LowerFactor, ggn, jacobians};
use crate::random::{Purpose, stream};
use crate::task::{Likelihood, Predictive, regression};

/// Prior precisions tried, for all layers alike and then for the hidden layers and the output layer by
/// turns: half decades round those that fiberwalk tries.
const PRECISIONS: [f64; 9] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0];
/// Draws of the logits, whose mean softmax is the predictive of a classifier.
const DRAWS: usize = 256;
/// Rows whose Jacobians are in memory together.
const CHUNK_ROWS: usize = 64;
/// Added to the variances of a row's logits, as a share of the largest, so that rounding leaves the
/// covariance positive definite: logits that move together make it singular.
const JITTER: f64 = 1e-6;
/// Most parameters of a full Hessian: 200 MB in f64.
const MOST_PARAMETERS: usize = 5000;
/// Bytes of an entry of the factor, which int8 would leave indefinite.
const FACTOR_BYTES: usize = 4;

/// Which weights are uncertain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laplace {
    /// All of them.
    Full,
    /// The weights of the output layer.
    LastLayer,
}

impl Laplace {
    /// Indices in θ of the uncertain weights.
    pub(super) fn range(self, architecture: &Architecture) -> Range<usize> {
        let last = architecture.layers().next_back().map_or(0..0, |layer| layer.parameters());
        match self {
            Self::Full => 0..last.end,
            Self::LastLayer => last,
        }
    }
}

impl Baseline for Laplace {
    fn sizes(&self) -> Sizes {
        sizes([])
    }

    fn most_parameters(&self) -> Option<usize> {
        (*self == Self::Full).then_some(MOST_PARAMETERS)
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let theta = problem.maps(1)?.remove(0);
        let curvature = Curvature::at(theta, self.range(problem.architecture), problem);
        let precision = curvature.best_precision()?;
        Ok(Fitted::Linearised(Linearised {
            factor: curvature.factor(&precision)?,
            theta: curvature.theta,
            range: curvature.range,
            seed: problem.seed,
        }))
    }
}

/// Parts of the posterior at θ* that no prior precision changes.
pub(super) struct Curvature {
    /// θ*, `[P]`.
    pub(super) theta: Vec<f32>,
    /// The Q uncertain weights.
    pub(super) range: Range<usize>,
    /// Which of them belong to the output layer.
    output: Range<usize>,
    /// H, `[Q, Q]`.
    ggn: DMatrix<f64>,
    /// Σ −log p(y | x, θ*), nats.
    nll: f64,
}

/// Prior precision of the hidden layers and of the output layer.
pub(super) type Precision = [f64; 2];

impl Curvature {
    pub(super) fn at(theta: Vec<f32>, range: Range<usize>, problem: &Problem<'_>) -> Self {
        let Problem { architecture, set, likelihood, .. } = *problem;
        let ggn = ggn(architecture, set, likelihood, &theta, &range);
        let output = Laplace::LastLayer.range(architecture);
        let output = output.start - range.start..output.end - range.start;
        let nll = set.nll(architecture, likelihood, &theta);
        Self { theta, range, output, ggn, nll }
    }

    /// Prior precision of each uncertain weight.
    fn precisions(&self, [hidden, output]: Precision) -> impl Iterator<Item = f64> {
        let last = self.output.clone();
        (0..self.range.len()).map(move |q| if last.contains(&q) { output } else { hidden })
    }

    /// H + A, the posterior's precision.
    fn posterior_precision(&self, precision: &Precision) -> DMatrix<f64> {
        let mut matrix = self.ggn.clone();
        for (q, alpha) in self.precisions(*precision).enumerate() {
            matrix[(q, q)] += alpha;
        }
        matrix
    }

    /// Cholesky factor of H + A.
    pub(super) fn factor(&self, precision: &Precision) -> anyhow::Result<LowerFactor> {
        LowerFactor::new(self.posterior_precision(precision)).with_context(|| {
            format!("the Hessian at MAP is not positive definite under a prior of {precision:?}")
        })
    }

    /// log p(y | x, A) ≈ log p(y | x, θ*) − ½ θ*ᵀAθ* + ½ log det A − ½ log det(H + A), nats
    /// (MacKay 1992). What is certain does not count.
    pub(super) fn log_marginal_likelihood(&self, precision: &Precision) -> anyhow::Result<f64> {
        let weights = self.theta[self.range.clone()].iter().map(|&w| f64::from(w));
        let prior: f64 = weights
            .zip(self.precisions(*precision))
            .map(|(w, alpha)| alpha.ln() - alpha * w * w)
            .sum();
        let determinant = self.factor(precision)?.ln_determinant();
        Ok(-self.nll + 0.5 * prior - 0.5 * determinant)
    }

    /// The prior precision of the largest marginal likelihood.
    fn best_precision(&self) -> anyhow::Result<Precision> {
        let shared = self.best_of(|alpha| [alpha, alpha])?;
        if self.output.len() == self.range.len() {
            return Ok(shared);
        }
        let [hidden, _] = self.best_of(|alpha| [alpha, shared[1]])?;
        self.best_of(|alpha| [hidden, alpha])
    }

    fn best_of(&self, candidate: impl Fn(f64) -> Precision + Sync) -> anyhow::Result<Precision> {
        let scored: Vec<(f64, Precision)> = PRECISIONS
            .par_iter()
            .map(|&alpha| {
                let precision = candidate(alpha);
                Ok((self.log_marginal_likelihood(&precision)?, precision))
            })
            .collect::<anyhow::Result<_>>()?;
        let best = scored.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        Ok(best.expect("there are candidates").1)
    }
}

/// The linearised network under the Gaussian posterior of its weights.
pub struct Linearised {
    pub(super) theta: Vec<f32>,
    pub(super) range: Range<usize>,
    /// Factor of the posterior's precision.
    pub(super) factor: LowerFactor,
    pub(super) seed: u64,
}

impl Linearised {
    /// The predictive at every row of `batch`: by draws of the logits, or exact for regression.
    pub(super) fn predictive(&self, problem: &Problem<'_>, batch: &Batch) -> Predictive {
        let means = outputs(problem.architecture, &self.theta, batch);
        let covariances = self.covariances(problem.architecture, batch);
        match problem.likelihood {
            Likelihood::Regression(_) => {
                let variance = covariances.iter().map(|covariance| covariance[(0, 0)] as f32);
                Predictive::Regression(regression::Predictive {
                    mean: means,
                    variance: variance.collect(),
                })
            }
            Likelihood::Classification(_) => {
                let draws = self.draws(&means, &covariances);
                problem.likelihood.mixture(draws, batch.rows())
            }
        }
    }

    /// J (H + A)⁻¹ Jᵀ of every row, `[rows][C, C]`.
    pub(super) fn covariances(
        &self,
        architecture: &Architecture,
        batch: &Batch,
    ) -> Vec<DMatrix<f64>> {
        let outputs = architecture.outputs();
        let chunks: Vec<_> = chunks(batch.rows()).collect();
        let each: Vec<Vec<_>> = chunks
            .into_par_iter()
            .map(|rows| {
                let count = rows.len();
                let mut half = jacobians(architecture, &self.theta, batch, rows, &self.range);
                self.factor.solve(&mut half);
                let of_row = |row: usize| {
                    let half = half.columns(row * outputs, outputs);
                    half.tr_mul(&half)
                };
                (0..count).map(of_row).collect()
            })
            .collect();
        each.concat()
    }

    /// Draws of the logits, `[DRAWS][C, rows]`; the same normal deviates for every row.
    fn draws(&self, means: &[f32], covariances: &[DMatrix<f64>]) -> Vec<Vec<f32>> {
        let rows = covariances.len();
        let classes = means.len() / rows.max(1);
        let factors: Vec<DMatrix<f64>> = covariances.par_iter().map(square_root).collect();
        let mut rng = stream(self.seed, Purpose::Laplace, 0);
        let deviates: Vec<Vec<f64>> = (0..DRAWS)
            .map(|_| (0..classes).map(|_| StandardNormal.sample(&mut rng)).collect())
            .collect();
        let draw = |normal: &Vec<f64>| {
            let mut logits = means.to_vec();
            for (index, logit) in logits.iter_mut().enumerate() {
                let (class, factor) = (index / rows, &factors[index % rows]);
                let moved: f64 = (0..=class).map(|k| factor[(class, k)] * normal[k]).sum();
                *logit += moved as f32;
            }
            logits
        };
        deviates.par_iter().map(draw).collect()
    }

    /// Bytes of flash: the int8 network, and the triangular factor of Q weights in f32.
    pub(super) fn flash_bytes(&self, architecture: &Architecture) -> usize {
        let weights = self.range.len();
        int8_bytes(architecture) + FACTOR_BYTES * weights * (weights + 1) / 2
    }

    /// Multiply-accumulates of a prediction: a pass; for each of C outputs the Jacobian (two passes
    /// back, none where only the last layer is uncertain), a triangular solve Q (Q + 1) / 2, and its
    /// products with the others.
    pub(super) fn products(&self, architecture: &Architecture) -> usize {
        let (weights, outputs) = (self.range.len(), architecture.outputs());
        let pass = pass_products(architecture);
        let back = if self.range.start == 0 { 2 * pass } else { 0 };
        let each = back + weights * (weights + 1) / 2;
        pass + outputs * each + weights * outputs * (outputs + 1) / 2
    }
}

/// Lower triangular root of a covariance.
fn square_root(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let largest = covariance.diagonal().max().max(f64::MIN_POSITIVE);
    let jittered =
        covariance + DMatrix::identity(covariance.nrows(), covariance.nrows()) * (JITTER * largest);
    match Cholesky::new(jittered) {
        Some(factor) => factor.l(),
        // Not even so: independent logits.
        None => DMatrix::from_diagonal(&covariance.diagonal().map(|v| v.max(0.0).sqrt())),
    }
}

fn chunks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(CHUNK_ROWS).map(move |start| start..(start + CHUNK_ROWS).min(rows))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::baselines::linear::{ALPHA, Linear, NOISE_STD};

    fn at_the_mode(linear: &Linear, laplace: Laplace) -> Curvature {
        let theta = linear.mean.iter().map(|&w| w as f32).collect();
        Curvature::at(theta, laplace.range(&linear.architecture), &linear.problem())
    }

    /// The posterior of a linear model is Gaussian: Laplace's approximation must be exact, and so must
    /// its marginal likelihood, log N(y | 0, σ² I + X Xᵀ / α).
    #[test]
    fn a_linear_model_has_its_exact_posterior_and_evidence() {
        let linear = Linear::new();
        let alpha = f64::from(ALPHA);
        for laplace in [Laplace::Full, Laplace::LastLayer] {
            let curvature = at_the_mode(&linear, laplace);
            let inverse =
                curvature.posterior_precision(&[alpha; 2]).try_inverse().expect("full rank");
            let error = (&inverse - &linear.covariance).abs().max();
            assert!(error < 1e-6 * linear.covariance.abs().max(), "{inverse}");

            let rows = linear.values.len();
            let marginal = DMatrix::identity(rows, rows) * f64::from(NOISE_STD).powi(2)
                + &linear.design * linear.design.transpose() / alpha;
            let factor = marginal.cholesky().expect("positive definite");
            let quadratic = linear.values.dot(&factor.solve(&linear.values));
            let exact = -0.5 * (quadratic + factor.ln_determinant() + rows as f64 * TAU.ln());
            let found = curvature.log_marginal_likelihood(&[alpha; 2]).expect("positive definite");
            assert!((found - exact).abs() < 1e-4, "{found} but {exact}");
        }
    }

    #[test]
    fn a_linear_model_has_its_exact_predictive() {
        let linear = Linear::new();
        let curvature = at_the_mode(&linear, Laplace::Full);
        let linearised = Linearised {
            factor: curvature.factor(&[f64::from(ALPHA); 2]).expect("positive definite"),
            theta: curvature.theta.clone(),
            range: curvature.range.clone(),
            seed: 0,
        };
        let x = nalgebra::DVector::from_vec(vec![1.5, -4.0, 1.0]);
        let batch = Batch::from_rows(&[1.5, -4.0], 2);
        let Predictive::Regression(regression::Predictive { mean, variance }) =
            linearised.predictive(&linear.problem(), &batch)
        else {
            panic!("regression");
        };
        assert!((f64::from(mean[0]) - x.dot(&linear.mean)).abs() < 1e-5);
        let exact = (x.transpose() * &linear.covariance * &x)[(0, 0)];
        assert!((f64::from(variance[0]) - exact).abs() < 1e-5 * exact, "{variance:?} {exact}");
    }

    #[test]
    fn draws_of_the_logits_have_their_covariance() {
        let covariance = DMatrix::from_row_slice(2, 2, &[4.0, 1.2, 1.2, 0.9]);
        let root = square_root(&covariance);
        assert!((&root * root.transpose() - &covariance).abs().max() < 1e-5);
        // Two logits that move together.
        let singular = DMatrix::from_row_slice(2, 2, &[1.0, 1.0, 1.0, 1.0]);
        let root = square_root(&singular);
        assert!((&root * root.transpose() - &singular).abs().max() < 1e-5);
    }
}
