//! Logarithms and exponentials in fixed point: the same bits everywhere, and no floating point in
//! the sampling loop, which boards without its hardware emulate in thousands of instructions.
//!
//! Logarithms are to base 2, in units of 2^−14 ([`LOGIT_BITS`]).

use fiberwalk_formats::LOGIT_BITS;

use crate::tables::{EXP2, LOG2};

/// Bits of a position between two entries of a table.
const FRACTION_BITS: u32 = LOGIT_BITS - 6;
/// Bits that [`exp2`] has more than the mantissas of the table.
const EXTRA_BITS: u32 = 4;
/// log2 of 2^0 in the units of [`exp2`], 65,535 · 2^4, but for 2·10^-5.
pub(crate) const LOG2_ONE: u32 = (16 + EXTRA_BITS) << LOGIT_BITS;

/// 2^(−d) as a mantissa of 16 bits, at least 2^15, and the exponent: mantissa / 65,535 / 2^exponent.
pub(crate) fn exp2_parts(d: u32) -> (u32, u32) {
    ((mantissa(d) + (1 << EXTRA_BITS)) >> (EXTRA_BITS + 1), d >> LOGIT_BITS)
}

/// 65,535 · 2^4 · 2^(−d), rounded: 20 bits.
pub(crate) fn exp2(d: u32) -> u32 {
    // Nothing is left past 21 bits.
    ((mantissa(d) >> (d >> LOGIT_BITS).min(31)) + 1) >> 1
}

/// 65,535 · 2^5 · 2^(−fraction of d), 21 bits: one more than [`exp2`] has, to round by.
fn mantissa(d: u32) -> u32 {
    let entry = EXP2[((d >> FRACTION_BITS) & 63) as usize];
    let part = (entry & 0xffff) * (d & ((1 << FRACTION_BITS) - 1));
    // The lower half of an entry is below 2^11.
    (entry >> (15 - EXTRA_BITS)) - (part >> (FRACTION_BITS - EXTRA_BITS - 1))
}

/// log2(value) of a value above 0; 0 of 0.
pub(crate) fn log2(value: u32) -> u32 {
    let leading = value.leading_zeros().min(31);
    // The leading one at bit 31: six bits after it index the table, sixteen lie between entries.
    let mantissa = value << leading;
    let index = ((mantissa >> 25) & 63) as usize;
    let (here, next) = (u32::from(LOG2[index]), u32::from(LOG2[index + 1]));
    let between = ((next - here) * ((mantissa >> 9) & 0xffff)) >> 16;
    // The table counts in units of 2^-15.
    ((31 - leading) << LOGIT_BITS) + ((here + between + 1) >> 1)
}

/// Division of a few numbers by their sum, by one division in all.
#[derive(Clone, Copy)]
pub(crate) struct Reciprocal {
    /// 2^(32 + shift) / total.
    factor: u32,
    shift: u32,
}

impl Reciprocal {
    /// Of `total`, at least 1.
    pub fn new(total: u32) -> Self {
        let shift = 15u32.saturating_sub(total.leading_zeros());
        // Seventeen bits at most, so that a summand of sixteen bits times the factor fits into 32.
        let kept = total.wrapping_shr(shift).max(1);
        Self { factor: u32::MAX / kept, shift }
    }

    /// value / total as a fraction of 2^`bits`, at most 28, for a summand of at most 20 bits of a
    /// total of at least 20. The factor is rounded to twelve bits, the same for all summands: that
    /// weighs a whole sample by 1 ± 2^-12.
    pub fn share(self, value: u32, bits: u32) -> u32 {
        let factor = self.factor.wrapping_add(1 << (EXTRA_BITS - 1)) >> EXTRA_BITS;
        value.wrapping_mul(factor).wrapping_shr(self.shift + 32 - EXTRA_BITS - bits)
    }

    /// mantissa · 2^[`EXTRA_BITS`] / 2^exponent / total in f32, for a mantissa of 16 bits and an
    /// exponent of at most 100: what [`exp2_parts`] gives, over a sum of what [`exp2`] gives.
    pub fn quotient(self, mantissa: u32, exponent: u32) -> f32 {
        let fraction = mantissa.wrapping_mul(self.factor) as f32;
        // An exact division by a power of two.
        let bits = fraction.to_bits();
        let shift = self.shift + 32 + exponent - EXTRA_BITS;
        f32::from_bits(bits.wrapping_sub(shift << FLOAT_FRACTION))
    }

    /// 2^`bits` · value / total, for any value and at most 32 bits.
    pub fn divide(self, value: u32, bits: u32) -> u32 {
        let product = u64::from(value) * u64::from(self.factor);
        product.wrapping_shr(self.shift + 32 - bits) as u32
    }
}

/// Bits of the fraction of an f32.
const FLOAT_FRACTION: u32 = 23;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIT: f64 = 16_384.0;
    /// 2^0 in the units of [`exp2`].
    const ONE: u32 = 65_535 << EXTRA_BITS;

    proptest! {
        #[test]
        fn exponentials(d in 0u32..24 << 14) {
            let exact = 1_048_560.0 * libm::exp2(-f64::from(d) / UNIT);
            prop_assert!((f64::from(exp2(d)) - exact).abs() <= 0.6 + 4e-5 * exact, "{} {}", d, exact);
            let (mantissa, exponent) = exp2_parts(d);
            let parts = 16.0 * f64::from(mantissa) * libm::exp2(-f64::from(exponent));
            prop_assert!((parts - exact).abs() <= 4e-5 * exact, "{} {}", d, exact);
        }

        #[test]
        fn logarithms(value in 1u32.., shift in 0u32..32) {
            let value = (value >> shift).max(1);
            let exact = UNIT * libm::log2(f64::from(value));
            prop_assert!((f64::from(log2(value)) - exact).abs() <= 1.5, "{} {}", value, exact);
        }

        #[test]
        fn shares(mut values in prop::collection::vec(0u32..=ONE, 1..200), exponent in 0u32..100) {
            values.push(ONE);
            let total: u32 = values.iter().sum();
            let reciprocal = Reciprocal::new(total);
            for value in values {
                let exact = f64::from(value) / f64::from(total);
                let share = f64::from(reciprocal.share(value, 20)) / 1_048_576.0;
                prop_assert!((share - exact).abs() < 3e-4 * exact + 2e-6, "{} {}", share, exact);
                let quotient = f64::from(reciprocal.divide(value, 14)) / UNIT;
                prop_assert!((quotient - exact).abs() < 6e-5 * exact + 1.0 / UNIT);
                let mantissa = (value >> 5) | 1 << 15;
                let quotient = f64::from(reciprocal.quotient(mantissa, exponent));
                let exact =
                    16.0 * f64::from(mantissa) / f64::from(total) / libm::exp2(f64::from(exponent));
                prop_assert!((quotient / exact - 1.0).abs() < 6e-5, "{} {}", quotient, exact);
            }
        }
    }

    #[test]
    fn the_ends_of_the_ranges() {
        assert_eq!((exp2(0), exp2(u32::MAX), log2(0), log2(1)), (ONE, 0, 0, 0));
        assert_eq!(log2(u32::MAX), 32 << 14);
        let alone = Reciprocal::new(ONE);
        assert_eq!(alone.share(ONE, 20), ONE);
    }
}
