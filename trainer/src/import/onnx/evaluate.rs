//! The operators as ONNX defines them, by plain loops over whole tensors in double precision.
//!
//! It knows nothing of maps, layers or layouts: import compares what it makes of a graph with what this gives.

use std::cell::Cell;

use anyhow::{Context, bail, ensure};

use super::operator::{Arithmetic, Each, Operator, Window};
use super::tensor::{Tensor, axes, axis, broadcast, broadcast_index, count};
use crate::network::PoolKind;

/// Steps that evaluation may take: values that are written and products that are summed.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

/// Error where a budget is spent.
#[derive(Debug, thiserror::Error)]
#[error("it takes too many steps to compute")]
pub struct TooManySteps;

impl Budget {
    /// Allows so many steps.
    pub const fn new(steps: u64) -> Self {
        Self(Cell::new(steps))
    }

    /// Takes what tensors of these shapes take to go through together.
    fn spend(&self, shapes: &[&[usize]]) -> anyhow::Result<()> {
        let lengths = shapes.iter().copied().flatten();
        let steps = lengths.fold(1u64, |steps, &length| steps.saturating_mul(length as u64));
        let left = self.0.get().checked_sub(steps).ok_or(TooManySteps)?;
        self.0.set(left);
        Ok(())
    }
}

