//! Operators of a graph's nodes, with their attributes. Every attribute is honoured here or refused.

use anyhow::{bail, ensure};

use super::constants::{DOUBLE, FLOAT, INT32, INT64, tensor_of};
use super::proto::{AttributeValue, Node};
use super::tensor::Tensor;
use crate::network::PoolKind;

/// Versions of the default operator set that are read as they are meant. Before 7, sums and products had another
/// broadcasting; later ones than the last may change what an operator means.
pub const VERSIONS: std::ops::RangeInclusive<i64> = 7..=26;
/// Versions of `ai.onnx.ml`.
pub const ML_VERSIONS: std::ops::RangeInclusive<i64> = 1..=5;
/// Name of the machine-learning operator set.
pub const ML: &str = "ai.onnx.ml";

/// An operator with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// a + b, a − b, a · b or a / b, value by value.
    Arithmetic(Arithmetic),
    /// A function of each value.
    Each(Each),
    /// Its first input: also Dropout and Cast between floats, which change nothing here.
    Identity,
    /// Its first input, whose values are whole numbers.
    Whole,
    /// Each value between two bounds, which inputs give where attributes do not.
    Clip { low: Option<f64>, high: Option<f64> },
    /// (x − offset) · scale, one of each a column or one for all.
    Scaler { offset: Vec<f64>, scale: Vec<f64> },
    /// alpha · a · b + beta · c.
    Gemm { alpha: f64, beta: f64, across: [bool; 2] },
    /// A product of matrices.
    MatMul,
    /// A convolution.
    Convolution { window: Window, groups: usize },
    /// Pooling.
    Pool { kind: PoolKind, window: Window, outward: bool, padding_counts: bool },
    /// Pooling over all positions.
    GlobalPool(PoolKind),
    /// Mean over axes, of an input where the attribute names none; none at all: over all.
    Mean { axes: Option<Vec<i64>>, keeps: bool, none_is_all: bool },
    /// Batch normalisation by running statistics.
    Normalise { epsilon: f64 },
    /// Axes before one, and those from it on, become one each.
    Flatten { axis: i64 },
    /// Another shape; a 0 in it keeps the length, unless it is a length itself.
    Reshape { zero_is_length: bool },
    /// Another order of axes; none: the reverse.
    Transpose { order: Option<Vec<i64>> },
    /// Axes of length 1 go, which an input names where the attribute does not.
    Squeeze { axes: Option<Vec<i64>> },
    /// Axes of length 1 come.
    Unsqueeze { axes: Option<Vec<i64>> },
    /// Softmax along an axis, or its logarithm.
    Softmax { axis: i64, logarithm: bool },
    /// Place of the largest.
    ArgMax { axis: i64, keeps: bool },
    /// The shape of the input, from one axis to another.
    Shape { start: i64, end: Option<i64> },
    /// Parts of the first input along an axis, by their places.
    Gather { axis: i64 },
    /// A part of the first input, by inputs that say from where to where, along which axes and in which steps.
    Slice,
    /// All inputs one after another along an axis.
    Concat { axis: i64 },
    /// A value of the model.
    Constant(Tensor),
    /// Probabilities with names of the classes.
    ZipMap(Vec<String>),
    /// The names of classes for their places.
    Names,
    /// Names for other names, where they are said.
    Encode { keys: Vec<String>, values: Vec<String> },
}

/// Arithmetic on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    Tanh,
    Relu,
    HardSwish,
    Sigmoid,
}

/// The window of a convolution or of pooling, an entry a dimension of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its size; none where the weights tell.
    pub size: Option<Vec<usize>>,
    /// Its steps; none for 1.
    pub stride: Option<Vec<usize>>,
    /// Padding round the map.
    pub padding: Padding,
}

/// Padding round a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Places before and after, of all dimensions before first; none for 0.
    Sides(Option<Vec<usize>>),
    /// Places for ⌈length / stride⌉ outputs; where their number is odd, one more after or before.
    Same { more_after: bool },
}

