//! Matrix times vector of bytes.

use fiberwalk_formats::{Bits, Dense};

use super::rows::{byte_sum, four_rows};

/// Where the products of [`dense`] go.
#[derive(Clone, Copy)]
pub(crate) enum Into {
    /// They replace the sums.
    Sums,
    /// They are shifted right and replace the sums.
    Shifted(u8),
    /// They are shifted right, or left where that is negative, and added to the sums.
    Added(i8),
}

/// sums_o = bias_o + Σ_i w_oi x_i, for `x: [inputs]` padded with zeros to whole groups of inputs.
#[inline(never)]
pub(crate) fn dense(matrix: &Dense<'_>, x: &[u8], sums: &mut [i32], into: Into) {
    let (keep, right) = match into {
        Into::Sums => (0, 0),
        Into::Shifted(shift) => (0, u32::from(shift)),
        Into::Added(shift) => (-1, shift.max(0).unsigned_abs().into()),
    };
    let left = match into {
        Into::Added(shift) => shift.min(0).unsigned_abs().into(),
        Into::Sums | Into::Shifted(_) => 0,
    };
    // What the offset of the stored weights adds to every product.
    let excess = matrix.bits.offset().wrapping_mul(byte_sum(x));
    let mut sums = sums.iter_mut().zip(matrix.bias.iter());
    let mut put = |product: i32| {
        if let Some((sum, bias)) = sums.next() {
            let whole = bias.wrapping_sub(excess).wrapping_add(product);
            let shifted = whole.unbounded_shl(left).unbounded_shr(right);
            *sum = (*sum & keep).wrapping_add(shifted);
        }
    };
    let (inputs, outputs) = (usize::from(matrix.inputs), usize::from(matrix.outputs));
    let (bytes, rows) = matrix.bits.group(inputs);
    let mut weights = matrix.weights.bytes();
    for _ in 0..outputs / rows {
        let Some((group, rest)) = weights.split_at_checked(bytes) else { return };
        weights = rest;
        match matrix.bits {
            Bits::Eight => four_rows(group, x).into_iter().for_each(&mut put),
            Bits::Four => eight_rows(group, x).into_iter().for_each(&mut put),
        }
    }
    for _ in 0..outputs % rows {
        let Some((row, rest)) = weights.split_at_checked(matrix.bits.row(inputs)) else { return };
        weights = rest;
        put(match matrix.bits {
            Bits::Eight => row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum(),
            Bits::Four => pairs(row, x),
        });
    }
}

/// Σ_i w_i x_i of eight rows of int4 weights. Two rows are multiplied at once: in a 32-bit word
/// two 4-bit weights lie 16 bits apart, and 16 products with bytes fit into 16 bits.
fn eight_rows(group: &[u8], x: &[u8]) -> [i32; 8] {
    /// Inputs whose products fit: 16 · 15 · 255 < 2^16.
    const INPUTS: usize = 16;
    /// The lower one of every four nibbles.
    const PAIR: u32 = 0x000f_000f;
    let mut sums = [0; 8];
    for (weights, x) in group.chunks(4 * INPUTS).zip(x.chunks(INPUTS)) {
        let mut pairs = [0u32; 4];
        for (&word, &x) in weights.as_chunks::<4>().0.iter().zip(x) {
            let word = u32::from_le_bytes(word);
            for (pair, shift) in pairs.iter_mut().zip([0, 4, 8, 12]) {
                *pair = pair.wrapping_add(((word >> shift) & PAIR).wrapping_mul(x.into()));
            }
        }
        let [first, second] = [0, 16].map(|shift| pairs.map(|pair| (pair >> shift) & 0xffff));
        for (sum, part) in sums.iter_mut().zip(first.into_iter().chain(second)) {
            *sum += part as i32;
        }
    }
    sums
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
    use fiberwalk_formats::{I32s, U8s, pack, padded};
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
            let mut bias = [0u8; 80];
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
                bias: I32s::new(&bias[..4 * outputs]),
            };
            let x = &x[..padded(inputs)];
            let (mut sums, mut added, mut shifted) = ([7i32; 20], [7i32; 20], [7i32; 20]);
            dense(&layer, x, &mut sums[..outputs], Into::Sums);
            dense(&layer, x, &mut added[..outputs], Into::Added(shift as i8));
            dense(&layer, x, &mut shifted[..outputs], Into::Shifted(shift));
            for (output, bias) in layer.bias.iter().enumerate() {
                let row = &weights[output * inputs..][..inputs];
                let product: i32 =
                    row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                prop_assert_eq!(sums[output], bias + product);
                prop_assert_eq!(shifted[output], (bias + product) >> shift);
                prop_assert_eq!(added[output], 7 + ((bias + product) >> shift));
                for (input, &w) in row.iter().enumerate() {
                    prop_assert_eq!(layer.weight(output, input), w);
                }
            }
            prop_assert_eq!(sums[outputs..].iter().max().copied().unwrap_or(7), 7);
        }
    }
}
