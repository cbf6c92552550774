//! One prediction in steps: what all samples share, then sample after sample, then the summary.

use bytemuck::must_cast_slice_mut;
use fiberwalk_formats::{Activation, Layer, MAX_SAMPLES, Members, padded};

use crate::codes::{Codes, Draw};
use crate::error::PredictError;
use crate::input::{Feature, quantise};
use crate::kernels::{activate, add_factors, affine, dense, head, head_mut, modulation, project};
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
    /// Whether the standard error may be asked for.
    watched: bool,
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
        let session = Self::begin_unwatched(model, input, scratch)?;
        Ok(Self { watched: true, ..session })
    }

    /// A session whose standard error nobody asks for.
    pub(crate) fn begin_unwatched<F: Feature>(
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
        session.add(None);
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
        let bytes = match model.maps() {
            None => &mut *scratch.shared,
            Some(maps) => maps.input(scratch.shared),
        };
        let normalisation = &model.artifact().inputs.normalisation;
        quantise(normalisation, model.input_len(), input, bytes)?;
        let moments = Moments::default();
        let mut session = Self { model, scratch, boundary, moments, watched: false };
        match model.maps() {
            None => session.share(),
            Some(maps) => maps.share(boundary, &mut session.scratch),
        }
        session.scratch.mean.fill(0);
        Ok(session)
    }

    /// The layers that all samples share, of the bytes in `scratch.shared`: of a network without maps.
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
            if index == self.boundary && layer.factors.members().is_some() {
                // Every sample multiplies by weights of its own what lies in `shared`.
                return;
            }
            let sums = head_mut(scratch.shared_sums, layer.mean.outputs.into());
            dense(&layer.mean, inputs, sums);
            if index < self.boundary {
                activate(&layer.activation, sums, scratch.shared);
            }
        }
    }

    /// Number of samples so far.
    pub fn samples(&self) -> usize {
        self.moments.samples()
    }

    /// Monte-Carlo standard error of what the samples so far say: of the leading class's
    /// probability, before the temperature, over the samples since it leads; of the mean, in the
    /// target's units. None for fewer than four samples. Codes that cover the latent space better
    /// than independent ones, as stored and low-discrepancy ones do, err less than this.
    pub fn standard_error(&self) -> Option<f32> {
        let output = &self.model.artifact().output;
        self.moments.standard_error(output, self.model.last_activation())
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
        let latent = head_mut(self.scratch.code, self.model.latent_dim());
        let stored = match self.scratch.modulation.len() {
            0 => None,
            len => match codes.draw(sample, must_cast_slice_mut(latent)) {
                Draw::Stored(index) => Some(self.stored(index, len)?),
                Draw::Latent => {
                    self.decode_modulation()?;
                    None
                }
            },
        };
        self.add(stored);
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

    /// The modulations of a stored code, in the file.
    fn stored(&self, index: usize, len: usize) -> Result<&'m [i8], PredictError> {
        let codes = self.model.artifact().codes.stored.as_slice();
        let start = index.saturating_mul(len);
        codes.get(start..).and_then(|rest| rest.get(..len)).ok_or_else(|| {
            let available = self.model.artifact().stored_codes();
            PredictError::TooManySamples { available, asked: index.saturating_add(1) }
        })
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

    /// Runs the layers from the first stochastic one on, and adds their outputs to the sums. The
    /// modulations are `stored` ones or those in the scratch buffer.
    fn add(&mut self, stored: Option<&[i8]>) {
        let Some(maps) = self.model.maps() else { return self.add_dense(stored) };
        let scratch = &mut self.scratch;
        maps.sample(self.boundary, stored, scratch);
        let sums = head_mut(scratch.sums, self.model.artifact().outputs());
        self.moments.add(self.model.last_activation(), sums, scratch.mean, self.watched);
    }

    /// The same of a network without maps.
    fn add_dense(&mut self, stored: Option<&[i8]>) {
        let layers = self.model.artifact().layers.as_slice();
        // The first stochastic layer, or the last where none is.
        let first = self.boundary.min(layers.len().saturating_sub(1));
        let Some((mut layer, later)) = layers.get(first..).and_then(<[_]>::split_first) else {
            return;
        };
        let scratch = &mut self.scratch;
        let mut modulation = stored.unwrap_or(scratch.modulation);
        let (mut activation, mut of_member);
        let mut sums = head_mut(scratch.sums, layer.mean.outputs.into());
        if let (Some(members), true) = (layer.factors.members(), self.boundary < layers.len()) {
            let inputs = head(scratch.shared, padded(layer.mean.inputs.into()));
            (of_member, modulation) = multiply_member(layer, members, modulation, inputs, sums);
            activation = &of_member;
        } else {
            activation = &layer.activation;
            sums.iter_mut().zip(&*scratch.shared_sums).for_each(|(sum, &shared)| *sum = shared);
            if self.boundary < layers.len() {
                let (factors, v) = (&layer.factors, &mut *scratch.factors);
                modulation = add_factors(factors, scratch.shared_projection, modulation, v, sums);
            }
        }
        for next in later {
            activate(activation, sums, scratch.activations);
            layer = next;
            let inputs = head(scratch.activations, padded(layer.mean.inputs.into()));
            if let Some(members) = layer.factors.members() {
                sums = head_mut(scratch.sums, layer.mean.outputs.into());
                (of_member, modulation) = multiply_member(layer, members, modulation, inputs, sums);
                activation = &of_member;
                continue;
            }
            if let Some((projection, shifts)) = layer.factors.projection() {
                project(projection, inputs, shifts, scratch.sums, scratch.projection);
            }
            activation = &layer.activation;
            sums = head_mut(scratch.sums, layer.mean.outputs.into());
            dense(&layer.mean, inputs, sums);
            let (factors, v) = (&layer.factors, &mut *scratch.factors);
            modulation = add_factors(factors, scratch.projection, modulation, v, sums);
        }
        self.moments.add(activation, sums, scratch.mean, self.watched);
    }
}

/// The accumulators of a layer with the weights of the member that the first modulation names. Returns its activation
/// and the modulations of the layers that follow.
#[inline(never)]
fn multiply_member<'a, 'm>(
    layer: &Layer<'a>,
    members: &Members<'a>,
    modulation: &'m [i8],
    inputs: &[u8],
    sums: &mut [i32],
) -> (Activation<'a>, &'m [i8]) {
    let (&member, later) = modulation.split_first().unwrap_or((&0, &[]));
    let (weights, activation) = layer.member(members, member);
    affine(&weights, inputs, sums);
    (activation, later)
}
