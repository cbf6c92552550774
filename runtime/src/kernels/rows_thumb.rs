//! Products of several rows at a time for Armv6-M: eight low registers hold four sums, an input, a
//! weight and both addresses, which the compiler does not manage without spilling some.
#![allow(unsafe_code, reason = "a loop that uses every low register")]

use core::arch::asm;

use fiberwalk_formats::INPUT_GROUP;

pub(super) use super::portable::{CHANNELS, Group, byte_sum, four_channels};

/// Weights of four rows and one group of inputs, row by row.
const BLOCK: usize = 4 * INPUT_GROUP;

/// One input times its weight in each of the four rows: r0 points to inputs, r1 to weights.
macro_rules! column {
    ($x:literal, $w:literal) => {
        concat!(
            "ldrb r6, [r0, #",
            $x,
            "]\n",
            "ldrb r7, [r1, #",
            $w,
            "]\nmuls r7, r6, r7\nadds r2, r2, r7\n",
            "ldrb r7, [r1, #",
            $w,
            " + 4]\nmuls r7, r6, r7\nadds r3, r3, r7\n",
            "ldrb r7, [r1, #",
            $w,
            " + 8]\nmuls r7, r6, r7\nadds r4, r4, r7\n",
            "ldrb r7, [r1, #",
            $w,
            " + 12]\nmuls r7, r6, r7\nadds r5, r5, r7\n",
        )
    };
}

/// sums_o += Σ_i w_oi x_i of a group of four rows.
#[rustfmt::skip] // A listing.
pub(super) fn four_rows(group: &[u8], x: &[u8], sums: &mut [i32; 4]) {
    let (weights, x) = (group.as_chunks::<BLOCK>().0, x.as_chunks::<INPUT_GROUP>().0);
    let blocks = weights.len().min(x.len());
    let Some(x) = x.get(..blocks) else { return };
    let range = x.as_ptr_range();
    if blocks == 0 {
        return;
    }
    let (sum_0, sum_1, sum_2, sum_3): (i32, i32, i32, i32);
    // SAFETY: reads the first `blocks` blocks of weights and inputs, which are there, two a round;
    // an odd one is read by entering the first round in the middle. r6 and r7, which cannot be
    // operands, are saved on the stack.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "mov r12, r2",
            "lsrs r3, r3, #1", // Odd: carry.
            "movs r2, #0",
            "movs r3, #0",
            "movs r4, #0",
            "movs r5, #0",
            "bcc 3f",
            "subs r0, #4",
            "subs r1, #16",
            "b 4f",
            "3:",
            column!("0", "0"),
            column!("1", "1"),
            column!("2", "2"),
            column!("3", "3"),
            "4:",
            column!("4", "16"),
            column!("5", "17"),
            column!("6", "18"),
            column!("7", "19"),
            "adds r1, #32",
            "adds r0, #8",
            "cmp r0, r12",
            "bne 3b",
            "pop {{r6, r7}}",
            inlateout("r0") range.start => _,
            inlateout("r1") weights.as_ptr() => _,
            inlateout("r2") range.end => sum_0,
            inlateout("r3") blocks => sum_1,
            lateout("r4") sum_2,
            lateout("r5") sum_3,
            lateout("r12") _,
            options(readonly)
        );
    }
    for (sum, own) in sums.iter_mut().zip([sum_0, sum_1, sum_2, sum_3]) {
        *sum = sum.wrapping_add(own);
    }
}

/// One input times the weights of two bytes, whole and upper halves: r0 points to inputs, r1 to the
/// first of the bytes.
macro_rules! column_4 {
    ($x:literal, $w:literal) => {
        concat!(
            "ldrb r6, [r0, #",
            $x,
            "]\n",
            "ldrb r7, [r1, #",
            $w,
            "]\nmuls r7, r6, r7\nadds r2, r2, r7\n",
            "ldrb r7, [r1, #",
            $w,
            "]\nlsrs r7, r7, #4\nmuls r7, r6, r7\nadds r3, r3, r7\n",
            "ldrb r7, [r1, #",
            $w,
            " + 1]\nmuls r7, r6, r7\nadds r4, r4, r7\n",
            "ldrb r7, [r1, #",
            $w,
            " + 1]\nlsrs r7, r7, #4\nmuls r7, r6, r7\nadds r5, r5, r7\n",
        )
    };
}

/// sums_o += Σ_i w_oi x_i of a group of eight rows of int4 weights, two a byte: the products of the whole
/// bytes and of their upper halves tell those of the lower ones.
pub(super) fn eight_rows(group: &[u8], x: &[u8], sums: &mut [i32; 8]) {
    for (half, four) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [whole_0, upper_0, whole_1, upper_1]: [i32; 4] = two_bytes(group, 2 * half, x);
        let own = [whole_0 - (upper_0 << 4), upper_0, whole_1 - (upper_1 << 4), upper_1];
        for (sum, own) in four.iter_mut().zip(own) {
            *sum = sum.wrapping_add(own);
        }
    }
}

/// Sums of the products of whole bytes and of their upper halves, for the bytes at `offset`, at
/// most 2, and the next one of every word.
#[inline(never)]
#[rustfmt::skip] // A listing.
fn two_bytes(group: &[u8], offset: usize, x: &[u8]) -> [i32; 4] {
    let words = group.as_chunks::<4>().0;
    let count = words.len().min(x.len());
    let Some(bytes) = group.get(offset.min(2)..) else { return [0; 4] };
    let Some(x) = x.get(..count) else { return [0; 4] };
    let range = x.as_ptr_range();
    if count == 0 {
        return [0; 4];
    }
    let (sum_0, sum_1, sum_2, sum_3);
    // SAFETY: reads the first `count` words of weights and as many inputs, which are there, two a
    // round; an odd one is read by entering the first round in the middle. r6 and r7, which cannot
    // be operands, are saved on the stack.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "mov r12, r2",
            "lsrs r3, r3, #1", // Odd: carry.
            "movs r2, #0",
            "movs r3, #0",
            "movs r4, #0",
            "movs r5, #0",
            "bcc 3f",
            "subs r0, #1",
            "subs r1, #4",
            "b 4f",
            "3:",
            column_4!("0", "0"),
            "4:",
            column_4!("1", "4"),
            "adds r1, #8",
            "adds r0, #2",
            "cmp r0, r12",
            "bne 3b",
            "pop {{r6, r7}}",
            inlateout("r0") range.start => _,
            inlateout("r1") bytes.as_ptr() => _,
            inlateout("r2") range.end => sum_0,
            inlateout("r3") count => sum_1,
            lateout("r4") sum_2,
            lateout("r5") sum_3,
            lateout("r12") _,
            options(readonly)
        );
    }
    [sum_0, sum_1, sum_2, sum_3]
}
