//! One prediction in steps: what all samples share, then sample after sample, then the summary.

use crate::codes::{Codes, Draw};
use crate::error::PredictError;
use crate::kernels::{activate, add_factors, dense, modulation, output_floats, project};
use crate::model::Model;
use crate::prediction::{Moments, Prediction};
use crate::scratch::Scratch;

/// A prediction under way: for a caller that spreads the samples over time, or stops early.
///
/// [`Model::predict`] is [`begin`](Self::begin), [`add_sample`](Self::add_sample) as often as asked,
/// [`finish`](Self::finish).
pub struct Session<'m, 'a, 's> {
    model: &'m Model<'a>,
    scratch: Scratch<'s>,
    /// Layers before this index are the same for all samples.
    boundary: usize,
    moments: Moments,
}

impl<'m, 'a, 's> Session<'m, 'a, 's> {
    /// Computes what is the same for all samples: every layer before the first stochastic one,
    /// and that layer's mean product and projection.
    ///
    /// # Errors
    /// [`PredictError`]: wrong length, NaN or infinite input, or short scratch.
    pub fn begin(
        model: &'m Model<'a>,
        input: &[f32],
        scratch: &'s mut [u32],
    ) -> Result<Self, PredictError> {
        Self::begin_at(model, input, scratch, model.first_stochastic())
    }

    /// A session of one sample, the mean weights'.
    pub(crate) fn begin_mean(
        model: &'m Model<'a>,
        input: &[f32],
        scratch: &'s mut [u32],
    ) -> Result<Self, PredictError> {
        let layers = model.artifact().layers.len();
        let mut session = Self::begin_at(model, input, scratch, layers)?;
        session.forward();
        session.moments.add(
            &model.artifact().output,
            session.scratch.outputs,
            session.scratch.mean,
        );
        Ok(session)
    }

    fn begin_at(
        model: &'m Model<'a>,
        input: &[f32],
        scratch: &'s mut [u32],
        boundary: usize,
    ) -> Result<Self, PredictError> {
        let artifact = model.artifact();
        let scratch = Scratch::new(model, scratch)?;
        quantise_input(model, input, scratch.shared)?;
        for (index, layer) in artifact.layers.iter().enumerate().take(boundary + 1) {
            let inputs = &scratch.shared[..usize::from(layer.mean.inputs)];
            let sums = &mut scratch.shared_sums[..usize::from(layer.mean.outputs)];
            dense(&layer.mean, inputs, sums);
            if index < boundary {
                activate(&layer.activation, sums, scratch.shared);
            } else if let Some((projection, shifts)) = layer.factors.projection() {
                project(projection, inputs, shifts, scratch.shared_projection);
            }
        }
        scratch.mean.fill(0.0);
        Ok(Self { model, scratch, boundary, moments: Moments::default() })
    }

    /// Number of samples so far.
    pub fn samples(&self) -> usize {
        self.moments.samples()
    }

    /// Adds the next sample.
    ///
    /// # Errors
    /// [`PredictError::TooManySamples`] past the last stored code, [`PredictError::NoTrunk`] for a
    /// drawn code where the file has no trunk.
    pub fn add_sample(&mut self, codes: &mut impl Codes) -> Result<(), PredictError> {
        let artifact = self.model.artifact();
        if !self.scratch.modulation.is_empty() {
            match codes.draw(self.moments.samples(), self.scratch.code) {
                Draw::Stored(index) => self.load_modulation(index)?,
                Draw::Latent => self.decode_modulation()?,
            }
        }
        self.forward();
        self.moments.add(&artifact.output, self.scratch.outputs, self.scratch.mean);
        Ok(())
    }

