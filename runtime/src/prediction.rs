//! Calibrated predictions.

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
    /// (epistemic). Before the temperature; resolved to about 10⁻⁴.
    pub mutual_information: f32,
    /// Mean entropy of the samples, nats: doubt that more data would not remove (aleatoric).
    /// Before the temperature.
    pub expected_entropy: f32,
    /// Whether the samples disagree more than on almost all calibration rows.
    pub out_of_distribution: bool,
    pub(crate) set_threshold: f32,
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
        let mut best = (0, -1);
        for (class, &p) in self.probabilities.iter().enumerate() {
            let order = order(p);
            if order > best.1 {
                best = (class, order);
            }
        }
        let (class, _) = best;
        (class, self.probabilities.get(class).copied().unwrap_or(0.0))
    }

    /// The conformal prediction set, class indices in ascending order: it holds the true class
    /// with the calibrated coverage. It can be empty: then no class conforms.
    pub fn set(&self) -> impl Iterator<Item = usize> + use<'s> {
        let threshold = order(self.set_threshold);
        let classes = self.probabilities.iter().enumerate();
        classes.filter(move |&(_, &p)| order(p) >= threshold).map(|(class, _)| class)
    }

    /// Whether the prediction set holds `class`.
    pub fn contains(&self, class: usize) -> bool {
        self.probabilities.get(class).is_some_and(|&p| order(p) >= order(self.set_threshold))
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

/// A whole number that orders finite floats as they are ordered, but for the negative ones, which
/// only come before the others: boards without floating point compare it in one instruction.
fn order(x: f32) -> i32 {
    x.to_bits() as i32
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_order_probabilities_and_thresholds() {
        let ascending = [f32::MIN, -0.5, 0.0, f32::MIN_POSITIVE, 0.25, 0.5, 1.0, f32::MAX];
        for (index, &low) in ascending.iter().enumerate() {
            for &high in ascending.iter().skip(index + 1).filter(|&&high| high >= 0.0) {
                assert!(order(low) < order(high), "{low} {high}");
            }
        }
        assert!(order(-0.0) <= order(0.0));
    }
}
