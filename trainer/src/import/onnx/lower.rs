//! From the nodes of a graph to layers: what each tensor is, and which layer a node belongs to.
//!
//! Shapes are followed apart from layers, so that what comes after an obstacle is still looked at.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};

use super::end::{Head, Names};
use super::evaluate::{Budget, apply};
use super::graph::{Graph, Node, Obstacles, shown};
use super::operator::{Arithmetic, Each, Operator};
use super::tensor::Tensor;
use super::value::{CHANNELS, HEIGHT, Value, WIDTH};
use crate::import::layers::{Layer, Layers, Order};
use crate::import::weights::Norm;
use crate::network::{Activation, PoolKind, Shape};

/// Operators that are not supported but keep the shape, so that what follows them can be looked at.
const KEEP_SHAPES: [&str; 20] = [
    "Abs",
    "Ceil",
    "Celu",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "LayerNormalization",
    "LeakyRelu",
    "LpNormalization",
    "Mish",
    "Neg",
    "Round",
    "Selu",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
];
/// Steps that computing shapes may take.
const SHAPES: u64 = 1 << 20;

/// A tensor, as far as it is known.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// The input, or what layers make of it.
    Row(Value),
    /// Lengths of axes; no number for that of rows.
    Lengths(Tensor),
    /// Probabilities or labels that are made of the logits.
    Head(Head<'a>),
    /// Nothing, since it comes after an obstacle.
    Nothing,
}

/// Steps that follow the last layer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Stage {
    Sums,
    Activated,
    Pooled,
}

/// The network as far as it is read.
pub struct Tracer<'g, 'a> {
    pub graph: &'g Graph<'a>,
    pub obstacles: Obstacles,
    pub known: HashMap<&'a str, Known<'a>>,
    /// The map that the first layer reads, once there is one.
    pub input: Option<Shape>,
    /// The map as the user says it.
    pub said: Option<Shape>,
    /// Order of the input's maps, where something tells.
    pub order: Option<Order>,
    pub layers: Vec<Layer>,
    /// Operators since each layer, and before the first.
    pub steps: Vec<usize>,
    pub stage: Stage,
    /// u = (x − offset) · factor before the first layer, for each value of a row, in the order of the input.
    offset: Vec<f64>,
    factor: Vec<f64>,
    pub names: Names,
}

impl<'g, 'a> Tracer<'g, 'a> {
    /// Begins with the input of a graph, `first`, and the obstacles that were met before.
    pub fn new(
        graph: &'g Graph<'a>,
        first: Value,
        said: Option<Shape>,
        obstacles: Obstacles,
    ) -> Self {
        let length = first.row_len();
        Self {
            graph,
            obstacles,
            known: HashMap::from([(graph.input.name, Known::Row(first))]),
            input: None,
            said,
            order: None,
            layers: Vec::new(),
            steps: vec![0],
            stage: Stage::Sums,
            offset: vec![0.0; length],
            factor: vec![1.0; length],
            names: Names::default(),
        }
    }

    /// Follows all nodes.
    pub fn run(&mut self) {
        for node in &self.graph.nodes {
            let known = self.node(node).unwrap_or_else(|error| {
                self.obstacles.add(&node.shown, &error);
                Known::Nothing
            });
            self.known.insert(node.output, known);
        }
    }

