//! Activations and their derivatives.

use serde::{Deserialize, Serialize};

use super::simd::{tanh_in_place, vectorised};

/// The function that follows an affine map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Hyperbolic tangent.
    Tanh,
    /// Rectified linear unit, max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x · relu6(x + 3) / 6 (Howard et al. 2019).
    HardSwish,
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::HardSwish => "hard-swish",
        })
    }
}

impl std::str::FromStr for Activation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Identity, Self::Tanh, Self::Relu, Self::Relu6, Self::HardSwish];
        all.into_iter().find(|activation| activation.to_string() == text).ok_or(())
    }
}

impl Activation {
    /// Whether a larger sum never gives a smaller value.
    pub const fn is_monotone(self) -> bool {
        !matches!(self, Self::HardSwish)
    }

    /// Variance of initial weights times their number that keeps the variance of the values.
    pub(super) const fn gain(self) -> f32 {
        match self {
            Self::Identity | Self::Tanh => 1.0,
            Self::Relu | Self::Relu6 | Self::HardSwish => 2.0,
        }
    }

    /// Whether the derivative needs the sums before the activation: its values do not tell.
    pub(super) const fn needs_sums(self) -> bool {
        matches!(self, Self::HardSwish)
    }

    /// Applies the activation to every value.
    pub(super) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Tanh => tanh_in_place(values),
            Self::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
            Self::Relu6 => values.iter_mut().for_each(|x| *x = x.clamp(0.0, 6.0)),
            Self::HardSwish => {
                values.iter_mut().for_each(|x| *x *= (*x + 3.0).clamp(0.0, 6.0) / 6.0);
            }
        }
    }

    /// Multiplies `delta` by the derivative, in terms of the activation's value or, where it
    /// [needs](Self::needs_sums) them, of the sums before it.
    pub(super) fn pull_back(self, values: &[f32], delta: &mut [f32]) {
        #[inline(always)]
        fn each(values: &[f32], delta: &mut [f32], f: impl Fn(f32, f32) -> f32) {
            vectorised(
                #[inline(always)]
                || delta.iter_mut().zip(values).for_each(|(d, &a)| *d = f(*d, a)),
            );
        }
        match self {
            Self::Identity => {}
            Self::Tanh => each(values, delta, |d, a| d * (1.0 - a * a)),
            Self::Relu => each(values, delta, |d, a| if a > 0.0 { d } else { 0.0 }),
            Self::Relu6 => each(values, delta, |d, a| if a > 0.0 && a < 6.0 { d } else { 0.0 }),
            Self::HardSwish => each(values, delta, |d, x| {
                let slope = if x < 3.0 { x / 3.0 + 0.5 } else { 1.0 };
                if x > -3.0 { d * slope } else { 0.0 }
            }),
        }
    }
}
