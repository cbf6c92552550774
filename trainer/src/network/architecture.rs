//! Shapes of a network and the layout of its parameter vector.

use std::ops::Range;

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

/// Activation of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// Rectified linear unit.
    Relu,
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tanh => "tanh",
            Self::Relu => "relu",
        })
    }
}

/// A fully connected network: widths from the inputs through the hidden layers to the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// `[inputs, hidden …, outputs]`, at least two entries.
    pub widths: Vec<usize>,
    /// Activation after every layer but the last.
    pub activation: Activation,
}

/// One dense layer's place in the parameter vector: weights `[outputs, inputs]` row-major, then
/// biases `[outputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerShape {
    /// Width of the layer's input.
    pub inputs: usize,
    /// Width of the layer's output.
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

impl Architecture {
    /// Number of layers with weights.
    pub fn depth(&self) -> usize {
        self.widths.len() - 1
    }

    /// The layers before index `layer` and those from it on; none before where it is 0. The first part's
    /// outputs are followed by the activation.
    pub fn split_at(&self, layer: usize) -> (Option<Self>, Self) {
        let part = |widths: &[usize]| Self { widths: widths.to_vec(), ..self.clone() };
        let before = (layer > 0).then(|| part(&self.widths[..=layer]));
        (before, part(&self.widths[layer..]))
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    /// Number of outputs: classes, or 1 for regression.
    pub fn outputs(&self) -> usize {
        self.widths[self.depth()]
    }

    /// The layers in order.
    pub fn layers(&self) -> impl DoubleEndedIterator<Item = LayerShape> + ExactSizeIterator + '_ {
        let mut offset = 0;
        let shapes: Vec<_> = self
            .widths
            .windows(2)
            .map(|pair| {
                let shape = LayerShape { inputs: pair[0], outputs: pair[1], offset };
                offset = shape.parameters().end;
                shape
            })
            .collect();
        shapes.into_iter()
    }

    /// Number of parameters P.
    pub fn parameters(&self) -> usize {
        self.layers().last().map_or(0, |layer| layer.parameters().end)
    }

    /// Initial weights for MAP training: N(0, 1 / inputs) for tanh, N(0, 2 / inputs) for ReLU (He
    /// et al. 2015); biases 0.
    pub fn initialise(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let gain: f32 = match self.activation {
            Activation::Tanh => 1.0,
            Activation::Relu => 2.0,
        };
        let mut theta = vec![0.0; self.parameters()];
        for layer in self.layers() {
            let std = (gain / layer.inputs as f32).sqrt();
            for weight in &mut theta[layer.weights()] {
                let normal: f32 = StandardNormal.sample(rng);
                *weight = std * normal;
            }
        }
        theta
    }

    /// Spreads one value per layer over the parameter vector: `[P]`.
    pub fn per_parameter(&self, per_layer: &[f32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.parameters());
        for (layer, &value) in self.layers().zip(per_layer) {
            values.resize(layer.parameters().end, value);
        }
        values
    }
}
