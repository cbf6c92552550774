//! What the nodes of a model hold: attributes, windows, and weights in the model or beside it.

use std::borrow::Cow;
use std::path::{Component, Path};

use anyhow::{Context, bail, ensure};
use onnx_rs::ast::{Attribute, DataLocation, DataType, Graph, Node, OpType, TensorProto};

use crate::files;
use crate::import::weights::{doubles, singles};
use crate::network::{Shape, Window};

/// A model, and the folder where values are that its file does not hold.
pub struct Source<'a> {
    pub graph: Graph<'a>,
    pub folder: &'a Path,
}

/// The window of a convolution of this `size` over `map`.
pub fn window(node: &Node<'_>, map: Shape, size: [usize; 2]) -> anyhow::Result<Window> {
    let stride = pair(&numbers(node, "strides")?, 1, "strides")?;
    ensure!(
        numbers(node, "dilations")?.iter().all(|&dilation| dilation == 1),
        "found a dilated window, expected dilations of 1"
    );
    let groups = attribute(node, "group").map_or(1, |found| found.i);
    let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
    let groups = groups.context("found no groups")?;
    let sides = [map.height, map.width];
    // What makes ceil(side / stride) outputs.
    let same = [0, 1].map(|d| {
        ((sides[d].div_ceil(stride[d]) - 1) * stride[d] + size[d]).saturating_sub(sides[d])
    });
    let auto = attribute(node, "auto_pad").map_or(&b""[..], |found| found.s);
    let [before, after] = match (auto, numbers(node, "pads")?.as_slice()) {
        (b"SAME_UPPER", _) => [same.map(|all| all / 2), same.map(|all| all.div_ceil(2))],
        (b"SAME_LOWER", _) => [same.map(|all| all.div_ceil(2)), same.map(|all| all / 2)],
        (b"VALID", _) | (_, []) => [[0, 0]; 2],
        (_, &[left, right]) => [[0, left], [0, right]],
        (_, &[top, left, bottom, right]) => [[top, left], [bottom, right]],
        (_, pads) => bail!("found pads {pads:?}, expected 2 or 4"),
    };
    Ok(Window { size, stride, before, after, groups })
}

/// Down and to the right, of a series to the right alone.
pub fn pair(numbers: &[usize], none: usize, what: &str) -> anyhow::Result<[usize; 2]> {
    let pair = match *numbers {
        [] => [none; 2],
        [right] => [none, right],
        [down, right] => [down, right],
        _ => bail!("found {what} {numbers:?}, expected 1 or 2 numbers"),
    };
    ensure!(!pair.contains(&0), "found {what} {numbers:?}, expected numbers above 0");
    Ok(pair)
}

/// An attribute of a node, if it has it.
pub fn attribute<'n, 'a>(node: &'n Node<'a>, name: &str) -> Option<&'n Attribute<'a>> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Numbers of a window, which are bytes in an artifact; none where the node does not say.
pub fn numbers(node: &Node<'_>, name: &str) -> anyhow::Result<Vec<usize>> {
    let ints = attribute(node, name).map_or(&[][..], |found| &found.ints);
    let number = |&int: &i64| u8::try_from(int).map(usize::from);
    let numbers: Result<Vec<usize>, _> = ints.iter().map(number).collect();
    numbers.with_context(|| format!("found {name} {ints:?}, expected numbers up to {}", u8::MAX))
}

/// Values of one of a node's inputs, a weight of the model.
pub fn values_of(source: &Source<'_>, node: &Node<'_>, index: usize) -> anyhow::Result<Vec<f64>> {
    let name = node.input.get(index).copied().unwrap_or_default();
    Ok(constant(source, name)?.1)
}

/// Rows and columns of a matrix that is not empty.
pub fn matrix(shape: &[usize]) -> anyhow::Result<[usize; 2]> {
    match shape {
        &[rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        _ => bail!("found weights of the shape {shape:?}, expected a matrix"),
    }
}

/// A weight of the model, or what a Constant node holds.
fn held<'s, 'a>(source: &'s Source<'a>, name: &str) -> Option<&'s TensorProto<'a>> {
    let graph = &source.graph;
    if let Some(tensor) = graph.get_initializer(name) {
        return Some(tensor);
    }
    let node = graph.node.iter().find(|node| node.output.contains(&name))?;
    match node.op_type {
        OpType::Constant => attribute(node, "value")?.t.as_ref(),
        // Weights that two layers share, by another name.
        OpType::Identity => graph.get_initializer(node.input.first()?),
        _ => None,
    }
}

/// Whether the model holds a value, instead of computing it.
pub fn is_constant(source: &Source<'_>, name: &str) -> bool {
    held(source, name).is_some()
}

/// Shape and values of a weight.
pub fn constant(source: &Source<'_>, name: &str) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let tensor = held(source, name)
        .with_context(|| format!("`{name}` is computed, expected weights of the model"))?;
    values(tensor, source.folder).with_context(|| format!("`{name}`"))
}

/// Whole numbers that the model holds, such as a shape.
pub fn integers(source: &Source<'_>, name: &str) -> anyhow::Result<Vec<i64>> {
    let tensor = held(source, name)
        .with_context(|| format!("`{name}` is computed, expected numbers of the model"))?;
    let values = tensor.as_i64().with_context(|| format!("`{name}`: expected whole numbers"))?;
    Ok(values.into_owned())
}

fn values(tensor: &TensorProto<'_>, folder: &Path) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let shape: Vec<usize> =
        tensor.dims().iter().map(|&size| size.try_into().unwrap_or(0)).collect();
    let outside = tensor.data_location() == DataLocation::External;
    let values: Vec<f64> = match (tensor.as_f32(), tensor.as_f64(), tensor.data_type()) {
        (_, _, DataType::Float) if outside => singles(&external(tensor, folder)?),
        (_, _, DataType::Double) if outside => doubles(&external(tensor, folder)?),
        (Some(values), _, _) => values.iter().copied().map(f64::from).collect(),
        (None, Some(values), _) => Cow::into_owned(values),
        (None, None, other) => bail!("found values of {other:?}, expected floats"),
    };
    let expected = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    ensure!(Some(values.len()) == expected, "found {} values in the shape {shape:?}", values.len());
    Ok((shape, values))
}

/// The bytes of a tensor that lie in a file beside the model.
fn external(tensor: &TensorProto<'_>, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let entry = |key: &str| {
        tensor.external_data().iter().find(|entry| entry.key == key).map(|entry| entry.value)
    };
    let number = |key: &str| -> anyhow::Result<Option<usize>> {
        let parse = |text: &str| text.parse().with_context(|| format!("its {key}: found {text:?}"));
        entry(key).map(parse).transpose()
    };
    let location = Path::new(entry("location").context("its values are in no file")?);
    let beside = location.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(beside, "its values are in {}, expected a file beside the model", location.display());
    let path = folder.join(location);
    let bytes = files::read(&path, files::MOST_NETWORK)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let start = number("offset")?.unwrap_or(0);
    let rest = bytes.get(start..).unwrap_or_default();
    let length = number("length")?.unwrap_or(rest.len());
    let own = rest.get(..length).with_context(|| {
        format!("{} ends before its {length} bytes from {start} on", path.display())
    })?;
    Ok(own.to_vec())
}
