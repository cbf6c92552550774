//! Products of several rows at a time, so that each input is loaded once for all, without assembly:
//! what `rows_*.rs` have no better way for.

use fiberwalk_formats::INPUT_GROUP;

/// sums_o += Σ_i w_oi x_i of a group of four rows. A function of its own, so that the sums stay in
/// registers.
#[cfg(not(fiberwalk_thumb))]
#[inline(never)]
pub(super) fn four_rows(group: &[u8], x: &[u8], sums: &mut [i32; 4]) {
    let (blocks, x) = (group.as_chunks::<{ 4 * INPUT_GROUP }>().0, x.as_chunks::<INPUT_GROUP>().0);
    let mut own = *sums;
    for (weights, x) in blocks.iter().zip(x) {
        for (sum, row) in own.iter_mut().zip(weights.as_chunks::<INPUT_GROUP>().0) {
            for (&w, &x) in row.iter().zip(x) {
                *sum = sum.wrapping_add(i32::from(w).wrapping_mul(x.into()));
            }
        }
    }
    *sums = own;
}

/// sums_o += Σ_i w_oi x_i of a group of eight rows of int4 weights, two a byte: the products of the whole
/// bytes and of their upper halves tell those of the lower ones.
#[cfg(not(fiberwalk_thumb))]
#[inline(never)]
pub(super) fn eight_rows(group: &[u8], x: &[u8], sums: &mut [i32; 8]) {
    let (mut whole, mut upper) = ([0i32; 4], [0i32; 4]);
    for (weights, &x) in group.as_chunks::<4>().0.iter().zip(x) {
        for ((whole, upper), &pair) in whole.iter_mut().zip(&mut upper).zip(weights) {
            *whole = whole.wrapping_add(i32::from(pair).wrapping_mul(x.into()));
            *upper = upper.wrapping_add(i32::from(pair >> 4).wrapping_mul(x.into()));
        }
    }
    for ((sums, whole), upper) in sums.as_chunks_mut::<2>().0.iter_mut().zip(whole).zip(upper) {
        sums[0] = sums[0].wrapping_add(whole).wrapping_sub(upper << 4);
        sums[1] = sums[1].wrapping_add(upper);
    }
}

/// Channels of a depthwise convolution that are computed together.
pub(super) const CHANNELS: usize = 4;

/// sums_c += Σ_p w_pc x_pc of signed weights, for the first channels of every position: `step` bytes
/// farther on in both.
#[inline(never)]
pub(super) fn four_channels(
    mut weights: &[u8],
    mut x: &[u8],
    step: usize,
    positions: usize,
    sums: &mut [i32; CHANNELS],
) {
    let mut own = *sums;
    for _ in 0..positions {
        let (Some(w), Some(bytes)) = (weights.first_chunk(), x.first_chunk()) else { break };
        let (w, bytes): (&[u8; CHANNELS], &[u8; CHANNELS]) = (w, bytes);
        for ((sum, &w), &x) in own.iter_mut().zip(w).zip(bytes) {
            *sum = sum.wrapping_add(i32::from(w as i8) * i32::from(x));
        }
        weights = weights.get(step..).unwrap_or_default();
        x = x.get(step..).unwrap_or_default();
    }
    *sums = own;
}

/// A group of signed inputs.
pub(super) struct Group([i32; INPUT_GROUP]);

impl Group {
    #[inline(always)]
    pub fn new(x: &[i8; INPUT_GROUP]) -> Self {
        Self(x.map(i32::from))
    }

    /// sum + Σ_i w_i x_i.
    #[inline(always)]
    pub fn add_products(&self, weights: &[u8; INPUT_GROUP], sum: i32) -> i32 {
        let products = weights.iter().zip(self.0).map(|(&w, x)| i32::from(w).wrapping_mul(x));
        products.fold(sum, i32::wrapping_add)
    }
}

/// Σ_i x_i of whole groups of inputs.
pub(super) fn byte_sum(x: &[u8]) -> i32 {
    let groups = x.as_chunks::<INPUT_GROUP>().0.iter();
    groups.map(|group| group.iter().map(|&x| i32::from(x)).sum::<i32>()).sum()
}
