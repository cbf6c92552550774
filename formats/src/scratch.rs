//! The runtime's working memory, on which both sides agree.

use crate::artifact::{Artifact, Layer};

/// Number of elements of every array in the scratch buffer, in the order in which they lie there.
/// Each array starts at a 32-bit word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScratchLayout {
    /// int8 input of the layer at hand while computing what all samples share.
    pub shared: usize,
    /// int8 input of the layer at hand within a sample: of those after the first stochastic one.
    pub activations: usize,
    /// int8 latent code.
    pub code: usize,
    /// int8 hidden activations of the trunk.
    pub trunk: usize,
    /// int16 projection of the first stochastic layer's input.
    pub shared_projection: usize,
    /// int16 projection of the input of a later layer.
    pub projection: usize,
    /// int16 modulation of all stochastic layers.
    pub modulation: usize,
    /// int32 accumulators of the layer at hand while computing what all samples share.
    pub shared_sums: usize,
    /// int32 accumulators of the layer at hand within a sample.
    pub sums: usize,
    /// f32 mean over samples: class probabilities or the target.
    pub mean: usize,
    /// f32 outputs of the sample at hand.
    pub outputs: usize,
}

impl ScratchLayout {
    /// The layout for an artifact.
    pub(crate) fn new(artifact: &Artifact<'_>) -> Self {
        let layers = artifact.layers.as_slice();
        let each = layers.get(artifact.first_stochastic()..).unwrap_or_default();
        let later = each.get(1..).unwrap_or_default();
        let projection = |layer: &Layer| {
            layer.factors.projection().map_or(0, |(dense, _)| usize::from(dense.outputs))
        };
        let inputs = |layer: &Layer| usize::from(layer.mean.inputs);
        let outputs = |layer: &Layer| usize::from(layer.mean.outputs);
        Self {
            // All layers: a pass with the mean weights shares everything.
            shared: widest(layers, inputs),
            activations: widest(later, inputs),
            code: artifact.trunk.map_or(0, |trunk| usize::from(trunk.hidden.inputs)),
            trunk: artifact.trunk.map_or(0, |trunk| usize::from(trunk.hidden.outputs)),
            shared_projection: each.first().map_or(0, projection),
            projection: widest(later, projection),
            modulation: artifact.modulations(),
            shared_sums: widest(layers, outputs),
            sums: widest(each, outputs),
            mean: artifact.outputs(),
            outputs: artifact.outputs(),
        }
    }

    /// Length of the buffer, 32-bit words.
    pub fn words(&self) -> usize {
        let bytes = [self.shared, self.activations, self.code, self.trunk];
        let halves = [self.shared_projection, self.projection, self.modulation];
        let words = [self.shared_sums, self.sums, self.mean, self.outputs];
        bytes.iter().map(|len| len.div_ceil(4)).sum::<usize>()
            + halves.iter().map(|len| len.div_ceil(2)).sum::<usize>()
            + words.iter().sum::<usize>()
    }
}

fn widest(layers: &[Layer<'_>], width: impl Fn(&Layer<'_>) -> usize) -> usize {
    layers.iter().map(width).max().unwrap_or(0)
}
