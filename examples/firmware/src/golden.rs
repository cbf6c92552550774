//! Inputs and what the host's runtime made of them when the model was exported.

use fiberwalk_runtime::Classification;

use crate::model::{CLASSES, FEATURES};

/// One input and the bits of the host's result.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// Pixels, 0 (paper) to 16 (ink).
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

impl Case {
    /// The network's input.
    pub fn input(&self) -> [f32; FEATURES.len()] {
        self.pixels.map(f32::from)
    }

    /// Whether a result is the host's, bit for bit.
    pub fn matches(&self, class: &Classification<'_>) -> bool {
        let probabilities = class.probabilities.iter().map(|p| p.to_bits());
        probabilities.eq(self.probabilities)
            && class.entropy.to_bits() == self.entropy
            && class.mutual_information.to_bits() == self.mutual_information
            && class.expected_entropy.to_bits() == self.expected_entropy
            && class.set().fold(0, |set, class| set | 1 << class) == self.set
            && class.out_of_distribution == self.out_of_distribution
            && class.is_sure() == self.sure
    }
}

mod cases {
    include!(concat!(env!("FIRMWARE_MODELS"), "/golden.rs"));
}

pub use cases::CASES;
