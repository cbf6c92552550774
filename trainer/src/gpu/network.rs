//! Forward and backward passes of many parameter vectors, recorded as dispatches.

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::product::{Epilogue, View, index};
use crate::network::{Architecture, LayerShape, Likelihood};

/// Parameter vectors of the same network: that of particle n starts at `offset + n · stride`.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub buffer: &'a Buffer,
    pub offset: usize,
    pub stride: usize,
}

impl<'a> Parameters<'a> {
    fn weights(&self, layer: LayerShape) -> View<'a> {
        let shape = [layer.outputs, layer.inputs];
        View::new(self.buffer, shape, self.offset + layer.weights().start, self.stride)
    }

    /// The biases as the columns of a matrix `[outputs, columns]`.
    fn biases(&self, layer: LayerShape, columns: usize) -> View<'a> {
        let shape = [layer.outputs, columns];
        let offset = self.offset + layer.biases().start;
        View::strided(self.buffer, shape, offset, self.stride, [1, 0])
    }
}

/// Room for one pass of `count` networks over up to `rows` rows at once.
pub(super) struct Activations {
    count: usize,
    rows: usize,
    /// Each layer's outputs, `[count][width, rows]`; the last one's become their gradient.
    layers: Vec<Buffer>,
    /// Gradients with respect to hidden pre-activations, two layers' in turn.
    deltas: [Buffer; 2],
}

impl Activations {
    pub fn new(gpu: &Gpu, architecture: &Architecture, count: usize, rows: usize) -> Self {
        let outputs: Vec<usize> = architecture.layers().map(|layer| layer.outputs).collect();
        let widest = outputs[..outputs.len() - 1].iter().max().copied().unwrap_or(0);
        let buffer = |width: usize| gpu.zeros(count * width * rows);
        Self {
            count,
            rows,
            layers: outputs.iter().map(|&width| buffer(width)).collect(),
            deltas: [buffer(widest), buffer(widest)],
        }
    }

    /// Networks that pass at once.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The networks' outputs, `[count][C, rows]` with the rows of the last pass.
    pub fn outputs(&self) -> &Buffer {
        &self.layers[self.layers.len() - 1]
    }

    /// Output of layer `index` for a pass of so many rows.
    fn layer(&self, layer: LayerShape, index: usize, rows: usize) -> View<'_> {
        let width = layer.outputs;
        View::new(&self.layers[index], [width, rows], 0, width * rows)
    }

    fn delta(&self, turn: usize, width: usize, rows: usize) -> View<'_> {
        View::new(&self.deltas[turn % 2], [width, rows], 0, width * rows)
    }
}

/// One pass: networks, their inputs `[features, rows]`, and the room to compute in.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub architecture: &'a Architecture,
    pub theta: Parameters<'a>,
    pub input: View<'a>,
    pub activations: &'a Activations,
}

impl Pass<'_> {
    /// Rows of data, which are the columns of the matrices.
    fn batch_rows(&self) -> usize {
        self.input.columns
    }

    /// What layer `index` reads.
    fn input_of(&self, index: usize, layers: &[LayerShape]) -> View<'_> {
        match index.checked_sub(1) {
            Some(previous) => self.activations.layer(layers[previous], previous, self.batch_rows()),
            None => self.input,
        }
    }
}

impl Gpu {
    /// Records the evaluation of all networks.
    pub(super) fn record_forward(&self, pass: &Pass<'_>, program: &mut Vec<Dispatch>) {
        let Pass { architecture, theta, activations, .. } = pass;
        assert!(pass.batch_rows() <= activations.rows);
        let layers: Vec<_> = architecture.layers().collect();
        for (index, (&layer, block)) in layers.iter().zip(&architecture.blocks).enumerate() {
            program.push(self.product(
                activations.count,
                theta.weights(layer),
                pass.input_of(index, &layers),
                activations.layer(layer, index, pass.batch_rows()),
                false,
                Epilogue::Bias(theta.biases(layer, pass.batch_rows()), block.activation),
            ));
        }
    }

