//! Costs of a prediction on a board.

use fiberwalk_formats::decode;
use serde::Serialize;

use super::error::failed;
use crate::costs::footprint::{Flash, Work};
use crate::costs::instructions::{self, Row};
use crate::error::Result;

/// Costs of an artifact.
#[derive(Clone, Debug, Serialize)]
pub struct Costs {
    /// Bytes of flash and of scratch memory.
    pub flash: Flash,
    /// Multiply-accumulates.
    pub work: Work,
    /// Executed instructions on every kind of core, by a model that was fitted to counted ones.
    pub instructions: Vec<Row>,
}

impl Costs {
    /// Counts the costs of an artifact, the bytes of a `.fwk` file.
    ///
    /// # Errors
    /// The bytes are no valid artifact.
    pub fn of(artifact: &[u8]) -> Result<Self> {
        let decoded = decode(artifact).map_err(failed)?;
        Ok(Self {
            flash: Flash::of(&decoded, artifact.len()),
            work: Work::of(&decoded),
            instructions: instructions::table(&decoded),
        })
    }
}
