//! The `.fwk` artifact: everything that a board needs to give a calibrated posterior predictive.
//!
//! [`decode`] checks a file once (magic, version, CRC-32, shapes, ranges) and returns an
//! [`Artifact`] whose arrays are borrowed from the file; after that nothing can fail, overflow or
//! panic. [`encode`] writes the bytes. `SPEC.md` describes them apart from the code.
//!
//! ```
//! # fn main() -> Result<(), fiberwalk_formats::DecodeError> {
//! # let file = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny.fwk"));
//! let artifact = fiberwalk_formats::decode(file)?;
//! let names: Vec<&str> = artifact.inputs.names.iter().collect();
//! assert_eq!(names, ["length", "width"]);
//! assert_eq!(artifact.layers[1].mean.weights.as_slice(), [-90, -60, 90, 60]);
//! # Ok(())
//! # }
//! ```
//!
//! To write a file, keep the little-endian bytes of every array in a buffer of its own and view
//! them; [`Artifact::required_scratch`] gives the value of the last field.
//!
//! ```
//! use fiberwalk_formats::{Dense, I8s, I32s};
//!
//! let weights: Vec<u8> = [3i8, -4].map(|weight| weight as u8).to_vec();
//! let bias: Vec<u8> = [500i32].iter().flat_map(|bias| bias.to_le_bytes()).collect();
//! let layer =
//!     Dense { inputs: 2, outputs: 1, weights: I8s::new(&weights), bias: I32s::new(&bias) };
//! assert_eq!(layer.bias.get(0), Some(500));
//! ```
//!
//! No heap, no `std`, no `unsafe`. With the feature `defmt`, [`DecodeError`], [`Field`] and
//! [`CodeSource`] implement `defmt::Format`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod artifact;
mod container;
mod error;
mod limits;
mod scratch;
mod validate;
mod views;

pub use artifact::{
    Activation, Artifact, CodeSource, Codes, Dense, DenseFactors, Factors, Inputs, Layer, LowRank,
    Output, Provenance, Rescale, Shifts, Trunk,
};
pub use container::{HEADER_LEN, MAGIC, VERSION, decode, encode};
pub use error::{DecodeError, EncodeError, Field};
pub use limits::{
    INPUT_CLIP, INPUT_UNITS, LATENT_UNITS, MAX_BIAS, MAX_INVERSE_TEMPERATURE, MAX_LATENT_DIM,
    MAX_LAYERS, MAX_MODULATIONS, MAX_OUTPUT_SCALE, MAX_RANK, MAX_SHIFT, MAX_SHIFT_64, MAX_TARGET,
    MAX_WIDTH, TANH_UNITS,
};
pub use scratch::ScratchLayout;
pub use views::{F32s, I8s, I16s, I32s, Names};