    /// Returns what is known of an input; none of a value that the model holds or that is left out.
    pub fn input(&self, node: &Node<'a>, index: usize) -> Option<&Known<'a>> {
        self.known.get(*node.inputs.get(index)?)
    }

    /// Follows a node, and returns what is known of its output.
    fn node(&mut self, node: &Node<'a>) -> anyhow::Result<Known<'a>> {
        let known: Vec<Known<'a>> =
            (0..node.inputs.len()).filter_map(|index| self.input(node, index).cloned()).collect();
        if known.iter().any(|known| matches!(known, Known::Nothing)) {
            return Ok(Known::Nothing);
        }
        let rows: Vec<&Value> = known
            .iter()
            .filter_map(|known| if let Known::Row(value) = known { Some(value) } else { None })
            .collect();
        let Some(operator) = &node.operator else {
            // It is an obstacle already.
            return Ok(match rows.as_slice() {
                &[value] if KEEP_SHAPES.contains(&node.called) => Known::Row(value.clone()),
                _ => Known::Nothing,
            });
        };
        if let Some(Known::Head(_)) = known.iter().find(|known| matches!(known, Known::Head(_))) {
            return self.after_head(node, operator);
        }
        match (operator, rows.as_slice()) {
            (Operator::Shape { .. }, &[value]) => {
                let length = |axis| value.length(axis).map_or(f64::NAN, |side| side as f64);
                let lengths: Vec<f64> = value.axes.iter().map(length).collect();
                let places = Tensor::row(0..lengths.len() as i64);
                let part = Tensor { shape: places.shape, values: lengths };
                // Its start and end, of a tensor with as many axes.
                let Operator::Shape { start, end } = operator else { return Ok(Known::Nothing) };
                let rank = part.values.len() as i64;
                let clamped =
                    |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank);
                let (start, end) =
                    (clamped(*start) as usize, clamped(end.unwrap_or(rank)) as usize);
                let values = part.values.get(start..end).unwrap_or_default().to_vec();
                Ok(Known::Lengths(Tensor { shape: vec![values.len()], values }))
            }
            (_, []) => self.lengths(node, operator).map(Known::Lengths),
            (Operator::Arithmetic(Arithmetic::Add), &[a, b]) => {
                self.skip(node, [a.clone(), b.clone()]).map(Known::Row)
            }
            (_, &[value]) => self.row(node, operator, value),
            _ => bail!(
                "it reads {} values that the input leads to; only a sum of two is supported",
                rows.len()
            ),
        }
    }

    /// Lengths out of lengths and values of the model: they are moved, and reckoned with where all are numbers.
    fn lengths(&self, node: &Node<'a>, operator: &Operator) -> anyhow::Result<Tensor> {
        let value = |(index, name): (usize, &&str)| match self.input(node, index) {
            Some(Known::Lengths(lengths)) => Ok(Some(lengths.clone())),
            _ if name.is_empty() => Ok(None),
            _ => self.graph.constant(name).map(Some),
        };
        let inputs =
            node.inputs.iter().enumerate().map(value).collect::<anyhow::Result<Vec<_>>>()?;
        let moves = matches!(
            operator,
            Operator::Identity
                | Operator::Whole
                | Operator::Gather { .. }
                | Operator::Slice
                | Operator::Concat { .. }
                | Operator::Squeeze { .. }
                | Operator::Unsqueeze { .. }
        );
        let numbers =
            || inputs.iter().flatten().flat_map(|input| &input.values).all(|v| !v.is_nan());
        ensure!(moves || numbers(), "it reckons with the number of rows");
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
        // Nothing but a length that is no number has a fraction here.
        let operator = if *operator == Operator::Whole { &Operator::Identity } else { operator };
        apply(operator, &inputs, &Budget::new(SHAPES))
    }

    /// Follows a node that reads one value that the input leads to.
    fn row(
        &mut self,
        node: &Node<'a>,
        operator: &Operator,
        value: &Value,
    ) -> anyhow::Result<Known<'a>> {
        let first = self.input(node, 0).is_some();
        let commutes = matches!(
            operator,
            Operator::Arithmetic(Arithmetic::Add | Arithmetic::Mul | Arithmetic::Sub)
        );
        ensure!(
            first || commutes,
            "found a value of the model as its first input, expected the network's"
        );
        let axes = |given: &Option<Vec<i64>>| match (given, node.inputs.get(1)) {
            (Some(given), _) => Ok(Some(given.clone())),
            (None, Some(name)) => self.graph.constant(name)?.whole().map(Some),
            (None, None) => Ok(None),
        };
        let next = match operator {
            Operator::Identity => value.clone(),
            Operator::Squeeze { axes: given } => value.squeeze(axes(given)?.as_deref())?,
            Operator::Unsqueeze { axes: given } => value.unsqueeze(axes(given)?.as_deref())?,
            Operator::Flatten { axis } => value.flatten(*axis)?,
            Operator::Transpose { order } => {
                let next = value.transpose(order)?;
                self.note_order(value, &next);
                next
            }
            Operator::Reshape { zero_is_length } => {
                let lengths = match self.input(node, 1) {
                    Some(Known::Lengths(lengths)) => lengths.clone(),
                    _ => self.graph.constant(node.inputs.get(1).context("it has no shape")?)?,
                };
                value.reshape(&lengths.values, *zero_is_length, self.layers.is_empty())?
            }
            Operator::Convolution { window, groups } => {
                self.convolution(node, value, window, *groups)?
            }
            Operator::Gemm { .. } | Operator::MatMul => self.dense(node, operator, value)?,
            Operator::Pool { kind, window, outward, .. } => {
                self.pool(node, value, *kind, window, *outward)?
            }
            Operator::GlobalPool(kind) => self.pool_all(node, value, *kind)?,
            Operator::Mean { axes: given, keeps, none_is_all } => {
                let given = axes(given)?.filter(|axes| !axes.is_empty());
                ensure!(given.is_some() || *none_is_all, "it names no axes");
                let all = || (0..value.axes.len() as i64).collect();
                self.mean(node, value, &given.unwrap_or_else(all), *keeps)?
            }
            Operator::Normalise { .. } | Operator::Arithmetic(_) | Operator::Scaler { .. } => {
                let (scale, shift) = self.units(node, operator, value)?;
                let rescaled = self.rescale(value, &scale, &shift);
                self.lower(node, rescaled);
                self.step(value)
            }
            Operator::Each(Each::Sigmoid) | Operator::Softmax { .. } | Operator::ArgMax { .. } => {
                return Ok(Known::Head(self.head(node, operator, value)));
            }
            Operator::Each(Each::Tanh) => self.activate(node, value, Activation::Tanh),
            Operator::Each(Each::Relu) => self.activate(node, value, Activation::Relu),
            Operator::Each(Each::HardSwish) => self.activate(node, value, Activation::HardSwish),
            Operator::Clip { low, high } => {
                let bound = |own: &Option<f64>, index: usize| match (own, node.inputs.get(index)) {
                    (Some(own), _) => Ok(vec![*own]),
                    (None, None | Some(&"")) => Ok(Vec::new()),
                    (None, Some(name)) => anyhow::Ok(self.graph.constant(name)?.values),
                };
                let (low, high) = (bound(low, 1)?, bound(high, 2)?);
                let activation = match (low.as_slice(), high.as_slice()) {
                    ([0.0], [6.0]) => Activation::Relu6,
                    ([0.0], [] | [f64::INFINITY]) => Activation::Relu,
                    _ => bail!(
                        "found the bounds {low:?} and {high:?}, expected those of relu6, 0 and 6, or of relu"
                    ),
                };
                self.activate(node, value, activation)
            }
            Operator::Whole => bail!("it cuts off the fractions of what the network computes"),
            _ => bail!("it is supported for shapes alone, and at the end"),
        };
        Ok(Known::Row(next))
    }

