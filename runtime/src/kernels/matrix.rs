//! Matrix times vector of bytes.

use fiberwalk_formats::{Bits, Dense, I16s, INPUT_GROUP};

use super::rows::{Group, byte_sum, eight_rows, four_rows};

/// sums_o = bias_o + Σ_i w_oi x_i, for `x: [inputs]` padded with zeros to whole groups of inputs.
pub(crate) fn dense(matrix: &Dense<'_>, x: &[u8], sums: &mut [i32]) {
    start(matrix, matrix.bias, x, sums);
    multiply(matrix, matrix.weights.bytes(), x, sums);
}

/// [`dense`], as a function of its own: where it is called more often, or costs little beside what it
/// is called for.
#[inline(never)]
pub(crate) fn affine(matrix: &Dense<'_>, x: &[u8], sums: &mut [i32]) {
    dense(matrix, x, sums);
}

/// sums_o += (Σ_k a_ok v_k) >> shift, rounding halves up, of `v: [rank]` padded with zeros; a
/// negative shift goes left.
pub(crate) fn add_factor(a: &[u8], v: &[i8], shift: i8, sums: &mut [i32]) {
    match *v.as_chunks().0 {
        // Few inputs stay in registers.
        [one] => add_rows(a, &[one], shift, sums),
        [one, two] => add_rows(a, &[one, two], shift, sums),
        ref groups => add_rows(a, groups, shift, sums),
    }
}

#[inline(always)]
fn add_rows(a: &[u8], v: &[[i8; INPUT_GROUP]], shift: i8, sums: &mut [i32]) {
    let left = shift.min(0).unsigned_abs().into();
    let right = shift.max(0).unsigned_abs().into();
    let add = |sum: &mut i32, part: i32| {
        *sum = sum.wrapping_add(part.wrapping_shl(left).wrapping_shr(right));
    };
    let half = (1u32.wrapping_shl(right) >> 1) as i32;
    let total = v.iter().fold(0, |sum, v| Group::new(v).add_products(&[1; INPUT_GROUP], sum));
    // Half a unit of the right shift, less what the offset of the stored weights adds.
    let start = half.wrapping_sub(total.wrapping_mul(Bits::Eight.offset()));
    let mut weights = a.as_chunks::<INPUT_GROUP>().0;
    let (groups, remainder) = sums.as_chunks_mut::<4>();
    for sums in groups {
        let Some((group, rest)) = weights.split_at_checked(4 * v.len()) else { return };
        weights = rest;
        let mut parts = [start; 4];
        for (v, block) in v.iter().zip(group.as_chunks::<4>().0) {
            let v = Group::new(v);
            for (part, row) in parts.iter_mut().zip(block) {
                *part = v.add_products(row, *part);
            }
        }
        sums.iter_mut().zip(parts).for_each(|(sum, part)| add(sum, part));
    }
    for sum in remainder {
        let Some((row, rest)) = weights.split_at_checked(v.len()) else { return };
        weights = rest;
        let products = v.iter().zip(row);
        add(sum, products.fold(start, |part, (v, row)| Group::new(v).add_products(row, part)));
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
    use fiberwalk_formats::{MAX_RANK, U8s, pack, padded};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn dense_is_the_matrix_product(
            inputs in 1usize..70,
            outputs in 1usize..20,
            eight in any::<bool>(),
            shift in 0u8..=30,
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
            let mut sums = [7i32; 20];
            dense(&layer, x, &mut sums[..outputs]);
            let mut v = [0i8; 72];
            v.iter_mut().zip(x).for_each(|(v, &x)| *v = x as i8);
            let v = &v[..padded(inputs)];
            let (mut added, mut left) = ([7i32; 20], [7i32; 20]);
            let factor = inputs <= MAX_RANK && eight;
            if factor {
                let add = |shift: i8, sums: &mut [i32; 20]| {
                    add_factor(packed, v, shift, &mut sums[..outputs]);
                };
                add(shift as i8, &mut added);
                add(-3, &mut left);
            }
            for (output, bias) in layer.bias.iter().map(|bias| i32::from(bias) << 3).enumerate() {
                let row = &weights[output * inputs..][..inputs];
                let product: i32 =
                    row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                prop_assert_eq!(sums[output], bias + product);
                if factor {
                    let product: i32 =
                        row.iter().zip(v).map(|(&w, &v)| i32::from(w) * i32::from(v)).sum();
                    let half = if shift > 0 { 1 << (shift - 1) } else { 0 };
                    prop_assert_eq!(left[output], 7 + (product << 3));
                    prop_assert_eq!(added[output], 7 + ((product + half) >> shift));
                }
                for (input, &w) in row.iter().enumerate() {
                    prop_assert_eq!(layer.weight(output, input), w);
                }
            }
            prop_assert_eq!(sums[outputs..].iter().max().copied().unwrap_or(7), 7);
        }
    }
}
