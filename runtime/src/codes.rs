//! Sources of latent codes.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro128PlusPlus;

use fiberwalk_formats::{CodeSource, MAX_LATENT_DIM};

use crate::tables::NORMAL;

/// What a source gave for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The code in the file with this index.
    Stored(usize),
    /// The latent code was written, in units of 1/32, and goes through the trunk.
    Latent,
}

/// A source of latent codes z ~ N(0, I).
pub trait Codes {
    /// The code of sample number `sample`; a drawn one is written to `latent: [k]`.
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw;
}

/// The codes in the file, chosen by the trainer so that few of them match many random ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stored;

impl Codes for Stored {
    fn draw(&mut self, sample: usize, _latent: &mut [i8]) -> Draw {
        Draw::Stored(sample)
    }
}

/// Independent standard normal draws, 256 levels a dimension.
#[derive(Clone, Debug)]
pub struct Normal<R = Xoshiro128PlusPlus>(R);

impl<R: Rng> Normal<R> {
    /// Draws from `rng`.
    pub const fn new(rng: R) -> Self {
        Self(rng)
    }
}

impl Normal {
    /// Draws from xoshiro128++ seeded with `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Xoshiro128PlusPlus::seed_from_u64(seed))
    }
}

impl<R: Rng> Codes for Normal<R> {
    fn draw(&mut self, _sample: usize, latent: &mut [i8]) -> Draw {
        for four in latent.chunks_mut(4) {
            for (z, byte) in four.iter_mut().zip(self.0.next_u32().to_le_bytes()) {
                *z = NORMAL[usize::from(byte)];
            }
        }
        Draw::Latent
    }
}

/// A randomly shifted additive recurrence: sample n is the fractional part of start + n·α with
/// α_j = φ^−(j+1), φ^(k+1) = φ + 1 (the R_d sequence of M. Roberts, 2018), through the normal
/// quantile.
#[derive(Clone, Debug)]
pub struct LowDiscrepancy {
    /// Fractions of 2^32.
    start: [u32; MAX_LATENT_DIM],
    step: [u32; MAX_LATENT_DIM],
}

impl LowDiscrepancy {
    /// The sequence in `latent_dim` dimensions from a start drawn with `seed`.
    pub fn seeded(latent_dim: usize, seed: u64) -> Self {
        let mut rng = Xoshiro128PlusPlus::seed_from_u64(seed);
        let power = latent_dim.min(MAX_LATENT_DIM) as i32 + 1;
        // Newton's method on φ^(k+1) − φ − 1, convex above its root.
        let mut phi = 2.0f64;
        for _ in 0..32 {
            let (mut value, mut derivative) = (1.0, 0.0);
            for _ in 0..power {
                derivative = derivative * phi + value;
                value *= phi;
            }
            phi -= (value - phi - 1.0) / (derivative - 1.0);
        }
        let (mut start, mut step) = ([0; MAX_LATENT_DIM], [0; MAX_LATENT_DIM]);
        let mut alpha = 1.0;
        for (start, step) in start.iter_mut().zip(&mut step) {
            alpha /= phi;
            *start = rng.next_u32();
            *step = (alpha * 4_294_967_296.0) as u32;
        }
        Self { start, step }
    }
}

impl Codes for LowDiscrepancy {
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw {
        for ((z, &start), &step) in latent.iter_mut().zip(&self.start).zip(&self.step) {
            let fraction = start.wrapping_add((sample as u32).wrapping_mul(step));
            *z = NORMAL[(fraction >> 24) as usize];
        }
        Draw::Latent
    }
}

/// Codes from the source that the trainer chose for a model: see
/// [`Model::codes`](crate::Model::codes).
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is no heap to put it on")]
pub enum ModelCodes {
    /// The codes in the file.
    Stored(Stored),
    /// A low-discrepancy sequence.
    LowDiscrepancy(LowDiscrepancy),
    /// Independent normal draws.
    Normal(Normal),
}

impl ModelCodes {
    /// Codes from `source`, in `latent_dim` dimensions where they are drawn, with `seed`.
    pub fn new(source: CodeSource, latent_dim: usize, seed: u64) -> Self {
        match source {
            CodeSource::Stored => Self::Stored(Stored),
            CodeSource::LowDiscrepancy => {
                Self::LowDiscrepancy(LowDiscrepancy::seeded(latent_dim, seed))
            }
            CodeSource::Normal => Self::Normal(Normal::seeded(seed)),
        }
    }
}

impl Codes for ModelCodes {
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw {
        match self {
            Self::Stored(codes) => codes.draw(sample, latent),
            Self::LowDiscrepancy(codes) => codes.draw(sample, latent),
            Self::Normal(codes) => codes.draw(sample, latent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of every dimension over `count` codes.
    fn moments(codes: &mut impl Codes, count: usize) -> [(f64, f64); 4] {
        let mut sums = [(0.0, 0.0); 4];
        for sample in 0..count {
            let mut latent = [0i8; 4];
            assert_eq!(codes.draw(sample, &mut latent), Draw::Latent);
            for (sum, z) in sums.iter_mut().zip(latent) {
                let z = f64::from(z) / 32.0;
                sum.0 += z / count as f64;
                sum.1 += z * z / count as f64;
            }
        }
        sums
    }

    #[test]
    fn drawn_codes_are_standard_normal() {
        for (mean, square) in moments(&mut Normal::seeded(1), 20_000) {
            assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        }
    }

    #[test]
    fn low_discrepancy_means_are_closer_than_random_ones() {
        let (seeds, count) = (20, 256);
        let mut error = 0.0;
        for seed in 0..seeds {
            for (mean, square) in moments(&mut LowDiscrepancy::seeded(4, seed), count) {
                error += mean * mean / (4 * seeds) as f64;
                assert!((square - 1.0).abs() < 0.15, "{square}");
            }
        }
        // Independent draws have a mean square error of 1 / count.
        assert!(error < 0.5 / count as f64, "{error}");
    }

    #[test]
    fn the_recurrence_starts_from_the_golden_ratio_in_one_dimension() {
        let sequence = LowDiscrepancy::seeded(1, 0);
        let golden = 4_294_967_296.0 * 0.618_033_988_749_895;
        assert!((f64::from(sequence.step[0]) - golden).abs() < 2.0);
    }
}