    /// Records why a node is no part of a layer, if it is none.
    pub fn lower(&mut self, node: &Node<'a>, lowered: anyhow::Result<()>) {
        if let Err(error) = lowered {
            self.obstacles.add(&node.shown, &error);
        }
    }

    /// Whether a value is the last one so far, which layers read.
    pub fn current(&self, value: &Value) -> anyhow::Result<()> {
        let last = [self.layers.len(), self.steps[self.layers.len()]];
        ensure!(
            value.place == last,
            "it reads what a layer before has read, expected a chain: only a sum goes back"
        );
        Ok(())
    }

    /// A value after one more operator.
    pub fn step(&mut self, value: &Value) -> Value {
        let layers = self.layers.len();
        self.steps[layers] += 1;
        Value { place: [layers, self.steps[layers]], ..value.clone() }
    }

    /// The last layer, where `stage` is not past.
    pub fn last(&mut self, stage: Stage, what: &str) -> anyhow::Result<&mut Layer> {
        ensure!(
            self.stage <= stage,
            "found {what} after an activation or pooling, expected it before"
        );
        self.layers.last_mut().with_context(|| format!("found {what} before the first layer"))
    }

    /// Notes, before the first layer, what the move of a map's channels says of the input.
    fn note_order(&mut self, before: &Value, after: &Value) {
        if !self.layers.is_empty() || self.order.is_some() || before.axes.len() < 3 {
            return;
        }
        let rank = before.axes.len();
        let first_goes_last = before.axes[1] == after.axes[rank - 1];
        let last_goes_first = before.axes[rank - 1] == after.axes[1];
        self.order = match (last_goes_first, first_goes_last, rank) {
            // Of a series it looks the same both ways: convolutions read channels first.
            (true, _, _) => Some(Order::ChannelsLast),
            (false, true, _) => Some(Order::ChannelsFirst),
            (false, false, _) => None,
        };
    }

