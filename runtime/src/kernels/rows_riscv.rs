//! Products of several rows at a time for 32-bit RISC-V with multiplication: the compiler computes
//! more products at once than there are registers.
#![allow(unsafe_code, reason = "a loop whose sums stay in registers")]

use core::arch::asm;

use fiberwalk_formats::INPUT_GROUP;

pub(super) use super::portable::{CHANNELS, Group, byte_sum, eight_rows, four_channels, four_rows};

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
