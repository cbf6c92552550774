//! Forward and backward passes of one parameter vector.

use std::ops::Range;

use rayon::prelude::*;

use super::convolution::{Convolution, Weights};
use super::matmul::{Base, Matrix, multiply};
use super::simd::vectorised;
use super::{Architecture, Batch, Block, PlacedBlock};

/// The values of one tile of rows, kept for the backward pass. Reused between calls.
#[derive(Debug, Default)]
pub struct Tape {
    blocks: Vec<Values>,
    /// The inputs of a tile that a convolution reads, `[features, rows]`: in their batch the values of a
    /// window would fall into few sets of a cache.
    inputs: Vec<f32>,
    /// Gradient with respect to a block's output, then to its sums, `[values, rows]`.
    delta: Vec<f32>,
    other: Vec<f32>,
    /// Gradients that wait for an earlier block whose output a later one adds: `[values, rows]`, or
    /// nothing.
    skipped: Vec<Vec<f32>>,
    /// Rows of the last forward pass.
    tile: Range<usize>,
}

/// Results of one block, each `[values, rows]`.
#[derive(Debug, Default)]
struct Values {
    /// Sums before the activation, where the block pools or the derivative needs them.
    sums: Vec<f32>,
    /// Activated sums where the block pools, or the pooled ones if pooling comes first.
    between: Vec<f32>,
    out: Vec<f32>,
}

impl PlacedBlock<'_> {
    /// The affine map of `input: [values, rows]` with these weights.
    fn sums_of(&self, out: &mut [f32], weights: Weights<'_>, bias: &[f32], input: Matrix<'_>) {
        let (inputs, outputs) = (self.layer.inputs, bias.len());
        match self.block.window {
            Some(window) => {
                Convolution::new(window, self.input, outputs).forward(out, weights, bias, input);
            }
            None => {
                let weights = Matrix::new(weights.values, outputs, inputs, weights.stride);
                multiply(out, Base::Bias(bias), weights, input);
            }
        }
    }

    /// The convolution, if it is one.
    fn convolution(&self) -> Option<Convolution> {
        let window = self.block.window?;
        Some(Convolution::new(window, self.input, self.layer.outputs))
    }

    fn weights<'t>(&self, theta: &'t [f32]) -> Weights<'t> {
        Weights { values: &theta[self.layer.weights()], stride: self.layer.inputs }
    }

    /// Whether the sums are kept apart from the output.
    fn keeps_sums(&self) -> bool {
        self.block.pool.is_some() || self.block.activation.needs_sums()
    }

    /// Computes the output from the sums, in `values.sums` if kept and else in `values.out`.
    fn finish(&self, values: &mut Values, rows: usize) {
        let Values { sums, between, out } = values;
        let activation = self.block.activation;
        out.resize(self.output.len() * rows, 0.0);
        match self.block.pool {
            None => {
                if self.keeps_sums() {
                    out.copy_from_slice(sums);
                }
                activation.apply(out);
            }
            Some(pool) if self.block.pools_first() => {
                between.resize(out.len(), 0.0);
                pool.forward(self.sums, sums, between, rows);
                out.copy_from_slice(between);
                activation.apply(out);
            }
            Some(pool) => {
                between.clear();
                between.extend_from_slice(sums);
                activation.apply(between);
                pool.forward(self.sums, between, out, rows);
            }
        }
    }

    /// Turns the gradient with respect to the output, in `delta`, into that with respect to the sums.
    fn pull_back(&self, values: &Values, delta: &mut Vec<f32>, other: &mut Vec<f32>, rows: usize) {
        let Values { sums, between, out } = values;
        let activation = self.block.activation;
        let through = |values: &[f32], delta: &mut [f32]| {
            activation.pull_back(if activation.needs_sums() { sums } else { values }, delta);
        };
        let Some(pool) = self.block.pool else { return through(out, delta) };
        other.resize(self.sums.len() * rows, 0.0);
        if self.block.pools_first() {
            through(out, delta);
            pool.pull_back(self.sums, sums, between, delta, other, rows);
        } else {
            pool.pull_back(self.sums, between, out, delta, other, rows);
            through(between, other);
        }
        std::mem::swap(delta, other);
    }
}

