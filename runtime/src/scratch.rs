//! The caller's buffer, cut into the arrays of a prediction.

use fiberwalk_formats::Artifact;

use crate::error::PredictError;

/// Working memory of one prediction.
pub(crate) struct Scratch<'s> {
    /// Input of the first stochastic layer, the same for all samples.
    pub shared: &'s mut [i8],
    /// Activations of the sample at hand.
    pub current: &'s mut [i8],
    /// Mean accumulators of the first stochastic layer.
    pub shared_sums: &'s mut [i32],
    /// Projection of that layer's input.
    pub shared_projection: &'s mut [i16],
    /// Accumulators of the product at hand.
    pub sums: &'s mut [i32],
    /// Projection of the layer at hand.
    pub projection: &'s mut [i16],
    /// Modulation of the sample at hand.
    pub modulation: &'s mut [i16],
    /// Latent code of the sample at hand.
    pub code: &'s mut [i8],
    /// Hidden activations of the trunk.
    pub trunk: &'s mut [i8],
    /// Sum over samples of the class probabilities, or the target's moments.
    pub mean: &'s mut [f32],
    /// Outputs of the sample at hand.
    pub outputs: &'s mut [f32],
}

impl<'s> Scratch<'s> {
    /// Cuts `words`, which must hold at least the artifact's `scratch_len`.
    pub fn new(artifact: &Artifact<'_>, words: &'s mut [u32]) -> Result<Self, PredictError> {
        let expected = artifact.scratch_len as usize;
        if words.len() < expected {
            return Err(PredictError::ScratchTooSmall { expected, found: words.len() });
        }
        let layers = &artifact.layers;
        let inputs = layers.iter().map(|layer| usize::from(layer.mean.inputs)).max();
        let outputs = layers.iter().map(|layer| usize::from(layer.mean.outputs)).max();
        let projections = layers.iter().filter_map(|layer| layer.factors.projection());
        let projection =
            projections.map(|(dense, _)| usize::from(dense.outputs)).max().unwrap_or(0);
        let (inputs, outputs) = (inputs.unwrap_or(0), outputs.unwrap_or(0));
        let trunk = artifact.trunk.map_or(0, |trunk| usize::from(trunk.hidden.outputs));
        let modulations = artifact.modulations();
        let widest = inputs.max(outputs);
        let mut rest = words;
        let mut take = |words: usize| {
            // `required_scratch` counts exactly these pieces, and decoding checked it.
            let (piece, left) = core::mem::take(&mut rest).split_at_mut(words);
            rest = left;
            piece
        };
        let mut bytes = |len: usize| &mut bytemuck::cast_slice_mut(take(len.div_ceil(4)))[..len];
        let (shared, current) = (bytes(widest), bytes(widest));
        let (code, hidden) = (bytes(usize::from(artifact.codes.latent_dim)), bytes(trunk));
        let mut halves =
            |len: usize| &mut bytemuck::cast_slice_mut(take((2 * len).div_ceil(4)))[..len];
        let (shared_projection, own_projection) = (halves(projection), halves(projection));
        let modulation = halves(modulations);
        let shared_sums = bytemuck::cast_slice_mut(take(outputs));
        let sums = take(outputs.max(projection).max(trunk).max(modulations));
        let mean = bytemuck::cast_slice_mut(take(artifact.outputs()));
        let sample = bytemuck::cast_slice_mut(take(artifact.outputs()));
        Ok(Self {
            shared,
            current,
            shared_sums,
            shared_projection,
            sums: bytemuck::cast_slice_mut(sums),
            projection: own_projection,
            modulation,
            code,
            trunk: hidden,
            mean,
            outputs: sample,
        })
    }
}