/// Inputs of an operator, none where one is left out.
struct Inputs<'t>(&'t [Option<&'t Tensor>]);

impl<'t> Inputs<'t> {
    fn get(&self, index: usize) -> Option<&'t Tensor> {
        self.0.get(index).copied().flatten()
    }

    fn need(&self, index: usize) -> anyhow::Result<&'t Tensor> {
        self.get(index).with_context(|| format!("its input {index} is missing"))
    }

    /// Axes that an attribute names, or an input.
    fn axes(&self, given: &Option<Vec<i64>>) -> anyhow::Result<Option<Vec<i64>>> {
        match (given, self.get(1)) {
            (Some(given), _) => Ok(Some(given.clone())),
            (None, Some(input)) => input.whole().map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// The first output of an operator.
///
/// # Errors
/// Inputs that do not fit the operator, or more work than the budget allows.
pub fn apply(
    operator: &Operator,
    inputs: &[Option<&Tensor>],
    budget: &Budget,
) -> anyhow::Result<Tensor> {
    let inputs = Inputs(inputs);
    match operator {
        Operator::Constant(value) => return Ok(value.clone()),
        Operator::Arithmetic(arithmetic) => {
            let (a, b) = (inputs.need(0)?, inputs.need(1)?);
            let shape = broadcast(&a.shape, &b.shape)?;
            budget.spend(&[&shape])?;
            return Tensor::of(shape, |place| {
                let (a, b) = (a.broadcast_at(place), b.broadcast_at(place));
                match arithmetic {
                    Arithmetic::Add => a + b,
                    Arithmetic::Sub => a - b,
                    Arithmetic::Mul => a * b,
                    Arithmetic::Div => a / b,
                }
            });
        }
        _ => {}
    }
    let x = inputs.need(0)?;
    budget.spend(&[&x.shape])?;
    match operator {
        Operator::Constant(_) | Operator::Arithmetic(_) => unreachable!("returned above"),
        Operator::Identity | Operator::ZipMap(_) => Ok(x.clone()),
        Operator::Whole => {
            let fractions = x.values.iter().any(|value| value.fract() != 0.0);
            ensure!(!fractions, "it cuts off fractions");
            Ok(x.clone())
        }
        Operator::Each(each) => Ok(each_value(x, |x| match each {
            Each::Tanh => x.tanh(),
            Each::Relu => x.max(0.0),
            Each::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Each::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        })),
        Operator::Clip { low, high } => {
            let bound = |own: &Option<f64>, index: usize| match (own, inputs.get(index)) {
                (Some(own), _) => Ok(Some(*own)),
                (None, Some(input)) if input.values.len() == 1 => Ok(Some(input.values[0])),
                (None, Some(_)) => bail!("a bound has several values"),
                (None, None) => Ok(None),
            };
            let (low, high) = (bound(low, 1)?, bound(high, 2)?);
            Ok(each_value(x, |x| {
                x.max(low.unwrap_or(f64::NEG_INFINITY)).min(high.unwrap_or(f64::INFINITY))
            }))
        }
        Operator::Scaler { offset, scale } => {
            let width = x.shape.last().copied().unwrap_or(1);
            for values in [offset, scale] {
                ensure!(
                    [0, 1, width].contains(&values.len()),
                    "found {} values for {width} columns",
                    values.len()
                );
            }
            let pick = |values: &[f64], column: usize, none: f64| match values {
                [] => none,
                [one] => *one,
                _ => values[column],
            };
            let value = |(index, x): (usize, &f64)| {
                let column = index % width;
                (x - pick(offset, column, 0.0)) * pick(scale, column, 1.0)
            };
            Ok(Tensor {
                shape: x.shape.clone(),
                values: x.values.iter().enumerate().map(value).collect(),
            })
        }
        Operator::Gemm { alpha, beta, across } => {
            let turned = |tensor: &Tensor, across: bool| match across {
                true => transpose(tensor, &[1, 0]),
                false => Ok(tensor.clone()),
            };
            let (b, c) = (inputs.need(1)?, inputs.get(2));
            ensure!([x, b].iter().all(|one| one.shape.len() == 2), "expected two matrices");
            let product = product(&turned(x, across[0])?, &turned(b, across[1])?, budget)?;
            if let Some(c) = c {
                let fits = broadcast(&product.shape, &c.shape)? == product.shape;
                ensure!(fits, "found {:?} added to {:?}", c.shape, product.shape);
            }
            Tensor::of(product.shape.clone(), |place| {
                alpha * product.at(place) + c.map_or(0.0, |c| beta * c.broadcast_at(place))
            })
        }
        Operator::MatMul => product(x, inputs.need(1)?, budget),
        Operator::Convolution { window, groups } => {
            convolution(x, inputs.need(1)?, inputs.get(2), window, *groups, budget)
        }
        Operator::Pool { kind, window, outward, padding_counts } => {
            pool(x, *kind, window, *outward, *padding_counts, budget)
        }
        Operator::GlobalPool(kind) => {
            ensure!(x.shape.len() >= 3, "found the shape {:?}, expected a map", x.shape);
            let along: Vec<usize> = (2..x.shape.len()).collect();
            match kind {
                PoolKind::Max => reduce(x, &along, f64::NEG_INFINITY, f64::max),
                PoolKind::Average => mean(x, &along),
            }
        }
        Operator::Mean { axes: given, keeps, none_is_all } => {
            let rank = x.shape.len();
            let along = match inputs.axes(given)?.filter(|axes| !axes.is_empty()) {
                Some(given) => axes(&given, rank)?,
                None if *none_is_all => (0..rank).collect(),
                None => return Ok(x.clone()),
            };
            let kept = mean(x, &along)?;
            match keeps {
                true => Ok(kept),
                false => kept.reshaped(without(&x.shape, &along)),
            }
        }
        Operator::Normalise { epsilon } => {
            let of = |index: usize| inputs.need(index);
            let (scale, shift, mean, variance) = (of(1)?, of(2)?, of(3)?, of(4)?);
            let channels = *x.shape.get(1).context("expected at least two axes")?;
            for one in [scale, shift, mean, variance] {
                ensure!(one.shape == [channels], "found {:?} for {channels} channels", one.shape);
            }
            Tensor::of(x.shape.clone(), |place| {
                let c = place[1];
                let unit = (x.at(place) - mean.values[c]) / (variance.values[c] + epsilon).sqrt();
                scale.values[c] * unit + shift.values[c]
            })
        }
        Operator::Flatten { axis: at } => {
            let rank = x.shape.len();
            let at = if *at == rank as i64 { rank } else { axis(*at, rank)? };
            let (before, after) = x.shape.split_at(at);
            x.reshaped(vec![count(before)?, count(after)?])
        }
        Operator::Reshape { zero_is_length } => {
            let sides = inputs.need(1)?.whole()?;
            x.reshaped(resolve(&sides, &x.shape, x.values.len(), *zero_is_length)?)
        }
        Operator::Transpose { order } => {
            let rank = x.shape.len();
            let order = match order {
                Some(order) => {
                    axes(order, rank)?;
                    order.iter().map(|&one| axis(one, rank)).collect::<anyhow::Result<Vec<_>>>()?
                }
                None => (0..rank).rev().collect(),
            };
            ensure!(order.len() == rank, "found an order of {} axes of {rank}", order.len());
            transpose(x, &order)
        }
        Operator::Squeeze { axes: given } => {
            let given = inputs.axes(given)?.context("it names no axes")?;
            let gone = axes(&given, x.shape.len())?;
            ensure!(gone.iter().all(|&one| x.shape[one] == 1), "found axes longer than 1");
            x.reshaped(without(&x.shape, &gone))
        }
        Operator::Unsqueeze { axes: given } => {
            let given = inputs.axes(given)?.context("it names no axes")?;
            let new = axes(&given, x.shape.len() + given.len())?;
            let mut shape = x.shape.clone();
            new.iter().for_each(|&one| shape.insert(one, 1));
            x.reshaped(shape)
        }
        Operator::Softmax { axis: along, logarithm } => {
            let along = [axis(*along, x.shape.len())?];
            let largest = reduce(x, &along, f64::NEG_INFINITY, f64::max)?;
            let shifted =
                Tensor::of(x.shape.clone(), |place| x.at(place) - largest.broadcast_at(place))?;
            let powers = each_value(&shifted, f64::exp);
            let sums = reduce(&powers, &along, 0.0, |a, b| a + b)?;
            Tensor::of(x.shape.clone(), |place| match logarithm {
                true => shifted.at(place) - sums.broadcast_at(place).ln(),
                false => powers.at(place) / sums.broadcast_at(place),
            })
        }
        Operator::Shape { start, end } => {
            let rank = x.shape.len() as i64;
            let clamped =
                |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank);
            let (start, end) = (clamped(*start), clamped(end.unwrap_or(rank)));
            let lengths = x.shape.iter().map(|&length| length as i64);
            Ok(Tensor::row(lengths.skip(start as usize).take((end - start).max(0) as usize)))
        }
        Operator::Gather { axis: along } => {
            let places = inputs.need(1)?;
            let along = axis(*along, x.shape.len())?;
            let length = x.shape[along] as i64;
            let place = |&place: &i64| {
                let place = if place < 0 { place.checked_add(length)? } else { place };
                usize::try_from(place).ok().filter(|_| place < length)
            };
            let picked: Option<Vec<usize>> = places.whole()?.iter().map(place).collect();
            let picked = picked.context("it gathers from beyond an axis")?;
            let picked_at = Tensor {
                shape: places.shape.clone(),
                values: picked.iter().map(|&place| place as f64).collect(),
            };
            let shape = [&x.shape[..along], &places.shape[..], &x.shape[along + 1..]].concat();
            let rank = places.shape.len();
            budget.spend(&[&shape])?;
            Tensor::of(shape, |place| {
                let from = picked_at.at(&place[along..along + rank]) as usize;
                x.at(&[&place[..along], &[from][..], &place[along + rank..]].concat())
            })
        }
        Operator::Slice => slice(x, &inputs),
        Operator::Concat { axis: along } => {
            let rank = x.shape.len();
            let along = axis(*along, rank)?;
            let parts = (0..inputs.0.len())
                .map(|index| inputs.need(index))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let mut shape = x.shape.clone();
            shape[along] = 0;
            for part in &parts {
                let rest = part.shape.len() == rank
                    && (0..rank).all(|axis| axis == along || part.shape[axis] == x.shape[axis]);
                ensure!(rest, "found {:?} beside {:?}", part.shape, x.shape);
                shape[along] += part.shape[along];
            }
            budget.spend(&[&shape])?;
            Tensor::of(shape, |place| {
                let mut place = place.to_vec();
                let mut parts = parts.iter();
                let mut part = parts.next();
                while let Some(one) = part.filter(|one| place[along] >= one.shape[along]) {
                    place[along] -= one.shape[along];
                    part = parts.next();
                }
                part.map_or(f64::NAN, |one| one.at(&place))
            })
        }
        Operator::ArgMax { .. } | Operator::Names | Operator::Encode { .. } => {
            bail!("it gives labels, which are not compared")
        }
    }
}

fn each_value(x: &Tensor, f: impl Fn(f64) -> f64) -> Tensor {
    Tensor { shape: x.shape.clone(), values: x.values.iter().map(|&value| f(value)).collect() }
}

/// The axes of a shape that are not `gone`.
fn without(shape: &[usize], gone: &[usize]) -> Vec<usize> {
    let kept = (0..shape.len()).filter(|axis| !gone.contains(axis));
    kept.map(|axis| shape[axis]).collect()
}

/// The lengths that a Reshape asks for.
fn resolve(
    sides: &[i64],
    shape: &[usize],
    values: usize,
    zero_is_length: bool,
) -> anyhow::Result<Vec<usize>> {
    let mut lengths = Vec::with_capacity(sides.len());
    for (index, &side) in sides.iter().enumerate() {
        lengths.push(match side {
            0 if !zero_is_length => *shape.get(index).context("found a 0 beyond the axes")?,
            -1 => 1,
            side => usize::try_from(side).ok().with_context(|| format!("found {side}"))?,
        });
    }
    if let Some(open) = sides.iter().position(|&side| side == -1) {
        ensure!(sides.iter().filter(|&&side| side == -1).count() == 1, "found two lengths of -1");
        lengths[open] = values.checked_div(count(&lengths)?).context("found an empty shape")?;
    }
    Ok(lengths)
}

fn transpose(x: &Tensor, order: &[usize]) -> anyhow::Result<Tensor> {
    let shape = order.iter().map(|&axis| x.shape[axis]).collect();
    Tensor::of(shape, |place| {
        let mut from = vec![0; place.len()];
        order.iter().zip(place).for_each(|(&axis, &index)| from[axis] = index);
        x.at(&from)
    })
}

/// All values along axes, which stay with the length 1, put together.
fn reduce(
    x: &Tensor,
    along: &[usize],
    start: f64,
    join: fn(f64, f64) -> f64,
) -> anyhow::Result<Tensor> {
    let kept = |axis: usize| if along.contains(&axis) { 1 } else { x.shape[axis] };
    let shape: Vec<usize> = (0..x.shape.len()).map(kept).collect();
    let mut out = Tensor::of(shape.clone(), |_| start)?;
    let mut values = x.values.iter();
    Tensor::of(x.shape.clone(), |place| {
        let index = place.iter().zip(&shape).fold(0, |sum, (&i, &length)| match length {
            1 => sum,
            _ => sum * length + i,
        });
        let value = values.next().copied().unwrap_or(f64::NAN);
        out.values[index] = join(out.values[index], value);
        value
    })?;
    Ok(out)
}

fn mean(x: &Tensor, along: &[usize]) -> anyhow::Result<Tensor> {
    let count: usize = along.iter().map(|&axis| x.shape[axis]).product();
    Ok(each_value(&reduce(x, along, 0.0, |a, b| a + b)?, |sum| sum / count as f64))
}

/// The product of matrices, which the last two axes are, for every place of the others.
fn product(a: &Tensor, b: &Tensor, budget: &Budget) -> anyhow::Result<Tensor> {
    let (&[ref before_a @ .., rows, inner], &[ref before_b @ .., other, columns]) =
        (&a.shape[..], &b.shape[..])
    else {
        bail!("found the shapes {:?} and {:?}, expected matrices", a.shape, b.shape);
    };
    ensure!(inner == other, "found {:?} times {:?}", a.shape, b.shape);
    let before = broadcast(before_a, before_b)?;
    let shape = [&before[..], &[rows, columns]].concat();
    budget.spend(&[&shape, &[inner]])?;
    let rank = before.len();
    Tensor::of(shape, |place| {
        let (before, row, column) = (&place[..rank], place[rank], place[rank + 1]);
        let a_row = (broadcast_index(before_a, before) * rows + row) * inner;
        let b_first = broadcast_index(before_b, before) * inner;
        let product = |k: usize| a.values[a_row + k] * b.values[(b_first + k) * columns + column];
        (0..inner).map(product).sum()
    })
}

/// The places of a window along every dimension.
fn taps(size: &[usize]) -> anyhow::Result<Vec<Vec<usize>>> {
    let mut taps = Vec::new();
    Tensor::of(size.to_vec(), |place| {
        taps.push(place.to_vec());
        0.0
    })?;
    Ok(taps)
}

fn convolution(
    x: &Tensor,
    weights: &Tensor,
    biases: Option<&Tensor>,
    window: &Window,
    groups: usize,
    budget: &Budget,
) -> anyhow::Result<Tensor> {
    let (&[rows, channels, ref sides @ ..], &[outputs, per_group, ref size @ ..]) =
        (&x.shape[..], &weights.shape[..])
    else {
        bail!("found the shapes {:?} and {:?}, expected maps", x.shape, weights.shape);
    };
    ensure!(!sides.is_empty() && sides.len() == size.len(), "found {sides:?} under {size:?}");
    ensure!(
        per_group.checked_mul(groups) == Some(channels) && outputs.is_multiple_of(groups),
        "found weights of the shape {:?} in {groups} groups for {channels} channels",
        weights.shape
    );
    if let Some(biases) = biases {
        ensure!(biases.shape == [outputs], "found biases of the shape {:?}", biases.shape);
    }
    let [size, stride, before, after] = window.over(sides, Some(size))?;
    let lengths: Vec<usize> = (0..sides.len())
        .map(|d| {
            (sides[d] + before[d] + after[d]).checked_sub(size[d]).map(|rest| rest / stride[d] + 1)
        })
        .collect::<Option<_>>()
        .context("the window is larger than the map before it")?;
    let shape = [&[rows, outputs], &lengths[..]].concat();
    budget.spend(&[&shape, &size, &[per_group]])?;
    let taps = taps(&size)?;
    let (per_output, positions) = (outputs / groups, sides.iter().product::<usize>());
    Tensor::of(shape, |place| {
        let (row, output, at) = (place[0], place[1], &place[2..]);
        let mut sum = biases.map_or(0.0, |biases| biases.values[output]);
        for (tap, offsets) in taps.iter().enumerate() {
            let Some(from) = tapped(at, offsets, &stride, &before, sides) else { continue };
            let from = from.iter().zip(sides).fold(0, |sum, (index, side)| sum * side + index);
            for c in 0..per_group {
                let channel = output / per_output * per_group + c;
                let weight = weights.values[(output * per_group + c) * taps.len() + tap];
                sum += weight * x.values[(row * channels + channel) * positions + from];
            }
        }
        sum
    })
}

/// Where a tap of a window lies on the map, if it does.
fn tapped(
    at: &[usize],
    tap: &[usize],
    stride: &[usize],
    before: &[usize],
    sides: &[usize],
) -> Option<Vec<usize>> {
    let along = |d: usize| {
        (at[d] * stride[d] + tap[d]).checked_sub(before[d]).filter(|&index| index < sides[d])
    };
    (0..at.len()).map(along).collect()
}

fn pool(
    x: &Tensor,
    kind: PoolKind,
    window: &Window,
    outward: bool,
    padding_counts: bool,
    budget: &Budget,
) -> anyhow::Result<Tensor> {
    let &[rows, channels, ref sides @ ..] = &x.shape[..] else {
        bail!("found the shape {:?}, expected a map", x.shape);
    };
    let [size, stride, before, after] = window.over(sides, None)?;
    let length = |d: usize| {
        let padded = sides[d] + before[d] + after[d];
        let rest = padded.checked_sub(size[d])?;
        let inward = rest / stride[d] + 1;
        // A window more may begin on the map, or before it, and end beyond.
        let more = !rest.is_multiple_of(stride[d]) && inward * stride[d] < sides[d] + before[d];
        Some(inward + usize::from(outward && more))
    };
    let lengths: Vec<usize> = (0..sides.len())
        .map(length)
        .collect::<Option<_>>()
        .context("the window is larger than the map before it")?;
    let shape = [&[rows, channels], &lengths[..]].concat();
    budget.spend(&[&shape, &size])?;
    let taps = taps(&size)?;
    Tensor::of(shape, |place| {
        let at = &place[2..];
        let (mut largest, mut sum, mut counted) = (f64::NEG_INFINITY, 0.0, 0u32);
        for tap in &taps {
            if let Some(from) = tapped(at, tap, &stride, &before, sides) {
                let value = x.at(&[&place[..2], &from[..]].concat());
                (largest, sum) = (largest.max(value), sum + value);
                counted += 1;
            } else if padding_counts
                && (0..at.len())
                    .all(|d| at[d] * stride[d] + tap[d] < sides[d] + before[d] + after[d])
            {
                counted += 1;
            }
        }
        match kind {
            PoolKind::Max => largest,
            PoolKind::Average => sum / f64::from(counted),
        }
    })
}

/// A part of a tensor, by the inputs of Slice: starts, ends, axes and steps.
fn slice(x: &Tensor, inputs: &Inputs<'_>) -> anyhow::Result<Tensor> {
    let (starts, ends) = (inputs.need(1)?.whole()?, inputs.need(2)?.whole()?);
    let rank = x.shape.len();
    let along = match inputs.get(3) {
        Some(given) => axes(&given.whole()?, rank)?,
        None => (0..starts.len()).collect(),
    };
    let order = inputs.get(3).map_or(Ok(Vec::new()), Tensor::whole)?;
    ensure!(order.is_sorted(), "found axes out of order");
    if let Some(steps) = inputs.get(4) {
        ensure!(steps.whole()?.iter().all(|&step| step == 1), "found steps other than 1");
    }
    let fits = along.len() == starts.len() && ends.len() == starts.len() && starts.len() <= rank;
    ensure!(fits, "found {} starts and {} ends", starts.len(), ends.len());
    let (mut first, mut shape) = (vec![0; rank], x.shape.clone());
    for ((&axis, &start), &end) in along.iter().zip(&starts).zip(&ends) {
        let length = x.shape[axis] as i64;
        let clamped =
            |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length);
        let (start, end) = (clamped(start), clamped(end));
        first[axis] = start as usize;
        shape[axis] = (end - start).max(0) as usize;
    }
    Tensor::of(shape, |place| {
        let from: Vec<usize> =
            place.iter().zip(&first).map(|(index, first)| index + first).collect();
        x.at(&from)
    })
}
