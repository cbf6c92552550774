//! Layers out of an ONNX model: its operators in order, from the input to the logits.

mod numbers;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use onnx_rs::ast::{Dimension, Node, OpType, TypeValue, ValueInfo};

use super::layers::{Layer, Layers, Order};
use super::weights::{Norm, transposed};
use crate::network::{Activation, Block, Pool, PoolKind, Shape};
use numbers::{
    Source, attribute, constant, integers, is_constant, matrix, numbers, pair, values_of, window,
};

/// A value of the graph that the input leads to.
#[derive(Clone, Copy, Debug)]
struct Value {
    /// Layers before it, and operators since the last of them.
    place: [usize; 2],
    /// What comes first in its maps.
    order: Order,
    /// Whether it is a row of numbers, or a map.
    flat: bool,
}

/// What the last layer so far is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Sums,
    Activated,
    Pooled,
}

/// What is read of the network so far.
struct Tracer<'s> {
    source: &'s Source<'s>,
    /// Shape of the input, if that is known: where it is not, it is a row for the first layer.
    input: Option<Shape>,
    /// Order of the input's maps.
    order: Order,
    layers: Vec<Layer>,
    /// Operators since each layer, and before the first.
    steps: Vec<usize>,
    stage: Stage,
    /// u = (x − offset) · factor before the first layer, one value for all or one a channel.
    offset: Vec<f64>,
    factor: Vec<f64>,
}

/// Reads the layers of a model out of `folder`; `shape` is that of its input where it does not say.
pub fn read(bytes: &[u8], folder: &Path, shape: Option<Shape>) -> anyhow::Result<Layers> {
    let model =
        onnx_rs::parse(bytes).map_err(|error| anyhow::anyhow!("not an ONNX model: {error}"))?;
    let graph = model.graph.context("not an ONNX model: it has no graph")?;
    let source = Source { graph, folder };
    let graph = &source.graph;
    let is_weight = |name: &str| graph.get_initializer(name).is_some();
    let inputs: Vec<&ValueInfo<'_>> =
        graph.input.iter().filter(|input| !is_weight(input.name)).collect();
    let &[input] = inputs.as_slice() else {
        let names: Vec<&str> = inputs.iter().map(|input| input.name).collect();
        bail!("found {} inputs ({}), expected one", inputs.len(), names.join(", "));
    };
    let (rank, input_shape) = dimensions(input)?;
    let mut tracer = Tracer {
        source: &source,
        input: shape.or(input_shape),
        order: Order::ChannelsFirst,
        layers: Vec::new(),
        steps: vec![0],
        stage: Stage::Sums,
        offset: vec![0.0],
        factor: vec![1.0],
    };
    let flat = rank.is_none_or(|rank| rank < 3);
    let first = Value { place: [0, 0], order: Order::ChannelsFirst, flat };
    let mut values = HashMap::from([(input.name, first)]);
    let mut end = None;
    for node in &graph.node {
        let known: Vec<Value> =
            node.input.iter().filter_map(|name| values.get(name).copied()).collect();
        // Weights that are computed, and shapes: what a Reshape reads besides its map.
        let Some(&value) = known.first().filter(|_| node.op_type != OpType::Shape) else {
            continue;
        };
        if is_last(&node.op_type) {
            // What is made of the probabilities is not the network's, but layers would be.
            let all = graph.node.iter().filter(|node| is_layer(&node.op_type)).count();
            ensure!(
                tracer.layers.len() == all,
                "{}: found it before other layers, expected it at the end",
                place(node)
            );
            end = Some(value);
            break;
        }
        let next = tracer.add(node, &known).with_context(|| place(node))?;
        let name =
            node.output.first().with_context(|| format!("{}: it has no output", place(node)))?;
        values.insert(name, next);
        if graph.output.iter().any(|output| output.name == *name) {
            end = Some(next);
            break;
        }
    }
    let end = end.context("its input leads to no output")?;
    tracer.current(end)?;
    tracer.finish()
}

