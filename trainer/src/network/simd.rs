//! Element-wise loops, compiled for the widest vectors that the processor has.

/// Runs `f`, inlined, with the best instruction set found at run time.
#[inline]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    struct Call<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Call<F> {
        type Output = R;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            self.0()
        }
    }
    pulp::Arch::new().dispatch(Call(f))
}

/// e^x with a relative error below 3e-7 for |x| ≤ 87; beyond, x is clamped to that range.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with trailing zero bits, so that n · LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let n = (x * LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor series to r^6: |r| ≤ ln(2)/2, so the remainder is below 1.3e-7.
    let mut series = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
    series * power
}

/// tanh with an absolute error below 3e-7.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// Replaces every value by its hyperbolic tangent.
pub(crate) fn tanh_in_place(values: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || values.iter_mut().for_each(|value| *value = tanh(*value)),
    );
}

/// Decay of Adam's first moment.
pub(crate) const BETA1: f32 = 0.9;
/// Decay of Adam's second moment.
pub(crate) const BETA2: f32 = 0.999;

/// Updates Adam's two moments and steps along them. `rate` is the learning rate divided by the
/// first moment's bias, `correction` the inverse of the second's; all slices are `[P]`.
pub(crate) fn adam_step(
    theta: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    rate: f32,
    correction: f32,
) {
    const EPSILON: f32 = 1e-8;
    vectorised(
        #[inline(always)]
        || {
            for (((theta, &g), m), v) in theta.iter_mut().zip(gradient).zip(first).zip(second) {
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *theta -= rate * *m / ((*v * correction).sqrt() + EPSILON);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_tanh_follow_the_f64_functions() {
        for step in -20_000..=20_000 {
            let x = step as f32 * 1e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "exp({x})");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() <= 3e-7, "tanh({x})");
        }
        assert_eq!(tanh(1e9), 1.0);
        assert_eq!(tanh(-1e9), -1.0);
    }
}
