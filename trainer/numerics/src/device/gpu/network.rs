//! Forward and backward passes of many parameter vectors, recorded as dispatches.

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::convolution::Convolution;
use super::pooling::{PooledMaps, Pooling};
use super::product::{Epilogue, View, index};
use crate::network::{Activation, Architecture, LayerShape, PlacedBlock, Shape};
use crate::task::{Gaussian, Likelihood};

/// Parameter vectors of the same network: that of particle n starts at `offset + n · stride`.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub buffer: &'a Buffer,
    pub offset: usize,
    pub stride: usize,
}

impl<'a> Parameters<'a> {
    pub fn weights(&self, layer: LayerShape) -> View<'a> {
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

/// A block in its network, and what becomes of its output.
#[derive(Clone, Copy)]
struct Stage<'a> {
    placed: PlacedBlock<'a>,
    /// Whether the gradient with respect to the output takes its place: the last block's.
    is_last: bool,
    /// Whether a later block adds the output.
    is_skipped_to: bool,
}

impl Stage<'_> {
    fn all(architecture: &Architecture) -> Vec<Stage<'_>> {
        let stages = architecture.placed_blocks().into_iter().enumerate();
        let stages = stages.map(|(index, placed)| Stage {
            placed,
            is_last: index + 1 == architecture.depth(),
            is_skipped_to: architecture.blocks.iter().any(|block| block.skip == Some(index)),
        });
        stages.collect()
    }

    fn convolution(&self) -> Convolution {
        Convolution::new(self.placed.block, self.placed.layer, self.placed.input)
    }

    /// Pooling from the sums to the output, where the output does not tell the derivative; the sums are kept then.
    fn pooling(&self) -> Option<Pooling> {
        let activation = self.placed.block.activation;
        let overwritten = self.is_last && activation != Activation::Identity;
        let apart =
            self.placed.block.pool.is_some() || activation == Activation::HardSwish || overwritten;
        apart.then(|| Pooling::new(self.placed.block, self.placed.sums))
    }
}

/// Most values that one buffer of a pass of `rows` rows holds of a particle.
pub(super) fn largest_buffer(architecture: &Architecture, rows: usize) -> usize {
    let of_stage = |stage: &Stage<'_>| {
        let shared =
            stage.placed.block.window.map_or(0, |_| stage.convolution().shared_values(rows));
        shared.max(stage.placed.sums.len() * rows)
    };
    Stage::all(architecture).iter().map(of_stage).max().unwrap_or(0)
}

/// Room for one pass of `count` networks over up to `rows` rows at once.
pub(super) struct Activations {
    count: usize,
    rows: usize,
    blocks: Vec<Maps>,
    /// Gradients with respect to hidden outputs or sums, in turn.
    deltas: [Buffer; 2],
    /// Shares of the gradient of a convolution's weights.
    shares: Buffer,
}

/// Results of a block, each `[count][values, rows]`.
struct Maps {
    /// Sums before activation and pooling, where they are kept, and which of every window is the largest.
    sums: Option<(Buffer, Buffer)>,
    /// The output; the last block's becomes its gradient.
    out: Buffer,
    /// The gradient with respect to the output, where later blocks add that output.
    skipped: Option<Buffer>,
}

impl Activations {
    pub fn new(gpu: &Gpu, architecture: &Architecture, count: usize, rows: usize) -> Self {
        let stages = Stage::all(architecture);
        let buffer = |values: usize| gpu.zeros(count * values * rows);
        let blocks = stages.iter().map(|stage| Maps {
            sums: stage
                .pooling()
                .map(|own| (buffer(stage.placed.sums.len()), buffer(own.windows()))),
            out: buffer(stage.placed.output.len()),
            skipped: stage.is_skipped_to.then(|| buffer(stage.placed.output.len())),
        });
        let hidden = stages.iter().filter(|stage| !stage.is_last || stage.pooling().is_some());
        let widest = hidden.map(|stage| stage.placed.sums.len()).max().unwrap_or(0);
        let convolutions = stages.iter().filter(|stage| stage.placed.block.window.is_some());
        let shared = convolutions.map(|stage| stage.convolution().shared_values(rows));
        Self {
            count,
            rows,
            blocks: blocks.collect(),
            deltas: [buffer(widest), buffer(widest)],
            shares: gpu.zeros(count * shared.max().unwrap_or(0)),
        }
    }

    /// Networks that pass at once.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The turn that `delta` is not in.
    fn other_delta(&self, delta: &Buffer) -> &Buffer {
        &self.deltas[usize::from(*delta == self.deltas[0])]
    }

    /// The networks' outputs, `[count][C, rows]` with the rows of the last pass.
    pub fn outputs(&self) -> &Buffer {
        &self.blocks[self.blocks.len() - 1].out
    }
}

/// `[count][values, rows]`.
fn map(buffer: &Buffer, shape: Shape, rows: usize) -> View<'_> {
    View::new(buffer, [shape.len(), rows], 0, shape.len() * rows)
}