    fn skip(&mut self, node: &Node<'a>, values: [Value; 2]) -> anyhow::Result<Value> {
        let [older, newer] = match values[0].place <= values[1].place {
            true => values,
            false => [values[1].clone(), values[0].clone()],
        };
        ensure!(
            older.axes == newer.axes && older.sizes == newer.sizes,
            "found a sum of {older} and {newer}, expected the same shape and order of axes"
        );
        let lowered = self.add_skip(&older, &newer);
        self.lower(node, lowered);
        Ok(self.step(&newer))
    }

    fn add_skip(&mut self, older: &Value, newer: &Value) -> anyhow::Result<()> {
        self.current(newer)?;
        let [layers, steps] = older.place;
        ensure!(
            (1..self.layers.len()).contains(&layers) && steps == self.steps[layers],
            "found a sum with the input or with the middle of a layer, expected the output of a layer"
        );
        let last = self.last(Stage::Sums, "a sum with another layer")?;
        ensure!(last.block.skip.is_none(), "found a second sum");
        last.block.skip = Some(layers - 1);
        Ok(())
    }

    fn activate(&mut self, node: &Node<'a>, value: &Value, activation: Activation) -> Value {
        let lowered = self.add_activation(value, activation);
        self.lower(node, lowered);
        self.step(value)
    }

    fn add_activation(&mut self, value: &Value, activation: Activation) -> anyhow::Result<()> {
        self.current(value)?;
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
        Ok(())
    }

