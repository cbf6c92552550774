//! Bayesian neural networks on microcontrollers.
//!
//! A [`Model`] is a `.fwk` file made by the `fiberwalk` trainer, read in place. [`Model::predict`]
//! draws latent codes, decodes them to weights layer by layer, runs the network once a sample and
//! returns a calibrated predictive distribution: a number, how sure it is, and whether the input
//! looks like anything seen in training.
//!
//! ```
//! use fiberwalk_runtime::{Model, Prediction, Stored};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = include_bytes!(
//! #     concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/tests/data/tiny.fwk"));
//! let model = Model::from_bytes(file)?;
//! let mut scratch = [0; 16]; // at least model.scratch_len() words, known at export
//! let input = [6.1, 1.9]; // one value a feature, in the units of the training data
//! match model.predict(&input, &mut Stored, model.samples(), &mut scratch)? {
//!     Prediction::Classification(class) => {
//!         let (index, probability) = class.top();
//!         assert_eq!(model.classes().and_then(|classes| classes.get(index)), Some("yes"));
//!         assert!(probability > 0.5 && class.mutual_information < 0.1);
//!     }
//!     Prediction::Regression(value) => {
//!         println!("{} ± {}", value.mean, value.std());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Latent codes
//! The second argument of [`Model::predict`] is the source of latent codes. [`Stored`] takes those
//! in the file: the trainer chose them so that few of them match many random ones, and they cost
//! nothing to decode. [`Normal`] draws them independently from any [`rand_core`] generator,
//! [`LowDiscrepancy`] from a sequence that covers the latent space evenly. Implement [`Codes`] for
//! others. [`Model::codes`] gives the source that the trainer chose.
//!
//! # What it costs
//! Everything before the first stochastic layer, and that layer's products with its input, are
//! computed once a prediction. A sample costs what follows: see `fiberwalk inspect` for the
//! multiplications of a file. [`Session`] spreads the samples over time.
//!
//! # Features
//! `mixtures`, on by default: mixtures of networks; without it their files are refused, and a board saves 1.7 KB of
//! code. `maps`, on by default: convolutional networks; without it their files are refused, and a board
//! saves some 15 KB of code. `asm`: the innermost loops in assembly, on Cortex-M and RISC-V, with the same bits
//! as without. `defmt`: predictions and errors implement `defmt::Format`. A `std` feature would
//! add nothing: errors implement [`core::error::Error`] without it.
//!
//! # Promises
//! No heap, no `std`, no `unsafe` without `asm`, no panic on any input: `tests/no-panic` links a program
//! in which no panic can link. Integers up to the summary, a few operations of `f32` after them: the
//! same bits on the host and on every target.
//!
//! No recursion, and no array on the stack whose length a file decides: the stack is bounded whatever
//! the file. `docs/boards.md` has the peaks measured on every core.
#![no_std]
#![cfg_attr(not(feature = "asm"), forbid(unsafe_code))]

mod codes;
mod error;
mod fixed;
mod input;
mod kernels;
mod maps;
mod model;
mod moments;
mod prediction;
mod scratch;
mod session;
mod tables;

pub use codes::{Codes, Draw, LowDiscrepancy, ModelCodes, Normal, Stored};
pub use error::PredictError;
pub use fiberwalk_formats::{CodeSource, DecodeError, Names, Shape};
pub use input::Feature;
pub use model::Model;
pub use prediction::{Classification, Prediction, Regression};
pub use session::Session;