impl Window {
    /// Size, stride, places before and after for a map with these sides, the weights' window being `size`.
    ///
    /// # Errors
    /// The numbers of dimensions differ, or a number is 0.
    pub fn over(&self, sides: &[usize], size: Option<&[usize]>) -> anyhow::Result<[Vec<usize>; 4]> {
        let count = sides.len();
        if let (Some(own), Some(size)) = (&self.size, size) {
            ensure!(own == size, "found kernel_shape = {own:?}, but the weights have {size:?}");
        }
        let Some(size) = size.map(<[usize]>::to_vec).or_else(|| self.size.clone()) else {
            bail!("kernel_shape is missing");
        };
        let stride = self.stride.clone().unwrap_or_else(|| vec![1; count]);
        for (name, numbers) in [("a window", &size), ("strides", &stride)] {
            ensure!(
                numbers.len() == count && !numbers.contains(&0),
                "found {name} of {numbers:?} over {count} dimensions, expected a number above 0 for each"
            );
        }
        let (before, after) = match &self.padding {
            Padding::Sides(None) => (vec![0; count], vec![0; count]),
            Padding::Sides(Some(pads)) => {
                ensure!(pads.len() == 2 * count, "found pads {pads:?}, expected {}", 2 * count);
                (pads[..count].to_vec(), pads[count..].to_vec())
            }
            Padding::Same { more_after } => {
                let all: Vec<usize> = (0..count)
                    .map(|d| {
                        let outputs = sides[d].div_ceil(stride[d]);
                        (outputs.saturating_sub(1) * stride[d] + size[d]).saturating_sub(sides[d])
                    })
                    .collect();
                let [less, more] =
                    [0, 1].map(|odd| all.iter().map(|all| (all + odd) / 2).collect());
                if *more_after { (less, more) } else { (more, less) }
            }
        };
        Ok([size, stride, before, after])
    }
}

/// Attributes of a node as they are read, and what is wrong with them.
struct Attributes<'n, 'a> {
    node: &'n Node<'a>,
    read: Vec<&'static str>,
    wrong: Vec<String>,
}

impl<'n, 'a> Attributes<'n, 'a> {
    const fn new(node: &'n Node<'a>) -> Self {
        Self { node, read: Vec::new(), wrong: Vec::new() }
    }

    fn find(&mut self, name: &'static str) -> Option<&'n AttributeValue<'a>> {
        self.read.push(name);
        let mut found = self.node.attributes.iter().filter(|attribute| attribute.name == name);
        let first = found.next().map(|attribute| &attribute.value);
        if found.next().is_some() {
            self.wrong.push(format!("it has {name} twice"));
        }
        first
    }

    fn another_type<T>(&mut self, name: &str, default: T) -> T {
        self.wrong.push(format!("its {name} has another type than the operator's"));
        default
    }

    fn int(&mut self, name: &'static str, default: i64) -> i64 {
        match self.find(name) {
            None => default,
            Some(AttributeValue::Int(value)) => *value,
            Some(_) => self.another_type(name, default),
        }
    }

    fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.int(name, default.into()) != 0
    }

    fn float(&mut self, name: &'static str) -> Option<f64> {
        match self.find(name) {
            None => None,
            Some(AttributeValue::Float(value)) => Some((*value).into()),
            Some(_) => self.another_type(name, None),
        }
    }

    fn floats(&mut self, name: &'static str) -> Vec<f64> {
        match self.find(name) {
            None => Vec::new(),
            Some(AttributeValue::Floats(values)) => values.iter().copied().map(f64::from).collect(),
            Some(_) => self.another_type(name, Vec::new()),
        }
    }

    fn ints(&mut self, name: &'static str) -> Option<Vec<i64>> {
        match self.find(name) {
            None => None,
            Some(AttributeValue::Ints(values)) => Some(values.clone()),
            Some(_) => self.another_type(name, None),
        }
    }

    fn texts(&mut self, name: &'static str) -> Vec<String> {
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.find(name) {
            None => Vec::new(),
            Some(AttributeValue::Texts(values)) => values.iter().map(text).collect(),
            Some(_) => self.another_type(name, Vec::new()),
        }
    }

    /// Names of classes, as texts or whole numbers.
    fn names(&mut self, texts: &'static str, ints: &'static str) -> Vec<String> {
        let texts = self.texts(texts);
        let ints = self.ints(ints).unwrap_or_default();
        if texts.is_empty() { ints.iter().map(i64::to_string).collect() } else { texts }
    }

    /// Numbers of a window, which are bytes in an artifact.
    fn numbers(&mut self, name: &'static str) -> Option<Vec<usize>> {
        let ints = self.ints(name)?;
        let number = |&int: &i64| u8::try_from(int).map(usize::from);
        match ints.iter().map(number).collect() {
            Ok(numbers) => Some(numbers),
            Err(_) => {
                let most = u8::MAX;
                self.wrong.push(format!("found {name} = {ints:?}, expected numbers up to {most}"));
                None
            }
        }
    }

    /// An attribute that has to be one value.
    fn only(&mut self, name: &'static str, default: i64, expected: i64) {
        let found = self.int(name, default);
        if found != expected {
            self.wrong.push(format!("found {name} = {found}, supported is {expected}"));
        }
    }

    fn window(&mut self) -> Window {
        let (size, stride) = (self.numbers("kernel_shape"), self.numbers("strides"));
        if let Some(dilations) = self.ints("dilations")
            && dilations.iter().any(|&dilation| dilation != 1)
        {
            self.wrong.push(format!("found dilations = {dilations:?}, supported is 1"));
        }
        let pads = self.numbers("pads");
        let automatic = match self.find("auto_pad") {
            None => &b"NOTSET"[..],
            Some(AttributeValue::Text(text)) => text,
            Some(_) => self.another_type("auto_pad", &b"NOTSET"[..]),
        };
        let padding = match automatic {
            b"NOTSET" | b"" => Padding::Sides(pads),
            b"VALID" => Padding::Sides(None),
            b"SAME_UPPER" => Padding::Same { more_after: true },
            b"SAME_LOWER" => Padding::Same { more_after: false },
            other => {
                let other = other.escape_ascii();
                self.wrong.push(format!("found auto_pad = \"{other}\""));
                Padding::Sides(None)
            }
        };
        Window { size, stride, padding }
    }

    /// The operator, if nothing is wrong and no attribute is left.
    fn finish(mut self, operator: Operator) -> anyhow::Result<Operator> {
        for attribute in &self.node.attributes {
            if !self.read.contains(&attribute.name) {
                self.wrong.push(format!("its attribute {:?} is not known", attribute.name));
            }
        }
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("; "));
        Ok(operator)
    }
}