/// Rank of the input and the map that it is, each if it is known.
fn dimensions(input: &ValueInfo<'_>) -> anyhow::Result<(Option<usize>, Option<Shape>)> {
    let Some(TypeValue::Tensor(tensor)) = input.r#type.as_ref().and_then(|of| of.value.as_ref())
    else {
        return Ok((None, None));
    };
    let Some(shape) = &tensor.shape else { return Ok((None, None)) };
    let side = |dimension: &Dimension<'_>| match dimension {
        Dimension::Value(side) => usize::try_from(*side).ok().filter(|&side| side > 0),
        Dimension::Param(_) => None,
    };
    let sides: Vec<Option<usize>> = shape.dim.iter().skip(1).map(|dim| side(&dim.value)).collect();
    let map = match sides.as_slice() {
        &[Some(channels), Some(width)] => Some(Shape { height: 1, width, channels }),
        &[Some(channels), Some(height), Some(width)] => Some(Shape { height, width, channels }),
        [] | [_] | [_, _] | [_, _, _] => None,
        _ => bail!("`{}` has {} dimensions, expected at most 4", input.name, shape.dim.len()),
    };
    let most = fiberwalk_formats::MAX_MAP;
    if let Some(map) = map
        && [map.height, map.width, map.channels].iter().any(|&side| side > most)
    {
        bail!("`{}` is a map of {map}, expected at most {most} values", input.name);
    }
    Ok((Some(shape.dim.len()), map))
}

/// Operators that are layers.
fn is_layer(operator: &OpType<'_>) -> bool {
    matches!(operator, OpType::Gemm | OpType::MatMul | OpType::Conv)
}

/// Operators from logits to probabilities and classes.
fn is_last(operator: &OpType<'_>) -> bool {
    matches!(operator, OpType::Softmax | OpType::LogSoftmax | OpType::Sigmoid | OpType::ArgMax)
}

/// A node for the user.
fn place(node: &Node<'_>) -> String {
    format!("node `{}` ({})", node.name, node.op_type.as_str())
}

