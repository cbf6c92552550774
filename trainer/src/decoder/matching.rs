//! How far the predictive of some draws is from the particles', one input at a time.

use crate::network::{Likelihood, softmax};
use crate::predictive::Predictive;

/// Smallest mean probability that is divided by.
const SMALLEST_PROBABILITY: f32 = 1e-12;

/// Expected −log p̄_D(y | x), y drawn from `reference`, averaged over its rows x with these `weights`: up to a
/// constant the divergence KL(reference ‖ p̄_D), least where the predictives are the same.
///
/// `draws` are blocks `[C, rows]` of outputs, of which the first `weights.len()` rows count.
/// A mixture of normals is scored as the normal of its moments. Returns the mean in nats and its
/// gradient with respect to every draw.
pub fn predictive_divergence(
    draws: &[Vec<f32>],
    rows: usize,
    reference: &Predictive,
    weights: &[f32],
    likelihood: Likelihood,
) -> (f64, Vec<Vec<f32>>) {
    match (likelihood, reference) {
        (Likelihood::Categorical, Predictive::Classification { probabilities, .. }) => {
            categorical(draws, rows, probabilities, weights)
        }
        (Likelihood::Gaussian { noise_std }, Predictive::Regression { mean, variance }) => {
            gaussian(draws, mean, variance, weights, noise_std)
        }
        _ => unreachable!("the likelihood is that of the reference's task"),
    }
}

/// p̄ = mean of softmax(f); ∂/∂f_m = p_m ⊙ (g − pᵀ_m g) / M with g = −q / p̄.
fn categorical(
    draws: &[Vec<f32>],
    rows: usize,
    reference: &[f32],
    weights: &[f32],
) -> (f64, Vec<Vec<f32>>) {
    let (weight, all) = (1.0 / draws.len() as f32, weights.iter().sum::<f32>());
    let mut probabilities = draws.to_vec();
    let mut mixture = vec![0.0; draws[0].len()];
    for draw in &mut probabilities {
        softmax(draw, rows);
        mixture.iter_mut().zip(&*draw).for_each(|(sum, p)| *sum += weight * p);
    }
    let classes = mixture.len() / rows;
    let mut loss = 0.0;
    // From here on the gradient with respect to the mixture.
    for (class, mixture) in mixture.chunks_exact_mut(rows).enumerate() {
        for (row, p) in mixture.iter_mut().enumerate() {
            let Some(own) = weights.get(row) else {
                *p = 0.0;
                continue;
            };
            let (q, floored) = (reference[row * classes + class], p.max(SMALLEST_PROBABILITY));
            loss -= f64::from(own * q * floored.ln());
            *p = -own * q / (floored * all);
        }
    }
    for draw in &mut probabilities {
        let mut inner = vec![0.0; rows];
        for (p, g) in draw.chunks_exact(rows).zip(mixture.chunks_exact(rows)) {
            inner.iter_mut().zip(p.iter().zip(g)).for_each(|(sum, (p, g))| *sum += p * g);
        }
        for (p, g) in draw.chunks_exact_mut(rows).zip(mixture.chunks_exact(rows)) {
            p.iter_mut().zip(g.iter().zip(&inner)).for_each(|(p, (g, i))| *p *= weight * (g - i));
        }
    }
    (loss / f64::from(all), probabilities)
}

/// Half of ((m̂ − m)² + v̂ + σ²) / t + ln 2πt with t = v + σ², where m and v are the draws' mean and
/// unbiased variance and m̂ and v̂ the reference's.
fn gaussian(
    draws: &[Vec<f32>],
    mean: &[f32],
    variance: &[f32],
    weights: &[f32],
    noise_std: f32,
) -> (f64, Vec<Vec<f32>>) {
    let (count, all) = (draws.len() as f32, weights.iter().sum::<f32>());
    let noise = noise_std * noise_std;
    let mut gradients: Vec<Vec<f32>> = draws.iter().map(|draw| vec![0.0; draw.len()]).collect();
    let mut loss = 0.0;
    for (row, weight) in weights.iter().enumerate() {
        let own_mean = draws.iter().map(|draw| draw[row]).sum::<f32>() / count;
        let squares: f32 = draws.iter().map(|draw| (draw[row] - own_mean).powi(2)).sum();
        let freedom = (count - 1.0).max(1.0);
        let total = squares / freedom + noise;
        let error = (mean[row] - own_mean).powi(2) + variance[row] + noise;
        loss += f64::from(weight * 0.5 * (error / total + (std::f32::consts::TAU * total).ln()));
        let d_mean = weight * (own_mean - mean[row]) / (total * count * all);
        let d_total = weight * 0.5 * (1.0 - error / total) / (total * all);
        for (gradient, draw) in gradients.iter_mut().zip(draws) {
            gradient[row] = d_mean + d_total * 2.0 * (draw[row] - own_mean) / freedom;
        }
    }
    (loss / f64::from(all), gradients)
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, stream};

    fn check(classes: usize, likelihood: Likelihood) {
        let (rows, matched) = (5, 3);
        let mut rng = stream(3, Purpose::Probes, 0);
        let mut normals = |count: usize, len: usize| -> Vec<Vec<f32>> {
            (0..count)
                .map(|_| (0..len).map(|_| StandardNormal.sample(&mut rng)).collect())
                .collect()
        };
        let reference = Predictive::of_outputs(likelihood, normals(6, matched * classes), matched);
        let weights = [1.0, 1.0, 0.3];
        let mut draws = normals(4, rows * classes);
        let (_, gradient) = predictive_divergence(&draws, rows, &reference, &weights, likelihood);
        for draw in 0..draws.len() {
            for index in 0..rows * classes {
                let middle = draws[draw][index];
                let mut at = |value: f32| {
                    draws[draw][index] = value;
                    predictive_divergence(&draws, rows, &reference, &weights, likelihood).0
                };
                let difference = (at(middle + 1e-2) - at(middle - 1e-2)) / 2e-2;
                at(middle);
                let found = f64::from(gradient[draw][index]);
                assert!((found - difference).abs() < 2e-4, "{found} but {difference}");
                assert_eq!(index % rows >= matched, found == 0.0);
            }
        }
    }

    #[test]
    fn the_gradients_are_those_of_finite_differences() {
        check(3, Likelihood::Categorical);
        check(1, Likelihood::Gaussian { noise_std: 0.7 });
    }
}
