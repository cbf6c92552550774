//! fiberwalk beside other methods, and its speed beside the device's.

use super::error::failed;
use crate::bench::{self, Case, Measurement};
use crate::compare::{self, CompareOptions, Comparison};
use crate::device::Device;
use crate::error::Result;

/// Compares fiberwalk with other ways to a posterior predictive on the same splits, network, prior and budget.
///
/// # Errors
/// Bad data or settings, a folder that cannot be written, or a device that fails.
pub fn compare(options: &CompareOptions) -> Result<Comparison> {
    compare::compare(options).map_err(failed)
}

/// Measures for about `seconds` how fast the particles of a case walk.
///
/// # Errors
/// The device fails.
pub fn measure(case: &Case, device: &Device, seconds: f64) -> Result<Measurement> {
    bench::measure(case, device, seconds).map_err(failed)
}
