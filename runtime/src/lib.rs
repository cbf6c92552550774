//! Bayesian neural networks on microcontrollers.
//!
//! A [`Model`] is a `.fwk` file made by the `fiberwalk` trainer, read in place. [`Model::predict`]
//! draws latent codes, decodes them to weights layer by layer, runs the network once a sample and
//! returns a calibrated predictive distribution: a number, how sure it is, and whether the input
//! looks like anything seen in training.
//!
//! ```
//! use fiberwalk_runtime::{Model, Prediction, Stored};
//! # fn check(bytes: &[u8]) -> Option<()> {
//! let model = Model::from_bytes(bytes).ok()?;
//! let mut scratch = [0; 1024]; // at least model.scratch_len() words
//! let input = [5.1, 3.5, 1.4, 0.2]; // in the units of the training data
//! match model.predict(&input, &mut Stored, 16, &mut scratch).ok()? {
//!     Prediction::Classification(class) => {
//!         let (index, probability) = class.top();
//!         let sure = class.is_sure();
//! #       let _ = (index, probability, sure);
//!     }
//!     Prediction::Regression(value) => {
//!         let (mean, std) = (value.mean, value.std());
//! #       let _ = (mean, std);
//!     }
//! }
//! # Some(())
//! # }
//! # assert!(check(&[]).is_none());
//! ```
//!
//! No heap, no `std`, no `unsafe`, no panic on any input. The layers compute in integers, the
//! summary in `f32` through `libm`: the same bits on the host and on every target.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod codes;
mod error;
mod kernels;
mod model;
mod prediction;
mod scratch;
mod session;
mod tables;

pub use codes::{Codes, Draw, LowDiscrepancy, Normal, Stored};
pub use error::PredictError;
pub use fiberwalk_formats::{CodeSource, DecodeError};
pub use model::Model;
pub use prediction::{Classification, Prediction, Regression};
pub use session::Session;
