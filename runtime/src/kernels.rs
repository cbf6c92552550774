//! The integer kernels: matrix products, shifts and activations. Decoding proved that no sum here
//! leaves its type; see the limits in `fiberwalk_formats`.

use fiberwalk_formats::{Activation, Dense, Factors, LowRank, MAX_RANK, Rescale, Shifts, Trunk};

use crate::tables::TANH;

/// Rows of a matrix whose accumulators are held on the stack at a time.
const BLOCK: usize = 8;

/// sums_o = bias_o + Σ_i w_oi x_i for `x: [inputs]`, `sums: [outputs]`.
pub(crate) fn dense(dense: &Dense<'_>, x: &[i8], sums: &mut [i32]) {
    let inputs = usize::from(dense.inputs);
    for (sum, bias) in sums.iter_mut().zip(dense.bias.iter()) {
        *sum = bias;
    }
    multiply(dense.weights.as_slice(), inputs, x, sums);
}

/// `finish` turns accumulators into the first `outputs` elements of `out`, a few at a time: it is
/// given the index of the first, the accumulators, and where the results belong.
fn dense_into<T>(
    dense: &Dense<'_>,
    x: &[i8],
    out: &mut [T],
    finish: impl Fn(usize, &[i32], &mut [T]),
) {
    let inputs = usize::from(dense.inputs);
    let rows = dense.weights.as_slice().chunks(BLOCK * inputs);
    let out = &mut out[..usize::from(dense.outputs)];
    for ((rows, out), start) in rows.zip(out.chunks_mut(BLOCK)).zip((0..).step_by(BLOCK)) {
        let mut sums = [0; BLOCK];
        for (sum, bias) in sums.iter_mut().zip(dense.bias.slice(start, BLOCK).iter()) {
            *sum = bias;
        }
        let len = out.len().min(BLOCK);
        multiply(rows, inputs, x, &mut sums[..len]);
        finish(start, &sums[..len], out);
    }
}

