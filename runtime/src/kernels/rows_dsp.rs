//! Products of four rows at a time with the DSP extension of Armv7E-M and Armv8-M: two products an
//! instruction, which the compiler does not form by itself.
#![allow(unsafe_code, reason = "instructions without an intrinsic")]

use core::arch::asm;

use fiberwalk_formats::INPUT_GROUP;

/// Weights of four rows and one group of inputs, row by row.
const BLOCK: usize = 4 * INPUT_GROUP;

/// Lets the assembler take the DSP extension, which Armv8-M may lack and Armv7E-M has.
#[cfg(fiberwalk_v8m)]
macro_rules! dsp {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(fiberwalk_v8m))]
macro_rules! dsp {
    () => {
        ""
    };
}

/// One row's four weights: loaded, widened to two pairs of 16 bits, multiplied and added.
macro_rules! row {
    ($sum:literal) => {
        concat!(
            "ldr {w}, [{weights}], #4\n",
            "uxtb16 {t}, {w}\n",
            "uxtb16 {w}, {w}, ror #8\n",
            "smlad {",
            $sum,
            "}, {t}, {even}, {",
            $sum,
            "}\n",
            "smlad {",
            $sum,
            "}, {w}, {odd}, {",
            $sum,
            "}\n",
        )
    };
}

/// sums_o += Σ_i w_oi x_i of a group of four rows.
#[rustfmt::skip] // A listing.
pub(super) fn four_rows(group: &[u8], x: &[u8], sums: &mut [i32; 4]) {
    let (weights, x) = (group.as_chunks::<BLOCK>().0, x.as_chunks::<INPUT_GROUP>().0);
    let Some(x) = x.get(..weights.len()) else { return };
    if x.is_empty() {
        return;
    }
    let range = x.as_ptr_range();
    let [sum_0, sum_1, sum_2, sum_3] = sums;
    // SAFETY: reads `x` from its start to its end and as many blocks of `weights`, which has them;
    // these cores load words from any address. The flag Q, which a sum too large would set, is
    // never read.
    unsafe {
        asm!(
            dsp!(),
            "2:",
            "ldr {odd}, [{x}], #4",
            "uxtb16 {even}, {odd}",
            "uxtb16 {odd}, {odd}, ror #8",
            row!("sum_0"),
            row!("sum_1"),
            row!("sum_2"),
            row!("sum_3"),
            "cmp {x}, {end}",
            "bne 2b",
            x = inout(reg) range.start => _,
            end = in(reg) range.end,
            weights = inout(reg) weights.as_ptr() => _,
            sum_0 = inout(reg) *sum_0,
            sum_1 = inout(reg) *sum_1,
            sum_2 = inout(reg) *sum_2,
            sum_3 = inout(reg) *sum_3,
            even = out(reg) _,
            odd = out(reg) _,
            w = out(reg) _,
            t = out(reg) _,
            options(readonly, nostack)
        );
    }
}

/// Inputs whose products with a 4-bit weight fit into 16 bits: 16 · 15 · 255 < 2^16.
const INPUTS_16: usize = 16;

/// Two rows of int4 weights, 16 bits apart in a word: masked, multiplied and added at once.
macro_rules! pair {
    ($sum:literal, $shift:literal) => {
        concat!(
            "and {t}, {mask}, {w}, lsr #",
            $shift,
            "\n",
            "mla {",
            $sum,
            "}, {t}, {input}, {",
            $sum,
            "}\n",
        )
    };
}

/// sums_o += Σ_i w_oi x_i of a group of eight rows of int4 weights.
#[rustfmt::skip] // A listing.
pub(super) fn eight_rows(group: &[u8], x: &[u8], sums: &mut [i32; 8]) {
    let weights = group.as_chunks::<4>().0;
    let x = x.get(..weights.len()).unwrap_or(x);
    for (weights, x) in weights.chunks(INPUTS_16).zip(x.chunks(INPUTS_16)) {
        let range = x.as_ptr_range();
        let mut pairs = [0u32; 4];
        let [pair_0, pair_1, pair_2, pair_3] = &mut pairs;
        // SAFETY: `x` is a chunk, not empty, and is read from its start to its end with as many
        // words of `weights`, which has at least as many; these cores load words from any address.
        unsafe {
            asm!(
                "2:",
                "ldr {w}, [{weights}], #4",
                "ldrb {input}, [{x}], #1",
                "and {t}, {mask}, {w}",
                "mla {pair_0}, {t}, {input}, {pair_0}",
                pair!("pair_1", "4"),
                pair!("pair_2", "8"),
                pair!("pair_3", "12"),
                "cmp {x}, {end}",
                "bne 2b",
                x = inout(reg) range.start => _,
                end = in(reg) range.end,
                weights = inout(reg) weights.as_ptr() => _,
                mask = in(reg) 0x000f_000f,
                pair_0 = inout(reg) *pair_0,
                pair_1 = inout(reg) *pair_1,
                pair_2 = inout(reg) *pair_2,
                pair_3 = inout(reg) *pair_3,
                w = out(reg) _,
                t = out(reg) _,
                input = out(reg) _,
                options(readonly, nostack)
            );
        }
        let [first, second] = [0, 16].map(|shift| pairs.map(|pair| (pair >> shift) & 0xffff));
        for (sum, part) in sums.iter_mut().zip(first.into_iter().chain(second)) {
            *sum = sum.wrapping_add(part as i32);
        }
    }
}