    /// Scale and shift for each value of a row, in the map's order.
    fn units(
        &self,
        node: &Node<'a>,
        operator: &Operator,
        value: &Value,
    ) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let held = |index: usize| {
            let name =
                node.inputs.get(index).with_context(|| format!("input {index} is missing"))?;
            self.graph.constant(name)
        };
        let none = |value: f64| Tensor { shape: Vec::new(), values: vec![value] };
        let negative = |mut tensor: Tensor| {
            tensor.values.iter_mut().for_each(|value| *value = -*value);
            tensor
        };
        let (scale, shift) = match operator {
            Operator::Arithmetic(arithmetic) => {
                let first = self.input(node, 0).is_some();
                let constant = held(usize::from(first))?;
                match (arithmetic, first) {
                    (Arithmetic::Add, _) => (none(1.0), constant),
                    (Arithmetic::Sub, true) => (none(1.0), negative(constant)),
                    (Arithmetic::Sub, false) => (none(-1.0), constant),
                    (Arithmetic::Mul, _) => (constant, none(0.0)),
                    (Arithmetic::Div, _) => {
                        let mut scale = constant;
                        scale.values.iter_mut().for_each(|value| *value = 1.0 / *value);
                        (scale, none(0.0))
                    }
                }
            }
            Operator::Scaler { offset, scale } => {
                let tensor = |values: &[f64], default: f64| match values {
                    [] => none(default),
                    values => Tensor { shape: vec![values.len()], values: values.to_vec() },
                };
                let (scale, offset) = (tensor(scale, 1.0), tensor(offset, 0.0));
                let scale = value.spread(&scale)?;
                let offset = value.spread(&offset)?;
                let shift = scale.iter().zip(offset).map(|(scale, offset)| -scale * offset);
                return Ok((scale.clone(), shift.collect()));
            }
            Operator::Normalise { epsilon } => {
                ensure!(
                    value.axes.len() >= 2,
                    "found {value}, expected channels on its second axis"
                );
                let vector = |index: usize| {
                    let tensor = held(index)?;
                    let channels = value.length(&value.axes[1]);
                    let fits = tensor.shape.len() == 1 && Some(tensor.values.len()) == channels;
                    ensure!(fits, "found {:?} values for {value}", tensor.shape);
                    Ok(tensor.values)
                };
                let norm = Norm {
                    weight: vector(1)?,
                    bias: vector(2)?,
                    mean: vector(3)?,
                    variance: vector(4)?,
                    epsilon: *epsilon,
                };
                let shape: Vec<usize> = [norm.weight.len()]
                    .into_iter()
                    .chain(std::iter::repeat_n(1, value.axes.len() - 2))
                    .collect();
                let (scale, shift) = norm.units();
                (Tensor { shape: shape.clone(), values: scale }, Tensor { shape, values: shift })
            }
            _ => bail!("it is no change of units"),
        };
        Ok((value.spread(&scale)?, value.spread(&shift)?))
    }

    /// The last layer, or the input before the first one, becomes scale · y + shift, of each value of a row.
    fn rescale(&mut self, value: &Value, scale: &[f64], shift: &[f64]) -> anyhow::Result<()> {
        self.current(value)?;
        let mut all = scale.iter().chain(shift);
        ensure!(all.all(|value| value.is_finite()), "found a scale or a shift that is not finite");
        if self.layers.is_empty() {
            ensure!(!scale.contains(&0.0), "found a scale of 0, which leaves nothing of the input");
            // scale · (x − offset) · factor + shift
            for index in 0..scale.len() {
                self.factor[index] *= scale[index];
                self.offset[index] -= shift[index] / self.factor[index];
            }
            return Ok(());
        }
        let last = self.last(Stage::Sums, "a scale or a shift")?;
        let channels = value.sizes[CHANNELS];
        let (scale, shift) = (per_channel(scale, channels)?, per_channel(shift, channels)?);
        ensure!(
            last.block.skip.is_none() || scale.iter().all(|&scale| scale == 1.0),
            "found a scale after a sum, expected it before"
        );
        last.rescale(&scale, &shift);
        Ok(())
    }

    /// Makes the input a map, whose parts are these of the source's: height, width and channels.
    pub fn settle(&mut self, value: &Value, roles: [Option<usize>; 3]) -> anyhow::Result<Value> {
        let side = |role: Option<usize>| role.map_or(1, |part| value.sizes[part]);
        let [height, width, channels] = roles.map(side);
        let map = Shape { height, width, channels };
        ensure!(map.len() == value.row_len(), "found {value} of an input of other axes");
        let [down, right, deep] = roles;
        let before = |a: Option<usize>, b: Option<usize>| a.zip(b).is_none_or(|(a, b)| a < b);
        let order = if before(deep, down) && before(deep, right) {
            Order::ChannelsFirst
        } else {
            let last = before(down, deep) && before(right, deep);
            ensure!(
                last,
                "it reads the channels of the input from its middle axis, expected first or last"
            );
            Order::ChannelsLast
        };
        ensure!(before(down, right), "it reads the rows of the input's maps as columns");
        let (offset, factor) = (&self.offset, &self.factor);
        let units = [offset, factor].map(|values| order.channels_last(values, map));
        let units = units.map(|values| per_channel(&values, channels).context("of the input"));
        let [offset, factor] = units;
        (self.offset, self.factor) = (offset?, factor?);
        (self.input, self.order) = (Some(map), Some(order));
        let role = |part: usize| {
            let found = roles.iter().position(|role| *role == Some(part));
            found.context("an axis of the input is no side of a map")
        };
        let axes = value.axes.iter().map(|axis| match axis {
            super::value::Axis::Rows => Ok(super::value::Axis::Rows),
            super::value::Axis::Over(parts) => {
                let parts = parts.iter().map(|&part| role(part)).collect::<anyhow::Result<_>>()?;
                Ok(super::value::Axis::Over(parts))
            }
        });
        let axes = axes.collect::<anyhow::Result<_>>()?;
        Ok(Value { sizes: vec![height, width, channels], axes, ..value.clone() })
    }

    /// All layers, of the input in its original units, whose rows have these sides; and its offset and factor, one
    /// a channel.
    pub fn finish(self, end: &Value, sides: Vec<usize>) -> anyhow::Result<(Layers, [Vec<f64>; 2])> {
        self.current(end)?;
        let input = self.input.context("there is no layer in the model")?;
        let order = self.order.unwrap_or_default();
        let mut layers = Layers { dimensions: sides, ..Layers::new(input, order, self.layers) };
        layers.check()?;
        layers.take_raw_inputs(&self.offset, &self.factor);
        if let Some(said) = self.said.filter(|said| *said != input) {
            bail!("inputs.shape: found a map of {said}, but the model reads one of {input}");
        }
        Ok((layers, [self.offset, self.factor]))
    }
}

