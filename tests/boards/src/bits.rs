//! All bits of some predictions in one number: what a board's kernels and the host's must agree on.

use fiberwalk_runtime::{Model, Prediction};

/// A file's name and bytes.
macro_rules! file {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../", $name, ".fwk")))
    };
}

/// Models of every kind, small ones and wide ones.
pub const FILES: [(&str, &[u8]); 12] = [
    file!("compat/v2/colour-convolutions"),
    file!("compat/v2/frozen"),
    file!("compat/v2/mixture"),
    file!("compat/v2/number-dense"),
    file!("compat/v2/number-drawn"),
    file!("compat/v2/raw-u8"),
    file!("compat/v2/relu-int4"),
    file!("compat/v2/tanh-low-rank-int8"),
    file!("compare/models/a"),
    file!("compare/models/a4"),
    file!("compare/models/d"),
    file!("compare/models/d4"),
];

/// Features of the widest file.
const FEATURES: usize = 256;
/// Words of scratch, more than any file needs.
const SCRATCH: usize = 1024;
/// Inputs that are predicted.
const INPUTS: u8 = 8;

/// FNV-1a of the predictions' bits; none where one fails.
pub fn hash(file: &[u8]) -> Option<u64> {
    let model = Model::from_bytes(file).ok()?;
    let mut scratch = [0; SCRATCH];
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for first in 0..INPUTS {
        let input: [i8; FEATURES] =
            core::array::from_fn(|index| (index as u8).wrapping_mul(29).wrapping_add(first) as i8);
        let input = input.get(..model.input_len())?;
        let mut codes = model.codes(first.into());
        hash.add(&model.predict(input, &mut codes, model.samples(), &mut scratch).ok()?);
        hash.add(&model.predict_mean(input, &mut scratch).ok()?);
    }
    Some(hash.0)
}

struct Fnv(u64);

impl Fnv {
    fn add(&mut self, prediction: &Prediction<'_>) {
        match prediction {
            Prediction::Classification(class) => {
                class.probabilities.iter().for_each(|&p| self.word(p));
                self.word(class.entropy);
                self.word(class.mutual_information);
            }
            Prediction::Regression(value) => {
                for value in [value.mean, value.variance, value.lower] {
                    self.word(value);
                }
            }
        }
    }

    fn word(&mut self, value: f32) {
        for byte in value.to_bits().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
