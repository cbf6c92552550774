//! Element-wise loops, compiled for the widest vectors that the processor has.

use pulp::Simd;

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

/// Dot product in `LANES` interleaved partial sums, so that it runs in vector registers.
pub(crate) fn dot<const LANES: usize>(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut partial = [0.0f32; LANES];
    for (left, right) in left.iter().zip(right) {
        for ((sum, l), r) in partial.iter_mut().zip(left).zip(right) {
            *sum += l * r;
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(l, r)| l * r).sum();
    partial.iter().sum::<f32>() + rest
}

/// e^x with a relative error below 3e-7 for |x| ≤ 87; beyond, x is clamped to that range.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with trailing zero bits, so that n · LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2^23 rounds to the nearest integer, which is then in the lowest bits;
    // subtracting it leaves the integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 87.0);
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor series to r^6: |r| ≤ ln(2)/2, so the remainder is below 1.3e-7.
    let mut series = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    // Not `n as i32`, which no vector instruction computes.
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    series * power
}

/// Replaces every value by its hyperbolic tangent, with an absolute error below 3e-7.
pub(crate) fn tanh_in_place(values: &mut [f32]) {
    struct Tanh<'a>(&'a mut [f32]);
    impl pulp::WithSimd for Tanh<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            vectors.iter_mut().for_each(|x| *x = tanh(simd, *x));
            let last = tanh(simd, simd.partial_load_f32s(rest));
            simd.partial_store_f32s(rest, last);
        }
    }
    pulp::Arch::new().dispatch(Tanh(values));
}

/// tanh as the quotient of polynomials in x² that Eigen uses (`ptanh_float`).
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // From here on tanh is 1 to within a unit in the last place.
    const LARGEST: f32 = 9.0;
    const NUMERATOR: [f32; 7] = [
        -2.760_768_5e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297e-8,
        1.485_722_4e-5,
        6.372_619_3e-4,
        4.893_524_6e-3,
    ];
    const DENOMINATOR: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];
    let splat = |value| simd.splat_f32s(value);
    // The value comes second: of an operand that is no number the second is kept on x86-64, and a
    // descent that diverges must show.
    let clamp = |x, to| simd.min_f32s(splat(to), simd.max_f32s(splat(-to), x));
    let x = clamp(x, LARGEST);
    let square = simd.mul_f32s(x, x);
    let polynomial = |coefficients: &[f32]| {
        let sum = splat(coefficients[0]);
        let rest = coefficients[1..].iter();
        rest.fold(sum, |sum, &c| simd.mul_add_e_f32s(sum, square, splat(c)))
    };
    let numerator = simd.mul_f32s(x, polynomial(&NUMERATOR));
    let tanh = simd.div_f32s(numerator, polynomial(&DENOMINATOR));
    // Rounding must not take it past 1, where the derivative 1 − tanh² would change its sign.
    clamp(tanh, 1.0)
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
    fn exp_follows_the_f64_function() {
        for step in -20_000..=20_000 {
            let x = step as f32 * 1e-3;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact, "exp({x})");
        }
    }

    #[test]
    fn tanh_follows_the_f64_function() {
        let xs: Vec<f32> = (-20_000..=20_000).map(|step| step as f32 * 1e-3).collect();
        let mut values = xs.clone();
        tanh_in_place(&mut values);
        for (&x, &value) in xs.iter().zip(&values) {
            assert!((f64::from(value) - f64::from(x).tanh()).abs() <= 3e-7, "tanh({x}): {value}");
        }
        let mut ends = [1e9, -1e9, 0.0];
        tanh_in_place(&mut ends);
        assert_eq!(ends, [1.0, -1.0, 0.0]);
        if cfg!(target_arch = "x86_64") {
            let mut none = [f32::NAN; 9];
            tanh_in_place(&mut none);
            assert!(none.iter().all(|value| value.is_nan()));
        }
    }
}
