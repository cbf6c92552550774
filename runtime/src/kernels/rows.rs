//! Products of four rows at a time, so that each input is loaded once for four products: portable.

use fiberwalk_formats::INPUT_GROUP;

/// Weights of four rows and one group of inputs, row by row.
const BLOCK: usize = 4 * INPUT_GROUP;

/// Σ_i w_oi x_i of a group of four rows.
pub(super) fn four_rows(group: &[u8], x: &[u8]) -> [i32; 4] {
    let mut sums = [0; 4];
    let (pairs, last) = x.as_chunks::<{ 2 * INPUT_GROUP }>();
    let (blocks, last_block) = group.as_chunks::<{ 2 * BLOCK }>();
    // Two groups of inputs a round: fewer branches.
    for (weights, x) in blocks.iter().zip(pairs) {
        add_block(&mut sums, weights, x);
        add_block(&mut sums, &weights[BLOCK..], &x[INPUT_GROUP..]);
    }
    add_block(&mut sums, last_block, last);
    sums
}

#[inline(always)]
fn add_block(sums: &mut [i32; 4], weights: &[u8], x: &[u8]) {
    let rows = weights.as_chunks::<INPUT_GROUP>().0;
    for (sum, row) in sums.iter_mut().zip(rows) {
        *sum += row.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum::<i32>();
    }
}

/// Σ_i x_i.
pub(super) fn byte_sum(x: &[u8]) -> i32 {
    x.iter().map(|&x| i32::from(x)).sum()
}
