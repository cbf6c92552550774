//! One prediction in steps: what all samples share, then sample after sample, then the summary.

use bytemuck::must_cast_slice_mut;
use fiberwalk_formats::{MAX_SAMPLES, padded};

use crate::codes::{Codes, Draw};
use crate::error::PredictError;
use crate::input::{Feature, quantise};
use crate::kernels::{activate, add_factors, dense, head, head_mut, modulation, project};
use crate::model::Model;
use crate::moments::Moments;
use crate::prediction::Prediction;
use crate::scratch::Scratch;

/// A prediction under way: for a caller that spreads the samples over time, or stops early.
///
/// [`Model::predict`] is [`begin`](Self::begin), [`add_sample`](Self::add_sample) as often as asked,
/// [`finish`](Self::finish). Between the calls nothing is borrowed but the model and the scratch
/// buffer; the input may change.
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
    pub fn begin<F: Feature>(
        model: &'m Model<'a>,
        input: &[F],
        scratch: &'s mut [u32],
    ) -> Result<Self, PredictError> {
        Self::begin_at(model, input, scratch, model.first_stochastic())
    }

    /// A session of one sample, the mean weights'.
    pub(crate) fn begin_mean<F: Feature>(
        model: &'m Model<'a>,
        input: &[F],
        scratch: &'s mut [u32],
    ) -> Result<Self, PredictError> {
        let mut session = Self::begin_outputs(model, input, scratch)?;
        session.add();
        Ok(session)
    }

    /// A session without a sample, whose shared sums are the mean weights' outputs.
    pub(crate) fn begin_outputs<F: Feature>(
        model: &'m Model<'a>,
        input: &[F],
        scratch: &'s mut [u32],
    ) -> Result<Self, PredictError> {
        Self::begin_at(model, input, scratch, model.artifact().layers.len())
    }

    fn begin_at<F: Feature>(
        model: &'m Model<'a>,
        input: &[F],
        scratch: &'s mut [u32],
        boundary: usize,
    ) -> Result<Self, PredictError> {
        let scratch = Scratch::new(model, scratch)?;
        quantise(&model.artifact().inputs.normalisation, input, scratch.shared)?;
        let mut session = Self { model, scratch, boundary, moments: Moments::default() };
        session.share();
        Ok(session)
    }

    /// The layers that all samples share, of the bytes in `scratch.shared`.
    fn share(&mut self) {
        let scratch = &mut self.scratch;
        let layers = self.model.artifact().layers.iter();
        for (index, layer) in layers.enumerate().take(self.boundary + 1) {
            let inputs = head(scratch.shared, padded(layer.mean.inputs.into()));
            if index == self.boundary
                && let Some((projection, shifts)) = layer.factors.projection()
            {
                let out = &mut *scratch.shared_projection;
                project(projection, inputs, shifts, scratch.shared_sums, out);
            }
            let sums = head_mut(scratch.shared_sums, layer.mean.outputs.into());
            dense(&layer.mean, inputs, sums);
            if index < self.boundary {
                activate(&layer.activation, sums, scratch.shared);
            }
        }
        scratch.mean.fill(0);
    }

    /// Number of samples so far.
    pub fn samples(&self) -> usize {
        self.moments.samples()
    }

    /// Adds the next sample.
    ///
    /// # Errors
    /// [`PredictError::TooManySamples`] past the last stored code or past 4,096 samples,
    /// [`PredictError::NoTrunk`] for a drawn code where the file has no trunk.
    pub fn add_sample(&mut self, codes: &mut impl Codes) -> Result<(), PredictError> {
        let sample = self.moments.samples();
        if sample >= MAX_SAMPLES {
            let available = MAX_SAMPLES;
            return Err(PredictError::TooManySamples { available, asked: sample + 1 });
        }
        if !self.scratch.modulation.is_empty() {
            let latent = head_mut(self.scratch.code, self.model.latent_dim());
            match codes.draw(sample, must_cast_slice_mut(latent)) {
                Draw::Stored(index) => self.load_modulation(index)?,
                Draw::Latent => self.decode_modulation()?,
            }
        }
        self.add();
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
        let output = &self.model.artifact().output;
        Ok(self.moments.finish(output, self.model.last_activation(), self.scratch.mean))
    }

    /// The mean weights' outputs, after [`Self::begin_outputs`].
    pub(crate) fn into_outputs(self) -> &'s [i32] {
        head(self.scratch.shared_sums, self.model.artifact().outputs())
    }

    fn load_modulation(&mut self, index: usize) -> Result<(), PredictError> {
        let artifact = self.model.artifact();
        let available = artifact.stored_codes();
        if index >= available {
            let asked = index.saturating_add(1);
            return Err(PredictError::TooManySamples { available, asked });
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
        let latent_dim = self.model.latent_dim();
        for (index, z) in scratch.code.iter_mut().enumerate() {
            // Two's complement to offset; padding is zero.
            *z = if index < latent_dim { *z ^ 0x80 } else { 0 };
        }
        modulation(trunk, scratch.code, scratch.trunk, scratch.sums, scratch.modulation);
        Ok(())
    }

    /// Runs the layers from the first stochastic one on, and adds their outputs to the sums.
    fn add(&mut self) {
        let layers = &self.model.artifact().layers;
        let activation = self.model.last_activation();
        let scratch = &mut self.scratch;
        // Of the first stochastic layer, or of the last where none is.
        for (sum, &shared) in scratch.sums.iter_mut().zip(&*scratch.shared_sums) {
            *sum = shared;
        }
        let mut modulation = &*scratch.modulation;
        for (index, layer) in layers.iter().enumerate().skip(self.boundary) {
            let outputs = usize::from(layer.mean.outputs);
            let projection = if index == self.boundary {
                &*scratch.shared_projection
            } else {
                let inputs = head(scratch.activations, padded(layer.mean.inputs.into()));
                if let Some((projection, shifts)) = layer.factors.projection() {
                    project(projection, inputs, shifts, scratch.sums, scratch.projection);
                }
                dense(&layer.mean, inputs, head_mut(scratch.sums, outputs));
                &*scratch.projection
            };
            let own = layer.factors.modulations();
            let sums = head_mut(scratch.sums, outputs);
            add_factors(&layer.factors, projection, head(modulation, own), scratch.factors, sums);
            modulation = modulation.get(own..).unwrap_or_default();
            activate(&layer.activation, sums, scratch.activations);
        }
        let sums = head_mut(scratch.sums, self.model.artifact().outputs());
        self.moments.add(activation, sums, scratch.mean);
    }
}