/// Returns one value a channel from those of a map, which must not vary over its positions.
fn per_channel(values: &[f64], channels: usize) -> anyhow::Result<Vec<f64>> {
    let (first, _) = values.split_at_checked(channels).context("found no channels")?;
    let same = values.chunks(channels).all(|position| position == first);
    ensure!(same, "its values vary over the positions of a map, expected one for each channel");
    Ok(first.to_vec())
}

/// Parts of a map that an axis may run over, where it runs over nothing else.
pub fn side_of(parts: &[usize]) -> anyhow::Result<Option<usize>> {
    match parts {
        [] => Ok(None),
        &[part] => Ok(Some(part)),
        _ => bail!("it reads sides of a map that were joined"),
    }
}

/// Whether the axes after that of rows are channels, and then the sides, of a map.
pub fn is_channels_first(value: &Value) -> anyhow::Result<()> {
    let parts = value.parts()?;
    let expected: &[usize] = match parts.len() {
        2 => &[CHANNELS, WIDTH],
        3 => &[CHANNELS, HEIGHT, WIDTH],
        _ => bail!(
            "found {value}, expected a map [n, channels, height, width] or [n, channels, length]"
        ),
    };
    for (parts, &expected) in parts.iter().zip(expected) {
        let fits = side_of(parts)?.map_or(value.sizes[expected] == 1, |part| part == expected);
        ensure!(fits, "found {value} in another order of axes, expected channels first");
    }
    ensure!(parts.len() == 3 || value.sizes[HEIGHT] == 1, "found a height that is gone");
    Ok(())
}

/// A layer's name: that of its weights, or its node's.
pub fn layer_name(node: &Node<'_>) -> String {
    let weight = node.inputs.get(1).and_then(|name| name.strip_suffix(".weight"));
    shown(weight.unwrap_or(node.name))
}
