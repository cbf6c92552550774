//! Sums over samples, and the prediction made from them.

use core::f32::consts::LN_2;

use bytemuck::{must_cast_slice, must_cast_slice_mut};
use fiberwalk_formats::{Activation, LOGIT_BITS, Output, TEMPERATURE_BITS};

use crate::fixed::{LOG2_ONE, Reciprocal, exp2, exp2_parts, log2};
use crate::kernels::logits;
use crate::prediction::{Classification, Prediction, Regression};

/// Bits of a probability that is added up: as many as 4,096 of them leave in 32 bits.
const PROBABILITY_BITS: u32 = 20;
/// Bits that the terms of an entropy lose, so that 4,096 of them fit into 32 bits: the exponent's last
/// ones, so that its product fits too, and the product's.
const TERM_SHIFT: u32 = EXPONENT_SHIFT + PRODUCT_SHIFT;
const EXPONENT_SHIFT: u32 = 2;
const PRODUCT_SHIFT: u32 = 14;
/// Bits of a probability whose square is added up.
const SQUARED_BITS: u32 = 16;
/// Fewest samples that say anything of their spread.
const FEWEST: u32 = 4;
/// Farthest below the most probable class that a calibrated probability is told: 2^-100.
const FARTHEST: u32 = 100 << LOGIT_BITS;

/// Sums over samples, besides the sums of class probabilities, which lie in the scratch buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    samples: usize,
    /// Classification: sum of entropies, units of log2.
    entropy: u32,
    /// Regression: accumulator of the first sample.
    first: i32,
    spread: Spread,
}

/// Sums for the spread of one number over samples.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    samples: u32,
    /// Classification: the leading class's probability since it leads. Regression: the difference
    /// to the first sample.
    sum: i64,
    /// Of its squares, each below 2^64.
    squares: u128,
    /// Classification: the leading class.
    leader: usize,
}

impl Spread {
    fn add(&mut self, value: i64) {
        let size = value.unsigned_abs();
        self.samples += 1;
        self.sum = self.sum.wrapping_add(value);
        self.squares = self.squares.wrapping_add(size.wrapping_mul(size).into());
    }

    fn mean(&self) -> f32 {
        self.sum as f32 / self.samples.max(1) as f32
    }

    /// Variance, divisor n.
    fn variance(&self) -> f32 {
        let mean = self.mean();
        let variance = self.squares as f32 / self.samples.max(1) as f32 - mean * mean;
        if variance > 0.0 { variance } else { 0.0 }
    }

    /// Standard error of the mean; none for few samples.
    fn standard_error(&self) -> Option<f32> {
        let others = self.samples.checked_sub(1).filter(|_| self.samples >= FEWEST)?;
        Some(libm::sqrtf(self.variance() / others as f32))
    }
}

impl Moments {
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Adds one sample, the last layer's accumulators, which are overwritten. With `watched`, the
    /// leading class's probability is followed, for [`Self::standard_error`].
    #[inline(never)]
    pub fn add(
        &mut self,
        activation: &Activation<'_>,
        sums: &mut [i32],
        mean: &mut [u32],
        watched: bool,
    ) {
        self.samples += 1;
        match activation {
            Activation::Logits(rescale) => {
                let largest = logits(rescale, sums);
                let values: &mut [u32] = must_cast_slice_mut(sums);
                let mut powers = Powers::default();
                for value in &mut *values {
                    *value = powers.add(largest.wrapping_sub(*value as i32) as u32);
                }
                let reciprocal = powers.reciprocal();
                self.entropy = self.entropy.wrapping_add(powers.entropy(reciprocal));
                for (mean, &power) in mean.iter_mut().zip(&*values) {
                    let share = reciprocal.share(power, PROBABILITY_BITS);
                    // MAX_SAMPLES of them fit.
                    *mean = mean.wrapping_add(share);
                }
                if watched {
                    let shares = values.iter().map(|&p| reciprocal.share(p, SQUARED_BITS));
                    self.watch(mean, shares);
                }
            }
            Activation::Value(_) => {
                let value = sums.first().copied().unwrap_or(0);
                if self.samples == 1 {
                    self.first = value;
                }
                self.spread.add(i64::from(value) - i64::from(self.first));
            }
            Activation::Tanh(_)
            | Activation::Relu(_)
            | Activation::Linear(_)
            | Activation::HardSwish(_) => {}
        }
    }

