//! The `.fwk` artifact: everything that a board needs to give a calibrated posterior predictive.
//!
//! [`decode`] checks a file once (magic, version, CRC-32, shapes, ranges) and returns an
//! [`Artifact`] whose arrays are borrowed from the file; after that nothing can fail, overflow or
//! panic. [`encode`] writes the bytes. `SPEC.md` describes them apart from the code.
//!
//! No heap, no `std`, no `unsafe`.
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
