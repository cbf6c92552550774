//! A whole step of a particle in one dispatch, where its weights fit a workgroup's memory.
//!
//! The shader is written for the network: widths are constants, and a thread's sums are variables.

use std::fmt::Write;

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::groups::largest_part;
use super::product::index;
use crate::descent::{Descent, MiniBatch};
use crate::network::{Activation, Architecture, Batch, LayerShape};
use crate::task::{Classes, Gaussian, Likelihood, Targets};

/// Threads of a workgroup: one particle's products are small, and several workgroups share a core.
const THREADS: usize = 256;
/// Most bytes of memory that a workgroup takes, so that more than one fits a core.
const MAX_MEMORY: usize = 48 << 10;
/// A tile has at least 4 · 5 rows: fewer do not repay the barriers between layers.
const MIN_QUADS: usize = 5;
/// A product keeps enough threads busy if it has so many micro-tiles.
const ENOUGH_TILES: usize = THREADS / 4;

/// The fused step of a network: how its workgroup divides memory and work.
pub(super) struct FusedStep {
    layers: Vec<Layer>,
    /// Rows of a tile in vectors of four. Odd, so that threads whose data lie a row of activations
    /// apart use different banks.
    quads: usize,
    /// Vectors of activations and weights.
    memory: usize,
    parameters: usize,
    tanh: bool,
    likelihood: Likelihood,
}

/// A layer's place in workgroup memory, in vectors of four values.
#[derive(Clone, Copy)]
struct Layer {
    shape: LayerShape,
    /// Where its inputs, its outputs and its weights begin.
    input: usize,
    output: usize,
    weights: usize,
}

/// Buffers that a step reads and writes.
pub(super) struct FusedBuffers<'a> {
    pub steps: &'a Buffer,
    /// `[count, P]`.
    pub theta: &'a Buffer,
    /// `[count, P, 2]`.
    pub moments: &'a Buffer,
    /// `[count, P]`.
    pub drift: Option<&'a Buffer>,
    /// `[P]`.
    pub prior: &'a Buffer,
    /// Gradients at the starts of the mini-batch and of all rows, `[starts, P, 2]`, and each
    /// particle's start.
    pub control: Option<(&'a Buffer, &'a Buffer)>,
}

/// Vectors of four that hold a layer's inputs and the one of its biases.
fn stride(inputs: usize) -> usize {
    (inputs + 1).div_ceil(4)
}

fn weight_vectors(architecture: &Architecture) -> usize {
    architecture.layers().map(|layer| layer.outputs * stride(layer.inputs)).sum()
}

/// Rows of activations: every layer's inputs with the ones and padding, and the outputs.
fn activation_rows(architecture: &Architecture) -> usize {
    let inputs = architecture.layers().map(|layer| 4 * stride(layer.inputs));
    inputs.sum::<usize>() + architecture.outputs()
}

/// Most vectors of rows whose activations fit `bytes` beside the weights.
fn most_quads(architecture: &Architecture, bytes: usize) -> Option<usize> {
    let vectors = (bytes.min(MAX_MEMORY) / 16).checked_sub(weight_vectors(architecture))?;
    Some(vectors / activation_rows(architecture)).filter(|&quads| quads >= MIN_QUADS)
}

/// The tile with which the forward passes over `rows` rows take the fewest turns.
fn best_quads(architecture: &Architecture, most: usize, rows: usize) -> usize {
    let turns = |quads: usize| {
        let tiles = rows.div_ceil(4 * quads);
        let layers = architecture.layers().map(|layer| {
            let micro_tiles = layer.outputs.div_ceil(outputs_a_turn(layer, quads)) * quads;
            micro_tiles.div_ceil(THREADS) * stride(layer.inputs)
        });
        tiles * layers.sum::<usize>()
    };
    let odd = (MIN_QUADS..=most).step_by(2);
    odd.min_by_key(|&quads| turns(quads)).unwrap_or(MIN_QUADS)
}

/// Outputs of a forward micro-tile: many for few loads, few where threads would idle.
fn outputs_a_turn(layer: LayerShape, quads: usize) -> usize {
    let enough = |&size: &usize| layer.outputs.div_ceil(size) * quads >= ENOUGH_TILES;
    [4, 2].into_iter().find(enough).unwrap_or(1)
}