    /// Follows the class that leads after a sample with these `shares`.
    fn watch(&mut self, mean: &[u32], mut shares: impl Iterator<Item = u32>) {
        let mut leader = (0, 0);
        for (class, &sum) in mean.iter().enumerate() {
            if sum > leader.1 {
                leader = (class, sum);
            }
        }
        if leader.0 != self.spread.leader {
            self.spread = Spread { leader: leader.0, ..Spread::default() };
        }
        self.spread.add(shares.nth(leader.0).unwrap_or(0).into());
    }

    /// Monte-Carlo standard error of the leading class's probability, before the temperature, or of
    /// the mean, in the target's units.
    pub fn standard_error(&self, output: &Output<'_>, activation: &Activation<'_>) -> Option<f32> {
        let unit = match (output, activation) {
            (Output::Regression { std, .. }, Activation::Value(unit)) => std * unit,
            _ => 1.0 / (1 << SQUARED_BITS) as f32,
        };
        self.spread.standard_error().map(|error| error * unit)
    }

    /// The prediction from at least one sample.
    pub fn finish<'s>(
        self,
        output: &Output<'_>,
        activation: &Activation<'_>,
        mean: &'s mut [u32],
    ) -> Prediction<'s> {
        match *output {
            Output::Classification {
                inverse_temperature,
                set_threshold,
                epistemic_threshold,
                ..
            } => {
                let total_entropy = mixture_entropy(mean);
                let nats = |units: f32| units * (LN_2 / (1 << LOGIT_BITS) as f32);
                let expected = self.entropy as f32 / self.samples as f32;
                let information = total_entropy as f32 - expected;
                let mutual_information = if information > 0.0 { nats(information) } else { 0.0 };
                let entropy = nats(temper(mean, inverse_temperature) as f32);
                Prediction::Classification(Classification {
                    probabilities: must_cast_slice(mean),
                    entropy,
                    mutual_information,
                    expected_entropy: nats(expected),
                    out_of_distribution: mutual_information > epistemic_threshold,
                    set_threshold,
                })
            }
            Output::Regression {
                mean: target_mean,
                std,
                noise_variance,
                interval,
                epistemic_threshold,
                ..
            } => {
                let unit = match activation {
                    Activation::Value(unit) => *unit,
                    _ => 0.0,
                };
                let square = std * std;
                let standardised = unit * (self.first as f32 + self.spread.mean());
                let epistemic = unit * unit * self.spread.variance();
                let mean = target_mean + std * standardised;
                let variance = square * (epistemic + noise_variance);
                let half = interval * libm::sqrtf(variance);
                let limit = epistemic_threshold * epistemic_threshold * noise_variance;
                Prediction::Regression(Regression {
                    mean,
                    variance,
                    epistemic_variance: square * epistemic,
                    aleatoric_variance: square * noise_variance,
                    lower: mean - half,
                    upper: mean + half,
                    out_of_distribution: epistemic > limit,
                })
            }
        }
    }
}

/// Sums over unnormalised probabilities: powers of two, the largest of which has exponent 0.
#[derive(Clone, Copy, Default)]
struct Powers {
    total: u32,
    /// Σ power · exponent, less its last [`TERM_SHIFT`] bits.
    weighted: u32,
}

impl Powers {
    /// Adds 2^−exponent and returns it in 20 bits, of which 4,096 fit.
    fn add(&mut self, exponent: u32) -> u32 {
        let power = exp2(exponent);
        self.total = self.total.wrapping_add(power);
        // x · 2^-x is below 0.54, so a product of 20 bits by 12 is below 2^32.
        let product = power.wrapping_mul(exponent >> EXPONENT_SHIFT);
        self.weighted = self.weighted.wrapping_add(product >> PRODUCT_SHIFT);
        power
    }

