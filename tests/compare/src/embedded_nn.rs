//! embedded-nn's fully connected layer, from int8 to int8.
//!
//! Networks have programs of their own: the compiler adapts the library's one function to a single
//! caller, at half the price of D, and not to several.

use embedded_nn::{Activation, Dims, FcParams, PerTensorQuantParams, fully_connected_s8};

use crate::{SHIFT, random};

pub const RELU: Activation = Activation::new(0, i8::MAX as i32);
pub const NONE: Activation = Activation::int8_unconstrained();

/// Weights and bias.
pub struct Layer<const INPUTS: usize, const OUTPUTS: usize> {
    weights: [[i8; INPUTS]; OUTPUTS],
    bias: [i32; OUTPUTS],
}

impl<const INPUTS: usize, const OUTPUTS: usize> Layer<INPUTS, OUTPUTS> {
    /// Random weights, no bias.
    pub const fn random(seed: u32) -> Self {
        Self { weights: random(seed), bias: [0; OUTPUTS] }
    }

    /// The layer's outputs.
    pub fn forward(&self, input: &[i8; INPUTS], activation: Activation) -> [i8; OUTPUTS] {
        let mut output = [0; OUTPUTS];
        fully_connected_s8(
            &FcParams { input_offset: 0, filter_offset: 0, output_offset: 0, activation },
            // 2^30 stands for a half; the shift halves further.
            &PerTensorQuantParams::new(1 << 30, 1 - SHIFT),
            &Dims::new(1, 1, 1, INPUTS as i32),
            input,
            &Dims::new(INPUTS as i32, 1, 1, OUTPUTS as i32),
            self.weights.as_flattened(),
            Some(&self.bias),
            &Dims::new(1, 1, 1, OUTPUTS as i32),
            &mut output,
        )
        .expect("the lengths are the types'");
        output
    }
}