/// Outputs and inputs of a micro-tile of a layer's gradient, each as far apart as there are micro-tiles
/// along its side: neighbouring threads take neighbouring inputs.
fn gradient_tile(layer: LayerShape) -> [usize; 2] {
    let tiles = |[outputs, inputs]: [usize; 2]| {
        layer.outputs.div_ceil(outputs) * (layer.inputs + 1).div_ceil(inputs)
    };
    let sizes = [[4, 4], [2, 4], [4, 2], [2, 2], [1, 4], [1, 2]];
    sizes.into_iter().find(|&size| tiles(size) >= ENOUGH_TILES).unwrap_or([1, 1])
}

impl FusedStep {
    /// `None` where the network is no perceptron of tanh or ReLU, or the step does not fit `gpu`, which no
    /// number of particles changes.
    pub fn new(gpu: &Gpu, descent: &Descent<'_>) -> Option<Self> {
        let limits = gpu.limits();
        let threads =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        if (threads as usize) < THREADS {
            return None;
        }
        let architecture = descent.architecture;
        let tanh = match architecture.as_perceptron()? {
            Activation::Tanh => true,
            Activation::Relu => false,
            Activation::Identity if architecture.depth() == 1 => false,
            _ => return None,
        };
        let most = most_quads(architecture, limits.max_compute_workgroup_storage_size as usize)?;
        let rows = largest_part(descent);
        let quads = best_quads(architecture, most, rows);
        let step = Self::of(architecture, tanh, descent.likelihood, quads);
        let bytes = 16 * step.tile() * rows.div_ceil(4 * step.quads);
        (bytes as u64 <= limits.max_storage_buffer_binding_size).then_some(step)
    }

    fn of(architecture: &Architecture, tanh: bool, likelihood: Likelihood, quads: usize) -> Self {
        let mut input = 0;
        let mut weights = activation_rows(architecture) * quads;
        let layers = architecture.layers().map(|shape| {
            let output = input + 4 * stride(shape.inputs) * quads;
            let layer = Layer { shape, input, output, weights };
            input = output;
            weights += shape.outputs * stride(shape.inputs);
            layer
        });
        let layers = layers.collect();
        Self {
            layers,
            quads,
            memory: weights,
            parameters: architecture.parameters(),
            tanh,
            likelihood,
        }
    }

    fn output_layer(&self) -> Layer {
        self.layers[self.layers.len() - 1]
    }

    /// Vectors of a tile's inputs.
    fn tile_inputs(&self) -> usize {
        self.layers[0].output
    }

    /// Vectors of a tile's inputs and targets.
    fn tile(&self) -> usize {
        self.tile_inputs() + self.quads
    }

    /// Inputs and targets of a mini-batch, tile after tile, as the shader's `rows`.
    fn rows(&self, batch: &Batch, targets: &Targets) -> Vec<f32> {
        let tile_rows = 4 * self.quads;
        // At least one tile, as a binding cannot be empty.
        let tiles = batch.rows().div_ceil(tile_rows).max(1);
        let mut values = vec![0.0; 4 * self.tile() * tiles];
        for (tile, values) in values.chunks_exact_mut(4 * self.tile()).enumerate() {
            let start = tile * tile_rows;
            let range = start..(start + tile_rows).min(batch.rows());
            let (inputs, own) = values.split_at_mut(4 * self.tile_inputs());
            let mut features = inputs.chunks_exact_mut(tile_rows);
            for (feature, values) in (0..batch.features()).zip(&mut features) {
                values[..range.len()].copy_from_slice(&batch.feature(feature)[range.clone()]);
            }
            if let Some(ones) = features.next() {
                ones.fill(1.0);
            }
            match targets {
                Targets::Regression(values) => own[..range.len()].copy_from_slice(&values[range]),
                Targets::Classification(Classes { labels, .. }) => {
                    own.iter_mut().zip(&labels[range]).for_each(|(own, &label)| *own = label as f32)
                }
            }
        }
        values
    }