    fn reciprocal(&self) -> Reciprocal {
        Reciprocal::new(self.total)
    }

    /// Entropy of the normalised powers: log2 of their sum plus their mean exponent.
    fn entropy(&self, reciprocal: Reciprocal) -> u32 {
        let mean = reciprocal.divide(self.weighted, TERM_SHIFT);
        (log2(self.total) + mean).saturating_sub(LOG2_ONE)
    }
}

/// Entropy of the mean over samples, log2 units; leaves its logarithms.
fn mixture_entropy(mean: &mut [u32]) -> u32 {
    // 4,096 samples' rounded shares may add up to a little more than 2^32.
    let total = mean.iter().fold(0u32, |total, &sum| total.saturating_add(sum)).max(1);
    let (log_total, mut weighted) = (log2(total), 0u64);
    for sum in mean {
        let log = log2(*sum);
        weighted += u64::from(*sum) * u64::from(log_total.saturating_sub(log));
        *sum = log;
    }
    weighted.checked_div(total.into()).unwrap_or(0) as u32
}

/// Logarithms, divided by the temperature, to probabilities in f32, in place; returns their
/// entropy.
fn temper(logarithms: &mut [u32], inverse_temperature: u32) -> u32 {
    let largest = logarithms.iter().fold(0, |largest, &log| log.max(largest));
    let mut powers = Powers::default();
    for log in &mut *logarithms {
        let scaled = u64::from(largest - *log) * u64::from(inverse_temperature);
        let exponent = u32::try_from(scaled >> TEMPERATURE_BITS).unwrap_or(FARTHEST);
        *log = exponent.min(FARTHEST);
        powers.add(*log);
    }
    let reciprocal = powers.reciprocal();
    for value in logarithms {
        let (mantissa, exponent) = exp2_parts(*value);
        *value = reciprocal.quotient(mantissa, exponent).to_bits();
    }
    powers.entropy(reciprocal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A logit in units of ln 2 / 2^14.
    fn logit(nats: f64) -> i32 {
        libm::round(nats / core::f64::consts::LN_2 * 16_384.0) as i32
    }

    #[test]
    fn probabilities_and_entropy_of_known_logits() {
        let three = logit(libm::log(3.0));
        let mut powers = Powers::default();
        let values = [powers.add(three as u32), powers.add(0)];
        let reciprocal = powers.reciprocal();
        let share = |index: usize| f64::from(reciprocal.share(values[index], 20));
        assert!((share(0) / 1_048_576.0 - 0.25).abs() < 3e-5, "{}", share(0));
        assert!((share(1) / 1_048_576.0 - 0.75).abs() < 3e-5, "{}", share(1));
        let exact = -(0.25 * libm::log2(0.25) + 0.75 * libm::log2(0.75));
        assert!((f64::from(powers.entropy(reciprocal)) / 16_384.0 - exact).abs() < 2e-4);
    }

    #[test]
    fn shares_that_add_up_to_more_than_32_bits_keep_their_entropy() {
        let mut mean = [1 << 31, (1 << 31) + (1 << 16)];
        assert!(mixture_entropy(&mut mean).abs_diff(1 << LOGIT_BITS) < 4);
    }

    #[test]
    fn regression_moments_are_those_of_the_samples() {
        let output = Output::Regression {
            target: "y",
            mean: 10.0,
            std: 2.0,
            noise_variance: 0.5,
            interval: 1.0,
            coverage: 0.9,
            epistemic_threshold: 1.0,
        };
        let activation = Activation::Value(0.5);
        let mut moments = Moments::default();
        for f in [2, 4, 12] {
            moments.add(&activation, &mut [f], &mut [], false);
        }
        let Prediction::Regression(prediction) = moments.finish(&output, &activation, &mut [])
        else {
            panic!("regression");
        };
        assert_eq!(prediction.mean, 16.0);
        assert!((prediction.epistemic_variance - 4.0 * 14.0 / 3.0).abs() < 1e-4);
        assert_eq!(prediction.aleatoric_variance, 2.0);
        assert!(prediction.out_of_distribution);
    }
}
