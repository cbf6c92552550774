//! Shapes of a network and the layout of its parameter vector.

use std::ops::Range;

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use super::Activation;
use super::window::{Pool, PoolKind, Shape, Window};

/// A feed-forward network: blocks of an affine map, an activation and, of images and series, pooling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// Shape of the input.
    pub input: Shape,
    /// Blocks from the input to the output, at least one.
    pub blocks: Vec<Block>,
}

/// One layer with weights, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Units of a dense layer, output channels of a convolution.
    pub outputs: usize,
    /// The window of a convolution; a dense layer has none and reads the whole map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The block whose output is added before the activation (He et al. 2016), by its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<usize>,
    /// Activation.
    pub activation: Activation,
    /// Pooling after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

/// One layer's place in the parameter vector: weights `[outputs, inputs]` row-major, then
/// biases `[outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Fan-in of an output: width of a dense layer's input, (ky, kx, channel of the group) of a
    /// convolution's window.
    pub inputs: usize,
    /// Width of the layer's output, or its channels.
    pub outputs: usize,
    /// Index of the first weight in θ.
    pub offset: usize,
}

impl LayerShape {
    /// Indices of the weights in θ.
    pub fn weights(&self) -> Range<usize> {
        self.offset..self.offset + self.inputs * self.outputs
    }

    /// Indices of the biases in θ.
    pub fn biases(&self) -> Range<usize> {
        let start = self.offset + self.inputs * self.outputs;
        start..start + self.outputs
    }

    /// Indices of weights and biases in θ.
    pub fn parameters(&self) -> Range<usize> {
        self.offset..self.biases().end
    }
}

/// A block with its shapes and its place in the parameter vector.
#[derive(Clone, Copy, Debug)]
pub struct PlacedBlock<'a> {
    /// The block.
    pub block: &'a Block,
    /// Its weights and biases.
    pub layer: LayerShape,
    /// The map that it reads.
    pub input: Shape,
    /// The values of its affine map.
    pub sums: Shape,
    /// Its output.
    pub output: Shape,
}

impl<'a> PlacedBlock<'a> {
    fn new(block: &'a Block, input: Shape, offset: usize) -> Self {
        let (inputs, outputs) = (block.fan_in(input), block.outputs);
        Self {
            block,
            layer: LayerShape { inputs, outputs, offset },
            input,
            sums: block.affine_shape(input),
            output: block.output_shape(input),
        }
    }

    /// Returns the part of the input that a unit reads: the map under a convolution's window, or the whole one.
    pub fn reads(&self) -> Shape {
        match self.block.window {
            None => self.input,
            Some(Window { size: [height, width], groups, .. }) => {
                Shape { height, width, channels: self.input.channels / groups }
            }
        }
    }

    /// Multiply-accumulates of its weights, for one row.
    pub fn products(&self) -> usize {
        self.sums.positions() * self.layer.weights().len()
    }
}

impl Block {
    /// A dense layer.
    pub const fn dense(outputs: usize, activation: Activation) -> Self {
        Self { outputs, window: None, skip: None, activation, pool: None }
    }

    /// Shape of the affine map's values, `input` being that of what it reads.
    pub fn affine_shape(&self, input: Shape) -> Shape {
        match &self.window {
            Some(window) => window.over(input, self.outputs),
            None => Shape::flat(self.outputs),
        }
    }

    /// Shape of the block's output.
    pub fn output_shape(&self, input: Shape) -> Shape {
        let shape = self.affine_shape(input);
        self.pool.map_or(shape, |pool| pool.over(shape))
    }

    /// Number of weights of an output.
    pub fn fan_in(&self, input: Shape) -> usize {
        self.window.map_or(input.len(), |window| window.fan_in(input.channels))
    }

    /// Whether it is a convolution with groups, whose weights are int8 and moved by no code.
    pub fn is_grouped(&self) -> bool {
        self.window.is_some_and(|window| window.groups > 1)
    }

    /// Whether the largest of a window may be taken before the activation.
    pub fn pools_first(&self) -> bool {
        self.pool.is_some_and(|pool| pool.kind == PoolKind::Max) && self.activation.is_monotone()
    }
}

impl Architecture {
    /// Fully connected: `widths` from the inputs through the hidden layers to the outputs, at least two,
    /// with an activation after every layer but the last.
    pub fn perceptron(widths: &[usize], activation: Activation) -> Self {
        let (last, hidden) = widths[1..].split_last().expect("inputs and outputs");
        let hidden = hidden.iter().map(|&width| Block::dense(width, activation));
        let output = Block::dense(*last, Activation::Identity);
        Self { input: Shape::flat(widths[0]), blocks: hidden.chain([output]).collect() }
    }

