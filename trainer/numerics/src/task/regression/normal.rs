//! Scores of normal distributions.

/// Standard deviations that differ by less than this share count as equal: the crossing of their
/// densities is then far away or lost in rounding.
const EQUAL_SCALES: f64 = 1e-7;

/// Total variation between two normals, given by mean and standard deviation: the difference of their
/// probabilities of where the narrower one is the denser.
pub(super) fn total_variation(one: (f64, f64), other: (f64, f64)) -> f64 {
    let ((mean, std), (wide_mean, wide_std)) =
        if one.1 <= other.1 { (one, other) } else { (other, one) };
    // In units of the narrower: N(0, 1) against N(shift, scale²).
    let (shift, scale) = ((wide_mean - mean) / std, wide_std / std);
    if scale - 1.0 < EQUAL_SCALES {
        return libm::erf(shift.abs() / 8.0f64.sqrt());
    }
    // Densities cross where x² − ((x − shift) / scale)² = 2 ln scale.
    let a = 1.0 - scale.powi(-2);
    let b = shift / (scale * scale);
    let c = -(shift / scale).powi(2) - 2.0 * scale.ln();
    let root = (b * b - a * c).sqrt();
    let (low, high) = ((-b - root) / a, (-b + root) / a);
    let below = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    let wide = |x: f64| below((x - shift) / scale);
    (below(high) - below(low)) - (wide(high) - wide(low))
}

/// −log p(y) of a normal distribution, nats.
pub(super) fn nll(mean: f64, std: f64, y: f64) -> f64 {
    let z = (y - mean) / std;
    0.5 * z * z + std.ln() + 0.5 * std::f64::consts::TAU.ln()
}

/// CRPS of a normal distribution (Gneiting & Raftery 2007, eq. 21).
pub(super) fn crps(mean: f64, std: f64, y: f64) -> f64 {
    let z = (y - mean) / std;
    let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let below = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    std * (z * (2.0 * below - 1.0) + 2.0 * density - std::f64::consts::PI.sqrt().recip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-6, "found {value}, expected {expected}");
    }

    #[test]
    fn scores_by_hand() {
        close(nll(1.0, 2.0, 3.0), 0.5 + 2.0f64.ln() + 0.918_938_533);
        // At the mean: σ (2φ(0) − 1/√π).
        close(crps(0.0, 2.0, 0.0), 2.0 * (0.797_884_560_8 - 0.564_189_583_5));
    }

    #[test]
    fn total_variation_of_normals_is_that_of_their_densities() {
        let normals = [(0.0, 1.0), (0.5, 1.0), (0.3, 2.5), (-4.0, 0.2), (0.5, 1.0 + 1e-9)];
        for (one, other) in normals.iter().flat_map(|one| normals.map(|other| (*one, other))) {
            let density = |x: f64, (mean, std): (f64, f64)| (-nll(mean, std, x)).exp();
            const STEP: f64 = 1e-3;
            let each = (-15_000..15_000).map(|index| f64::from(index) * STEP);
            let integral =
                each.map(|x| 0.5 * STEP * (density(x, one) - density(x, other)).abs()).sum::<f64>();
            let found = total_variation(one, other);
            assert!((found - integral).abs() < 1e-5, "{one:?} {other:?}: {found} but {integral}");
        }
    }
}
