//! The integer kernels: matrix products, shifts and activations.

use fiberwalk_formats::{Activation, Dense, Factors, Rescale, Shifts};

use crate::tables::TANH;

/// sums_o = bias_o + Σ_i w_oi x_i. Four rows at a time, so that each input is loaded once for
/// four products.
pub(crate) fn dense(dense: &Dense<'_>, x: &[i8], sums: &mut [i32]) {
    let inputs = usize::from(dense.inputs);
    let x = &x[..inputs];
    for (sum, bias) in sums.iter_mut().zip(dense.bias.iter()) {
        *sum = bias;
    }
    let sums = &mut sums[..usize::from(dense.outputs)];
    let mut rows = dense.weights.as_slice().chunks_exact(4 * inputs);
    let mut blocks = sums.chunks_exact_mut(4);
    for (block, rows) in blocks.by_ref().zip(rows.by_ref()) {
        let (w0, rest) = rows.split_at(inputs);
        let (w1, rest) = rest.split_at(inputs);
        let (w2, w3) = rest.split_at(inputs);
        let (mut s0, mut s1, mut s2, mut s3) = (0i32, 0i32, 0i32, 0i32);
        for ((((&x, &w0), &w1), &w2), &w3) in x.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
            let x = i32::from(x);
            s0 += x * i32::from(w0);
            s1 += x * i32::from(w1);
            s2 += x * i32::from(w2);
            s3 += x * i32::from(w3);
        }
        for (sum, s) in block.iter_mut().zip([s0, s1, s2, s3]) {
            *sum += s;
        }
    }
    let rows = rows.remainder().chunks_exact(inputs);
    for (sum, row) in blocks.into_remainder().iter_mut().zip(rows) {
        *sum += row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
    }
}

/// Right shift that rounds halves up; `shift` is at most 31.
fn shift_round(value: i32, shift: u8) -> i32 {
    if shift == 0 { value } else { ((value >> (shift - 1)).wrapping_add(1)) >> 1 }
}

/// The nearest i16.
fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// A projection's accumulators as 16-bit values.
pub(crate) fn narrow(sums: &[i32], shifts: Shifts, projection: &mut [i16]) {
    for (p, &sum) in projection.iter_mut().zip(sums) {
        *p = saturate(shift_round(sum, shifts.projection));
    }
}

/// One projected value under its modulation.
fn modulate(projection: i16, modulation: i16, shifts: Shifts) -> i32 {
    let product = i32::from(projection) * i32::from(modulation);
    i32::from(saturate(shift_round(product, shifts.modulation)))
}

/// Adds the decoder's part to a layer's accumulators. `projection` is overwritten.
pub(crate) fn add_factors(
    factors: &Factors<'_>,
    projection: &mut [i16],
    modulation: &[i16],
    sums: &mut [i32],
) {
    match factors {
        Factors::Frozen => {}
        Factors::LowRank(factors) => {
            let rank = usize::from(factors.projection.outputs);
            let values = &mut projection[..rank];
            for (v, &m) in values.iter_mut().zip(modulation) {
                *v = saturate(modulate(*v, m, factors.shifts));
            }
            for (sum, row) in sums.iter_mut().zip(factors.a.as_slice().chunks_exact(rank)) {
                let products = row.iter().zip(&*values).map(|(&a, &v)| i32::from(a) * i32::from(v));
                *sum += shift_round(products.sum(), factors.shifts.sum);
            }
        }
        Factors::Dense(factors) => {
            let outputs = usize::from(factors.projection.outputs) / usize::from(factors.count);
            for (output, sum) in sums.iter_mut().take(outputs).enumerate() {
                let column = projection.iter().skip(output).step_by(outputs);
                let products =
                    column.zip(modulation).map(|(&p, &m)| modulate(p, m, factors.shifts));
                *sum += shift_round(products.sum(), factors.shifts.sum);
            }
        }
    }
}

/// (acc · multiplier + 2^(shift − 1)) >> shift, saturated to i32.
fn rescale(sum: i32, multiplier: i32, shift: u8) -> i32 {
    let product = i64::from(sum) * i64::from(multiplier);
    let scaled = ((product >> (shift - 1)) + 1) >> 1;
    scaled.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Rescaled accumulators through the tanh table.
pub(crate) fn tanh(sums: &[i32], scale: &Rescale<'_>, out: &mut [i8]) {
    for ((out, &sum), multiplier) in out.iter_mut().zip(sums).zip(scale.multiplier.iter()) {
        let units = rescale(sum, multiplier, scale.shift);
        let value = TANH[units.unsigned_abs().min(255) as usize];
        *out = if units < 0 { -value } else { value };
    }
}

/// Rescaled accumulators as 16-bit values.
pub(crate) fn rescale_to_i16(sums: &[i32], scale: &Rescale<'_>, out: &mut [i16]) {
    for ((out, &sum), multiplier) in out.iter_mut().zip(sums).zip(scale.multiplier.iter()) {
        *out = saturate(rescale(sum, multiplier, scale.shift));
    }
}

/// A hidden layer's activation: accumulators to int8. The identity belongs to the last layer,
/// whose accumulators become floats instead.
pub(crate) fn activate(activation: &Activation<'_>, sums: &[i32], out: &mut [i8]) {
    match activation {
        Activation::Tanh(scale) => tanh(sums, scale, out),
        Activation::Relu(scale) => {
            for ((out, &sum), multiplier) in out.iter_mut().zip(sums).zip(scale.multiplier.iter()) {
                *out = rescale(sum, multiplier, scale.shift).clamp(0, 127) as i8;
            }
        }
        Activation::Identity(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use fiberwalk_formats::{I8s, I32s};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dense_is_the_matrix_product(
            inputs in 1usize..20,
            outputs in 1usize..10,
            seed in any::<[u8; 32]>(),
        ) {
            let byte = |index: usize| seed[index % 32].wrapping_mul(index as u8 | 1);
            let mut weights = [0u8; 200];
            let mut x = [0i8; 20];
            let mut bias = [0u8; 40];
            weights.iter_mut().enumerate().for_each(|(index, w)| *w = byte(index));
            x.iter_mut().enumerate().for_each(|(index, x)| *x = byte(index + 7) as i8);
            bias.iter_mut().enumerate().for_each(|(index, b)| *b = byte(index + 3) & 0x1f);
            let layer = Dense {
                inputs: inputs as u16,
                outputs: outputs as u16,
                weights: I8s::new(&weights[..inputs * outputs]),
                bias: I32s::new(&bias[..4 * outputs]),
            };
            let mut sums = [0i32; 10];
            dense(&layer, &x, &mut sums[..outputs]);
            for (output, bias) in layer.bias.iter().enumerate() {
                let row = &layer.weights.as_slice()[output * inputs..][..inputs];
                let product: i64 =
                    row.iter().zip(&x).map(|(&w, &x)| i64::from(w) * i64::from(x)).sum();
                prop_assert_eq!(i64::from(sums[output]), i64::from(bias) + product);
            }
        }

        #[test]
        fn shifts_round_halves_up(value in any::<i32>(), shift in 0u8..=31) {
            let exact = libm::floor(f64::from(value) / libm::exp2(f64::from(shift)) + 0.5);
            prop_assert_eq!(f64::from(shift_round(value, shift)), exact);
        }
    }
}
