//! Matrix times vector of bytes.

use fiberwalk_formats::{Bits, Dense, I16s, INPUT_GROUP};

use super::head_mut;
use super::rows::{byte_sum, eight_rows, four_rows};

/// Outputs of whole groups of rows, whatever the bits.
const CHUNK: usize = 8;

/// sums_o = bias_o + Σ_i w_oi x_i, for `x: [inputs]` padded with zeros to whole groups of inputs.
pub(crate) fn dense(matrix: &Dense<'_>, x: &[u8], sums: &mut [i32]) {
    start(matrix, matrix.bias, x, sums);
    multiply(matrix, matrix.weights.bytes(), x, sums);
}

/// sums_o += (bias_o + Σ_i w_oi x_i) >> shift; a negative shift goes left.
pub(crate) fn add_dense(matrix: &Dense<'_>, x: &[u8], shift: i8, sums: &mut [i32]) {
    let right = shift.max(0).unsigned_abs().into();
    let left = shift.min(0).unsigned_abs().into();
    let bytes = matrix.bits.len(matrix.inputs.into(), CHUNK);
    let (mut weights, mut biases) = (matrix.weights.bytes(), matrix.bias);
    for sums in sums.chunks_mut(CHUNK) {
        // The last rows are no group and may take more bytes than one.
        let whole = if sums.len() == CHUNK { weights.split_at_checked(bytes) } else { None };
        let (own, rest) = whole.unwrap_or((weights, &[]));
        let (bias, later) = biases.split_at(CHUNK);
        let mut parts = [0; CHUNK];
        let parts = head_mut(&mut parts, sums.len());
        start(matrix, bias, x, parts);
        multiply(matrix, own, x, parts);
        for (sum, &part) in sums.iter_mut().zip(&*parts) {
            *sum = sum.wrapping_add(part.wrapping_shl(left).wrapping_shr(right));
        }
        (weights, biases) = (rest, later);
    }
}

/// Biases, less what the offset of the stored weights adds to the products.
fn start(matrix: &Dense<'_>, bias: I16s<'_>, x: &[u8], sums: &mut [i32]) {
    let excess = matrix.bits.offset().wrapping_mul(byte_sum(x));
    let shift = matrix.bias_shift.into();
    for (sum, bias) in sums.iter_mut().zip(bias.iter()) {
        *sum = i32::from(bias).wrapping_shl(shift).wrapping_sub(excess);
    }
}

/// sums_o += Σ_i (w_oi + offset) x_i of the rows in `weights`.
#[inline(never)]
fn multiply(matrix: &Dense<'_>, mut weights: &[u8], x: &[u8], sums: &mut [i32]) {
    let inputs = usize::from(matrix.inputs);
    let (bytes, _) = matrix.bits.group(inputs);
    let remainder = match matrix.bits {
        Bits::Eight => {
            #[cfg(fiberwalk_riscv)]
            let sums = {
                let (pairs, rest) = sums.as_chunks_mut();
                for sums in pairs {
                    let Some((groups, rest)) = weights.split_at_checked(2 * bytes) else { return };
                    weights = rest;
                    super::rows::two_groups(groups, x, sums);
                }
                rest
            };
            let (groups, remainder) = sums.as_chunks_mut();
            for sums in groups {
                let Some((group, rest)) = weights.split_at_checked(bytes) else { return };
                weights = rest;
                four_rows(group, x, sums);
            }
            remainder
        }
        Bits::Four => {
            let (groups, remainder) = sums.as_chunks_mut();
            for sums in groups {
                let Some((group, rest)) = weights.split_at_checked(bytes) else { return };
                weights = rest;
                eight_rows(group, x, sums);
            }
            remainder
        }
    };
    for sum in remainder {
        let Some((row, rest)) = weights.split_at_checked(matrix.bits.row(inputs)) else { return };
        weights = rest;
        *sum = sum.wrapping_add(match matrix.bits {
            Bits::Eight => one_row(row, x),
            Bits::Four => pairs(row, x),
        });
    }
}

/// Σ_i w_i x_i of one row of int8 weights, a group of inputs at a time.
fn one_row(row: &[u8], x: &[u8]) -> i32 {
    let groups = row.as_chunks::<INPUT_GROUP>().0.iter().zip(x.as_chunks::<INPUT_GROUP>().0);
    let product = |w: &[u8; INPUT_GROUP], x: &[u8; INPUT_GROUP]| -> i32 {
        w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum()
    };
    groups.map(|(w, x)| product(w, x)).sum()
}

/// Σ_i w_i x_i of one row of int4 weights, two a byte.
fn pairs(row: &[u8], x: &[u8]) -> i32 {
    let products = row.iter().zip(x.as_chunks::<2>().0);
    products
        .map(|(&w, &[x0, x1])| {
            i32::from(w & 15) * i32::from(x0) + i32::from(w >> 4) * i32::from(x1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use fiberwalk_formats::{U8s, pack, padded};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dense_is_the_matrix_product(
            inputs in 1usize..70,
            outputs in 1usize..20,
            eight in any::<bool>(),
            shift in 0u8..=31,
            seed in any::<[u8; 32]>(),
        ) {
            let bits = if eight { Bits::Eight } else { Bits::Four };
            let byte = |index: usize| {
                seed[index % 32].wrapping_mul(index as u8 | 1).wrapping_add((index / 7) as u8)
            };
            let mut weights = [0i8; 1400];
            let mut packed = [0u8; 1600];
            let mut x = [0u8; 72];
            let mut bias = [0u8; 40];
            weights.iter_mut().enumerate().for_each(|(index, w)| {
                let value = byte(index) as i8;
                *w = if eight { value } else { value.clamp(-8, 7) };
            });
            x[..inputs].iter_mut().enumerate().for_each(|(index, x)| *x = byte(index + 7));
            bias.iter_mut().enumerate().for_each(|(index, b)| *b = byte(index + 3) & 0x1f);
            let weights = &weights[..inputs * outputs];
            let packed = &mut packed[..bits.len(inputs, outputs)];
            pack(bits, inputs, weights, packed);
            let layer = Dense {
                inputs: inputs as u16,
                outputs: outputs as u16,
                bits,
                weights: U8s::new(packed),
                bias: I16s::new(&bias[..2 * outputs]),
                bias_shift: 3,
            };
            let x = &x[..padded(inputs)];
            let (mut sums, mut added, mut left) = ([7i32; 20], [7i32; 20], [7i32; 20]);
            dense(&layer, x, &mut sums[..outputs]);
            add_dense(&layer, x, shift as i8, &mut added[..outputs]);
            add_dense(&layer, x, -3, &mut left[..outputs]);
            for (output, bias) in layer.bias.iter().map(|bias| i32::from(bias) << 3).enumerate() {
                let row = &weights[output * inputs..][..inputs];
                let product: i32 =
                    row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                prop_assert_eq!(sums[output], bias + product);
                prop_assert_eq!(left[output], 7 + ((bias + product) << 3));
                prop_assert_eq!(added[output], 7 + ((bias + product) >> shift));
                for (input, &w) in row.iter().enumerate() {
                    prop_assert_eq!(layer.weight(output, input), w);
                }
            }
            prop_assert_eq!(sums[outputs..].iter().max().copied().unwrap_or(7), 7);
        }
    }
}
