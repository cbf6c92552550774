//! Inputs and what the host's runtime made of them when the model was exported.

use fiberwalk_runtime::Classification;

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

impl Case {
    /// Where a result differs from the host's: what, the host's bits, the bits here.
    pub fn differences(
        &self,
        class: &Classification<'_>,
    ) -> impl Iterator<Item = (&'static str, u32, u32)> {
        let mutual_information = class.mutual_information.to_bits();
        let set = class.set().fold(0, |set, class| set | 1 << class);
        let out_of_distribution = class.out_of_distribution.into();
        let scalars = [
            ("number of classes", CLASSES.len() as u32, class.probabilities.len() as u32),
            ("entropy", self.entropy, class.entropy.to_bits()),
            ("mutual information", self.mutual_information, mutual_information),
            ("expected entropy", self.expected_entropy, class.expected_entropy.to_bits()),
            ("prediction set", self.set, set),
            ("out of distribution", self.out_of_distribution.into(), out_of_distribution),
            ("sure", self.sure.into(), class.is_sure().into()),
        ];
        let bits = class.probabilities.iter().map(|p| p.to_bits());
        let probabilities = self.probabilities.iter().zip(bits);
        probabilities
            .map(|(&host, here)| ("probability", host, here))
            .chain(scalars)
            .filter(|(_, host, here)| host != here)
    }
}

mod cases {
    include!(concat!(env!("FIRMWARE_MODELS"), "/golden.rs"));
}

pub use cases::CASES;