    /// One step of `count` particles on a mini-batch.
    pub fn record(
        &self,
        gpu: &Gpu,
        count: usize,
        MiniBatch { batch, targets }: &MiniBatch,
        buffers: &FusedBuffers<'_>,
    ) -> Dispatch {
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Words {
            rows: u32,
            inverse_variance: f32,
        }
        let inverse_variance = match self.likelihood {
            Likelihood::Classification(_) => 0.0,
            Likelihood::Regression(Gaussian { noise_std }) => 1.0 / (noise_std * noise_std),
        };
        let (control, starts) = buffers.control.unwrap_or((buffers.prior, buffers.prior));
        let bound = [
            buffers.steps,
            &gpu.uniform(&Words { rows: index(batch.rows()), inverse_variance }),
            buffers.theta,
            buffers.moments,
            &gpu.upload(&self.rows(batch, targets)),
            buffers.drift.unwrap_or(buffers.prior),
            buffers.prior,
            control,
            starts,
        ];
        let kernel = self.kernel(buffers.drift.is_some(), buffers.control.is_some());
        gpu.dispatch(kernel, &bound, [count, 1, 1])
    }

    fn kernel(&self, drift: bool, control: bool) -> Kernel {
        let categorical = self.likelihood == Likelihood::CATEGORICAL;
        Kernel {
            name: "fused step".to_owned(),
            source: self.source(),
            entry: "descend",
            bindings: &[
                Access::Step,
                Access::Uniform,
                Access::Write,
                Access::Write,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
                Access::Read,
            ],
            constants: vec![
                ("DRIFT", u32::from(drift)),
                ("CONTROL", u32::from(control)),
                ("CATEGORICAL", u32::from(categorical)),
                ("TANH", u32::from(self.tanh)),
            ],
        }
    }

    /// `fused.wgsl` for this network.
    fn source(&self) -> String {
        let last = self.layers.len() - 1;
        let (mut ones, mut load, mut forward) = <(String, String, String)>::default();
        let (mut backward, mut adam, mut layers) = <(String, String, String)>::default();
        // Writing to a string cannot fail.
        for (number, layer) in self.layers.iter().enumerate() {
            layers += &layer.source(number, last, self.quads);
            let _ = writeln!(load, "load_weights_{number}(group.x, thread);");
            let _ = writeln!(forward, "forward_{number}(thread, quads);\nworkgroupBarrier();");
            let _ = writeln!(adam, "adam_{number}(group.x, thread);");
            if number > 0 {
                let row = layer.input + layer.shape.inputs * self.quads;
                let _ = writeln!(ones, "memory[{row}u + quad] = vec4<f32>(1.0);");
            }
        }
        for number in (0..=last).rev() {
            let _ = writeln!(backward, "sum_gradient_{number}(thread, quads);");
            if number > 0 {
                // Deltas replace the activations that the gradient was summed from.
                let _ = writeln!(
                    backward,
                    "workgroupBarrier();\nbackward_{number}(thread, quads);\nworkgroupBarrier();"
                );
            }
        }
        let numbers = [
            ("{threads}", THREADS),
            ("{parameters}", self.parameters),
            ("{quads}", self.quads),
            ("{tile}", self.tile()),
            ("{tile_inputs}", self.tile_inputs()),
            ("{outputs}", self.output_layer().output),
            ("{classes}", self.output_layer().shape.outputs),
            ("{activations}", self.layers[0].weights),
            ("{memory}", self.memory),
        ];
        let parts = [
            ("{ones}", ones),
            ("{layers}", layers),
            ("{load_weights}", load),
            ("{forward}", forward),
            ("{backward}", backward),
            ("{adam}", adam),
        ];
        fill(include_str!("fused.wgsl"), &numbers, &parts)
    }
}

