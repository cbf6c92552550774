//! Convolutions of many parameter vectors and their gradients.

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::network::Parameters;
use super::product::{Strides, Tile, View, code_of, index};
use crate::network::{Activation, Block, LayerShape, Shape, Window};

/// Steps of the depth, positions times rows, that one workgroup sums of the gradient of weights: there
/// are few weights, and a GPU wants many workgroups.
const SHARE: usize = 2048;
/// Most values of a particle's shares, but for the first workgroup's.
const MOST_SHARED: usize = 1 << 16;
/// Most threads that share out the steps of a micro-tile of that gradient.
const MOST_LANES: usize = 8;
/// The window of one value over a map of one position: a dense layer.
const WHOLE: Window =
    Window { size: [1, 1], stride: [1, 1], before: [0, 0], after: [0, 0], groups: 1 };

/// A convolution in its network; a dense layer is one of a map of one position.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    window: Window,
    input: Shape,
    output: Shape,
    layer: LayerShape,
}

/// The products of a convolution, in the order of `convolution.wgsl`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    Sums,
    WeightGradient,
    InputGradient,
}

/// Constants of `convolution.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Words {
    rows: u32,
    share: u32,
    shares: u32,
    biases: u32,
    left: Strides,
    right: Strides,
    out: Strides,
}

/// Buffers that a product reads and writes.
struct Operands<'a> {
    left: View<'a>,
    right: View<'a>,
    other: Option<&'a Buffer>,
    out: View<'a>,
    /// Index of the first bias.
    biases: usize,
    /// Rows of data.
    rows: usize,
}

impl Convolution {
    pub fn new(block: &Block, layer: LayerShape, input: Shape) -> Self {
        match block.window {
            Some(window) => Self { window, input, output: block.affine_shape(input), layer },
            None => Self {
                window: WHOLE,
                input: Shape::flat(input.len()),
                output: Shape::flat(layer.outputs),
                layer,
            },
        }
    }

    /// Workgroups that share out the depth of the gradient of the weights in a pass of `rows` rows, whatever
    /// the number of particles.
    fn shares(&self, rows: usize) -> usize {
        let of_each = self.tile(Product::WeightGradient, rows).lanes();
        let most = (MOST_SHARED / (of_each * self.layer.parameters().len())).max(1);
        (self.output.positions() * rows).div_ceil(SHARE).clamp(1, most)
    }

    /// Sums of each weight's gradient that are kept apart: one of every lane.
    fn sums(&self, rows: usize) -> usize {
        self.shares(rows) * self.tile(Product::WeightGradient, rows).lanes()
    }

    /// Values of a particle's shares.
    pub fn shared_values(&self, rows: usize) -> usize {
        self.sums(rows) * self.layer.parameters().len()
    }

    fn tile(&self, product: Product, rows: usize) -> Tile {
        let [product_rows, columns, _] = self.shape(product, rows);
        let lanes = if product == Product::WeightGradient { MOST_LANES } else { 1 };
        Tile::of(product_rows, columns, lanes)
    }

    /// Input and output channels of a group.
    fn group(&self) -> [usize; 2] {
        [self.input.channels, self.output.channels].map(|channels| channels / self.window.groups)
    }

    /// Rows, columns and depth of a product of one group.
    fn shape(&self, product: Product, rows: usize) -> [usize; 3] {
        let [inputs, outputs] = self.group();
        let [places, positions] = [self.input, self.output].map(|map| map.positions() * rows);
        match product {
            Product::Sums => [outputs, positions, self.layer.inputs],
            Product::WeightGradient => [outputs, self.layer.inputs + 1, positions],
            Product::InputGradient => {
                [inputs, places, self.window.size[0] * self.window.size[1] * outputs]
            }
        }
    }

