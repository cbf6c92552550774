//! The categorical likelihood, softmax over the outputs, and its derivatives.

use rand_distr::{Distribution, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::network::softmax;

/// Smallest mean probability that is divided by.
const SMALLEST_MEAN: f32 = 1e-12;

/// Softmax over the outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Categorical;

/// Replaces `outputs: [C, rows]` by the gradient of Σ −log p(y | f) and returns that sum, nats.
pub(super) fn nll_gradient(labels: &[u32], outputs: &mut [f32]) -> f64 {
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

/// Replaces `outputs: [C, rows]` by the gradient of −log p(ỹ | f), ỹ ~ p(· | f).
pub(super) fn sampled_gradient(outputs: &mut [f32], rows: usize, rng: &mut Xoshiro256PlusPlus) {
    softmax(outputs, rows);
    let unit = Uniform::new(0.0f32, 1.0).expect("0 < 1");
    let classes = outputs.len() / rows;
    for row in 0..rows {
        let mut left = unit.sample(rng);
        let drawn = (0..classes - 1)
            .find(|class| {
                left -= outputs[class * rows + row];
                left < 0.0
            })
            .unwrap_or(classes - 1);
        outputs[drawn * rows + row] -= 1.0;
    }
}

/// p̄ = mean of softmax(f); ∂/∂f_m = p_m ⊙ (g − pᵀ_m g) / M with g = −q / p̄.
pub(super) fn divergence(
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
            let (q, floored) = (reference[row * classes + class], p.max(SMALLEST_MEAN));
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
