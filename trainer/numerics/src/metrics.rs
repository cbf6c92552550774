//! Means, and how well one number tells two kinds of rows apart.

/// Arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    average(values.iter().copied())
}

/// Arithmetic mean.
pub(crate) fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Probability that a foreign row is in more doubt than a test row, ties counting half.
pub fn auroc(test: &[f32], foreign: &[f32]) -> f64 {
    let mut sorted = test.to_vec();
    sorted.sort_by(f32::total_cmp);
    let wins: f64 = foreign
        .iter()
        .map(|doubt| {
            let below = sorted.partition_point(|value| value < doubt);
            let up_to = sorted.partition_point(|value| value <= doubt);
            0.5 * (below + up_to) as f64
        })
        .sum();
    wins / (test.len() * foreign.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_ties_half() {
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-6, "{value}");
        close(auroc(&[0.0, 1.0], &[1.0, 2.0]), 3.5 / 4.0);
        close(auroc(&[1.0, 1.0], &[1.0]), 0.5);
    }
}
