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
//! assert_eq!(artifact.layers[1].mean.weight(0, 1), -60);
//! # Ok(())
//! # }
//! ```
//!
//! To write a file, keep the little-endian bytes of every array in a buffer of its own and view
//! them; [`pack`] brings weights into the order of the kernels, [`Artifact::required_scratch`]
//! gives the value of the last field.
//!
//! ```
//! use fiberwalk_formats::{Bits, Dense, I16s, U8s, pack};
//!
//! let bits = Bits::Eight;
//! let mut weights = vec![0; bits.len(2, 1)];
//! pack(bits, 2, &[3, -4], &mut weights);
//! let bias: Vec<u8> = [500i16].iter().flat_map(|bias| bias.to_le_bytes()).collect();
//! let layer = Dense {
//!     inputs: 2,
//!     outputs: 1,
//!     bits,
//!     weights: U8s::new(&weights),
//!     bias: I16s::new(&bias),
//!     bias_shift: 0,
//! };
//! assert_eq!((layer.weight(0, 1), layer.bias.get(0)), (-4, Some(500)));
//! ```
//!
//! No heap, no `std`, no `unsafe`. The features `maps` and `mixtures`, on by default, are for convolutional networks and
//! for mixtures of networks: without them their files are refused. With the feature `defmt`, [`DecodeError`], [`Field`] and
//! [`CodeSource`] implement `defmt::Format`.
#![no_std]
#![forbid(unsafe_code)]

mod artifact;
mod container;
mod error;
mod geometry;
mod limits;
mod packing;
mod places;
mod scratch;
mod validate;
mod views;

pub use artifact::{
    Activation, Artifact, CodeSource, Codes, Dense, DenseFactors, Factors, HardSwish, Inputs,
    Layer, LowRank, Members, Normalisation, Output, Provenance, Reading, Rescale, Shifts, Trunk,
};
pub use container::{HEADER_LEN, MAGIC, VERSION, decode, encode};
pub use error::{DecodeError, EncodeError, Field};
pub use geometry::{Block, Blocks, Geometry, Padding, Pool, PoolKind, Shape, Skip, Step, Window};
pub use limits::{
    HARD_SWISH_UNITS, INPUT_CLIP, INPUT_UNITS, LATENT_UNITS, LOGIT_BITS, MAX_BIAS_SHIFT,
    MAX_INVERSE_TEMPERATURE, MAX_LATENT_DIM, MAX_LAYERS, MAX_LEFT_SHIFT, MAX_MAP, MAX_MODULATIONS,
    MAX_OUTPUT_UNIT, MAX_RANK, MAX_SAMPLES, MAX_SHIFT, MAX_TARGET, MAX_WIDTH, TANH_UNITS,
    TEMPERATURE_BITS, ZERO_POINT,
};
pub use packing::{Bits, INPUT_GROUP, pack, padded};
pub use scratch::ScratchLayout;
pub use views::{F32s, I8s, I16s, Names, U8s};
