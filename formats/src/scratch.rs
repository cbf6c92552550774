//! The runtime's working memory, on which both sides agree.

use crate::artifact::{Artifact, Factors, Layer, Output};
use crate::geometry::Geometry;
use crate::packing::padded;
use crate::places::{Offsets, places};

/// Number of elements of every array in the scratch buffer, in the order in which they lie there.
/// Each array starts at a 32-bit word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScratchLayout {
    /// Byte inputs of the layer at hand while computing what all samples share. With a
    /// [`Geometry`](crate::Geometry), the bytes of all maps.
    pub shared: usize,
    /// Byte inputs of the layer at hand within a sample: of those after the first stochastic one.
    /// With a geometry, bytes under the window of a convolution.
    pub activations: usize,
    /// Modulated projection of a low-rank layer, bytes.
    pub factors: usize,
    /// Latent code, bytes.
    pub code: usize,
    /// Hidden activations of the trunk, bytes.
    pub trunk: usize,
    /// int8 modulation of all stochastic layers.
    pub modulation: usize,
    /// int16 projection of the first stochastic layer's input.
    pub shared_projection: usize,
    /// int16 projection of the input of a later layer.
    pub projection: usize,
    /// int32 accumulators of the layer at hand while computing what all samples share.
    pub shared_sums: usize,
    /// int32 accumulators of the layer or trunk layer at hand within a sample. With a geometry those
    /// of any layer, at one position, after what a pooling window has given so far.
    pub sums: usize,
    /// Sum over samples of the class probabilities, 32 bits each; none for regression.
    pub mean: usize,
    /// Where the maps lie among their bytes: the input, then the outputs of the hidden layers.
    pub offsets: Offsets,
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
        let rank = |layer: &Layer| match &layer.factors {
            Factors::LowRank(factors) => usize::from(factors.projection.outputs),
            _ => 0,
        };
        let inputs = |layer: &Layer| usize::from(layer.mean.inputs);
        let outputs = |layer: &Layer| usize::from(layer.mean.outputs);
        let (code, trunk, trunk_sums) = artifact.trunk.map_or((0, 0, 0), |trunk| {
            let width = usize::from(trunk.hidden.outputs);
            (trunk.hidden.inputs.into(), width, width.max(trunk.output.outputs.into()))
        });
        let first_projection = each.first().map_or(0, projection);
        let dense = Self {
            // All layers: a pass with the mean weights shares everything.
            shared: widest(layers, inputs),
            activations: widest(later, inputs),
            factors: widest(each, rank),
            code,
            trunk,
            modulation: artifact.modulations(),
            shared_projection: first_projection,
            projection: widest(later, projection),
            shared_sums: widest(layers, outputs).max(first_projection),
            sums: widest(each, outputs)
                .max(widest(later, projection))
                .max(trunk_sums)
                .max(artifact.outputs()),
            mean: match artifact.output {
                Output::Classification { .. } => artifact.outputs(),
                Output::Regression { .. } => 0,
            },
            ..Self::default()
        };
        match artifact.maps() {
            None => dense,
            Some(geometry) => dense.with_maps(artifact, geometry),
        }
    }

    /// The layout with maps, and without what a dense network has in their place.
    fn with_maps(self, artifact: &Artifact<'_>, geometry: &Geometry<'_>) -> Self {
        let stochastic = artifact.first_stochastic();
        let (offsets, maps) = places(artifact, geometry);
        let mut layout = Self {
            shared: maps,
            activations: 0,
            offsets,
            shared_projection: 0,
            // Outputs of a pass with the mean weights.
            shared_sums: artifact.outputs(),
            ..self
        };
        for step in geometry.steps(&artifact.layers) {
            let outputs = usize::from(step.layer.mean.outputs);
            let projection =
                step.layer.factors.projection().map_or(0, |(dense, _)| dense.outputs.into());
            let pooled = if step.block.pool.is_some() { outputs } else { 0 };
            layout.sums = layout.sums.max(pooled + outputs.max(projection));
            match &step.block.window {
                Some(window) => {
                    let values = window.values(step.input.channels);
                    layout.activations = layout.activations.max(padded(values));
                    layout.projection = layout.projection.max(projection);
                }
                None if step.index == stochastic => {
                    layout.shared_sums = layout.shared_sums.max(outputs);
                    layout.shared_projection = projection;
                }
                None => {}
            }
        }
        layout
    }

    /// Length of the buffer, 32-bit words.
    pub fn words(&self) -> usize {
        let bytes =
            [self.shared, self.activations, self.factors, self.code, self.trunk, self.modulation];
        let halves = [self.shared_projection, self.projection];
        let words = [self.shared_sums, self.sums, self.mean];
        bytes.iter().map(|len| len.div_ceil(4)).sum::<usize>()
            + halves.iter().map(|len| len.div_ceil(2)).sum::<usize>()
            + words.iter().sum::<usize>()
    }
}

fn widest(layers: &[Layer<'_>], width: impl Fn(&Layer<'_>) -> usize) -> usize {
    layers.iter().map(width).max().unwrap_or(0)
}
