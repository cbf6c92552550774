//! Draws of the latent posterior: random codes, and what the decoder makes of them.

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::DecoderShape;
use crate::network::Batch;
use crate::random::{Purpose, stream};

/// `count` codes z ~ N(0, I_k), `[k, count]`.
pub fn standard_normal(k: usize, count: usize, rng: &mut Xoshiro256PlusPlus) -> Batch {
    let values = (0..k * count).map(|_| StandardNormal.sample(rng)).collect();
    Batch::from_features(values, k)
}

/// Modulations of `samples` random codes, `[samples][modulation_len]`.
pub fn draw_modulations(
    shape: &DecoderShape,
    decoder: &[f32],
    samples: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let mut rng = stream(seed, Purpose::Codes, 1);
    shape.modulations(decoder, &standard_normal(shape.latent_dim, samples, &mut rng))
}

/// Networks θ(z) of `samples` random codes, `[samples][P]`.
pub fn draw_networks(
    shape: &DecoderShape,
    decoder: &[f32],
    samples: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let modulations = draw_modulations(shape, decoder, samples, seed);
    modulations.par_iter().map(|modulation| shape.decode(decoder, modulation)).collect()
}
