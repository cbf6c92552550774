//! Calibrated predictions and the sums over samples that they are made from.

use fiberwalk_formats::Output;

/// Smallest probability whose logarithm is taken.
const SMALLEST_PROBABILITY: f32 = f32::MIN_POSITIVE;

/// A calibrated predictive distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Prediction<'s> {
    /// Of a class.
    Classification(Classification<'s>),
    /// Of a number.
    Regression(Regression),
}

/// A predictive distribution over classes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Classification<'s> {
    /// Calibrated probability of every class, `[classes]`.
    pub probabilities: &'s [f32],
    /// Entropy of these probabilities, nats.
    pub entropy: f32,
    /// Mutual information between class and weights, nats: how much the samples disagree
    /// (epistemic). Before the temperature.
    pub mutual_information: f32,
    /// Mean entropy of the samples, nats: doubt that more data would not remove (aleatoric).
    /// Before the temperature.
    pub expected_entropy: f32,
    /// Whether the samples disagree more than on almost all calibration rows.
    pub out_of_distribution: bool,
    set_threshold: f32,
}

/// A predictive distribution of a number, in the target's own units.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Regression {
    /// Mean.
    pub mean: f32,
    /// Total variance: epistemic plus aleatoric.
    pub variance: f32,
    /// Variance between samples (epistemic).
    pub epistemic_variance: f32,
    /// Variance of the noise (aleatoric).
    pub aleatoric_variance: f32,
    /// Lower end of the conformal interval.
    pub lower: f32,
    /// Upper end of the conformal interval.
    pub upper: f32,
    /// Whether the samples disagree more than on almost all calibration rows.
    pub out_of_distribution: bool,
}

impl<'s> Classification<'s> {
    /// The likeliest class and its probability; the first one of equals.
    pub fn top(&self) -> (usize, f32) {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, &p) in self.probabilities.iter().enumerate() {
            if p > best.1 {
                best = (class, p);
            }
        }
        best
    }

    /// The conformal prediction set, class indices in ascending order: it holds the true class
    /// with the calibrated coverage. It can be empty: then no class conforms.
    pub fn set(&self) -> impl Iterator<Item = usize> + use<'s> {
        let threshold = self.set_threshold;
        let classes = self.probabilities.iter().enumerate();
        classes.filter(move |&(_, &p)| p >= threshold).map(|(class, _)| class)
    }

    /// Whether the prediction set holds `class`.
    pub fn contains(&self, class: usize) -> bool {
        self.probabilities.get(class).is_some_and(|&p| p >= self.set_threshold)
    }

    /// Size of the prediction set.
    pub fn set_len(&self) -> usize {
        self.set().count()
    }

    /// Whether there is one answer to act on: the likeliest class alone conforms, and the input
    /// does not look foreign.
    pub fn is_sure(&self) -> bool {
        !self.out_of_distribution && self.set().eq(core::iter::once(self.top().0))
    }
}

impl Regression {
    /// Total standard deviation.
    pub fn std(&self) -> f32 {
        libm::sqrtf(self.variance)
    }

    /// Standard deviation between samples (epistemic).
    pub fn epistemic_std(&self) -> f32 {
        libm::sqrtf(self.epistemic_variance)
    }
}

/// Sums over samples, besides the vector of mean outputs that lies in the scratch buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    samples: usize,
    /// Classification: sum of entropies. Regression: sum of squared deviations from the mean.
    sum: f32,
}

impl Moments {
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Adds the network outputs of one sample; `outputs` is overwritten.
    pub fn add(&mut self, output: &Output<'_>, outputs: &mut [f32], mean: &mut [f32]) {
        self.samples += 1;
        match output {
            Output::Classification { .. } => {
                self.sum += softmax(outputs);
                for (sum, &p) in mean.iter_mut().zip(&*outputs) {
                    *sum += p;
                }
            }
            Output::Regression { .. } => {
                // Welford's update.
                for (mean, &f) in mean.iter_mut().zip(&*outputs) {
                    let deviation = f - *mean;
                    *mean += deviation / self.samples as f32;
                    self.sum += deviation * (f - *mean);
                }
            }
        }
    }

    /// The prediction from at least one sample.
    pub fn finish<'s>(self, output: &Output<'_>, mean: &'s mut [f32]) -> Prediction<'s> {
        let weight = 1.0 / self.samples as f32;
        match *output {
            Output::Classification {
                inverse_temperature,
                set_threshold,
                epistemic_threshold,
                ..
            } => {
                let expected_entropy = self.sum * weight;
                let mut total_entropy = 0.0;
                for p in mean.iter_mut() {
                    *p *= weight;
                    let log = libm::logf(if *p > SMALLEST_PROBABILITY {
                        *p
                    } else {
                        SMALLEST_PROBABILITY
                    });
                    total_entropy -= *p * log;
                    *p = log * inverse_temperature;
                }
                let entropy = softmax(mean);
                let information = total_entropy - expected_entropy;
                let mutual_information = if information > 0.0 { information } else { 0.0 };
                Prediction::Classification(Classification {
                    probabilities: mean,
                    entropy,
                    mutual_information,
                    expected_entropy,
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
                let square = std * std;
                let standardised = mean.first().copied().unwrap_or(0.0);
                let epistemic = self.sum * weight;
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

/// Softmax in place; returns its entropy in nats.
fn softmax(logits: &mut [f32]) -> f32 {
    let mut max = f32::NEG_INFINITY;
    for &logit in &*logits {
        if logit > max {
            max = logit;
        }
    }
    let (mut sum, mut weighted) = (0.0, 0.0);
    for logit in logits.iter_mut() {
        let shifted = *logit - max;
        let e = libm::expf(shifted);
        sum += e;
        weighted += e * shifted;
        *logit = e;
    }
    let inverse = 1.0 / sum;
    for p in logits.iter_mut() {
        *p *= inverse;
    }
    libm::logf(sum) - weighted * inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_and_entropy_of_known_logits() {
        let mut p = [0.0, libm::logf(3.0)];
        let entropy = softmax(&mut p);
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6);
        let exact = -(0.25 * libm::logf(0.25) + 0.75 * libm::logf(0.75));
        assert!((entropy - exact).abs() < 1e-6);
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
        let mut moments = Moments::default();
        let mut mean = [0.0];
        for f in [1.0, 2.0, 6.0] {
            moments.add(&output, &mut [f], &mut mean);
        }
        let Prediction::Regression(prediction) = moments.finish(&output, &mut mean) else {
            panic!("regression");
        };
        assert_eq!(prediction.mean, 16.0);
        assert!((prediction.epistemic_variance - 4.0 * 14.0 / 3.0).abs() < 1e-4);
        assert_eq!(prediction.aleatoric_variance, 2.0);
        assert!(prediction.out_of_distribution);
    }
}
