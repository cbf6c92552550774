//! From accumulators to the next layer's bytes, to logits, and to modulations.

use fiberwalk_formats::{
    Activation, HARD_SWISH_UNITS, HardSwish, Rescale, Trunk, ZERO_POINT, padded,
};

use super::matrix::dense;
use super::{head, head_mut, saturate_8, saturate_16, shift_round};
use crate::tables::TANH;

/// A hidden layer's activation, then zeros up to a whole group of inputs, or to the end of `out`. The
/// last layer has none: its accumulators become the outputs.
pub(crate) fn activate(activation: &Activation<'_>, sums: &[i32], out: &mut [u8]) {
    let len = padded(sums.len()).min(out.len());
    let out = head_mut(out, len);
    match activation {
        Activation::Tanh(rescale) => tanh(rescale, sums, out),
        Activation::Relu(rescale) => {
            for (out, value) in out.iter_mut().zip(rescaled(rescale, sums)) {
                *out = byte(value);
            }
        }
        Activation::Linear(rescale) => linear(rescale, sums, out),
        Activation::HardSwish(swish) => hard_swish(swish, sums, out),
        Activation::Logits(_) | Activation::Value(_) => {}
    }
    out.iter_mut().skip(sums.len()).for_each(|pad| *pad = 0);
}

/// Accumulators to logits in units of ln 2 / 2^14, in place; returns the largest.
pub(crate) fn logits(rescale: &Rescale<'_>, sums: &mut [i32]) -> i32 {
    let mut largest = i32::MIN;
    for (sum, multiplier) in sums.iter_mut().zip(rescale.multiplier.iter()) {
        *sum = scale(*sum, rescale.before, multiplier, rescale.after);
        largest = largest.max(*sum);
    }
    largest
}

/// The trunk: `code: [k]` through `hidden` activations to `modulation`, by way of `sums`.
pub(crate) fn modulation(
    trunk: &Trunk<'_>,
    code: &[u8],
    hidden: &mut [u8],
    sums: &mut [i32],
    modulation: &mut [i8],
) {
    let sums_hidden = head_mut(sums, trunk.hidden.outputs.into());
    dense(&trunk.hidden, code, sums_hidden);
    tanh(&trunk.hidden_rescale, sums_hidden, hidden);
    hidden.iter_mut().skip(sums_hidden.len()).for_each(|pad| *pad = 0);
    let sums = head_mut(sums, trunk.output.outputs.into());
    dense(&trunk.output, head(hidden, padded(trunk.output.inputs.into())), sums);
    for (out, value) in modulation.iter_mut().zip(rescaled(&trunk.output_rescale, sums)) {
        *out = saturate_8(value) as i8;
    }
}

fn tanh(rescale: &Rescale<'_>, sums: &[i32], out: &mut [u8]) {
    const HALF: i32 = TANH.len() as i32 / 2;
    for (out, units) in out.iter_mut().zip(rescaled(rescale, sums)) {
        let index = units.clamp(-HALF, HALF - 1) + HALF;
        *out = TANH[index as usize & (TANH.len() - 1)];
    }
}

#[inline(never)]
fn linear(rescale: &Rescale<'_>, sums: &[i32], out: &mut [u8]) {
    for (out, value) in out.iter_mut().zip(rescaled(rescale, sums)) {
        *out = byte(i32::from(ZERO_POINT) + value);
    }
}

#[inline(never)]
fn hard_swish(swish: &HardSwish<'_>, sums: &[i32], out: &mut [u8]) {
    const THREE: i32 = 3 * HARD_SWISH_UNITS;
    for (out, r) in out.iter_mut().zip(rescaled(&swish.rescale, sums)) {
        let r = saturate_16(r);
        let h = r * (r + THREE).clamp(0, 2 * THREE);
        let value = scale(h, swish.before, swish.multiplier, swish.after);
        *out = byte(i32::from(swish.zero) + value);
    }
}

/// The nearest byte.
fn byte(value: i32) -> u8 {
    value.clamp(0, u8::MAX.into()) as u8
}

fn rescaled(rescale: &Rescale<'_>, sums: &[i32]) -> impl Iterator<Item = i32> {
    let (before, after) = (rescale.before, rescale.after);
    let pairs = sums.iter().zip(rescale.multiplier.iter());
    pairs.map(move |(&sum, multiplier)| scale(sum, before, multiplier, after))
}

/// (sat16(sum >> before) · multiplier + 2^(after − 1)) >> after.
fn scale(sum: i32, before: u8, multiplier: i16, after: u8) -> i32 {
    let sixteen = saturate_16(sum.wrapping_shr(before.into()));
    shift_round(sixteen * i32::from(multiplier), after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shifts_round_halves_up(value in -(1i32 << 30)..1 << 30, shift in 1u8..=31) {
            let exact = libm::floor(f64::from(value) / libm::exp2(f64::from(shift)) + 0.5);
            prop_assert_eq!(f64::from(shift_round(value, shift)), exact);
        }
    }
}