    /// Records the pull-back of the gradient with respect to the outputs, which
    /// [`Activations::outputs`] holds by now: written or, with `accumulate`, added to `gradient`. With
    /// `d_inputs`, the gradient with respect to the inputs is written too, `[count][features, rows]`.
    pub(super) fn record_backward(
        &self,
        pass: &Pass<'_>,
        gradient: Parameters<'_>,
        accumulate: bool,
        d_inputs: Option<View<'_>>,
        program: &mut Vec<Dispatch>,
    ) {
        let Pass { architecture, theta, activations, .. } = *pass;
        let (count, rows) = (activations.count, pass.batch_rows());
        let layers: Vec<_> = architecture.layers().collect();
        for (index, &layer) in layers.iter().enumerate().rev() {
            let delta = if index + 1 == layers.len() {
                activations.layer(layer, index, rows)
            } else {
                activations.delta(index, layer.outputs, rows)
            };
            let input = pass.input_of(index, &layers);
            let weights = gradient.weights(layer);
            let transposed = input.transposed();
            let none = Epilogue::None;
            program.push(self.product(count, delta, transposed, weights, accumulate, none));
            program.push(self.row_sums(count, delta.buffer, layer, rows, gradient, accumulate));
            let (out, epilogue) = match (index.checked_sub(1), d_inputs) {
                (Some(previous), _) => (
                    activations.delta(previous, layer.inputs, rows),
                    Epilogue::Derivative(input, architecture.blocks[previous].activation),
                ),
                (None, Some(d_inputs)) => (d_inputs, Epilogue::None),
                (None, None) => return,
            };
            let weights = theta.weights(layer).transposed();
            program.push(self.product(count, weights, delta, out, false, epilogue));
        }
    }

    /// Gradients of a layer's biases: sums of `delta: [count][outputs, rows]` over the rows.
    fn row_sums(
        &self,
        count: usize,
        delta: &Buffer,
        layer: LayerShape,
        rows: usize,
        gradient: Parameters<'_>,
        accumulate: bool,
    ) -> Dispatch {
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Sums {
            rows: u32,
            outputs: u32,
            offset: u32,
            stride: u32,
        }
        let sums = Sums {
            rows: index(rows),
            outputs: index(layer.outputs),
            offset: index(gradient.offset + layer.biases().start),
            stride: index(gradient.stride),
        };
        let kernel = Kernel {
            name: "row sums".to_owned(),
            source: include_str!("row_sums.wgsl").to_owned(),
            entry: "sum_rows",
            bindings: &[Access::Uniform, Access::Read, Access::Write],
            constants: vec![("ACCUMULATE", u32::from(accumulate))],
        };
        let buffers = [&self.uniform(&sums), delta, gradient.buffer];
        self.dispatch(kernel, &buffers, [layer.outputs, count, 1])
    }

    /// Replaces outputs `[count][C, rows]` by the gradient of Σ −log p(y | f) with respect to them.
    /// `targets` are those of the tile's rows: class labels, or values of the bits of f32.
    pub(super) fn likelihood_gradient(
        &self,
        count: usize,
        classes: usize,
        rows: usize,
        likelihood: Likelihood,
        targets: &Buffer,
        outputs: &Buffer,
    ) -> Dispatch {
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Loss {
            rows: u32,
            classes: u32,
            precision: f32,
            unused: u32,
        }
        let (entry, precision) = match likelihood {
            Likelihood::Categorical => ("cross_entropy", 0.0),
            Likelihood::Gaussian { noise_std } => ("gaussian", 1.0 / (noise_std * noise_std)),
        };
        let loss = Loss { rows: index(rows), classes: index(classes), precision, unused: 0 };
        let kernel = Kernel {
            name: format!("likelihood: {entry}"),
            source: include_str!("likelihood.wgsl").to_owned(),
            entry,
            bindings: &[Access::Uniform, Access::Read, Access::Write],
            constants: Vec::new(),
        };
        let buffers = [&self.uniform(&loss), targets, outputs];
        self.dispatch(kernel, &buffers, [rows.div_ceil(64), count, 1])
    }
}
