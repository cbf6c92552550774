//! Draws of the latent posterior: random codes, and what the decoder makes of them.

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::{DecoderShape, LatentLaw};
use crate::network::Batch;
use crate::random::{Purpose, stream};

/// `count` codes z ~ N(0, I_k), `[k, count]`.
pub fn standard_normal(k: usize, count: usize, rng: &mut Xoshiro256PlusPlus) -> Batch {
    let values = (0..k * count).map(|_| StandardNormal.sample(rng)).collect();
    Batch::from_features(values, k)
}

/// All k codes of a mixture, `[k, k]`.
pub(crate) fn unit_vectors(k: usize) -> Batch {
    let value = |index| if index % (k + 1) == 0 { 1.0 } else { 0.0 };
    Batch::from_features((0..k * k).map(value).collect(), k)
}

/// Modulations of `samples` random codes, or of all codes of a mixture, `[samples][modulation_len]`.
pub fn draw_modulations(
    shape: &DecoderShape,
    decoder: &[f32],
    samples: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let codes = match shape.law() {
        LatentLaw::Normal(k) => standard_normal(k, samples, &mut stream(seed, Purpose::Codes, 1)),
        LatentLaw::UnitVectors(count) => unit_vectors(count),
    };
    shape.modulations(decoder, &codes)
}

/// Networks θ(z) of `samples` random codes, or all of a mixture, `[samples][P]`.
pub fn draw_networks(
    shape: &DecoderShape,
    decoder: &[f32],
    samples: usize,
    seed: u64,
) -> Vec<Vec<f32>> {
    let modulations = draw_modulations(shape, decoder, samples, seed);
    modulations.par_iter().map(|modulation| shape.decode(decoder, modulation)).collect()
}
