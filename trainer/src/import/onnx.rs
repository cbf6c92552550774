//! Dense layers out of an ONNX model: the chain of operators from its input to its output.

use std::borrow::Cow;
use std::path::{Component, Path};

use anyhow::{Context, bail, ensure};
use onnx_rs::ast::{DataLocation, DataType, Graph, Node, OpType, TensorProto};

use super::layers::{DenseLayer, Layers};
use super::weights::{doubles, singles, transposed};
use crate::network::Activation;

/// What is read of the chain so far.
#[derive(Default)]
struct Chain {
    dense: Vec<DenseLayer>,
    activation: Option<Activation>,
    /// Whether an activation follows the last layer so far.
    activated: bool,
    /// u = (x − offset) · factor before the first layer, one value for all or one a feature.
    offset: Vec<f64>,
    factor: Vec<f64>,
}

/// A model, and the folder where values are that its file does not hold.
struct Source<'a> {
    graph: Graph<'a>,
    folder: &'a Path,
}

/// Reads the layers of a model out of `folder`.
pub fn read(bytes: &[u8], folder: &Path) -> anyhow::Result<Layers> {
    let model =
        onnx_rs::parse(bytes).map_err(|error| anyhow::anyhow!("not an ONNX model: {error}"))?;
    let graph = model.graph.context("not an ONNX model: it has no graph")?;
    let source = Source { graph, folder };
    let graph = &source.graph;
    let is_weight = |name: &str| graph.get_initializer(name).is_some();
    let inputs: Vec<&str> =
        graph.input.iter().map(|input| input.name).filter(|name| !is_weight(name)).collect();
    let &[mut value] = inputs.as_slice() else {
        bail!("found {} inputs ({}), expected one", inputs.len(), inputs.join(", "));
    };
    let mut chain = Chain { offset: vec![0.0], factor: vec![1.0], ..Chain::default() };
    let ends = |name: &str| graph.output.iter().any(|output| output.name == name);
    let mut left = graph.node.len();
    while !ends(value) {
        ensure!(left > 0, "its nodes go round in a circle");
        left -= 1;
        let readers: Vec<&Node<'_>> =
            graph.node.iter().filter(|node| node.input.contains(&value)).collect();
        if let Some(node) = readers.iter().find(|node| is_last(&node.op_type)) {
            // What is made of the probabilities is not the network's, but layers would be.
            let all = graph.node.iter().filter(|node| is_dense(&node.op_type)).count();
            ensure!(
                chain.dense.len() == all,
                "{}: found it before other layers, expected it at the end",
                place(node)
            );
            break;
        }
        let &[node] = readers.as_slice() else {
            let kinds: Vec<String> = readers.iter().map(|node| place(node)).collect();
            bail!(
                "`{value}` goes to {} nodes ({}), expected a chain",
                kinds.len(),
                kinds.join(", ")
            );
        };
        chain.add(&source, node, value).with_context(|| place(node))?;
        value = node
            .output
            .first()
            .copied()
            .with_context(|| format!("{}: it has no output", place(node)))?;
    }
    ensure!(!chain.activated, "the model ends with an activation, expected a dense layer");
    let Chain { dense, activation, offset, factor, .. } = chain;
    let mut layers = Layers { dense, activation };
    let width = layers.dense.first().context("there is no dense layer in the model")?.inputs();
    let spread = |values: Vec<f64>| match values.as_slice() {
        &[one] => Ok(vec![one; width]),
        _ if values.len() == width => Ok(values),
        _ => bail!("the inputs are normalised by {} values, expected {width}", values.len()),
    };
    layers.take_raw_inputs(&spread(offset)?, &spread(factor)?);
    Ok(layers)
}

/// Operators that are layers.
fn is_dense(operator: &OpType<'_>) -> bool {
    matches!(operator, OpType::Gemm | OpType::MatMul)
}

/// Operators from logits to probabilities and classes.
fn is_last(operator: &OpType<'_>) -> bool {
    matches!(operator, OpType::Softmax | OpType::LogSoftmax | OpType::Sigmoid | OpType::ArgMax)
}

/// A node for the user.
fn place(node: &Node<'_>) -> String {
    format!("node `{}` ({})", node.name, node.op_type.as_str())
}

