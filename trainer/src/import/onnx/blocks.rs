//! Nodes that are layers with weights, and pooling after them.

use anyhow::{Context, bail, ensure};

use super::graph::Node;
use super::lower::{Stage, Tracer, is_channels_first, layer_name, side_of};
use super::operator::{self, Operator};
use super::tensor::{Tensor, axes, broadcast};
use super::value::{Axis, CHANNELS, HEIGHT, Value, WIDTH};
use crate::import::layers::{Layer, Order};
use crate::import::weights::transposed;
use crate::network::{Activation, Block, Pool, PoolKind, Shape, Window};

impl<'a> Tracer<'_, 'a> {
    /// A weight of a node.
    fn weight(&self, node: &Node<'a>, index: usize) -> anyhow::Result<Tensor> {
        let name = node.inputs.get(index).copied().unwrap_or_default();
        ensure!(!name.is_empty(), "its input {index} is missing");
        self.graph.constant(name).context("weights are expected on the right")
    }

    fn push(&mut self, node: &Node<'a>, block: Block, weights: Vec<f64>, biases: Vec<f64>) {
        self.layers.push(Layer { name: layer_name(node), block, weights, biases });
        self.steps.push(0);
        self.stage = Stage::Sums;
    }

    /// Output of the last layer so far.
    fn output(&self, map: Shape, rank: usize, value: &Value) -> Value {
        Value { place: [self.layers.len(), 0], ..Value::of_map(map, rank, value.rows) }
    }

    pub fn dense(
        &mut self,
        node: &Node<'a>,
        operator: &Operator,
        value: &Value,
    ) -> anyhow::Result<Value> {
        let weights = self.weight(node, 1)?;
        let &[rows, columns] = &weights.shape[..] else {
            bail!("found weights of the shape {:?}, expected a matrix", weights.shape);
        };
        ensure!(!weights.values.is_empty(), "found weights of the shape {:?}", weights.shape);
        let (alpha, across) = match operator {
            Operator::Gemm { alpha, across, .. } => (*alpha, *across),
            _ => (1.0, [false, false]),
        };
        ensure!(!across[0], "found transA = 1, expected 0");
        let (outputs, fan_in) = if across[1] { (rows, columns) } else { (columns, rows) };
        let rank = value.axes.len();
        ensure!(
            rank == 2,
            "it reads {value}, whose last axis alone it multiplies, expected a matrix of rows: flatten before it"
        );
        ensure!(
            value.row_len() == fan_in,
            "it takes {fan_in} values a row, but {value} gives {}",
            value.row_len()
        );
        let biases = self.biases(node, operator, outputs)?;
        let mut weights = match across[1] {
            true => weights.values,
            false => transposed(&weights.values, columns),
        };
        weights.iter_mut().for_each(|weight| *weight *= alpha);
        let lowered = self.current(value);
        self.lower(node, lowered);
        let value = match self.layers.is_empty() {
            true => self.settle_row(value)?,
            false => value.clone(),
        };
        let places = value.places();
        let mut ordered = vec![0.0; weights.len()];
        for (row, ordered) in weights.chunks(fan_in).zip(ordered.chunks_mut(fan_in)) {
            row.iter().zip(&places).for_each(|(&weight, &place)| ordered[place] = weight);
        }
        self.push(node, Block::dense(outputs, Activation::Identity), ordered, biases);
        Ok(self.output(Shape::flat(outputs), 2, &value))
    }

    /// The biases of a dense layer: beta · c of Gemm, 0 of others.
    fn biases(
        &self,
        node: &Node<'a>,
        operator: &Operator,
        outputs: usize,
    ) -> anyhow::Result<Vec<f64>> {
        let given = node.inputs.get(2).is_some_and(|name| !name.is_empty());
        let (Operator::Gemm { beta, .. }, true) = (operator, given) else {
            return Ok(vec![0.0; outputs]);
        };
        let c = self.weight(node, 2)?;
        let shape = [1, outputs];
        let fits = broadcast(&c.shape, &shape).is_ok_and(|all| all == shape);
        ensure!(fits, "the bias has the shape {:?}, expected [{outputs}]", c.shape);
        Ok(Tensor::of(shape.to_vec(), |place| beta * c.broadcast_at(place))?.values)
    }

    /// The input before a dense layer: a row of features, or a map whose channels nothing but convention or the
    /// user tells.
    fn settle_row(&mut self, value: &Value) -> anyhow::Result<Value> {
        let roles = |order: Order| -> anyhow::Result<[Option<usize>; 3]> {
            Ok(match (order, value.sizes.len()) {
                (_, 1) => [None, None, Some(0)],
                (Order::ChannelsFirst, 2) => [None, Some(1), Some(0)],
                (Order::ChannelsLast, 2) => [None, Some(0), Some(1)],
                (Order::ChannelsFirst, 3) => [Some(1), Some(2), Some(0)],
                (Order::ChannelsLast, 3) => [Some(0), Some(1), Some(2)],
                (_, count) => bail!("its input has rows of {count} axes, expected at most 3"),
            })
        };
        let map = |order: Order| -> anyhow::Result<Shape> {
            let [height, width, channels] =
                roles(order)?.map(|role| role.map_or(1, |part| value.sizes[part]));
            Ok(Shape { height, width, channels })
        };
        let [first, last] = [map(Order::ChannelsFirst)?, map(Order::ChannelsLast)?];
        let order = match (self.order, self.said) {
            (Some(order), _) => order,
            (None, Some(said)) if said == last && said != first => Order::ChannelsLast,
            // A map of one channel lies the same either way.
            (None, None) if last.channels == 1 && first.channels > 1 => Order::ChannelsLast,
            (None, _) => {
                // Either order would fit the same data, and give other numbers.
                ensure!(
                    first != last || first.positions() == 1 || first.channels == 1,
                    "nothing tells whether the input's channels come first or last, and all its sides are \
                     {}: give the network its input as rows of numbers",
                    first.channels
                );
                Order::ChannelsFirst
            }
        };
        self.settle(value, roles(order)?)
    }

    pub fn convolution(
        &mut self,
        node: &Node<'a>,
        value: &Value,
        window: &operator::Window,
        groups: usize,
    ) -> anyhow::Result<Value> {
        let weights = self.weight(node, 1)?;
        let rank = value.axes.len();
        ensure!(
            [3, 4].contains(&rank) && weights.shape.len() == rank && !weights.values.is_empty(),
            "found weights of the shape {:?} over {value}, expected maps of 1 or 2 dimensions",
            weights.shape
        );
        let lowered = self.current(value);
        self.lower(node, lowered);
        let value = match self.layers.is_empty() {
            true => {
                let parts = value.parts()?;
                let sides = parts.iter().map(|parts| side_of(parts));
                let sides = sides.collect::<anyhow::Result<Vec<_>>>()?;
                let roles = match sides[..] {
                    [channels, width] => [None, width, channels],
                    [channels, height, width] => [height, width, channels],
                    _ => bail!("found {value}"),
                };
                self.settle(value, roles)?
            }
            false => value.clone(),
        };
        is_channels_first(&value)?;
        let map = map_of(&value);
        let (outputs, channels) = (weights.shape[0], weights.shape[1]);
        ensure!(
            channels.checked_mul(groups) == Some(map.channels) && outputs.is_multiple_of(groups),
            "found weights of the shape {:?} in {groups} groups, the map before it has {} channels",
            weights.shape,
            map.channels
        );
        let sides = [map.height, map.width];
        let numbers = window.over(&sides[4 - rank..], Some(&weights.shape[2..]))?;
        let [size, stride, before, after] = [1, 1, 0, 0].map(|none| [none; 2]);
        let [size, stride, before, after] = filled(numbers, [size, stride, before, after]);
        let window = Window { size, stride, before, after, groups };
        let biases = match node.inputs.get(2) {
            None | Some(&"") => vec![0.0; outputs],
            Some(_) => {
                let biases = self.weight(node, 2)?;
                let fits = biases.shape == [outputs];
                ensure!(fits, "the bias has the shape {:?}, expected [{outputs}]", biases.shape);
                biases.values
            }
        };
        let taps = Shape { height: size[0], width: size[1], channels };
        let weights = Order::ChannelsFirst.channels_last(&weights.values, taps);
        let block = Block { window: Some(window), ..Block::dense(outputs, Activation::Identity) };
        let output = block.output_shape(map);
        ensure!(!output.is_empty(), "the window is larger than the map before it, {map}");
        self.push(node, block, weights, biases);
        Ok(self.output(output, rank, &value))
    }

    pub fn pool(
        &mut self,
        node: &Node<'a>,
        value: &Value,
        kind: PoolKind,
        window: &operator::Window,
        outward: bool,
    ) -> anyhow::Result<Value> {
        ensure!(!self.layers.is_empty(), "found pooling before the first layer");
        is_channels_first(value)?;
        let (map, rank) = (map_of(value), value.axes.len());
        let sides = [map.height, map.width];
        let numbers = window.over(&sides[4 - rank..], None)?;
        let [size, stride, before, after] =
            filled(numbers, [1, 1, 0, 0].map(|none: usize| [none; 2]));
        let pads = [before, after].concat();
        ensure!(
            pads.iter().all(|&pad| pad == 0),
            "found padding of {pads:?} round the map of {map}, expected none"
        );
        let pool = Pool { kind, size, stride };
        let pooled = pool.over(map);
        ensure!(!pooled.is_empty(), "the window is larger than the map before it, {map}");
        let exact = (0..2).all(|d| (sides[d] - size[d]).is_multiple_of(stride[d]));
        ensure!(
            exact || !outward,
            "found windows that leave the map of {map} (ceil_mode), expected none"
        );
        let lowered = self.add_pool(value, pool);
        self.lower(node, lowered);
        let next = self.step(value);
        Ok(Value { place: next.place, ..Value::of_map(pooled, rank, value.rows) })
    }

    fn add_pool(&mut self, value: &Value, pool: Pool) -> anyhow::Result<()> {
        self.current(value)?;
        ensure!(
            self.stage != Stage::Pooled || self.layers.is_empty(),
            "found pooling after pooling, of which a layer has one"
        );
        let last = self.last(Stage::Activated, "pooling")?;
        ensure!(last.block.window.is_some(), "pooling follows a convolution");
        last.block.pool = Some(pool);
        self.stage = Stage::Pooled;
        Ok(())
    }

    /// Pooling over all positions.
    pub fn pool_all(
        &mut self,
        node: &Node<'a>,
        value: &Value,
        kind: PoolKind,
    ) -> anyhow::Result<Value> {
        let length = |axis| value.length(axis).unwrap_or(1);
        let size: Vec<usize> = value.axes.iter().skip(2).map(length).collect();
        let window = operator::Window {
            size: Some(size.clone()),
            stride: Some(size),
            padding: operator::Padding::Sides(None),
        };
        self.pool(node, value, kind, &window, false)
    }

    /// A mean over axes, which have to be all positions of a map.
    pub fn mean(
        &mut self,
        node: &Node<'a>,
        value: &Value,
        given: &[i64],
        keeps: bool,
    ) -> anyhow::Result<Value> {
        ensure!(!self.layers.is_empty(), "found a mean before the first layer");
        let along = axes(given, value.axes.len())?;
        let parts = |over: bool| {
            let axes = value.axes.iter().enumerate();
            let parts = axes.filter(|(axis, _)| along.contains(axis) == over).map(|(_, axis)| axis);
            let parts = parts.filter_map(|axis| match axis {
                Axis::Rows => None,
                Axis::Over(parts) => Some(parts.clone()),
            });
            parts.flatten().collect::<Vec<_>>()
        };
        let rows = along.iter().any(|&axis| value.axes[axis] == Axis::Rows);
        ensure!(
            !rows
                && !parts(true).contains(&CHANNELS)
                && parts(false).iter().all(|&p| p == CHANNELS),
            "found a mean over the axes {given:?} of {value}, expected one over all positions of a map"
        );
        let map = map_of(value);
        let size = [map.height, map.width];
        let lowered = self.add_pool(value, Pool { kind: PoolKind::Average, size, stride: size });
        self.lower(node, lowered);
        let mut next = self.step(value);
        [next.sizes[HEIGHT], next.sizes[WIDTH]] = [1, 1];
        for &axis in &along {
            next.axes[axis] = Axis::Over(Vec::new());
        }
        let gone: Vec<i64> = along.iter().map(|&axis| axis as i64).collect();
        if keeps { Ok(next) } else { next.squeeze(Some(&gone)) }
    }
}

/// The map that a value behind a layer is.
fn map_of(value: &Value) -> Shape {
    let [height, width, channels] = [HEIGHT, WIDTH, CHANNELS].map(|part| value.sizes[part]);
    Shape { height, width, channels }
}

/// Numbers of a window down and to the right, of a series to the right alone.
fn filled(numbers: [Vec<usize>; 4], none: [[usize; 2]; 4]) -> [[usize; 2]; 4] {
    let mut filled = none;
    for (filled, numbers) in filled.iter_mut().zip(numbers) {
        match numbers[..] {
            [down, right] => *filled = [down, right],
            [right] => filled[1] = right,
            _ => {}
        }
    }
    filled
}
