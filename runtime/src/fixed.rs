//! Logarithms and exponentials in fixed point: the same bits everywhere, and no floating point in
//! the sampling loop, which boards without its hardware emulate in thousands of instructions.
//!
//! Logarithms are to base 2, in units of 2^−14 ([`LOGIT_BITS`]).

use fiberwalk_formats::LOGIT_BITS;

use crate::tables::{EXP2, LOG2};

/// Bits of a position between two entries of a table.
const FRACTION_BITS: u32 = LOGIT_BITS - 6;
/// 2^0 in the units of [`exp2`].
#[cfg(test)]
const ONE: u32 = 65_535;

/// 65,535 · 2^(−d), rounded.
pub(crate) fn exp2(d: u32) -> u32 {
    let whole = d >> LOGIT_BITS;
    if whole > 16 {
        return 0;
    }
    let index = ((d >> FRACTION_BITS) & 63) as usize;
    let (here, next) = (u32::from(EXP2[index]), u32::from(EXP2[index + 1]));
    let part = (here - next) * (d & ((1 << FRACTION_BITS) - 1));
    let value = here - ((part + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS);
    (value + ((1 << whole) >> 1)) >> whole
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
        let kept = (total >> shift).max(1);
        Self { factor: u32::MAX / kept, shift }
    }

    /// 2^`bits` · value / total, for a summand of at most 65,535 and at most 32 bits.
    pub fn share(self, value: u32, bits: u32) -> u32 {
        value.wrapping_mul(self.factor).unbounded_shr(self.shift + 32 - bits)
    }

    /// 2^`bits` · value / total, for any value and at most 32 bits.
    pub fn divide(self, value: u32, bits: u32) -> u32 {
        let product = u64::from(value) * u64::from(self.factor);
        product.unbounded_shr(self.shift + 32 - bits) as u32
    }
}

/// value / 2^`bits` in f32, for values that f32 holds exactly.
pub(crate) fn to_f32(value: u32, bits: u32) -> f32 {
    /// Bits of the fraction of an f32.
    const FRACTION: u32 = 23;
    match value {
        0 => 0.0,
        _ => f32::from_bits((value as f32).to_bits().wrapping_sub(bits << FRACTION)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIT: f64 = 16_384.0;

    proptest! {
        #[test]
        fn exponentials(d in 0u32..20 << 14) {
            let exact = 65_535.0 * libm::exp2(-f64::from(d) / UNIT);
            prop_assert!((f64::from(exp2(d)) - exact).abs() <= 0.75 + 3e-5 * exact, "{} {}", d, exact);
        }

        #[test]
        fn logarithms(value in 1u32.., shift in 0u32..32) {
            let value = (value >> shift).max(1);
            let exact = UNIT * libm::log2(f64::from(value));
            prop_assert!((f64::from(log2(value)) - exact).abs() <= 1.5, "{} {}", value, exact);
        }

        #[test]
        fn shares(mut values in prop::collection::vec(0u32..=ONE, 1..200)) {
            values.push(ONE);
            let total: u32 = values.iter().sum();
            let reciprocal = Reciprocal::new(total);
            for value in values {
                let exact = f64::from(value) / f64::from(total);
                let share = f64::from(reciprocal.share(value, 32)) / 4_294_967_296.0;
                prop_assert!((share - exact).abs() < 6e-5 * exact + 1e-9, "{} {}", share, exact);
                let quotient = f64::from(reciprocal.divide(value, 14)) / UNIT;
                prop_assert!((quotient - exact).abs() < 6e-5 * exact + 1.0 / UNIT);
            }
        }

        #[test]
        fn floats(value in 0u32..1 << 24) {
            prop_assert_eq!(to_f32(value, 24), value as f32 / 16_777_216.0);
        }
    }

    #[test]
    fn the_ends_of_the_ranges() {
        assert_eq!((exp2(0), exp2(u32::MAX), log2(0), log2(1)), (ONE, 0, 0, 0));
        assert_eq!(log2(u32::MAX), 32 << 14);
        let alone = Reciprocal::new(ONE);
        assert_eq!(alone.share(ONE, 32), u32::MAX);
    }
}