/// sums_o += Σ_i w_oi x_i for `weights: [outputs, inputs]`, `sums: [outputs]`. Four rows at a time,
/// so that each input is loaded once for four products: 3.4 instructions a product on a Cortex-M4,
/// 5.8 on an M0. Two or three rows, or steps of eight inputs, are no faster.
#[inline(never)]
fn multiply(weights: &[i8], inputs: usize, x: &[i8], sums: &mut [i32]) {
    let mut rows = weights.chunks_exact(4 * inputs);
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

/// Right shift by 0 to 31 that rounds halves up.
fn shift_round(value: i32, shift: u8) -> i32 {
    match shift.checked_sub(1) {
        Some(one_less) => {
            let halves = value >> one_less;
            (halves >> 1) + (halves & 1)
        }
        None => value,
    }
}

/// The nearest i16.
fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// A projection of `x` in 16 bits: sat16(sums >> shift).
pub(crate) fn project(projection: &Dense<'_>, x: &[i8], shifts: Shifts, out: &mut [i16]) {
    dense_into(projection, x, out, |_, sums, out| {
        for (p, &sum) in out.iter_mut().zip(sums) {
            *p = saturate(shift_round(sum, shifts.projection));
        }
    });
}

/// One projected value under its modulation.
fn modulate(projection: i16, modulation: i16, shifts: Shifts) -> i16 {
    let product = i32::from(projection) * i32::from(modulation);
    saturate(shift_round(product, shifts.modulation))
}

/// Adds the decoder's part to a layer's accumulators.
pub(crate) fn add_factors(
    factors: &Factors<'_>,
    projection: &[i16],
    modulation: &[i16],
    sums: &mut [i32],
) {
    match factors {
        Factors::Frozen => {}
        Factors::LowRank(factors) => match modulation.len() {
            // A width known to the compiler keeps v in registers.
            4 => add_low_rank_of::<4>(factors, projection, modulation, sums),
            8 => add_low_rank_of::<8>(factors, projection, modulation, sums),
            _ => add_low_rank(factors, projection, modulation, sums),
        },
        Factors::Dense(factors) => {
            let outputs = sums.len();
            for (output, sum) in sums.iter_mut().enumerate() {
                let column = projection.get(output..).unwrap_or_default().iter().step_by(outputs);
                let values = column.zip(modulation).map(|(&p, &m)| modulate(p, m, factors.shifts));
                *sum += shift_round(values.map(i32::from).sum(), factors.shifts.sum);
            }
        }
    }
}

/// sums_o += (Σ_k a_ok · v_k) >> sum, of any rank.
fn add_low_rank(factors: &LowRank<'_>, projection: &[i16], modulation: &[i16], sums: &mut [i32]) {
    let v: [i16; MAX_RANK] = modulated(projection, modulation, factors.shifts);
    let v = &v[..modulation.len().min(MAX_RANK)];
    for (sum, row) in sums.iter_mut().zip(factors.a.as_slice().chunks_exact(v.len())) {
        let products = row.iter().zip(v).map(|(&a, &v)| i32::from(a) * i32::from(v));
        *sum += shift_round(products.sum(), factors.shifts.sum);
    }
}

/// [`add_low_rank`] of rank `N`.
fn add_low_rank_of<const N: usize>(
    factors: &LowRank<'_>,
    projection: &[i16],
    modulation: &[i16],
    sums: &mut [i32],
) {
    let v = modulated::<N>(projection, modulation, factors.shifts).map(i32::from);
    let (rows, _) = factors.a.as_slice().as_chunks::<N>();
    for (sum, row) in sums.iter_mut().zip(rows) {
        let products = row.iter().zip(v).map(|(&a, v)| i32::from(a) * v);
        *sum += shift_round(products.sum(), factors.shifts.sum);
    }
}

/// v_k of all k, then zeros.
fn modulated<const N: usize>(projection: &[i16], modulation: &[i16], shifts: Shifts) -> [i16; N] {
    let mut values = [0; N];
    for ((v, &p), &m) in values.iter_mut().zip(projection).zip(modulation) {
        *v = modulate(p, m, shifts);
    }
    values
}

/// The trunk: `code: [k]` in units of 1/32 through `hidden` activations to `modulation`.
pub(crate) fn modulation(trunk: &Trunk<'_>, code: &[i8], hidden: &mut [i8], out: &mut [i16]) {
    dense_into(&trunk.hidden, code, hidden, |start, sums, out| {
        tanh(&trunk.hidden_rescale, start, sums, out);
    });
    dense_into(&trunk.output, hidden, out, |start, sums, out| {
        let rescaled = rescaled(&trunk.output_rescale, start, sums);
        for (out, value) in out.iter_mut().zip(rescaled) {
            *out = saturate(value);
        }
    });
}

/// A hidden layer's activation: accumulators to int8. The identity belongs to the last layer,
/// whose accumulators become floats instead.
pub(crate) fn activate(activation: &Activation<'_>, sums: &[i32], out: &mut [i8]) {
    match activation {
        Activation::Tanh(rescale) => tanh(rescale, 0, sums, out),
        Activation::Relu(rescale) => {
            for (out, value) in out.iter_mut().zip(rescaled(rescale, 0, sums)) {
                *out = value.clamp(0, 127) as i8;
            }
        }
        Activation::Identity(_) => {}
    }
}

/// The outputs of the network, `[outputs]`: the last layer's accumulators as floats.
pub(crate) fn output_floats(activation: &Activation<'_>, sums: &[i32], out: &mut [f32]) {
    if let Activation::Identity(scale) = activation {
        for ((out, &sum), scale) in out.iter_mut().zip(sums).zip(scale.iter()) {
            *out = sum as f32 * scale;
        }
    }
}

/// tanh of rescaled accumulators, the first of which belongs to output `start`.
fn tanh(rescale: &Rescale<'_>, start: usize, sums: &[i32], out: &mut [i8]) {
    for (out, units) in out.iter_mut().zip(rescaled(rescale, start, sums)) {
        let value = TANH[units.unsigned_abs().min(255) as usize];
        *out = if units < 0 { -value } else { value };
    }
}

/// (sum · multiplier + 2^(shift − 1)) >> shift, saturated to i32, from output `start` on.
fn rescaled(rescale: &Rescale<'_>, start: usize, sums: &[i32]) -> impl Iterator<Item = i32> {
    let shift = rescale.shift;
    let half = 1i64 << (shift - 1);
    let multipliers = rescale.multiplier.slice(start, sums.len());
    sums.iter().zip(multipliers.iter()).map(move |(&sum, multiplier)| {
        let product = i64::from(sum) * i64::from(multiplier) + half;
        match shift.checked_sub(32) {
            // The usual case: only the upper word counts.
            Some(beyond) => ((product >> 32) as i32) >> beyond,
            None => {
                let scaled = product >> shift;
                scaled.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
            }
        }
    })
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
