//! Whether chains agree: split R-hat and effective sample sizes, rank-normalised (Vehtari et al. 2021).

use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erf_inv;

use crate::descent::TrainingSet;
use crate::network::{Architecture, outputs};
use crate::task::Likelihood;

/// Whether chains agree, over the network's outputs at training rows: weights need not, since they can
/// be permuted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convergence {
    /// Largest rank-normalised split R-hat, of place or scale; 1 where chains agree.
    pub r_hat: f64,
    /// Smallest bulk effective sample size of all chains together.
    pub effective_samples: f64,
    /// Mean acceptance probability after warm-up.
    pub acceptance: f64,
    /// Trajectories after warm-up whose energy was lost.
    pub divergences: usize,
    /// Gradients of all chains after warm-up.
    pub gradients: usize,
}

impl fmt::Display for Convergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "R-hat at most {:.3}, at least {:.0} effective draws, {:.2} accepted, {} divergences, \
             {} gradients",
            self.r_hat, self.effective_samples, self.acceptance, self.divergences, self.gradients
        )
    }
}

/// Training rows whose outputs convergence is judged by.
const JUDGED_ROWS: usize = 32;

/// Outputs of a network at some training rows, logits centred over the classes, `[functions]`.
pub fn judged_functions(
    architecture: &Architecture,
    set: &TrainingSet,
    likelihood: Likelihood,
    theta: &[f32],
) -> Vec<f64> {
    let batch = &set.mini_batch(0).batch;
    let rows = batch.rows().min(JUDGED_ROWS);
    let judged = batch.select(&(0..rows).collect::<Vec<_>>());
    let outputs = outputs(architecture, theta, &judged);
    let mut values: Vec<f64> = outputs.iter().map(|&f| f64::from(f)).collect();
    if likelihood == Likelihood::CATEGORICAL {
        let classes = values.len() / rows;
        for row in 0..rows {
            let own = (0..classes).map(|class| class * rows + row);
            let mean = own.clone().map(|at| values[at]).sum::<f64>() / classes as f64;
            own.for_each(|at| values[at] -= mean);
        }
    }
    values
}

/// Largest R-hat and smallest effective sample size over functions, of `[chains][draws][functions]`.
pub fn convergence(chains: &[Vec<Vec<f64>>]) -> (f64, f64) {
    let count = chains[0].first().map_or(0, Vec::len);
    (0..count)
        .into_par_iter()
        .map(|function| {
            let halves: Vec<Vec<f64>> = chains
                .iter()
                .flat_map(|draws| {
                    let values: Vec<f64> = draws.iter().map(|draw| draw[function]).collect();
                    let half = values.len() / 2;
                    [values[..half].to_vec(), values[values.len() - half..].to_vec()]
                })
                .collect();
            let (place, effective) = mixing(&normal_scores(&halves));
            let (scale, _) = mixing(&normal_scores(&folded(&halves)));
            (place.max(scale), effective)
        })
        .reduce(|| (1.0, f64::INFINITY), |a, b| (a.0.max(b.0), a.1.min(b.1)))
}

/// Distances from the median.
fn folded(sequences: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut all = sequences.concat();
    all.sort_by(f64::total_cmp);
    let median = 0.5 * (all[(all.len() - 1) / 2] + all[all.len() / 2]);
    let fold = |values: &Vec<f64>| values.iter().map(|value| (value - median).abs()).collect();
    sequences.iter().map(fold).collect()
}

/// Every value replaced by the normal quantile of its rank r among all S of them, (r − 3/8) / (S + 1/4);
/// equal values share the mean of their ranks.
fn normal_scores(sequences: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut all = sequences.concat();
    all.sort_by(f64::total_cmp);
    let score = |value: &f64| {
        let below = all.partition_point(|other| other < value);
        let up_to = all.partition_point(|other| other <= value);
        let rank = 0.5 * (below + up_to + 1) as f64;
        let share = (rank - 0.375) / (all.len() as f64 + 0.25);
        std::f64::consts::SQRT_2 * erf_inv(2.0 * share - 1.0)
    };
    sequences.iter().map(|values| values.iter().map(score).collect()).collect()
}

/// R-hat and effective sample size of one quantity from sequences of one length (Gelman et al. 2013,
/// equations 11.1 to 11.8, with Geyer's initial monotone sequence).
pub fn mixing(sequences: &[Vec<f64>]) -> (f64, f64) {
    let (m, n) = (sequences.len() as f64, sequences[0].len() as f64);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let means: Vec<f64> = sequences.iter().map(|values| mean(values)).collect();
    let grand = mean(&means);
    let between = means.iter().map(|own| (own - grand).powi(2)).sum::<f64>() * n / (m - 1.0);
    let squares = sequences.iter().zip(&means).map(|(values, mean)| {
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
    });
    let within = squares.sum::<f64>() / m;
    let total = (n - 1.0) / n * within + between / n;
    let correlation = |lag: usize| {
        let variogram = sequences.iter().map(|values| {
            let pairs = values.iter().zip(&values[lag..]);
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / (n - lag as f64)
        });
        1.0 - variogram.sum::<f64>() / m / (2.0 * total)
    };
    let (mut sum, mut last) = (0.0, f64::INFINITY);
    for lag in (0..sequences[0].len().saturating_sub(2)).step_by(2) {
        let pair = correlation(lag) + correlation(lag + 1);
        if pair.is_nan() || pair <= 0.0 {
            break;
        }
        last = pair.min(last);
        sum += last;
    }
    // The pair at lag 0 holds the correlation 1 of a draw with itself.
    let inefficiency = (2.0 * sum - 1.0).max(1.0 / (m * n).log10().max(1.0));
    ((total / within).sqrt(), m * n / inefficiency)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn chains_that_disagree_are_told() {
        let mut rng = stream(0, Purpose::Hmc, 0);
        let mut chain = |mean: f64| -> Vec<Vec<f64>> {
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            (0..500).map(|_| vec![mean + normal()]).collect()
        };
        let (r_hat, effective) = convergence(&[chain(0.0), chain(0.0), chain(0.0)]);
        assert!(r_hat < 1.02, "{r_hat}");
        assert!((1000.0..2500.0).contains(&effective), "{effective}");
        let (r_hat, effective) = convergence(&[chain(0.0), chain(0.0), chain(3.0)]);
        assert!(r_hat > 1.5 && effective < 50.0, "{r_hat} {effective}");
    }

    /// x_t = φ x_{t−1} + ε has n (1 − φ) / (1 + φ) effective draws.
    #[test]
    fn an_autoregressive_chain_has_its_known_effective_sample_size() {
        let (phi, count) = (0.9f64, 20_000);
        let sequences: Vec<Vec<f64>> = (0..4)
            .map(|index| {
                let mut rng = stream(index, Purpose::Hmc, 1);
                let mut x = 0.0;
                (0..count)
                    .map(|_| {
                        let normal: f64 = StandardNormal.sample(&mut rng);
                        x = phi * x + normal;
                        x
                    })
                    .collect()
            })
            .collect();
        let exact = 4.0 * f64::from(count) * (1.0 - phi) / (1.0 + phi);
        let (_, effective) = mixing(&sequences);
        assert!((effective / exact - 1.0).abs() < 0.15, "{effective} but {exact}");
    }
}