/// Operators that are supported, for the user.
const SUPPORTED: &str = "Conv, Gemm, MatMul, BatchNormalization, Add, Sub, Mul, Div, Scaler, Tanh, Relu, Clip, \
    HardSwish, MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMean, Flatten, Reshape, Transpose, \
    Squeeze, Unsqueeze, Identity, Cast, Dropout, and at the end Softmax, LogSoftmax and Sigmoid";

/// Reads a node of the default operator set, or of that for machine learning.
///
/// # Errors
/// The operator is not supported, or one of its attributes: all of them are named.
pub fn operator(node: &Node<'_>, version: i64) -> anyhow::Result<Operator> {
    let machine_learning = node.domain == ML;
    ensure!(
        machine_learning || ["", "ai.onnx"].contains(&node.domain),
        "its operator set {:?} is not known",
        node.domain
    );
    let mut read = Attributes::new(node);
    let (least, most, operator) = match (node.operator, machine_learning) {
        ("Add", false) => (2, 2, Operator::Arithmetic(Arithmetic::Add)),
        ("Sub", false) => (2, 2, Operator::Arithmetic(Arithmetic::Sub)),
        ("Mul", false) => (2, 2, Operator::Arithmetic(Arithmetic::Mul)),
        ("Div", false) => (2, 2, Operator::Arithmetic(Arithmetic::Div)),
        ("Tanh", false) => (1, 1, Operator::Each(Each::Tanh)),
        ("Relu", false) => (1, 1, Operator::Each(Each::Relu)),
        ("HardSwish", false) => (1, 1, Operator::Each(Each::HardSwish)),
        ("Sigmoid", false) => (1, 1, Operator::Each(Each::Sigmoid)),
        ("Identity", false) => (1, 1, Operator::Identity),
        ("Dropout", false) => {
            // How much is dropped in training.
            read.float("ratio");
            read.int("seed", 0);
            (1, 3, Operator::Identity)
        }
        ("Cast", false) => {
            let to = read.int("to", 0);
            // These are about types that are refused.
            read.int("saturate", 1);
            read.find("round_mode");
            if ![FLOAT, INT32, INT64, DOUBLE].contains(&to) {
                let types = "supported are floats, doubles and, of shapes, whole numbers";
                read.wrong.push(format!("it casts to the type {to}; {types}"));
            }
            let whole = [INT32, INT64].contains(&to);
            (1, 1, if whole { Operator::Whole } else { Operator::Identity })
        }
        ("Clip", false) => {
            let (low, high) = (read.float("min"), read.float("max"));
            (1, 3, Operator::Clip { low, high })
        }
        ("Scaler", true) => {
            let (offset, scale) = (read.floats("offset"), read.floats("scale"));
            (1, 1, Operator::Scaler { offset, scale })
        }
        ("Gemm", false) => {
            let across = [read.flag("transA", false), read.flag("transB", false)];
            let [alpha, beta] = ["alpha", "beta"].map(|name| read.float(name).unwrap_or(1.0));
            (2, 3, Operator::Gemm { alpha, beta, across })
        }
        ("MatMul", false) => (2, 2, Operator::MatMul),
        ("Conv", false) => {
            let window = read.window();
            let groups = usize::try_from(read.int("group", 1)).unwrap_or(0);
            if groups == 0 {
                read.wrong.push("found no groups".to_owned());
            }
            (2, 3, Operator::Convolution { window, groups })
        }
        ("MaxPool" | "AveragePool", false) => {
            let kind = if node.operator == "MaxPool" { PoolKind::Max } else { PoolKind::Average };
            let (window, outward) = (read.window(), read.flag("ceil_mode", false));
            let padding_counts = match kind {
                PoolKind::Average => read.flag("count_include_pad", false),
                PoolKind::Max => {
                    read.only("storage_order", 0, 0);
                    false
                }
            };
            (1, 1, Operator::Pool { kind, window, outward, padding_counts })
        }
        ("GlobalMaxPool", false) => (1, 1, Operator::GlobalPool(PoolKind::Max)),
        ("GlobalAveragePool", false) => (1, 1, Operator::GlobalPool(PoolKind::Average)),
        ("ReduceMean", false) => {
            let (axes, keeps) = (read.ints("axes"), read.flag("keepdims", true));
            let none_is_all = !read.flag("noop_with_empty_axes", false);
            (1, 2, Operator::Mean { axes, keeps, none_is_all })
        }
        ("BatchNormalization", false) => {
            // How fast the statistics move in training.
            read.float("momentum");
            read.only("training_mode", 0, 0);
            read.only("spatial", 1, 1);
            let epsilon = read.float("epsilon").unwrap_or(f64::from(1e-5f32));
            (5, 5, Operator::Normalise { epsilon })
        }
        ("Flatten", false) => (1, 1, Operator::Flatten { axis: read.int("axis", 1) }),
        ("Reshape", false) => {
            (2, 2, Operator::Reshape { zero_is_length: read.flag("allowzero", false) })
        }
        ("Transpose", false) => (1, 1, Operator::Transpose { order: read.ints("perm") }),
        ("Squeeze", false) => (1, 2, Operator::Squeeze { axes: read.ints("axes") }),
        ("Unsqueeze", false) => (1, 2, Operator::Unsqueeze { axes: read.ints("axes") }),
        ("Softmax" | "LogSoftmax", false) => {
            // Before version 13 of the operators it goes over all axes from this one on, of rows the same.
            let axis = read.int("axis", if version < 13 { 1 } else { -1 });
            (1, 1, Operator::Softmax { axis, logarithm: node.operator == "LogSoftmax" })
        }
        ("ArgMax", false) => {
            read.only("select_last_index", 0, 0);
            let (axis, keeps) = (read.int("axis", 0), read.flag("keepdims", true));
            (1, 1, Operator::ArgMax { axis, keeps })
        }
        ("Shape", false) => {
            let start = read.int("start", 0);
            let end = read.find("end").is_some().then(|| read.int("end", 0));
            (1, 1, Operator::Shape { start, end })
        }
        ("Gather", false) => (2, 2, Operator::Gather { axis: read.int("axis", 0) }),
        ("Slice", false) => (3, 5, Operator::Slice),
        ("Concat", false) => (1, 64, Operator::Concat { axis: read.int("axis", 0) }),
        ("Constant", false) => (0, 0, Operator::Constant(constant(&mut read)?)),
        ("ZipMap", true) => {
            let names = read.names("classlabels_strings", "classlabels_int64s");
            (1, 1, Operator::ZipMap(names))
        }
        ("ArrayFeatureExtractor", true) => (2, 2, Operator::Names),
        ("LabelEncoder", true) => {
            // Floats are no names, and what is not among the keys is no class.
            for default in ["default_string", "default_int64", "default_float"] {
                read.find(default);
            }
            let keys = read.names("keys_strings", "keys_int64s");
            let values = read.names("values_strings", "values_int64s");
            if keys.len() != values.len() || keys.is_empty() {
                read.wrong.push(format!("found {} keys and {} values", keys.len(), values.len()));
            }
            (1, 1, Operator::Encode { keys, values })
        }
        _ => bail!("this operator is not supported; supported are {SUPPORTED}"),
    };
    let count = node.inputs.len();
    if !(least..=most).contains(&count) {
        read.wrong.push(format!("found {count} inputs, expected {least} to {most}"));
    }
    read.finish(operator)
}

/// The value of a Constant node, in whichever attribute it is.
fn constant(read: &mut Attributes<'_, '_>) -> anyhow::Result<Tensor> {
    let mut values = Vec::new();
    if let Some(AttributeValue::Tensor(tensor)) = read.find("value") {
        ensure!(!tensor.outside, "its value is in another file");
        values.push(tensor_of(tensor)?);
    }
    let one = |value: f64| Tensor { shape: Vec::new(), values: vec![value] };
    values.extend(read.float("value_float").map(one));
    if read.find("value_int").is_some() {
        values.push(one(read.int("value_int", 0) as f64));
    }
    if read.find("value_floats").is_some() {
        let floats = read.floats("value_floats");
        values.push(Tensor { shape: vec![floats.len()], values: floats });
    }
    values.extend(read.ints("value_ints").map(Tensor::row));
    match <[Tensor; 1]>::try_from(values) {
        Ok([value]) => Ok(value),
        Err(values) => bail!("found {} values of numbers, expected one", values.len()),
    }
}
