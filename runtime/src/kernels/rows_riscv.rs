//! Products of several rows at a time for 32-bit RISC-V with multiplication: the compiler computes
//! more products at once than there are registers.
#![allow(unsafe_code, reason = "a loop whose sums stay in registers")]

use core::arch::asm;

use fiberwalk_formats::INPUT_GROUP;

/// Weights of four rows and one group of inputs, row by row.
const BLOCK: usize = 4 * INPUT_GROUP;

/// One input times its weight in each of four rows.
macro_rules! four {
    ($weights:literal, $w:literal, $s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
        concat!(
            "lbu {w0}, ",
            $w,
            "(",
            $weights,
            ")\nlbu {w1}, ",
            $w,
            "+4(",
            $weights,
            ")\n",
            "lbu {w2}, ",
            $w,
            "+8(",
            $weights,
            ")\nlbu {w3}, ",
            $w,
            "+12(",
            $weights,
            ")\n",
            "mul {w0}, {w0}, {input}\nmul {w1}, {w1}, {input}\n",
            "mul {w2}, {w2}, {input}\nmul {w3}, {w3}, {input}\n",
            "add ",
            $s0,
            ", ",
            $s0,
            ", {w0}\nadd ",
            $s1,
            ", ",
            $s1,
            ", {w1}\n",
            "add ",
            $s2,
            ", ",
            $s2,
            ", {w2}\nadd ",
            $s3,
            ", ",
            $s3,
            ", {w3}\n",
        )
    };
}

/// One input in both groups of four rows.
macro_rules! column {
    ($i:literal) => {
        concat!(
            "lbu {input}, ",
            $i,
            "({x})\n",
            four!("{weights}", $i, "{sum_0}", "{sum_1}", "{sum_2}", "{sum_3}"),
            four!("{others}", $i, "{sum_4}", "{sum_5}", "{sum_6}", "{sum_7}"),
        )
    };
}

/// sums_o += Σ_i w_oi x_i of two groups of four rows, one after the other.
#[rustfmt::skip] // A listing.
pub(super) fn two_groups(groups: &[u8], x: &[u8], sums: &mut [i32; 8]) {
    let (group, other) = groups.split_at(groups.len() / 2);
    let (weights, others) = (group.as_chunks::<BLOCK>().0, other.as_chunks::<BLOCK>().0);
    let x = x.as_chunks::<INPUT_GROUP>().0;
    let blocks = weights.len().min(others.len()).min(x.len());
    let Some(x) = x.get(..blocks) else { return };
    if blocks == 0 {
        return;
    }
    let range = x.as_ptr_range();
    let [sum_0, sum_1, sum_2, sum_3, sum_4, sum_5, sum_6, sum_7] = sums;
    // SAFETY: reads the first `blocks` blocks of weights of both groups and of inputs, which are
    // there.
    unsafe {
        asm!(
            "2:",
            column!("0"),
            column!("1"),
            column!("2"),
            column!("3"),
            "addi {x}, {x}, 4",
            "addi {weights}, {weights}, 16",
            "addi {others}, {others}, 16",
            "bne {x}, {end}, 2b",
            x = inout(reg) range.start => _,
            end = in(reg) range.end,
            weights = inout(reg) weights.as_ptr() => _,
            others = inout(reg) others.as_ptr() => _,
            sum_0 = inout(reg) *sum_0,
            sum_1 = inout(reg) *sum_1,
            sum_2 = inout(reg) *sum_2,
            sum_3 = inout(reg) *sum_3,
            sum_4 = inout(reg) *sum_4,
            sum_5 = inout(reg) *sum_5,
            sum_6 = inout(reg) *sum_6,
            sum_7 = inout(reg) *sum_7,
            input = out(reg) _,
            w0 = out(reg) _,
            w1 = out(reg) _,
            w2 = out(reg) _,
            w3 = out(reg) _,
            options(readonly, nostack)
        );
    }
}

/// sums_o += Σ_i w_oi x_i of a group of four rows.
#[inline(never)]
pub(super) fn four_rows(group: &[u8], x: &[u8], sums: &mut [i32; 4]) {
    let (blocks, x) = (group.as_chunks::<BLOCK>().0, x.as_chunks::<INPUT_GROUP>().0);
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

/// A group of signed inputs, kept for several rows.
#[derive(Clone, Copy)]
pub(super) struct Group([i32; INPUT_GROUP]);

impl Group {
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