/// Channels of a depthwise convolution that are computed together.
pub(super) const CHANNELS: usize = 4;

/// sums_c += Σ_p w_pc x_pc of signed weights, for the first channels of every position: `step` bytes
/// farther on in both.
#[rustfmt::skip] // A listing.
pub(super) fn four_channels(
    weights: &[u8],
    x: &[u8],
    step: usize,
    positions: usize,
    sums: &mut [i32; CHANNELS],
) {
    let Some(last) = positions.checked_sub(1) else { return };
    let Some(len) = last.checked_mul(step).and_then(|len| len.checked_add(CHANNELS)) else { return };
    let (Some(weights), Some(x)) = (weights.get(..len), x.get(..len)) else { return };
    let [sum_0, sum_1, sum_2, sum_3] = sums;
    // SAFETY: reads a word at every one of `positions` multiples of `step` in `weights` and `x`,
    // which reach to the end of the last; these cores load words from any address. The flag Q,
    // which a sum too large would set, is never read.
    unsafe {
        asm!(
            dsp!(),
            "2:",
            "ldr {odd}, [{x}]",
            "ldr {w}, [{weights}]",
            "uxtb16 {even}, {odd}",
            "sxtb16 {t}, {w}",
            "smlabb {sum_0}, {even}, {t}, {sum_0}",
            "smlatt {sum_2}, {even}, {t}, {sum_2}",
            "uxtb16 {odd}, {odd}, ror #8",
            "sxtb16 {w}, {w}, ror #8",
            "smlabb {sum_1}, {odd}, {w}, {sum_1}",
            "smlatt {sum_3}, {odd}, {w}, {sum_3}",
            "add {x}, {x}, {step}",
            "add {weights}, {weights}, {step}",
            "subs {positions}, {positions}, #1",
            "bne 2b",
            x = inout(reg) x.as_ptr() => _,
            weights = inout(reg) weights.as_ptr() => _,
            positions = inout(reg) positions => _,
            step = in(reg) step,
            sum_0 = inout(reg) *sum_0,
            sum_1 = inout(reg) *sum_1,
            sum_2 = inout(reg) *sum_2,
            sum_3 = inout(reg) *sum_3,
            even = out(reg) _,
            odd = out(reg) _,
            w = out(reg) _,
            t = out(reg) _,
            options(readonly, nostack)
        );
    }
}

/// A group of signed inputs, widened to pairs of 16 bits.
pub(super) struct Group {
    even: u32,
    odd: u32,
}

impl Group {
    #[inline(always)]
    pub fn new(x: &[i8; INPUT_GROUP]) -> Self {
        let word = u32::from_le_bytes(x.map(|x| x as u8));
        let (even, odd);
        // SAFETY: registers only.
        unsafe {
            asm!(
                dsp!(),
                "sxtb16 {even}, {word}",
                "sxtb16 {odd}, {word}, ror #8",
                even = out(reg) even,
                odd = lateout(reg) odd,
                word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        Self { even, odd }
    }

    /// sum + Σ_i w_i x_i.
    #[inline(always)]
    pub fn add_products(&self, weights: &[u8; INPUT_GROUP], sum: i32) -> i32 {
        let (even, odd) = halves(u32::from_le_bytes(*weights));
        dot(odd, self.odd, dot(even, self.even, sum))
    }
}

/// sum + w_0 x_0 + w_1 x_1 of pairs of 16 bits.
#[inline(always)]
fn dot(w: u32, x: u32, sum: i32) -> i32 {
    let result;
    // SAFETY: registers only.
    unsafe {
        asm!(
            dsp!(),
            "smlad {result}, {w}, {x}, {sum}",
            result = lateout(reg) result,
            w = in(reg) w,
            x = in(reg) x,
            sum = in(reg) sum,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    result
}

/// Bytes 0 and 2, bytes 1 and 3, as pairs of 16 bits.
#[inline(always)]
fn halves(word: u32) -> (u32, u32) {
    let (even, odd): (u32, u32);
    // SAFETY: registers only.
    unsafe {
        asm!(
            dsp!(),
            "uxtb16 {even}, {word}",
            "uxtb16 {odd}, {word}, ror #8",
            even = out(reg) even,
            odd = lateout(reg) odd,
            word = in(reg) word,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    (even, odd)
}

/// Σ_i x_i of whole groups of inputs.
pub(super) fn byte_sum(x: &[u8]) -> i32 {
    let mut sum = 0u32;
    for &group in x.as_chunks::<INPUT_GROUP>().0 {
        // SAFETY: registers only.
        unsafe {
            asm!(
                dsp!(),
                "usada8 {0}, {1}, {2}, {0}",
                inlateout(reg) sum,
                in(reg) u32::from_le_bytes(group),
                in(reg) 0,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
    sum as i32
}
