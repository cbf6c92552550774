//! Products of four rows at a time for Armv6-M: eight low registers hold four sums, an input, a
//! weight and both addresses, which the compiler does not manage without spilling some.
#![allow(unsafe_code, reason = "a loop that uses every low register")]

use core::arch::asm;

use fiberwalk_formats::INPUT_GROUP;

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

/// Σ_i w_oi x_i of a group of four rows.
#[rustfmt::skip] // A listing.
pub(super) fn four_rows(group: &[u8], x: &[u8]) -> [i32; 4] {
    let (weights, x) = (group.as_chunks::<BLOCK>().0, x.as_chunks::<INPUT_GROUP>().0);
    let blocks = weights.len().min(x.len());
    let Some(x) = x.get(..blocks) else { return [0; 4] };
    let range = x.as_ptr_range();
    if blocks == 0 {
        return [0; 4];
    }
    let (sum_0, sum_1, sum_2, sum_3);
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
    [sum_0, sum_1, sum_2, sum_3]
}

/// Σ_i x_i.
pub(super) fn byte_sum(x: &[u8]) -> i32 {
    x.iter().map(|&x| i32::from(x)).sum()
}
