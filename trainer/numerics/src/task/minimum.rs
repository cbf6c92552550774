//! The minimum of a function of one number.

/// Points of the first, coarse grid, but for one end.
const GRID: usize = 24;
/// Golden sections round the best of them.
const REFINEMENTS: usize = 24;

/// The minimum of `f` on `[low, high]`: the best of a coarse grid, refined by golden sections.
pub(super) fn minimum(f: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let step = (high - low) / GRID as f64;
    let best = (0..=GRID)
        .map(|index| low + step * index as f64)
        .map(|x| (f(x), x))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(low, |(_, x)| x);
    let (mut low, mut high) = ((best - step).max(low), (best + step).min(high));
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if f(left) < f(right) { high = right } else { low = left }
    }
    0.5 * (low + high)
}