impl Tracer<'_> {
    /// Adds a node that reads these values; returns its own.
    fn add(&mut self, node: &Node<'_>, known: &[Value]) -> anyhow::Result<Value> {
        let &[value] = known else {
            ensure!(
                node.op_type == OpType::Add && known.len() == 2,
                "it reads {} values that the input leads to, expected one, or two of a sum",
                known.len()
            );
            return self.skip([known[0], known[1]]);
        };
        self.current(value)?;
        match &node.op_type {
            OpType::Identity | OpType::Dropout | OpType::Cast => Ok(value),
            OpType::Squeeze | OpType::Unsqueeze => {
                // The height of a series comes and goes.
                ensure!(!value.flat, "found it after a row of numbers, expected a map");
                Ok(value)
            }
            OpType::Flatten => Ok(Value { flat: true, ..value }),
            OpType::Reshape => self.reshape(node, value),
            OpType::Transpose => self.transpose(node, value),
            OpType::Conv => self.convolution(node, value),
            OpType::Gemm | OpType::MatMul => self.dense(node, value),
            OpType::BatchNormalization => self.normalise(node, value),
            OpType::Add | OpType::Sub | OpType::Mul | OpType::Div => self.constant(node, value),
            OpType::Custom("Scaler") => {
                let floats = |name: &str| {
                    let values = attribute(node, name).map_or(&[][..], |found| &found.floats);
                    values.iter().copied().map(f64::from).collect::<Vec<_>>()
                };
                let (offset, scale) = (floats("offset"), floats("scale"));
                // A scaler without one of its two attributes leaves that step out.
                let shift: Vec<f64> = offset.iter().map(|offset| -offset).collect();
                let value =
                    self.rescale(value, &[1.0], if shift.is_empty() { &[0.0] } else { &shift })?;
                self.rescale(value, if scale.is_empty() { &[1.0] } else { &scale }, &[0.0])
            }
            OpType::Tanh => self.activate(value, Activation::Tanh),
            OpType::Relu => self.activate(value, Activation::Relu),
            OpType::HardSwish => self.activate(value, Activation::HardSwish),
            OpType::Clip => {
                let bound = |index: usize, name: &str| match attribute(node, name) {
                    Some(found) => Ok(vec![f64::from(found.f)]),
                    None => values_of(self.source, node, index),
                };
                let (low, high) = (bound(1, "min")?, bound(2, "max")?);
                ensure!(
                    low == [0.0] && high == [6.0],
                    "found bounds {low:?} and {high:?}, expected those of relu6, 0 and 6"
                );
                self.activate(value, Activation::Relu6)
            }
            OpType::MaxPool => self.pool(node, value, PoolKind::Max),
            OpType::AveragePool => self.pool(node, value, PoolKind::Average),
            OpType::GlobalMaxPool => self.pool_all(value, PoolKind::Max),
            OpType::GlobalAveragePool => self.pool_all(value, PoolKind::Average),
            OpType::ReduceMean => self.mean(node, value),
            _ => bail!(
                "this operator is not supported; supported are Conv, Gemm, MatMul, BatchNormalization, Add, \
                 Sub, Mul, Div, Scaler, Tanh, Relu, Clip, HardSwish, MaxPool, AveragePool, GlobalMaxPool, \
                 GlobalAveragePool, ReduceMean, Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, Cast, \
                 Dropout, and at the end Softmax, LogSoftmax, Sigmoid and ArgMax"
            ),
        }
    }

    /// Whether a value is the last one so far, which layers read.
    fn current(&self, value: Value) -> anyhow::Result<()> {
        let last = [self.layers.len(), self.steps[self.layers.len()]];
        ensure!(
            value.place == last,
            "it reads what a layer before has read, expected a chain: only a sum goes back"
        );
        Ok(())
    }

    /// A value after one more operator.
    fn step(&mut self, value: Value) -> Value {
        let layers = self.layers.len();
        self.steps[layers] += 1;
        Value { place: [layers, self.steps[layers]], ..value }
    }

    /// The map before the next layer.
    fn map(&self) -> anyhow::Result<Shape> {
        let input = self.input.context(
            "the model does not say the size of its input: name it in a description (--arch), inputs.shape = \
             [height, width, channels]",
        )?;
        Ok(self.layers.iter().fold(input, |map, layer| layer.block.output_shape(map)))
    }

    /// The last layer, where `stage` is not past.
    fn last(&mut self, stage: Stage, what: &str) -> anyhow::Result<&mut Layer> {
        ensure!(
            self.stage <= stage,
            "found {what} after an activation or pooling, expected it before"
        );
        self.layers.last_mut().with_context(|| format!("found {what} before the first layer"))
    }

    fn push(
        &mut self,
        node: &Node<'_>,
        block: Block,
        weights: Vec<f64>,
        biases: Vec<f64>,
        value: Value,
    ) -> Value {
        let weight = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = weight.unwrap_or(node.name).to_owned();
        self.layers.push(Layer { name, block, weights, biases });
        self.steps.push(0);
        self.stage = Stage::Sums;
        Value { place: [self.layers.len(), 0], ..value }
    }

    fn dense(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let (shape, values) = constant(self.source, node.input.get(1).copied().unwrap_or_default())
            .context("the weights are expected on the right")?;
        let [rows, columns] = matrix(&shape)?;
        let number =
            |name: &str, default: f32| attribute(node, name).map_or(default, |found| found.f);
        let flag = |name: &str| attribute(node, name).is_some_and(|found| found.i != 0);
        let gemm = node.op_type == OpType::Gemm;
        if gemm {
            for name in ["alpha", "beta"] {
                let value = number(name, 1.0);
                ensure!(value == 1.0, "found {name} = {value}, expected 1");
            }
            ensure!(!flag("transA"), "found transA = 1, expected 0");
        }
        let (outputs, weights) = match gemm && flag("transB") {
            true => (rows, values),
            false => (columns, transposed(&values, columns)),
        };
        let fan_in = weights.len() / outputs;
        let biases = if gemm { self.biases(node, outputs)? } else { vec![0.0; outputs] };
        if self.layers.is_empty() && self.input.is_none_or(|_| value.flat && self.is_row()) {
            self.input = Some(Shape::flat(fan_in));
        }
        let map = self.map()?;
        ensure!(value.flat || map.positions() == 1, "found a map of {map}, expected it flattened");
        let weights = match fan_in == map.len() {
            true => value.order.channels_last(&weights, map),
            // An error that names the layers comes later.
            false => weights,
        };
        let block = Block::dense(outputs, Activation::Identity);
        Ok(self.push(node, block, weights, biases, Value { flat: true, ..value }))
    }

    /// The third input of a layer, 0 where it has none.
    fn biases(&self, node: &Node<'_>, outputs: usize) -> anyhow::Result<Vec<f64>> {
        let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else {
            return Ok(vec![0.0; outputs]);
        };
        let (shape, biases) = constant(self.source, name)?;
        ensure!(biases.len() == outputs, "the bias has the shape {shape:?}, expected [{outputs}]");
        Ok(biases)
    }

    /// Whether the input is of no more than one position.
    fn is_row(&self) -> bool {
        self.input.is_none_or(|input| input.positions() == 1)
    }

    fn convolution(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let map = self.map()?;
        ensure!(
            !value.flat && value.order == Order::ChannelsFirst,
            "found no map with its channels first"
        );
        let (shape, values) =
            constant(self.source, node.input.get(1).copied().unwrap_or_default())?;
        let (outputs, channels, size) = match *shape.as_slice() {
            [outputs, channels, width] => (outputs, channels, [1, width]),
            [outputs, channels, height, width] => (outputs, channels, [height, width]),
            _ => bail!("found weights of the shape {shape:?}, expected those of 1 or 2 dimensions"),
        };
        ensure!(!values.is_empty(), "found weights of the shape {shape:?}");
        let window = window(node, map, size)?;
        let (groups, all) = (window.groups, map.channels);
        ensure!(
            all.is_multiple_of(groups)
                && channels == all / groups
                && outputs.is_multiple_of(groups),
            "found weights of the shape {shape:?} in {groups} groups, the map before it has {all} channels"
        );
        let biases = self.biases(node, outputs)?;
        let taps = Shape { height: size[0], width: size[1], channels };
        let weights = Order::ChannelsFirst.channels_last(&values, taps);
        let block = Block { window: Some(window), ..Block::dense(outputs, Activation::Identity) };
        ensure!(
            !block.output_shape(map).is_empty(),
            "the window is larger than the map before it, {map}"
        );
        Ok(self.push(node, block, weights, biases, value))
    }

    fn skip(&mut self, values: [Value; 2]) -> anyhow::Result<Value> {
        let [older, newer] = match values[0].place <= values[1].place {
            true => values,
            false => [values[1], values[0]],
        };
        self.current(newer)?;
        let [layers, steps] = older.place;
        ensure!(
            (1..self.layers.len()).contains(&layers) && steps == self.steps[layers],
            "found a sum with the input or with the middle of a layer, expected the output of a layer"
        );
        let last = self.last(Stage::Sums, "a sum with another layer")?;
        ensure!(last.block.skip.is_none(), "found a second sum");
        last.block.skip = Some(layers - 1);
        Ok(self.step(newer))
    }

    fn activate(&mut self, value: Value, activation: Activation) -> anyhow::Result<Value> {
        let pooled = self.stage == Stage::Pooled;
        let last = match pooled {
            false => self.last(Stage::Sums, "an activation")?,
            true => self.layers.last_mut().context("found an activation that follows no layer")?,
        };
        // The largest of a window is the same before and after.
        let swapped = last.block.pool.is_some_and(|pool| pool.kind == PoolKind::Max)
            && last.block.activation == Activation::Identity
            && activation.is_monotone();
        ensure!(
            !pooled || swapped,
            "found it after an activation or average pooling, expected it before"
        );
        last.block.activation = activation;
        if !pooled {
            self.stage = Stage::Activated;
        }
        Ok(self.step(value))
    }

    fn pool(&mut self, node: &Node<'_>, value: Value, kind: PoolKind) -> anyhow::Result<Value> {
        let map = self.map()?;
        let size = numbers(node, "kernel_shape")?;
        let size = pair(&size, 1, "kernel_shape")?;
        let stride = pair(&numbers(node, "strides")?, 1, "strides")?;
        ensure!(numbers(node, "pads")?.iter().all(|&pad| pad == 0), "found padding, expected none");
        ensure!(numbers(node, "dilations")?.iter().all(|&d| d == 1), "found a dilated window");
        let ceil = attribute(node, "ceil_mode").is_some_and(|found| found.i != 0);
        let auto = attribute(node, "auto_pad").map_or(&b""[..], |found| found.s);
        let sides = [map.height, map.width];
        let exact =
            (0..2).all(|d| sides[d] >= size[d] && (sides[d] - size[d]).is_multiple_of(stride[d]));
        ensure!(
            exact || !(ceil || auto.starts_with(b"SAME")),
            "found windows that leave the map of {map}, expected none"
        );
        self.pool_by(value, Pool { kind, size, stride })
    }

    fn pool_all(&mut self, value: Value, kind: PoolKind) -> anyhow::Result<Value> {
        let map = self.map()?;
        let size = [map.height, map.width];
        self.pool_by(value, Pool { kind, size, stride: size })
    }

    fn pool_by(&mut self, value: Value, pool: Pool) -> anyhow::Result<Value> {
        ensure!(!value.flat, "found a row of numbers, expected a map");
        let map = self.map()?;
        ensure!(!pool.over(map).is_empty(), "the window is larger than the map before it, {map}");
        let again = self.stage == Stage::Pooled && !self.layers.is_empty();
        ensure!(!again, "found pooling after pooling, of which a layer has one");
        let last = self.last(Stage::Activated, "pooling")?;
        ensure!(last.block.window.is_some(), "pooling follows a convolution");
        last.block.pool = Some(pool);
        self.stage = Stage::Pooled;
        Ok(self.step(value))
    }

    /// The mean over all positions of a map.
    fn mean(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let map = self.map()?;
        let axes = match attribute(node, "axes") {
            Some(found) => found.ints.clone(),
            None => integers(self.source, node.input.get(1).copied().unwrap_or_default())?,
        };
        let along: &[&[i64]] = match (value.order, map.height) {
            (Order::ChannelsFirst, 1) => &[&[2], &[-1], &[3], &[2, 3], &[-1, -2], &[-2, -1]],
            (Order::ChannelsFirst, _) => &[&[2, 3], &[3, 2], &[-1, -2], &[-2, -1]],
            (Order::ChannelsLast, 1) => &[&[1], &[-2], &[2], &[1, 2], &[-2, -3], &[-3, -2]],
            (Order::ChannelsLast, _) => &[&[1, 2], &[2, 1], &[-2, -3], &[-3, -2]],
        };
        ensure!(
            along.contains(&axes.as_slice()),
            "found a mean over the axes {axes:?}, expected one over all positions of a map"
        );
        let keeps = attribute(node, "keepdims").is_none_or(|found| found.i != 0);
        let pooled = self.pool_all(value, PoolKind::Average)?;
        Ok(Value { flat: !keeps, ..pooled })
    }

    fn reshape(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        // A shape that is computed flattens: it keeps the number of rows.
        let Ok(sides) = integers(self.source, node.input.get(1).copied().unwrap_or_default())
        else {
            return Ok(Value { flat: true, ..value });
        };
        let side = |side: i64| usize::try_from(side).ok().filter(|&side| side > 0);
        match *sides.as_slice() {
            [_, _] => Ok(Value { flat: true, ..value }),
            // A row that the network makes an image of.
            [_, channels, height, width] if self.layers.is_empty() => {
                let [Some(channels), Some(height), Some(width)] =
                    [channels, height, width].map(side)
                else {
                    bail!("found the shape {sides:?}, expected numbers above 0");
                };
                ensure!(channels == 1, "found {channels} channels in a row, expected 1");
                self.set_input(Shape { height, width, channels })?;
                Ok(Value { flat: false, ..value })
            }
            _ => bail!("found the shape {sides:?}, expected that of rows"),
        }
    }

    fn set_input(&mut self, shape: Shape) -> anyhow::Result<()> {
        let most = fiberwalk_formats::MAX_MAP;
        let sides = [shape.height, shape.width, shape.channels];
        ensure!(sides.iter().all(|&side| side <= most), "found a map of {shape}");
        self.input = Some(shape);
        Ok(())
    }

    fn transpose(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let perm = numbers(node, "perm")?;
        let to = match perm.as_slice() {
            [0, 2, 3, 1] => Order::ChannelsLast,
            [0, 3, 1, 2] => Order::ChannelsFirst,
            // The same both ways.
            [0, 2, 1] if value.order == Order::ChannelsFirst && !self.layers.is_empty() => {
                Order::ChannelsLast
            }
            [0, 2, 1] => Order::ChannelsFirst,
            other => bail!("found the order {other:?}, expected channels to go last or first"),
        };
        ensure!(!value.flat, "found a row of numbers, expected a map");
        if self.layers.is_empty()
            && to == Order::ChannelsFirst
            && self.order == Order::ChannelsFirst
        {
            // So the input has its channels last: its sides were read as if they were first.
            self.order = Order::ChannelsLast;
            if let Some(Shape { height, width, channels }) = self.input {
                self.input = Some(match perm.len() {
                    4 => Shape { height: channels, width: height, channels: width },
                    _ => Shape { height, width: channels, channels: width },
                });
            }
            return Ok(Value { order: to, ..value });
        }
        ensure!(value.order != to, "found maps that are so already");
        Ok(Value { order: to, ..value })
    }

    /// Batch normalisation with the statistics of training, a part of the layer before it.
    fn normalise(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let [weight, bias, mean, variance] =
            [1, 2, 3, 4].map(|index| values_of(self.source, node, index));
        let norm = Norm {
            weight: weight?,
            bias: bias?,
            mean: mean?,
            variance: variance?,
            epsilon: attribute(node, "epsilon").map_or(1e-5, |found| found.f).into(),
        };
        let count = norm.weight.len();
        let lengths = [&norm.bias, &norm.mean, &norm.variance].map(Vec::len);
        ensure!(lengths == [count; 3], "found {lengths:?} values, expected {count}");
        let (scale, shift) = norm.units();
        self.rescale(value, &scale, &shift)
    }

    /// A constant that is added to a value, or that multiplies it.
    fn constant(&mut self, node: &Node<'_>, value: Value) -> anyhow::Result<Value> {
        let first = !is_constant(self.source, node.input.first().copied().unwrap_or_default());
        let commutes = matches!(node.op_type, OpType::Add | OpType::Mul);
        ensure!(
            first || commutes,
            "found a constant less or over the input, expected the input first"
        );
        let values = values_of(self.source, node, usize::from(first))?;
        let with = |change: fn(f64) -> f64| values.iter().copied().map(change).collect::<Vec<_>>();
        match node.op_type {
            OpType::Add => self.rescale(value, &[1.0], &values),
            OpType::Sub => self.rescale(value, &[1.0], &with(|shift| -shift)),
            OpType::Mul => self.rescale(value, &values, &[0.0]),
            _ => self.rescale(value, &with(|scale| 1.0 / scale), &[0.0]),
        }
    }

    /// The last layer, or the input before the first one, becomes scale · y + shift: one for each of its
    /// channels, or one for all.
    fn rescale(&mut self, value: Value, scale: &[f64], shift: &[f64]) -> anyhow::Result<Value> {
        if self.layers.is_empty() {
            let width = self.offset.len().max(scale.len()).max(shift.len());
            let lengths = [self.offset.len(), scale.len(), shift.len()];
            ensure!(
                lengths.iter().all(|&length| length == 1 || length == width),
                "found {} values, expected {}",
                scale.len().max(shift.len()),
                self.offset.len()
            );
            for own in [&mut self.offset, &mut self.factor] {
                *own = own.iter().copied().cycle().take(width).collect();
            }
            // scale · (x − offset) · factor + shift
            let units = scale.iter().cycle().zip(shift.iter().cycle());
            for ((offset, factor), (scale, shift)) in
                self.offset.iter_mut().zip(&mut self.factor).zip(units)
            {
                *factor *= scale;
                *offset -= shift / *factor;
            }
            return Ok(self.step(value));
        }
        let last = self.last(Stage::Sums, "a scale or a shift")?;
        let outputs = last.block.outputs;
        for values in [scale, shift] {
            ensure!(
                values.len() == outputs || values.len() == 1,
                "found {} values, expected 1 or {outputs}",
                values.len()
            );
        }
        ensure!(
            last.block.skip.is_none() || scale.iter().all(|&scale| scale == 1.0),
            "found it after a sum, expected it before"
        );
        last.rescale(scale, shift);
        Ok(self.step(value))
    }

    /// All layers, of the input in its original units.
    fn finish(self) -> anyhow::Result<Layers> {
        let input = self.input.context("there is no layer in the model")?;
        ensure!(!self.layers.is_empty(), "there is no layer in the model");
        let mut layers = Layers::new(input, self.order, self.layers);
        layers.check()?;
        let channels = input.channels;
        let spread = |values: Vec<f64>| match values.as_slice() {
            &[one] => Ok(vec![one; channels]),
            _ if values.len() == channels => Ok(values),
            _ => bail!("the inputs are normalised by {} values, expected {channels}", values.len()),
        };
        layers.take_raw_inputs(&spread(self.offset)?, &spread(self.factor)?);
        Ok(layers)
    }
}