impl Tape {
    /// Evaluates rows `tile` of `batch` under `theta`. Returns the outputs, `[outputs, rows]`.
    pub fn forward(
        &mut self,
        architecture: &Architecture,
        theta: &[f32],
        batch: &Batch,
        tile: Range<usize>,
    ) -> &mut [f32] {
        let rows = tile.len();
        self.tile = tile.clone();
        self.blocks.resize_with(architecture.depth(), Values::default);
        self.inputs.clear();
        if architecture.blocks[0].window.is_some() {
            let features = batch.values().chunks_exact(batch.rows());
            features.for_each(|feature| self.inputs.extend_from_slice(&feature[tile.clone()]));
        }
        for (index, placed) in architecture.placed_blocks().iter().enumerate() {
            let (before, rest) = self.blocks.split_at_mut(index);
            let values = &mut rest[0];
            let sums = if placed.keeps_sums() { &mut values.sums } else { &mut values.out };
            sums.resize(placed.sums.len() * rows, 0.0);
            let input = input_of(placed, before.last(), &self.inputs, batch, &tile);
            let bias = &theta[placed.layer.biases()];
            placed.sums_of(sums, placed.weights(theta), bias, input);
            if let Some(skip) = placed.block.skip {
                add(sums, &before[skip].out);
            }
            placed.finish(values, rows);
        }
        &mut self.blocks[architecture.depth() - 1].out
    }

    /// Largest magnitude that every block's activation took, before pooling, during the last forward pass,
    /// `[depth]`.
    pub fn largest(&self, architecture: &Architecture) -> Vec<f32> {
        let largest = |(values, block): (&Values, &Block)| {
            let before_pooling = block.pool.is_some() && !block.pools_first();
            let values = if before_pooling { &values.between } else { &values.out };
            values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()))
        };
        self.blocks.iter().zip(&architecture.blocks).map(largest).collect()
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
        let placed = &architecture.placed_blocks()[index];
        let (stride, columns) = (placed.layer.inputs + 1, self.tile.len());
        let bias: Vec<f32> = rows.chunks_exact(stride).map(|row| row[stride - 1]).collect();
        let mut products = vec![0.0; bias.len() * placed.sums.positions() * columns];
        if bias.is_empty() {
            return bias;
        }
        let input = input_of(placed, self.blocks[..index].last(), &self.inputs, batch, &self.tile);
        placed.sums_of(&mut products, Weights { values: rows, stride }, &bias, input);
        let mut largest = vec![0.0f32; bias.len()];
        for (row, values) in products.chunks_exact(columns.max(1)).enumerate() {
            let own = &mut largest[row % bias.len()];
            *own = values.iter().fold(*own, |largest, value| largest.max(value.abs()));
        }
        largest
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
        self.skipped.resize_with(architecture.depth(), Vec::new);
        self.skipped.iter_mut().for_each(Vec::clear);
        let wants_inputs = d_inputs.is_some();
        for (index, placed) in architecture.placed_blocks().iter().enumerate().rev() {
            add(&mut self.delta, &self.skipped[index]);
            placed.pull_back(&self.blocks[index], &mut self.delta, &mut self.other, rows);
            if let Some(skip) = placed.block.skip {
                let waiting = &mut self.skipped[skip];
                match waiting.is_empty() {
                    true => waiting.extend_from_slice(&self.delta),
                    false => add(waiting, &self.delta),
                }
            }
            let input =
                input_of(placed, self.blocks[..index].last(), &self.inputs, batch, &self.tile);
            let layer = placed.layer;
            let d_weights = &mut gradient[layer.weights()];
            let delta = Matrix::new(&self.delta, placed.sums.len(), rows, rows);
            match placed.convolution() {
                Some(own) => own.pull_back_weights(d_weights, &self.delta, input),
                None => multiply(d_weights, Base::Out, delta, input.transposed()),
            }
            let d_biases = &mut gradient[layer.biases()];
            for (value, row) in self.delta.chunks_exact(rows.max(1)).enumerate() {
                d_biases[value % layer.outputs] += sum(row);
            }
            if index == 0 && !wants_inputs {
                return;
            }
            self.other.resize(placed.input.len() * rows, 0.0);
            match placed.convolution() {
                Some(own) => {
                    let weights = placed.weights(theta);
                    own.pull_back_input(&mut self.other, weights, &self.delta, rows);
                }
                None => {
                    let weights = &theta[layer.weights()];
                    let weights = Matrix::new(weights, layer.outputs, layer.inputs, layer.inputs);
                    multiply(&mut self.other, Base::Zero, weights.transposed(), delta);
                }
            }
            std::mem::swap(&mut self.delta, &mut self.other);
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
    for tile in batch.tiles(architecture) {
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

/// Returns the input of a block, `[values, rows]`: the output of the one before, or rows `tile` of `batch`.
fn input_of<'a>(
    placed: &PlacedBlock<'_>,
    previous: Option<&'a Values>,
    inputs: &'a [f32],
    batch: &'a Batch,
    tile: &Range<usize>,
) -> Matrix<'a> {
    let (values, rows) = (placed.input.len(), tile.len());
    match previous {
        Some(previous) => Matrix::new(&previous.out, values, rows, rows),
        None if !inputs.is_empty() => Matrix::new(inputs, values, rows, rows),
        None => Matrix::new(&batch.values()[tile.start..], values, rows, batch.rows()),
    }
}

/// Adds `values`, as many or none.
fn add(sums: &mut [f32], values: &[f32]) {
    sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
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
