//! Forward and backward passes of one parameter vector.

use rayon::prelude::*;

use super::matmul::{Base, Matrix, multiply};
use super::simd::{tanh_in_place, vectorised};
use super::{Activation, Architecture, Batch};

/// The activations of one tile of rows, kept for the backward pass. Reused between calls.
#[derive(Debug, Default)]
pub struct Tape {
    /// Hidden activations and outputs, one `[width, rows]` block a layer.
    layers: Vec<Vec<f32>>,
    /// Gradient with respect to a layer's pre-activations, `[width, rows]`.
    delta: Vec<f32>,
    previous_delta: Vec<f32>,
    /// Rows of the last forward pass.
    tile: std::ops::Range<usize>,
}

impl Tape {
    /// Evaluates rows `tile` of `batch` under `theta`. Returns the outputs, `[outputs, rows]`.
    pub fn forward(
        &mut self,
        architecture: &Architecture,
        theta: &[f32],
        batch: &Batch,
        tile: std::ops::Range<usize>,
    ) -> &mut [f32] {
        let rows = tile.len();
        self.tile = tile.clone();
        self.layers.resize_with(architecture.depth(), Vec::new);
        for (index, layer) in architecture.layers().enumerate() {
            let (before, rest) = self.layers.split_at_mut(index);
            let out = &mut rest[0];
            out.resize(layer.outputs * rows, 0.0);
            let weights =
                Matrix::new(&theta[layer.weights()], layer.outputs, layer.inputs, layer.inputs);
            let input = match before.last() {
                Some(previous) => Matrix::new(previous, layer.inputs, rows, rows),
                None => tile_of(batch, &tile),
            };
            multiply(out, Base::Bias(&theta[layer.biases()]), weights, input);
            if index + 1 < architecture.depth() {
                activate(architecture.activation, out);
            }
        }
        &mut self.layers[architecture.depth() - 1]
    }

    /// Largest magnitude in every layer's output during the last forward pass, `[depth]`.
    pub fn largest(&self) -> Vec<f32> {
        let largest = |layer: &Vec<f32>| layer.iter().fold(0.0f32, |l, value| l.max(value.abs()));
        self.layers.iter().map(largest).collect()
    }

    /// Largest magnitude of every further product of the input of layer `index` during the last
    /// forward pass: `rows` is `[count, inputs + 1]`, weights and a bias, the result `[count]`.
    pub fn largest_products(
        &self,
        architecture: &Architecture,
        index: usize,
        rows: &[f32],
        batch: &Batch,
    ) -> Vec<f32> {
        let inputs = architecture.widths[index];
        let (count, columns) = (rows.len() / (inputs + 1), self.tile.len());
        let mut products = vec![0.0; count * columns];
        let input = match index.checked_sub(1) {
            Some(previous) => Matrix::new(&self.layers[previous], inputs, columns, columns),
            None => tile_of(batch, &self.tile),
        };
        multiply(&mut products, Base::Zero, Matrix::new(rows, count, inputs, inputs + 1), input);
        let biases = rows.chunks_exact(inputs + 1).map(|row| row[inputs]);
        let products = products.chunks_exact(columns.max(1)).zip(biases);
        products
            .map(|(row, bias)| row.iter().fold(0.0f32, |l, value| l.max((value + bias).abs())))
            .collect()
    }

