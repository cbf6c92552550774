//! How far numbers lie apart, beside how far floats of 32 bits tell them apart.

/// Most deviations that numbers may lie from 0 as floats of 32 bits: a deviation has at least 2^9 steps there.
const FARTHEST: f64 = (1 << 14) as f64;
/// Relative deviation up to which doubles differ by rounding alone.
const DOUBLE_ROUNDING: f64 = 1e-12;
/// Relative deviation up to which floats of 32 bits differ by rounding alone.
const FLOAT_ROUNDING: f32 = 1e-6;

/// Mean and deviation of numbers that come one after another, without cancellation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Adds a number.
    pub fn meet(&mut self, number: f64) {
        self.count += 1.0;
        let before = number - self.mean;
        self.mean += before / self.count;
        self.squares += before * (number - self.mean);
    }

    /// Their standard deviation.
    pub fn std(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }

    /// A number of few digits near all of them, where floats of 32 bits hold too little of what they differ by.
    pub fn offset(&self) -> Option<f64> {
        let (mean, std) = (self.mean, self.std());
        if mean.abs() <= FARTHEST * std || std <= DOUBLE_ROUNDING * mean.abs() {
            return None;
        }
        // A digit that is worth some hundred deviations.
        let digit = std.log10().floor() as i32 + 2;
        if digit >= 0 {
            let unit = 10f64.powi(digit);
            return Some((mean / unit).round() * unit);
        }
        let decimals = digit.unsigned_abs() as usize;
        format!("{mean:.decimals$}").parse().ok()
    }
}

/// Whether floats of this mean and deviation vary by more than their own rounding.
pub(super) fn varies(mean: f32, std: f32) -> bool {
    std > FLOAT_ROUNDING * mean.abs() && std > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(numbers: &[f64]) -> Option<f64> {
        let mut spread = Spread::default();
        numbers.iter().for_each(|&number| spread.meet(number));
        spread.offset()
    }

    #[test]
    fn an_offset_is_where_floats_blur_and_of_few_digits() {
        assert_eq!(offset(&[52.520_006_91, 52.520_016_43, 52.519_973_94]), Some(52.52));
        assert_eq!(offset(&[-13.404_972, -13.404_988, -13.404_990]), Some(-13.405));
        assert_eq!(offset(&[1.7e9, 1.7e9 + 3.0, 1.7e9 + 7.0]), Some(1.7e9));
        for ordinary in
            [&[20.1, 20.4][..], &[0.0, 0.0], &[5.0, 5.0], &[0.1 + 0.2, 0.3], &[3.0], &[]]
        {
            assert_eq!(offset(ordinary), None, "{ordinary:?}");
        }
    }
}