/// One pass: networks, their inputs `[features, rows]`, and the room to compute in.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub architecture: &'a Architecture,
    pub theta: Parameters<'a>,
    pub input: View<'a>,
    pub activations: &'a Activations,
}

impl<'a> Pass<'a> {
    /// Rows of data, which are the columns of the matrices.
    fn batch_rows(&self) -> usize {
        self.input.columns
    }

    /// Returns the input of block `index`.
    fn input_of(&self, index: usize, stages: &[Stage<'_>]) -> View<'a> {
        match index.checked_sub(1) {
            Some(previous) => {
                let out = &self.activations.blocks[previous].out;
                map(out, stages[previous].placed.output, self.batch_rows())
            }
            None => self.input,
        }
    }
}

impl Gpu {
    /// Records the evaluation of all networks.
    pub(super) fn record_forward(&self, pass: &Pass<'_>, program: &mut Vec<Dispatch>) {
        let Pass { architecture, theta, activations, .. } = *pass;
        let (count, rows) = (activations.count, pass.batch_rows());
        assert!(rows <= activations.rows);
        let stages = Stage::all(architecture);
        for (index, (stage, maps)) in stages.iter().zip(&activations.blocks).enumerate() {
            let (out, activation) = match &maps.sums {
                Some((sums, _)) => (sums, Activation::Identity),
                None => (&maps.out, stage.placed.block.activation),
            };
            let (input, out) = (pass.input_of(index, &stages), map(out, stage.placed.sums, rows));
            let skip = stage.placed.block.skip.map(|skip| &activations.blocks[skip].out);
            program.push(if stage.placed.block.window.is_some() || skip.is_some() {
                stage.convolution().forward(self, count, theta, input, skip, out, activation)
            } else {
                let epilogue = Epilogue::Bias(theta.biases(stage.placed.layer, rows), activation);
                self.product(count, theta.weights(stage.placed.layer), input, out, false, epilogue)
            });
            if let (Some(pooling), Some((sums, largest))) = (stage.pooling(), &maps.sums) {
                // No gradient is written.
                let d_sums = &activations.deltas[0];
                let maps = PooledMaps { sums, pooled: &maps.out, largest, d_sums };
                program.push(pooling.forward(self, count, rows, &maps));
            }
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
        let stages = Stage::all(architecture);
        let mut waiting = vec![false; stages.len()];
        let mut delta = activations.outputs();
        for (index, (stage, maps)) in stages.iter().zip(&activations.blocks).enumerate().rev() {
            // From here on the gradient is that with respect to the sums.
            if let (Some(pooling), Some((sums, largest))) = (stage.pooling(), &maps.sums) {
                let d_sums = activations.other_delta(delta);
                let maps = PooledMaps { sums, pooled: delta, largest, d_sums };
                program.push(pooling.backward(self, count, rows, &maps));
                delta = d_sums;
            }
            if let Some(skip) = stage.placed.block.skip
                && let Some(skipped) = &activations.blocks[skip].skipped
            {
                let len = count * stage.placed.sums.len() * rows;
                program.push(self.add(delta, skipped, len, waiting[skip]));
                waiting[skip] = true;
            }
            let own = map(delta, stage.placed.sums, rows);
            let input = pass.input_of(index, &stages);
            if stage.placed.block.window.is_some() {
                let shares = &activations.shares;
                let convolution = stage.convolution();
                program.extend(
                    convolution
                        .weight_gradient(self, count, own, input, shares, gradient, accumulate),
                );
            } else {
                let (weights, none) = (gradient.weights(stage.placed.layer), Epilogue::None);
                program.push(self.product(
                    count,
                    own,
                    input.transposed(),
                    weights,
                    accumulate,
                    none,
                ));
                program.push(self.row_sums(
                    count,
                    delta,
                    stage.placed.layer,
                    rows,
                    gradient,
                    accumulate,
                ));
            }
            let (out, adds, derivative) = match (index.checked_sub(1), d_inputs) {
                (Some(previous), _) => {
                    let (before, maps) = (&stages[previous], &activations.blocks[previous]);
                    let out = match &maps.skipped {
                        Some(skipped) => skipped,
                        None => activations.other_delta(delta),
                    };
                    let activation = before.placed.block.activation;
                    let derivative = maps.sums.is_none().then_some((input, activation));
                    (map(out, before.placed.output, rows), waiting[previous], derivative)
                }
                (None, Some(d_inputs)) => (d_inputs, false, None),
                (None, None) => return,
            };
            program.push(if stage.placed.block.window.is_some() {
                let convolution = stage.convolution();
                convolution.input_gradient(self, count, theta, own, out, adds, derivative)
            } else {
                let weights = theta.weights(stage.placed.layer).transposed();
                let derivative = derivative.map_or(Epilogue::None, |(at, activation)| {
                    Epilogue::Derivative(at, activation)
                });
                self.product(count, weights, own, out, adds, derivative)
            });
            delta = out.buffer;
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
            Likelihood::Classification(_) => ("cross_entropy", 0.0),
            Likelihood::Regression(Gaussian { noise_std }) => {
                ("gaussian", 1.0 / (noise_std * noise_std))
            }
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
