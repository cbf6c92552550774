//! Rates that bound a device, measured.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;

use super::threads;
use crate::network::{Base, Matrix, multiply_by_gemm};

/// Side of the square matrices whose product is the peak: 17 GFLOP, 48 MiB.
const PEAK_SIDE: usize = 2048;

/// Values copied for the peak, 256 MiB: more than a cache holds.
const PEAK_COPY: usize = 1 << 26;

/// Rates that bound a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Peaks {
    /// FLOP/s of a large matrix product.
    pub flops: f64,
    /// Bytes/s of a large copy, read and written bytes both counted.
    pub bytes: f64,
}

/// The peaks of the current pool's threads, each measured for about `seconds`.
pub(super) fn cpu_peaks(seconds: f64) -> Peaks {
    Peaks { flops: product_peak(seconds), bytes: copy_peak(seconds) }
}

/// FLOP/s of a product of two square matrices, of which every thread computes some rows.
fn product_peak(seconds: f64) -> f64 {
    const N: usize = PEAK_SIDE;
    let (left, right) = (vec![0.5; N * N], vec![0.5; N * N]);
    let mut out = vec![0.0; N * N];
    let band = N * N.div_ceil(threads());
    let time = cpu_time(seconds, || {
        out.par_chunks_mut(band).zip(left.par_chunks(band)).for_each(|(out, left)| {
            let left = Matrix::new(left, left.len() / N, N, N);
            multiply_by_gemm(out, Base::Zero, left, Matrix::new(&right, N, N, N));
        });
    });
    2.0 * (N as f64).powi(3) / time
}

/// Bytes/s read and written by a copy, of which every thread does a part.
fn copy_peak(seconds: f64) -> f64 {
    let source = vec![1.0f32; PEAK_COPY];
    let mut copy = vec![0.0f32; PEAK_COPY];
    let part = PEAK_COPY.div_ceil(threads());
    let time = cpu_time(seconds, || {
        let parts = copy.par_chunks_mut(part).zip(source.par_chunks(part));
        parts.for_each(|(copy, source)| copy.copy_from_slice(source));
    });
    2.0 * (size_of::<f32>() * PEAK_COPY) as f64 / time
}

/// [`best_time`] of what cannot fail.
fn cpu_time(seconds: f64, mut f: impl FnMut()) -> f64 {
    let never = |_: Infallible| 0.0;
    best_time(seconds, || {
        f();
        Ok(())
    })
    .unwrap_or_else(never)
}

/// Seconds of the fastest call of `f` in `seconds`, after one to warm up.
pub fn best_time<E>(seconds: f64, mut f: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    f()?;
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed() < Duration::from_secs_f64(seconds) || best.is_infinite() {
        let start = Instant::now();
        f()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