    /// Number of layers with weights.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// The blocks before index `layer` and those from it on; none before where it is 0.
    ///
    /// # Panics
    /// A block from `layer` on adds the output of one before ([`Self::can_split_at`]).
    pub fn split_at(&self, layer: usize) -> (Option<Self>, Self) {
        assert!(self.can_split_at(layer));
        if layer == 0 {
            return (None, self.clone());
        }
        let (before, after) = self.blocks.split_at(layer);
        let mut after = Self { input: self.maps()[layer], blocks: after.to_vec() };
        after.blocks.iter_mut().filter_map(|block| block.skip.as_mut()).for_each(|s| *s -= layer);
        (Some(Self { input: self.input, blocks: before.to_vec() }), after)
    }

    /// The last index up to `layer` that the network can be split at.
    pub fn last_split(&self, layer: usize) -> usize {
        (0..=layer).rev().find(|&layer| self.can_split_at(layer)).unwrap_or(0)
    }

    /// Whether no block from index `layer` on adds the output of one before.
    pub fn can_split_at(&self, layer: usize) -> bool {
        self.blocks[layer..].iter().all(|block| block.skip.is_none_or(|skip| skip >= layer))
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.input.len()
    }

    /// Number of outputs: classes, or 1 for regression.
    pub fn outputs(&self) -> usize {
        self.maps()[self.depth()].len()
    }

    /// The blocks in order, with their places in the parameter vector and among the maps.
    pub fn placed_blocks(&self) -> Vec<PlacedBlock<'_>> {
        let (mut input, mut offset) = (self.input, 0);
        let placed = |block| {
            let placed = PlacedBlock::new(block, input, offset);
            (input, offset) = (placed.output, placed.layer.parameters().end);
            placed
        };
        self.blocks.iter().map(placed).collect()
    }

    /// Shapes of the input and of every block's output, `[depth + 1]`.
    pub fn maps(&self) -> Vec<Shape> {
        let outputs = self.placed_blocks().into_iter().map(|placed| placed.output);
        [self.input].into_iter().chain(outputs).collect()
    }

    /// Values that a pass keeps of every block for each row, `[depth]`.
    pub fn tape_values(&self) -> Vec<usize> {
        let kept = |placed: &PlacedBlock<'_>| {
            let (block, sums, output) = (placed.block, placed.sums.len(), placed.output.len());
            match block.pool {
                Some(_) if block.pools_first() => sums + 2 * output,
                Some(_) => 2 * sums + output,
                None if block.activation.needs_sums() => 2 * sums,
                None => sums,
            }
        };
        self.placed_blocks().iter().map(kept).collect()
    }

    /// The layers in order.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = LayerShape> + ExactSizeIterator + '_ {
        self.placed_blocks().into_iter().map(|placed| placed.layer)
    }

    /// Number of parameters P.
    pub fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.parameters().end)
    }

    /// Whether there is a convolution.
    pub fn convolves(&self) -> bool {
        self.blocks.iter().any(|block| block.window.is_some())
    }

    /// Whether all layers are dense, none skips, and the activation of all hidden ones is the same:
    /// that one, [`Activation::Identity`] where there is no hidden layer.
    pub fn as_perceptron(&self) -> Option<Activation> {
        let (last, hidden) = self.blocks.split_last()?;
        let activation = hidden.first().map_or(Activation::Identity, |block| block.activation);
        let plain = |block: &Block, activation| *block == Block::dense(block.outputs, activation);
        let all = hidden.iter().all(|block| plain(block, activation));
        (all && plain(last, Activation::Identity)).then_some(activation)
    }

    /// Initial weights for MAP training: N(0, 1 / inputs) for tanh and identity, N(0, 2 / inputs) for
    /// the rectifiers (He et al. 2015); biases 0.
    pub fn initialise(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let hidden = &self.blocks[..self.depth() - 1];
        let output_gain = hidden.last().map_or(1.0, |block| block.activation.gain());
        let gains = hidden.iter().map(|block| block.activation.gain()).chain([output_gain]);
        let mut theta = vec![0.0; self.parameters()];
        for (layer, gain) in self.layers().zip(gains) {
            let std = (gain / layer.inputs as f32).sqrt();
            for weight in &mut theta[layer.weights()] {
                let normal: f32 = StandardNormal.sample(rng);
                *weight = std * normal;
            }
        }
        theta
    }

    /// Spreads one value per layer over the parameter vector: `[P]`.
    pub fn per_parameter<T: Copy>(&self, per_layer: &[T]) -> Vec<T> {
        let mut values = Vec::with_capacity(self.parameters());
        for (layer, &value) in self.layers().zip(per_layer) {
            values.resize(layer.parameters().end, value);
        }
        values
    }
}