impl Layer {
    /// `fused_layer.wgsl` for this layer.
    fn source(&self, number: usize, last: usize, quads: usize) -> String {
        let shape = self.shape;
        let outputs = outputs_a_turn(shape, quads);
        let forward_tiles = shape.outputs.div_ceil(outputs);
        let [zero, add, write] = self.forward(outputs, number < last);
        let [gradients, sum, adam] = self.gradient(number);
        let numbers = [
            ("{layer}", number),
            ("{inputs}", shape.inputs),
            ("{outputs}", shape.outputs),
            ("{offset}", shape.offset),
            ("{stride}", stride(shape.inputs)),
            ("{input}", self.input),
            ("{output}", self.output),
            ("{weights}", self.weights),
            ("{forward_size}", outputs),
            ("{forward_tiles}", forward_tiles),
        ];
        let parts = [
            ("{forward_zero}", zero),
            ("{forward_add}", add),
            ("{forward_write}", write),
            ("{gradients}", gradients),
            ("{gradient_sum}", sum),
            ("{adam_weights}", adam),
        ];
        fill(include_str!("fused_layer.wgsl"), &numbers, &parts)
    }

    /// Start, addition and end of a forward micro-tile of so many outputs.
    fn forward(&self, outputs: usize, hidden: bool) -> [String; 3] {
        let (shape, stride) = (self.shape, stride(self.shape.inputs));
        let apart = shape.outputs.div_ceil(outputs);
        let (mut zero, mut add, mut write) = <(String, String, String)>::default();
        for turn in 0..outputs {
            let row = format!("(output + {}u)", turn * apart);
            let _ = writeln!(zero, "var sum_{turn} = vec4<f32>(0.0);");
            let at = format!("{}u + {row} * {stride}u + step", self.weights);
            let _ = writeln!(add, "let w{turn} = memory[{at}];");
            for (lane, axis) in ["x", "y", "z", "w"].into_iter().enumerate() {
                let sum = format!("sum_{turn}");
                let _ = writeln!(add, "{sum} = fma(vec4<f32>(w{turn}.{axis}), x{lane}, {sum});");
            }
            let value =
                if hidden { format!("activate(sum_{turn})") } else { format!("sum_{turn}") };
            let _ = writeln!(
                write,
                "if {row} < {}u {{ memory[{}u + {row} * QUADS + quad] = {value}; }}",
                shape.outputs, self.output
            );
        }
        [zero, add, write]
    }

    /// Variables of a thread's gradients, the additions to them, and their steps of Adam.
    fn gradient(&self, number: usize) -> [String; 3] {
        let [outputs, inputs] = gradient_tile(self.shape);
        let apart =
            (self.shape.outputs.div_ceil(outputs), (self.shape.inputs + 1).div_ceil(inputs));
        let tiles = apart.0 * apart.1;
        let (mut variables, mut sum, mut adam) = <(String, String, String)>::default();
        for turn in 0..tiles.div_ceil(THREADS) {
            let begin = format!(
                "if thread + {first}u < {tiles}u {{\n\
                 let output = (thread + {first}u) / {across}u;\n\
                 let input = (thread + {first}u) % {across}u;\n",
                first = turn * THREADS,
                across = apart.1
            );
            sum += &begin;
            sum += "for (var quad = 0u; quad < quads; quad++) {\n";
            adam += &begin;
            for o in 0..outputs {
                let row = format!("(output + {}u)", o * apart.0);
                let _ =
                    writeln!(sum, "let d{o} = memory[{}u + {row} * QUADS + quad];", self.output);
            }
            for i in 0..inputs {
                let row = format!("(input + {}u)", i * apart.1);
                let _ = writeln!(sum, "let x{i} = memory[{}u + {row} * QUADS + quad];", self.input);
                for o in 0..outputs {
                    let name = format!("gradient_{number}_{turn}_{o}_{i}");
                    let _ = writeln!(variables, "var<private> {name}: f32;");
                    let _ = writeln!(sum, "{name} += dot(d{o}, x{i});");
                    let place = format!("output + {}u, input + {}u", o * apart.0, i * apart.1);
                    let _ = writeln!(adam, "adam_{number}_weight(particle, {place}, {name});");
                }
            }
            sum += "}\n}\n";
            adam += "}\n";
        }
        [variables, sum, adam]
    }
}

/// A template with its names in braces replaced.
fn fill(template: &str, numbers: &[(&str, usize)], parts: &[(&str, String)]) -> String {
    let filled = numbers
        .iter()
        .fold(template.to_owned(), |text, (name, number)| text.replace(name, &number.to_string()));
    parts.iter().fold(filled, |text, (name, part)| text.replace(name, part))
}
