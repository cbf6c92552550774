//! A decoded and checked artifact.

use fiberwalk_formats::{
    Activation, Artifact, DecodeError, Names, Output, ScratchLayout, Shape, decode,
};

use crate::codes::{Codes, ModelCodes};
use crate::error::PredictError;
use crate::input::Feature;
use crate::maps::Maps;
use crate::prediction::Prediction;
use crate::session::Session;

/// A network with its latent posterior and calibration, borrowed from the bytes of a `.fwk` file.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    artifact: Artifact<'a>,
    first_stochastic: usize,
    scratch: ScratchLayout,
}

impl<'a> Model<'a> {
    /// Reads and checks a `.fwk` file; no later call can find fault with it.
    ///
    /// # Errors
    /// [`DecodeError`] says what is wrong with the bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        decode(bytes).map(|artifact| Self {
            first_stochastic: artifact.first_stochastic(),
            scratch: artifact.scratch_layout(),
            artifact,
        })
    }

    /// Everything in the file.
    pub const fn artifact(&self) -> &Artifact<'a> {
        &self.artifact
    }

    /// Number of input features.
    pub fn input_len(&self) -> usize {
        self.artifact.input_len()
    }

    /// Length of the scratch buffer, 32-bit words.
    pub const fn scratch_len(&self) -> usize {
        self.artifact.scratch_len as usize
    }

    /// Number of samples that the trainer recommends.
    pub fn samples(&self) -> usize {
        usize::from(self.artifact.codes.samples)
    }

    /// Dimension of the latent code.
    pub fn latent_dim(&self) -> usize {
        usize::from(self.artifact.codes.latent_dim)
    }

    /// Codes from the source that the trainer chose; drawn ones start from `seed`.
    pub fn codes(&self, seed: u64) -> ModelCodes {
        ModelCodes::new(self.artifact.codes.source, self.latent_dim(), seed)
    }

    /// Feature names, in the order of the input; none of a network with maps, whose features are the values
    /// of a [map](Self::map) with [channels](Self::channels).
    pub fn features(&self) -> Names<'a> {
        if self.map().is_some() { Names::new("") } else { self.artifact.inputs.names }
    }

    /// Height, width and channels of the input of a network with maps, in which value (y, x) of channel c has
    /// the index (y · width + x) · channels + c; none of other networks.
    pub fn map(&self) -> Option<Shape> {
        self.artifact.maps().map(|geometry| geometry.input)
    }

    /// Names of the channels of a network with maps, as far as they have some; none of other networks.
    pub fn channels(&self) -> Names<'a> {
        if self.map().is_some() { self.artifact.inputs.names } else { Names::new("") }
    }

    /// Class names in the order of the probabilities; none for regression.
    pub const fn classes(&self) -> Option<Names<'a>> {
        match self.artifact.output {
            Output::Classification { classes, .. } => Some(classes),
            Output::Regression { .. } => None,
        }
    }

    /// Name of what is predicted.
    pub const fn target(&self) -> &'a str {
        match self.artifact.output {
            Output::Classification { target, .. } | Output::Regression { target, .. } => target,
        }
    }

    /// From network outputs to predictions: the calibration.
    pub const fn output(&self) -> &Output<'a> {
        &self.artifact.output
    }

    /// Index of the first layer that depends on the latent code; the number of layers if none.
    pub(crate) const fn first_stochastic(&self) -> usize {
        self.first_stochastic
    }

    /// The arrays in the scratch buffer.
    pub(crate) const fn scratch_layout(&self) -> &ScratchLayout {
        &self.scratch
    }

    /// The maps of a convolutional network.
    pub(crate) fn maps(&self) -> Option<Maps<'_, 'a>> {
        let geometry = self.artifact.maps()?;
        Some(Maps::new(&self.artifact, geometry, &self.scratch.offsets))
    }

    /// What turns the last layer's accumulators into outputs.
    pub(crate) fn last_activation(&self) -> &Activation<'a> {
        // Decoding found at least one layer.
        const NONE: &Activation<'_> = &Activation::Value(0.0);
        self.artifact.layers.last().map_or(NONE, |layer| &layer.activation)
    }

    /// The posterior predictive at `input`, from `samples` latent codes.
    ///
    /// `input` holds one value a feature, in the units of the training data: `f32`, or a sensor's
    /// raw `u8`, `i8` or `i16`. `scratch` holds at least [`Self::scratch_len`] words, in any state.
    ///
    /// # Errors
    /// [`PredictError`]: wrong length, NaN or infinite input, short scratch, no sample, more
    /// samples than codes are stored, or drawn codes without a trunk.
    pub fn predict<'s, F: Feature>(
        &self,
        input: &[F],
        codes: &mut impl Codes,
        samples: usize,
        scratch: &'s mut [u32],
    ) -> Result<Prediction<'s>, PredictError> {
        let mut session = Session::begin_unwatched(self, input, scratch)?;
        for _ in 0..samples {
            session.add_sample(codes)?;
        }
        session.finish()
    }

    /// The posterior predictive from as many samples as it takes until the Monte-Carlo
    /// [standard error](Session::standard_error) is at most `tolerance`, or `budget` samples; and
    /// their number. It is the prediction that [`Self::predict`] gives for that number.
    ///
    /// `tolerance` is a probability for a class, and in the target's units for a number.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn predict_until<'s, F: Feature>(
        &self,
        input: &[F],
        codes: &mut impl Codes,
        tolerance: f32,
        budget: usize,
        scratch: &'s mut [u32],
    ) -> Result<(Prediction<'s>, usize), PredictError> {
        let mut session = Session::begin(self, input, scratch)?;
        for _ in 0..budget {
            session.add_sample(codes)?;
            if session.standard_error().is_some_and(|error| error <= tolerance) {
                break;
            }
        }
        let samples = session.samples();
        Ok((session.finish()?, samples))
    }

    /// One deterministic pass with the mean weights, of a mixture those of its first member: the price to compare
    /// samples with.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn predict_mean<'s, F: Feature>(
        &self,
        input: &[F],
        scratch: &'s mut [u32],
    ) -> Result<Prediction<'s>, PredictError> {
        Session::begin_mean(self, input, scratch)?.finish()
    }

    /// The outputs of a deterministic pass, `[outputs]`: the last layer's accumulators, for a
    /// caller that makes something else of them than a prediction.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn mean_outputs<'s, F: Feature>(
        &self,
        input: &[F],
        scratch: &'s mut [u32],
    ) -> Result<&'s [i32], PredictError> {
        Session::begin_outputs(self, input, scratch).map(Session::into_outputs)
    }
}
