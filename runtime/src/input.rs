//! Inputs: from features to the bytes that the first layer reads.

use fiberwalk_formats::{Normalisation, ZERO_POINT, padded};

use crate::error::PredictError;
use crate::kernels::{head_mut, saturate_8};

/// One input feature: a number in the units of the training data, or a sensor's raw reading.
///
/// Implemented for `f32`, `u8`, `i8` and `i16`. A model exported for raw readings normalises them
/// in integers, without a floating-point operation; other models, and other types than the one it
/// was exported for, give the same prediction at the price of a conversion.
pub trait Feature: Copy + sealed::Sealed {
    /// The value.
    #[doc(hidden)]
    fn float(self) -> f32;

    /// Whether the value is neither NaN nor infinite.
    #[doc(hidden)]
    fn finite(self) -> bool;

    /// The value, rounded to the nearest whole number, halves away from zero, and saturated.
    #[doc(hidden)]
    fn whole(self) -> i16;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for f32 {}

impl Feature for f32 {
    fn float(self) -> f32 {
        self
    }

    fn finite(self) -> bool {
        self.is_finite()
    }

    fn whole(self) -> i16 {
        libm::roundf(self) as i16
    }
}

macro_rules! reading {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {}

        impl Feature for $type {
            fn float(self) -> f32 {
                self.into()
            }

            fn finite(self) -> bool {
                true
            }

            fn whole(self) -> i16 {
                self.into()
            }
        }
    )*};
}

reading!(u8, i8, i16);

/// Bytes 128 + q of `input: [features]`, then zeros up to a whole group of inputs. Where there are
/// more features than `normalisation` is for, they are channels-last, and it is for the channels.
pub(crate) fn quantise<F: Feature>(
    normalisation: &Normalisation<'_>,
    expected: usize,
    input: &[F],
    out: &mut [u8],
) -> Result<(), PredictError> {
    if input.len() != expected {
        return Err(PredictError::InputLen { expected, found: input.len() });
    }
    if let Some(index) = input.iter().position(|x| !x.finite()) {
        return Err(PredictError::InputNotFinite { index });
    }
    let out = head_mut(out, padded(expected));
    let channels = normalisation.len().max(1);
    for (input, out) in input.chunks(channels).zip(out.chunks_mut(channels)) {
        quantise_each(normalisation, input, out);
    }
    out.iter_mut().skip(expected).for_each(|pad| *pad = 0);
    Ok(())
}

/// One input a channel.
#[inline(never)]
fn quantise_each<F: Feature>(normalisation: &Normalisation<'_>, input: &[F], out: &mut [u8]) {
    let byte = |q: i32| (i32::from(ZERO_POINT) + q) as u8;
    match normalisation {
        Normalisation::Float { mean, scale } => {
            let numbers = mean.iter().zip(scale.iter());
            for ((out, x), (mean, scale)) in out.iter_mut().zip(input).zip(numbers) {
                *out = byte(round_to_i8((x.float() - mean) * scale));
            }
        }
        Normalisation::Whole { multiplier, offset, offset_shift, shift, .. } => {
            let numbers = multiplier.iter().zip(offset.iter());
            for ((out, x), (multiplier, offset)) in out.iter_mut().zip(input).zip(numbers) {
                let offset = i32::from(offset).wrapping_shl((*offset_shift).into());
                let q = i32::from(x.whole()) * i32::from(multiplier) + offset;
                *out = byte(saturate_8(q.wrapping_shr((*shift).into())));
            }
        }
    }
}

/// clamp(round(t), −127, 127), halves away from zero, without floating-point arithmetic: boards
/// without it spend a hundred instructions on an addition.
fn round_to_i8(t: f32) -> i32 {
    /// Bits of the fraction.
    const FRACTION: u32 = 23;
    /// Biased exponents of 1/2 and of 128.
    const HALF: u32 = 126;
    const BEYOND: u32 = 134;
    let bits = t.to_bits();
    let magnitude = match (bits >> FRACTION) & 0xff {
        0..HALF => 0,
        exponent @ HALF..BEYOND => {
            let mantissa = (bits & ((1 << FRACTION) - 1)) | (1 << FRACTION);
            let halves = mantissa.wrapping_shr(FRACTION + HALF - exponent);
            halves.div_ceil(2).min(127) as i32
        }
        _ => 127,
    };
    if t.is_sign_negative() { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use fiberwalk_formats::{I16s, Reading};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_the_function(t in -140.0f32..140.0, half in -130i32..130) {
            for t in [t, half as f32 / 2.0, (half as f32 / 2.0).next_down(), t / 100.0] {
                let exact = libm::roundf(t).clamp(-127.0, 127.0);
                prop_assert_eq!(round_to_i8(t) as f32, exact, "{}", t);
            }
        }

        #[test]
        fn every_type_of_a_reading_gives_the_same_bytes(x in any::<[u8; 5]>()) {
            // 2^14 and 2^13.
            let (multiplier, offset) = ([0x00, 0x40].repeat(5), [0x00, 0x08].repeat(5));
            let normalisation = Normalisation::Whole {
                reading: Reading::U8,
                multiplier: I16s::new(&multiplier),
                offset: I16s::new(&offset),
                offset_shift: 2,
                shift: 14,
            };
            let mut expected = [1; 8];
            quantise(&normalisation, 5, &x, &mut expected)?;
            let mut found = [2; 8];
            quantise(&normalisation, 5, &x.map(f32::from), &mut found)?;
            prop_assert_eq!(found, expected);
            quantise(&normalisation, 5, &x.map(i16::from), &mut found)?;
            prop_assert_eq!(found, expected);
            prop_assert_eq!(&found[5..], &[0; 3]);
            for (byte, x) in found.into_iter().zip(x) {
                prop_assert_eq!(i32::from(byte) - 128, i32::from(x).min(127));
            }
        }
    }

    #[test]
    fn rounding_saturates() {
        for (t, q) in [(f32::MAX, 127), (f32::INFINITY, 127), (f32::MIN, -127), (1e-40, 0)] {
            assert_eq!(round_to_i8(t), q);
        }
    }
}
