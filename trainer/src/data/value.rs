//! Fields as they are compared: a number is the same however it is spelled.

/// Texts that stand for a missing value where a number is expected; in a column of text all but the first are
/// values.
const MISSING: [&str; 7] = ["", "?", "na", "n/a", "nan", "null", "none"];

/// Largest number of a data file. Its distance from another one, times the clip of standardised inputs, is
/// still a float of 32 bits.
pub(super) const LARGEST: f64 = 1e36;

/// A field as it is compared and sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Value<'t> {
    /// A number: the bits of a double in ascending order, and the number itself where it is whole and has 64
    /// bits, which a double does not tell apart from the next.
    Number(u64, i64),
    /// Text.
    Text(&'t str),
}

impl<'t> Value<'t> {
    /// Value of a field.
    pub fn of(field: &'t str) -> Self {
        let Some(number) = number(field) else { return Self::Text(field) };
        // What is no whole number of 64 bits is told apart by the double; 0 has no sign.
        let whole = field.parse().unwrap_or(number as i64);
        let bits = (number + 0.0).to_bits();
        let sign = 1 << (u64::BITS - 1);
        Self::Number(if bits & sign == 0 { bits | sign } else { !bits }, whole)
    }
}

/// The finite number that a field is.
pub(super) fn number(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Whether a field stands for a missing number.
pub(super) fn is_missing(field: &str) -> bool {
    MISSING.iter().any(|text| field.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_number_are_one_value() {
        for same in [&["1", "1.0", "01", "1e0", "+1"][..], &["0", "-0", "0.00"], &["-2.50", "-2.5"]]
        {
            assert!(same.iter().all(|field| Value::of(field) == Value::of(same[0])), "{same:?}");
        }
        let next = Value::of("9007199254740993");
        assert!(next > Value::of("9007199254740992") && next != Value::of("9007199254740992"));
        let sorted = ["-10", "-2.5", "-2", "0", "0.5", "3", "20", "1e300", "inf", "x"];
        assert!(sorted.is_sorted_by_key(|field| Value::of(field)));
        assert_eq!(Value::of("NaN"), Value::Text("NaN"));
    }
}
