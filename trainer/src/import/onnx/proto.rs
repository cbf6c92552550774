//! The messages of an ONNX file (`onnx.proto`), as far as import reads them: texts and weights are slices of the
//! file. Graphs within nodes are not entered: an operator that has one is not supported.

use std::borrow::Cow;
use std::cell::Cell;

use anyhow::{bail, ensure};

use super::wire::{Field, MAX_FIELDS, Message, varint};

/// Most whole numbers that a tensor or an attribute lists one by one: shapes, axes and class names are short, and
/// weights are no whole numbers. A listed number takes one byte in the file and eight in memory.
const MAX_LISTED: usize = 1 << 16;
/// Most axes of a tensor.
pub const MAX_AXES: usize = 8;

/// `ModelProto`.
#[derive(Debug, Default)]
pub struct Model<'a> {
    /// Domains and versions of the operator sets.
    pub operator_sets: Vec<(&'a str, i64)>,
    /// Domains and names of the model's own functions.
    pub functions: Vec<(&'a str, &'a str)>,
    /// Keys and values that the exporter left.
    pub notes: Vec<(&'a str, &'a str)>,
    /// The graph.
    pub graph: Option<Graph<'a>>,
}

/// `GraphProto`.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<Tensor<'a>>,
    /// Number of initializers that list only what is not zero.
    pub sparse: usize,
    pub inputs: Vec<Input<'a>>,
    pub outputs: Vec<&'a str>,
}

/// `NodeProto`.
#[derive(Debug, Default)]
pub struct Node<'a> {
    pub name: &'a str,
    pub operator: &'a str,
    pub domain: &'a str,
    /// Names; an empty one is an input that is left out.
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// `AttributeProto`: a name and a value of one kind.
#[derive(Debug, Default)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub value: AttributeValue<'a>,
}

/// Value of an attribute.
#[derive(Debug, Default)]
pub enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(Tensor<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
    /// A graph, a type, a sparse tensor, or a reference to an attribute of a function.
    #[default]
    Other,
}

/// `ValueInfoProto` of an input.
#[derive(Debug, Default)]
pub struct Input<'a> {
    pub name: &'a str,
    /// `TensorProto.DataType`; 0 where it is not said.
    pub kind: i64,
    /// Its axes, none of unknown length; none where its rank is unknown.
    pub shape: Option<Vec<Option<usize>>>,
}

/// `TensorProto`.
#[derive(Clone, Debug, Default)]
pub struct Tensor<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    /// `TensorProto.DataType`.
    pub kind: i64,
    /// Values as bytes, least first.
    pub raw: Option<&'a [u8]>,
    /// Single-precision values as bytes.
    pub singles: Cow<'a, [u8]>,
    /// Double-precision values as bytes.
    pub doubles: Cow<'a, [u8]>,
    /// Whole numbers.
    pub ints: Vec<i64>,
    pub texts: Vec<&'a [u8]>,
    /// Whether its values are in another file, and keys and values that say where.
    pub outside: bool,
    pub location: Vec<(&'a str, &'a str)>,
    /// Whether it is a piece of a tensor.
    pub segment: bool,
}

/// Reads a model.
///
/// # Errors
/// The bytes are no model, or exceed a limit.
pub fn read(bytes: &[u8]) -> anyhow::Result<Model<'_>> {
    let left = Cell::new(MAX_FIELDS);
    model(Message::new(bytes, &left))
}

fn model<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Model<'a>> {
    let mut model = Model::default();
    while let Some((number, field)) = message.next()? {
        match number {
            7 => {
                ensure!(model.graph.is_none(), "it has two graphs");
                model.graph = Some(graph(message.inner(field)?)?);
            }
            8 => model.operator_sets.push(operator_set(message.inner(field)?)?),
            14 => model.notes.push(entry(message.inner(field)?)?),
            25 => model.functions.push(function(message.inner(field)?)?),
            _ => {}
        }
    }
    Ok(model)
}

/// Domain and version.
fn operator_set<'a>(mut message: Message<'a, '_>) -> anyhow::Result<(&'a str, i64)> {
    let mut set = ("", 0);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => set.0 = field.text()?,
            2 => set.1 = field.int()?,
            _ => {}
        }
    }
    Ok(set)
}

/// Key and value.
fn entry<'a>(mut message: Message<'a, '_>) -> anyhow::Result<(&'a str, &'a str)> {
    let mut entry = ("", "");
    while let Some((number, field)) = message.next()? {
        match number {
            1 => entry.0 = field.text()?,
            2 => entry.1 = field.text()?,
            _ => {}
        }
    }
    Ok(entry)
}

/// Domain and name.
fn function<'a>(mut message: Message<'a, '_>) -> anyhow::Result<(&'a str, &'a str)> {
    let mut function = ("", "");
    while let Some((number, field)) = message.next()? {
        match number {
            1 => function.1 = field.text()?,
            10 => function.0 = field.text()?,
            _ => {}
        }
    }
    Ok(function)
}

fn graph<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Graph<'a>> {
    let mut graph = Graph::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => graph.nodes.push(node(message.inner(field)?)?),
            5 => graph.initializers.push(tensor(message.inner(field)?)?),
            11 => graph.inputs.push(input(message.inner(field)?)?),
            12 => graph.outputs.push(input(message.inner(field)?)?.name),
            15 => graph.sparse += 1,
            _ => {}
        }
    }
    Ok(graph)
}

fn node<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Node<'a>> {
    let mut node = Node::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => node.inputs.push(field.text()?),
            2 => node.outputs.push(field.text()?),
            3 => node.name = field.text()?,
            4 => node.operator = field.text()?,
            5 => node.attributes.push(attribute(message.inner(field)?)?),
            7 => node.domain = field.text()?,
            _ => {}
        }
    }
    Ok(node)
}

