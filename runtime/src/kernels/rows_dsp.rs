//! Products of four rows at a time with the DSP extension of Armv7E-M and Armv8-M: two products an
//! instruction. The compiler does not form it by itself.
#![allow(unsafe_code, reason = "instructions without an intrinsic")]

use core::arch::asm;

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
    let Some(x) = x.first_chunk() else { return };
    let (even, odd) = halves(u32::from_le_bytes(*x));
    for (sum, row) in sums.iter_mut().zip(weights.as_chunks::<INPUT_GROUP>().0) {
        let (w_even, w_odd) = halves(u32::from_le_bytes(*row));
        *sum = multiply_add(w_odd, odd, multiply_add(w_even, even, *sum));
    }
}

/// Bytes 0 and 2, bytes 1 and 3, as pairs of 16 bits.
#[inline(always)]
fn halves(word: u32) -> (u32, u32) {
    let (even, odd): (u32, u32);
    // SAFETY: registers only.
    unsafe {
        asm!("uxtb16 {}, {}", lateout(reg) even, in(reg) word, options(pure, nomem, nostack, preserves_flags));
        asm!("uxtb16 {}, {}, ror #8", lateout(reg) odd, in(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    (even, odd)
}

/// sum + the products of the two signed halves of `a` and `b`.
#[inline(always)]
fn multiply_add(a: u32, b: u32, sum: i32) -> i32 {
    let result;
    // SAFETY: registers only; the flag Q, which a sum too large would set, is never read.
    unsafe {
        asm!("smlad {}, {}, {}, {}", lateout(reg) result, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack, preserves_flags));
    }
    result
}

/// Σ_i x_i of whole groups of inputs.
pub(super) fn byte_sum(x: &[u8]) -> i32 {
    let mut sum = 0u32;
    for &group in x.as_chunks::<INPUT_GROUP>().0 {
        // SAFETY: registers only.
        unsafe {
            asm!("usada8 {0}, {1}, {2}, {0}", inlateout(reg) sum, in(reg) u32::from_le_bytes(group), in(reg) 0, options(pure, nomem, nostack, preserves_flags));
        }
    }
    sum as i32
}