    fn dispatch(
        &self,
        gpu: &Gpu,
        count: usize,
        product: Product,
        operands: &Operands<'_>,
        constants: &[(&'static str, u32)],
    ) -> Dispatch {
        let Self { window, input, output, .. } = self;
        let Operands { left, right, other, out, biases, rows } = *operands;
        let [product_rows, columns, depth] = self.shape(product, rows);
        let tile = self.tile(product, rows);
        let shares = if product == Product::WeightGradient { self.shares(rows) } else { 1 };
        let words = Words {
            rows: index(rows),
            share: index(depth.div_ceil(shares)),
            shares: index(shares),
            biases: index(biases),
            left: left.strides,
            right: right.strides,
            out: out.strides,
        };
        let shape = [
            ("PRODUCT", product as usize),
            ("HEIGHT", input.height),
            ("WIDTH", input.width),
            ("CHANNELS", input.channels),
            ("OUT_HEIGHT", output.height),
            ("OUT_WIDTH", output.width),
            ("OUT_CHANNELS", output.channels),
            ("SIZE_Y", window.size[0]),
            ("SIZE_X", window.size[1]),
            ("STRIDE_Y", window.stride[0]),
            ("STRIDE_X", window.stride[1]),
            ("BEFORE_Y", window.before[0]),
            ("BEFORE_X", window.before[1]),
            ("GROUPS", window.groups),
        ];
        let shape = shape.map(|(name, value)| (name, index(value)));
        let kernel = Kernel {
            name: format!("convolution {} x {} x {}", tile.rows(), tile.columns(), tile.lanes()),
            source: tile.source(include_str!("convolution.wgsl")),
            entry: "convolve",
            bindings: &[Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write],
            constants: shape.iter().chain(constants).copied().collect(),
        };
        let words = gpu.uniform(&words);
        let other = other.unwrap_or(left.buffer);
        let tiles = product_rows.div_ceil(tile.rows()) * window.groups;
        let workgroups = [columns.div_ceil(tile.columns()) * shares, tiles, count];
        gpu.dispatch(kernel, &[&words, left.buffer, right.buffer, other, out.buffer], workgroups)
    }

    /// Writes activated sums, `[values, rows]`; `skip`, in the same layout, is added before the activation.
    #[allow(clippy::too_many_arguments, reason = "a product has that many ends")]
    pub fn forward(
        &self,
        gpu: &Gpu,
        count: usize,
        theta: Parameters<'_>,
        input: View<'_>,
        skip: Option<&Buffer>,
        out: View<'_>,
        activation: Activation,
    ) -> Dispatch {
        let operands = Operands {
            left: theta.weights(self.layer),
            right: input,
            other: skip,
            out,
            biases: theta.offset + self.layer.biases().start,
            rows: input.columns,
        };
        let constants = [("SKIP", u32::from(skip.is_some())), ("ACTIVATION", code_of(activation))];
        self.dispatch(gpu, count, Product::Sums, &operands, &constants)
    }

    /// The gradient of weights and biases from that of the sums, by shares of it in `shares`: written or,
    /// with `accumulate`, added.
    #[allow(clippy::too_many_arguments, reason = "a product has that many ends")]
    pub fn weight_gradient(
        &self,
        gpu: &Gpu,
        count: usize,
        delta: View<'_>,
        input: View<'_>,
        shares: &Buffer,
        gradient: Parameters<'_>,
        accumulate: bool,
    ) -> [Dispatch; 2] {
        /// Constants of `shares.wgsl`.
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Shares {
            shares: u32,
            outputs: u32,
            inputs: u32,
            offset: u32,
            stride: u32,
            unused: [u32; 3],
        }
        let Self { layer, .. } = self;
        let rows = input.columns;
        let operands = Operands {
            left: delta,
            right: input,
            other: None,
            out: View::new(shares, [1, layer.parameters().len()], 0, self.shared_values(rows)),
            biases: 0,
            rows,
        };
        let words = Shares {
            shares: index(self.sums(rows)),
            outputs: index(layer.outputs),
            inputs: index(layer.inputs),
            offset: index(gradient.offset + layer.offset),
            stride: index(gradient.stride),
            unused: [0; 3],
        };
        let kernel = Kernel {
            name: "shares".to_owned(),
            source: include_str!("shares.wgsl").to_owned(),
            entry: "sum_shares",
            bindings: &[Access::Uniform, Access::Read, Access::Write],
            constants: vec![("ACCUMULATE", u32::from(accumulate))],
        };
        let buffers = [&gpu.uniform(&words), shares, gradient.buffer];
        let workgroups = [layer.parameters().len().div_ceil(64), count, 1];
        [
            self.dispatch(gpu, count, Product::WeightGradient, &operands, &[]),
            gpu.dispatch(kernel, &buffers, workgroups),
        ]
    }

    /// The gradient of the input from that of the sums: written or, with `accumulate`, added, and then
    /// multiplied by the derivative of the activation whose value is at the same place.
    #[allow(clippy::too_many_arguments, reason = "a product has that many ends")]
    pub fn input_gradient(
        &self,
        gpu: &Gpu,
        count: usize,
        theta: Parameters<'_>,
        delta: View<'_>,
        out: View<'_>,
        accumulate: bool,
        derivative: Option<(View<'_>, Activation)>,
    ) -> Dispatch {
        let (at, activation) = match derivative {
            Some((at, activation)) => (Some(at.buffer), activation),
            None => (None, Activation::Identity),
        };
        let operands = Operands {
            left: theta.weights(self.layer),
            right: delta,
            other: at,
            out,
            biases: 0,
            rows: delta.columns,
        };
        let constants = [
            ("ACCUMULATE", u32::from(accumulate)),
            ("DERIVATIVE", u32::from(at.is_some())),
            ("ACTIVATION", code_of(activation)),
        ];
        self.dispatch(gpu, count, Product::InputGradient, &operands, &constants)
    }
}