/// An attribute. Its type says which field counts, since a value of zero may be left out; old files name no type.
fn attribute<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Attribute<'a>> {
    let (mut name, mut kind, mut refers) = ("", None, false);
    let (mut single, mut whole, mut text, mut held) = (None, None, None, None);
    let (mut singles, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((number, field)) = message.next()? {
        match number {
            1 => name = field.text()?,
            2 => single = Some(field.single()?),
            3 => whole = Some(field.int()?),
            4 => text = Some(field.bytes()?),
            5 => held = Some(tensor(message.inner(field)?)?),
            7 => match field {
                Field::Four(bytes) => singles.push(f32::from_le_bytes(bytes)),
                _ => singles.extend(
                    packed::<4>(field.bytes()?)?.iter().map(|&bytes| f32::from_le_bytes(bytes)),
                ),
            },
            8 => listed(field, &mut ints)?,
            9 => texts.push(field.bytes()?),
            20 => kind = Some(field.int()?),
            21 => refers = !field.bytes()?.is_empty(),
            _ => {}
        }
    }
    let value = match kind {
        _ if refers => AttributeValue::Other,
        Some(1) => AttributeValue::Float(single.unwrap_or(0.0)),
        Some(2) => AttributeValue::Int(whole.unwrap_or(0)),
        Some(3) => AttributeValue::Text(text.unwrap_or_default()),
        Some(4) => AttributeValue::Tensor(held.unwrap_or_default()),
        Some(6) => AttributeValue::Floats(singles),
        Some(7) => AttributeValue::Ints(ints),
        Some(8) => AttributeValue::Texts(texts),
        _ => AttributeValue::Other,
    };
    Ok(Attribute { name, value })
}

fn input<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Input<'a>> {
    let mut input = Input::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => input.name = field.text()?,
            2 => {
                let mut message = message.inner(field)?;
                while let Some((number, field)) = message.next()? {
                    if number == 1 {
                        (input.kind, input.shape) = tensor_type(message.inner(field)?)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(input)
}

/// Kind of the values, and the axes.
fn tensor_type(mut message: Message<'_, '_>) -> anyhow::Result<(i64, Option<Vec<Option<usize>>>)> {
    let (mut kind, mut shape) = (0, None);
    while let Some((number, field)) = message.next()? {
        match number {
            1 => kind = field.int()?,
            2 => {
                let mut axes = Vec::new();
                let mut message = message.inner(field)?;
                while let Some((number, field)) = message.next()? {
                    if number == 1 {
                        axes.push(dimension(message.inner(field)?)?);
                    }
                }
                ensure!(axes.len() <= MAX_AXES, "found a tensor of {} axes", axes.len());
                shape = Some(axes);
            }
            _ => {}
        }
    }
    Ok((kind, shape))
}

/// Length of an axis; none where it has only a name.
fn dimension(mut message: Message<'_, '_>) -> anyhow::Result<Option<usize>> {
    let mut length = None;
    while let Some((number, field)) = message.next()? {
        if number == 1 {
            length = usize::try_from(field.int()?).ok().filter(|&length| length > 0);
        }
    }
    Ok(length)
}

fn tensor<'a>(mut message: Message<'a, '_>) -> anyhow::Result<Tensor<'a>> {
    let mut tensor = Tensor::default();
    while let Some((number, field)) = message.next()? {
        match number {
            1 => listed(field, &mut tensor.dims)?,
            2 => tensor.kind = field.int()?,
            3 => tensor.segment = true,
            4 => append(&mut tensor.singles, field)?,
            5 | 7 | 11 => listed(field, &mut tensor.ints)?,
            6 => tensor.texts.push(field.bytes()?),
            8 => tensor.name = field.text()?,
            9 => tensor.raw = Some(field.bytes()?),
            10 => append(&mut tensor.doubles, field)?,
            13 => tensor.location.push(entry(message.inner(field)?)?),
            14 => tensor.outside = field.int()? == 1,
            _ => {}
        }
    }
    ensure!(tensor.dims.len() <= MAX_AXES, "found a tensor of {} axes", tensor.dims.len());
    Ok(tensor)
}

/// Adds numbers that a field packs, or its only one, to others as bytes.
fn append<'a>(bytes: &mut Cow<'a, [u8]>, field: Field<'a>) -> anyhow::Result<()> {
    match field {
        Field::Bytes(packed) if bytes.is_empty() => *bytes = Cow::Borrowed(packed),
        Field::Bytes(packed) => bytes.to_mut().extend_from_slice(packed),
        Field::Four(one) => bytes.to_mut().extend_from_slice(&one),
        Field::Eight(one) => bytes.to_mut().extend_from_slice(&one),
        Field::Number(_) => bail!("found whole numbers in place of floats"),
    }
    Ok(())
}

/// Adds whole numbers that a field packs, or its only one, to others.
fn listed(field: Field<'_>, numbers: &mut Vec<i64>) -> anyhow::Result<()> {
    match field {
        Field::Bytes(mut rest) => {
            while !rest.is_empty() && numbers.len() <= MAX_LISTED {
                numbers.push(varint(&mut rest)?.cast_signed());
            }
        }
        _ => numbers.push(field.int()?),
    }
    ensure!(numbers.len() <= MAX_LISTED, "found a list of more than {MAX_LISTED} whole numbers");
    Ok(())
}

/// Values of so many bytes each.
pub fn packed<const N: usize>(bytes: &[u8]) -> anyhow::Result<&[[u8; N]]> {
    let (values, rest) = bytes.as_chunks();
    ensure!(rest.is_empty(), "found {} bytes, expected a multiple of {N}", bytes.len());
    Ok(values)
}
