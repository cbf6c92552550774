//! The fifth stage: from a fitted decoder to the file that a board runs, and its calibration.
//!
//! [`DecoderExport`] and [`NetworkExport`] make `.fwk` files, of a decoder or of a network alone.

mod cost_curve;
mod file;
mod record;
mod stage;

pub use cost_curve::{CostCurve, CostPoint, DecoderCurve};
pub use file::{DecoderExport, NetworkExport, rust_module};
pub use record::{CalibrationRecord, PrecisionRecord, read_artifact, read_config};
pub use stage::STAGE;