    /// The calibrated prediction from the samples so far.
    ///
    /// # Errors
    /// [`PredictError::NoSamples`].
    pub fn finish(self) -> Result<Prediction<'s>, PredictError> {
        if self.moments.samples() == 0 {
            return Err(PredictError::NoSamples);
        }
        Ok(self.moments.finish(&self.model.artifact().output, self.scratch.mean))
    }

    fn load_modulation(&mut self, index: usize) -> Result<(), PredictError> {
        let artifact = self.model.artifact();
        let stored = artifact.stored_codes();
        if index >= stored {
            return Err(PredictError::TooManySamples { stored, asked: index.saturating_add(1) });
        }
        let len = self.scratch.modulation.len();
        let values = artifact.codes.stored.slice(index * len, len);
        for (m, value) in self.scratch.modulation.iter_mut().zip(values.iter()) {
            *m = value;
        }
        Ok(())
    }

    fn decode_modulation(&mut self) -> Result<(), PredictError> {
        let trunk = self.model.artifact().trunk.as_ref().ok_or(PredictError::NoTrunk)?;
        let scratch = &mut self.scratch;
        modulation(trunk, scratch.code, scratch.trunk, scratch.modulation);
        Ok(())
    }

    /// Runs the layers from the first stochastic one on; leaves the network's outputs.
    fn forward(&mut self) {
        let layers = &self.model.artifact().layers;
        let scratch = &mut self.scratch;
        let Some(last) = layers.last() else { return };
        if self.boundary == layers.len() {
            output_floats(&last.activation, scratch.shared_sums, scratch.outputs);
            return;
        }
        let mut modulation = &*scratch.modulation;
        for (index, layer) in layers.iter().enumerate().skip(self.boundary) {
            let sums = &mut scratch.sums[..usize::from(layer.mean.outputs)];
            let projection = if index == self.boundary {
                sums.copy_from_slice(&scratch.shared_sums[..sums.len()]);
                &*scratch.shared_projection
            } else {
                let inputs = &scratch.activations[..usize::from(layer.mean.inputs)];
                dense(&layer.mean, inputs, sums);
                if let Some((projection, shifts)) = layer.factors.projection() {
                    project(projection, inputs, shifts, scratch.projection);
                }
                &*scratch.projection
            };
            let (own, rest) = modulation.split_at(layer.factors.modulations());
            modulation = rest;
            add_factors(&layer.factors, projection, own, sums);
            activate(&layer.activation, sums, scratch.activations);
        }
        output_floats(&last.activation, scratch.sums, scratch.outputs);
    }
}

/// q = clamp(round((x − mean) · scale), −127, 127), halves away from zero.
fn quantise_input(model: &Model<'_>, input: &[f32], out: &mut [i8]) -> Result<(), PredictError> {
    let expected = model.input_len();
    if input.len() != expected {
        return Err(PredictError::InputLen { expected, found: input.len() });
    }
    if let Some(index) = input.iter().position(|x| !x.is_finite()) {
        return Err(PredictError::InputNotFinite { index });
    }
    let inputs = &model.artifact().inputs;
    let normalisation = inputs.mean.iter().zip(inputs.scale.iter());
    for ((out, &x), (mean, scale)) in out.iter_mut().zip(input).zip(normalisation) {
        *out = round_to_i8((x - mean) * scale);
    }
    Ok(())
}

/// clamp(round(t), −127, 127), halves away from zero, without floating-point arithmetic: boards
/// without it spend a hundred instructions on an addition.
fn round_to_i8(t: f32) -> i8 {
    /// Bits of the fraction.
    const FRACTION: u32 = 23;
    /// Biased exponents of 1/2 and of 128.
    const HALF: u32 = 126;
    const BEYOND: u32 = 134;
    let bits = t.to_bits();
    let magnitude = match (bits >> FRACTION) & 0xff {
        0..HALF => 0,
        exponent @ HALF..BEYOND => {
            let mantissa = (bits & ((1 << FRACTION) - 1)) | (1 << FRACTION);
            let halves = mantissa >> (FRACTION + HALF - exponent);
            halves.div_ceil(2).min(127) as i8
        }
        _ => 127,
    };
    if t.is_sign_negative() { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_is_the_function(t in -140.0f32..140.0, half in -130i32..130) {
            for t in [t, half as f32 / 2.0, (half as f32 / 2.0).next_down(), t / 100.0] {
                let exact = libm::roundf(t).clamp(-127.0, 127.0);
                prop_assert_eq!(f32::from(round_to_i8(t)), exact, "{}", t);
            }
        }
    }

    #[test]
    fn rounding_saturates() {
        for (t, q) in [(f32::MAX, 127), (f32::INFINITY, 127), (f32::MIN, -127), (1e-40, 0)] {
            assert_eq!(round_to_i8(t), q);
        }
    }
}