impl Chain {
    /// Adds the node that reads `value`.
    fn add(&mut self, source: &Source<'_>, node: &Node<'_>, value: &str) -> anyhow::Result<()> {
        let first = node.input.first() == Some(&value);
        let other = || -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
            let name = node.input.iter().find(|name| **name != value).copied().unwrap_or_default();
            constant(source, name)
        };
        match &node.op_type {
            OpType::Identity
            | OpType::Dropout
            | OpType::Cast
            | OpType::Flatten
            | OpType::Reshape => Ok(()),
            OpType::Gemm => self.gemm(source, node, first),
            OpType::MatMul => {
                ensure!(first, "found the weights on the left, expected them on the right");
                let (shape, values) = other()?;
                let [_, outputs] = matrix(&shape)?;
                let biases = vec![0.0; outputs];
                let weights = transposed(&values, outputs);
                self.push(DenseLayer { name: place(node), weights, biases })
            }
            OpType::Tanh => self.activate(Activation::Tanh),
            OpType::Relu => self.activate(Activation::Relu),
            OpType::Add if !self.dense.is_empty() => {
                ensure!(!self.activated, "found a sum after an activation, expected a dense layer");
                let (_, values) = other()?;
                let last = self.dense.last_mut().context("there is a layer")?;
                ensure!(
                    values.len() == last.outputs() || values.len() == 1,
                    "found {} values, expected {}",
                    values.len(),
                    last.outputs()
                );
                last.biases
                    .iter_mut()
                    .zip(values.iter().cycle())
                    .for_each(|(bias, value)| *bias += value);
                Ok(())
            }
            OpType::Sub | OpType::Add | OpType::Mul | OpType::Div if self.dense.is_empty() => {
                let (_, values) = other()?;
                let commutes = matches!(node.op_type, OpType::Add | OpType::Mul);
                ensure!(
                    first || commutes,
                    "found a constant less or over the input, expected the input first"
                );
                self.normalise(&node.op_type, &values)
            }
            OpType::Custom("Scaler") if self.dense.is_empty() => {
                let floats = |name: &str| {
                    let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
                    let values = attribute.map_or(&[][..], |attribute| &attribute.floats);
                    values.iter().copied().map(f64::from).collect::<Vec<_>>()
                };
                self.normalise(&OpType::Sub, &floats("offset"))?;
                self.normalise(&OpType::Mul, &floats("scale"))
            }
            _ => bail!(
                "this operator is not supported; supported are Gemm, MatMul, Add, Tanh, Relu, before the first \
                 of them Sub, Add, Mul, Div and Scaler, anywhere Identity, Cast, Flatten, Reshape and Dropout, \
                 and at the end Softmax, LogSoftmax, Sigmoid and ArgMax"
            ),
        }
    }

    fn gemm(&mut self, source: &Source<'_>, node: &Node<'_>, first: bool) -> anyhow::Result<()> {
        ensure!(first, "found the weights on the left, expected them on the right");
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        for name in ["alpha", "beta"] {
            let value = attribute(name).map_or(1.0, |attribute| attribute.f);
            ensure!(value == 1.0, "found {name} = {value}, expected 1");
        }
        let flag = |name: &str| attribute(name).is_some_and(|attribute| attribute.i != 0);
        ensure!(!flag("transA"), "found transA = 1, expected 0");
        let (shape, values) = constant(source, node.input.get(1).copied().unwrap_or_default())?;
        let [rows, columns] = matrix(&shape)?;
        let (outputs, weights) = match flag("transB") {
            true => (rows, values),
            false => (columns, transposed(&values, columns)),
        };
        let biases = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => vec![0.0; outputs],
            Some(name) => {
                let (shape, biases) = constant(source, name)?;
                ensure!(
                    biases.len() == outputs,
                    "the bias has the shape {shape:?}, expected [{outputs}]"
                );
                biases
            }
        };
        self.push(DenseLayer { name: place(node), weights, biases })
    }

    fn push(&mut self, layer: DenseLayer) -> anyhow::Result<()> {
        ensure!(
            self.dense.is_empty() || self.activated,
            "found two dense layers without an activation between them"
        );
        self.activated = false;
        self.dense.push(layer);
        Ok(())
    }

    fn activate(&mut self, activation: Activation) -> anyhow::Result<()> {
        ensure!(
            !self.dense.is_empty() && !self.activated,
            "found an activation that follows no dense layer"
        );
        let before = *self.activation.get_or_insert(activation);
        ensure!(
            before == activation,
            "found another activation than before, expected the same in all layers"
        );
        self.activated = true;
        Ok(())
    }

    /// One more step from x to u = (x − offset) · factor.
    fn normalise(&mut self, operator: &OpType<'_>, values: &[f64]) -> anyhow::Result<()> {
        let width = self.offset.len().max(values.len());
        // A scaler without one of its two attributes leaves that step out.
        let lengths = [self.offset.len(), values.len().max(1)];
        ensure!(
            lengths.iter().all(|&length| length == 1 || length == width),
            "found {} values, expected {}",
            values.len(),
            self.offset.len()
        );
        for own in [&mut self.offset, &mut self.factor] {
            *own = own.iter().copied().cycle().take(width).collect();
        }
        let steps = self.offset.iter_mut().zip(&mut self.factor).zip(values.iter().cycle());
        for ((offset, factor), value) in steps {
            match operator {
                OpType::Sub => *offset += value / *factor,
                OpType::Add => *offset -= value / *factor,
                OpType::Mul => *factor *= value,
                _ => *factor /= value,
            }
        }
        Ok(())
    }
}

/// Rows and columns of a matrix that is not empty.
fn matrix(shape: &[usize]) -> anyhow::Result<[usize; 2]> {
    match shape {
        &[rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
        _ => bail!("found weights of the shape {shape:?}, expected a matrix"),
    }
}

/// Shape and values of a weight, or of what a Constant node holds.
fn constant(source: &Source<'_>, name: &str) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let graph = &source.graph;
    let held = || {
        let node = graph.node.iter().find(|node| node.output.contains(&name))?;
        let value = node.attribute.iter().find(|attribute| attribute.name == "value")?;
        (node.op_type == OpType::Constant).then_some(value.t.as_ref()?)
    };
    let tensor = graph.get_initializer(name).or_else(held);
    let tensor =
        tensor.with_context(|| format!("`{name}` is computed, expected weights of the model"))?;
    values(tensor, source.folder).with_context(|| format!("`{name}`"))
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
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let start = number("offset")?.unwrap_or(0);
    let rest = bytes.get(start..).unwrap_or_default();
    let length = number("length")?.unwrap_or(rest.len());
    let own = rest.get(..length).with_context(|| {
        format!("{} ends before its {length} bytes from {start} on", path.display())
    })?;
    Ok(own.to_vec())
}
