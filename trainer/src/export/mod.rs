//! The fifth stage: from a fitted decoder to the file that a board runs, and its calibration.
//!
//! [`DecoderExport`](file::DecoderExport) and [`NetworkExport`] make `.fwk` files, of a decoder or of a network alone.

mod cost_curve;
pub mod file;
mod record;
mod stage;

pub use cost_curve::{CostCurve, CostPoint};
pub use file::{NetworkExport, rust_module};
pub use record::{CalibrationRecord, PrecisionRecord, read_artifact, read_config};
pub use stage::STAGE;
