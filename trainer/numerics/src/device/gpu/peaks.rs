//! The rates that bound a GPU, by this project's own kernels.

use super::context::{Gpu, GpuError};
use super::product::{Epilogue, View};

/// Sides of the square matrices that are tried: the product has to take [`LONG_ENOUGH`] seconds.
const SMALLEST_SIDE: usize = 256;
const LARGEST_SIDE: usize = 8192;
const LONG_ENOUGH: f64 = 5e-3;
/// Most bytes that are copied at once.
const COPY: u64 = 256 << 20;

/// Calls a function several times and returns the seconds of its fastest call.
type Timed<'a> = &'a mut dyn FnMut() -> Result<(), GpuError>;

impl Gpu {
    /// Floating-point operations of a large product, and its seconds by `time`.
    pub(crate) fn product_peak(
        &self,
        time: impl Fn(Timed<'_>) -> Result<f64, GpuError>,
    ) -> Result<(f64, f64), GpuError> {
        let mut side = SMALLEST_SIDE;
        loop {
            let [left, right, out] = [(); 3].map(|()| self.zeros(side * side));
            let view = |buffer| View::new(buffer, [side, side], 0, 0);
            let (left, right, out) = (view(&left), view(&right), view(&out));
            let program = [self.product(1, left, right, out, false, Epilogue::None)];
            let once = || {
                self.run(&program)?;
                self.finish()
            };
            let started = std::time::Instant::now();
            once()?;
            let taken = started.elapsed().as_secs_f64();
            if taken >= LONG_ENOUGH || side == LARGEST_SIDE {
                return Ok((2.0 * (side as f64).powi(3), time(&mut { once })?));
            }
            side *= 2;
        }
    }

    /// Bytes read and written by a large copy, and its seconds by `time`.
    pub(crate) fn copy_peak(
        &self,
        time: impl Fn(Timed<'_>) -> Result<f64, GpuError>,
    ) -> Result<(f64, f64), GpuError> {
        let bytes = COPY.min(self.largest_buffer()) / 4 * 4;
        let (from, to) = (self.zeros(bytes as usize / 4), self.zeros(bytes as usize / 4));
        self.check()?;
        let mut once = || {
            self.copy_buffer(&from, &to);
            self.finish()
        };
        Ok((2.0 * bytes as f64, time(&mut once)?))
    }
}