    /// Adds to `gradient: [P]` the pull-back of `d_outputs: [outputs, rows]` through the last
    /// forward pass, which must have been of the same `theta` and `batch`. With
    /// `d_inputs: [features, rows]`, writes the gradient with respect to the inputs too.
    pub fn backward(
        &mut self,
        architecture: &Architecture,
        theta: &[f32],
        batch: &Batch,
        d_outputs: &[f32],
        gradient: &mut [f32],
        d_inputs: Option<&mut Vec<f32>>,
    ) {
        let rows = self.tile.len();
        self.delta.clear();
        self.delta.extend_from_slice(d_outputs);
        let wants_inputs = d_inputs.is_some();
        for (index, layer) in architecture.layers().enumerate().rev() {
            let delta = Matrix::new(&self.delta, layer.outputs, rows, rows);
            let input = match index.checked_sub(1) {
                Some(previous) => Matrix::new(&self.layers[previous], layer.inputs, rows, rows),
                None => tile_of(batch, &self.tile),
            };
            multiply(&mut gradient[layer.weights()], Base::Out, delta, input.transposed());
            for (d_bias, row) in
                gradient[layer.biases()].iter_mut().zip(self.delta.chunks_exact(rows.max(1)))
            {
                *d_bias += sum(row);
            }
            if index == 0 && !wants_inputs {
                return;
            }
            let weights =
                Matrix::new(&theta[layer.weights()], layer.outputs, layer.inputs, layer.inputs);
            self.previous_delta.resize(layer.inputs * rows, 0.0);
            multiply(&mut self.previous_delta, Base::Zero, weights.transposed(), delta);
            if let Some(previous) = index.checked_sub(1) {
                let activations = &self.layers[previous];
                through_activation(architecture.activation, activations, &mut self.previous_delta);
            }
            std::mem::swap(&mut self.delta, &mut self.previous_delta);
        }
        if let Some(d_inputs) = d_inputs {
            std::mem::swap(&mut self.delta, d_inputs);
        }
    }
}

/// Outputs of `theta` at every row of `batch`, `[outputs, rows]`.
pub fn outputs(architecture: &Architecture, theta: &[f32], batch: &Batch) -> Vec<f32> {
    let mut values = vec![0.0; architecture.outputs() * batch.rows()];
    let mut tape = Tape::default();
    for tile in batch.tiles() {
        let rows = tile.len();
        let tile_outputs = tape.forward(architecture, theta, batch, tile.clone());
        for (output, row) in tile_outputs.chunks_exact(rows).enumerate() {
            let start = output * batch.rows() + tile.start;
            values[start..start + rows].copy_from_slice(row);
        }
    }
    values
}

/// Outputs of every particle of `thetas: [N, P]` at every row of `batch`, `[N][outputs, rows]`.
pub fn outputs_of_each(
    architecture: &Architecture,
    thetas: &[Vec<f32>],
    batch: &Batch,
) -> Vec<Vec<f32>> {
    thetas.par_iter().map(|theta| outputs(architecture, theta, batch)).collect()
}

/// A view of the rows `tile` of `batch`, `[features, rows]`.
fn tile_of<'a>(batch: &'a Batch, tile: &std::ops::Range<usize>) -> Matrix<'a> {
    Matrix::new(&batch.values()[tile.start..], batch.features(), tile.len(), batch.rows())
}

/// Applies the activation to every value.
pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Tanh => tanh_in_place(values),
        Activation::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
    }
}

/// Multiplies `delta` by the activation's derivative, written in terms of its value.
pub(crate) fn through_activation(activation: Activation, values: &[f32], delta: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || match activation {
            Activation::Tanh => {
                delta.iter_mut().zip(values).for_each(|(d, &a)| *d *= 1.0 - a * a);
            }
            Activation::Relu => {
                delta
                    .iter_mut()
                    .zip(values)
                    .for_each(|(d, &a)| *d = if a > 0.0 { *d } else { 0.0 });
            }
        },
    );
}

/// Sum of a row in 16 interleaved partial sums, which vectorises and rounds less than one.
fn sum(row: &[f32]) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let mut partial = [0.0f32; 16];
            let chunks = row.chunks_exact(16);
            let rest: f32 = chunks.remainder().iter().sum();
            for chunk in chunks {
                partial.iter_mut().zip(chunk).for_each(|(p, &value)| *p += value);
            }
            partial.iter().sum::<f32>() + rest
        },
    )
}
