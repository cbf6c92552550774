//! Inputs and what the host's runtime made of them when the model was exported.
#![allow(dead_code, reason = "a program that is copied predicts them and compares nothing")]

use crate::model::{CLASSES, FEATURES};

/// One input and the bits of the host's result.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// Pixels, 0 (paper) to 16 (ink): the network's input.
    pub pixels: [u8; FEATURES.len()],
    /// Bits of the probabilities.
    pub probabilities: [u32; CLASSES.len()],
    /// Bits of the entropy.
    pub entropy: u32,
    /// Bits of the mutual information.
    pub mutual_information: u32,
    /// Bits of the expected entropy.
    pub expected_entropy: u32,
    /// Prediction set, one bit a class.
    pub set: u32,
    /// Out-of-distribution verdict.
    pub out_of_distribution: bool,
    /// Whether there is one answer to act on.
    pub sure: bool,
}

mod host {
    include!(concat!(env!("FIRMWARE_MODELS"), "/golden.rs"));
}

pub use host::CASES;
