//! What a graph means is what import makes of it, or the graph is refused by what it holds.

use std::path::Path;

use onnx_rs::ast::{
    Attribute, AttributeType, Dimension, Graph, Model, Node, OpType, OperatorSetId,
    StringStringEntry, TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto,
    TypeValue, ValueInfo,
};

use super::*;
use crate::import::check::Compared;
use crate::import::description::Inputs;
use crate::import::layers::Order;

/// A graph that tests build node by node.
#[derive(Default)]
struct Built {
    graph: Graph<'static>,
    notes: Vec<StringStringEntry<'static>>,
}

/// A graph whose rows have these sides, and whose outputs have these names.
fn built(sides: &[i64], outputs: &[&'static str]) -> Built {
    let side = |value| TensorShapeDimension { value, ..TensorShapeDimension::default() };
    let sides = sides.iter().map(|&length| side(Dimension::Value(length)));
    let dim = [side(Dimension::Param("n"))].into_iter().chain(sides).collect();
    let tensor = TensorTypeProto { shape: Some(TensorShape { dim }), ..TensorTypeProto::default() };
    let input = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..TypeProto::default() };
    let output = |&name: &&'static str| ValueInfo { name, ..ValueInfo::default() };
    let graph = Graph {
        input: vec![ValueInfo { name: "x", r#type: Some(input), ..ValueInfo::default() }],
        output: outputs.iter().map(output).collect(),
        ..Graph::default()
    };
    Built { graph, notes: Vec::new() }
}

impl Built {
    /// Adds a node that is called as its output.
    fn node(
        mut self,
        operator: &'static str,
        input: &[&'static str],
        output: &'static str,
        attribute: Vec<Attribute<'static>>,
    ) -> Self {
        let learning = ["ZipMap", "LabelEncoder", "ArrayFeatureExtractor"].contains(&operator);
        self.graph.node.push(Node {
            name: output,
            op_type: OpType::from(operator),
            domain: if learning { "ai.onnx.ml" } else { "" },
            input: input.to_vec(),
            output: vec![output],
            attribute,
            ..Node::default()
        });
        self
    }

    /// Adds weights, which differ from one another.
    fn weights(mut self, name: &'static str, shape: &[i64]) -> Self {
        let count: i64 = shape.iter().product();
        let value = |index: i64| ((index * 37 + name.len() as i64 * 11) % 101) as f32 / 50.0 - 0.9;
        let values = (0..count).map(value).collect();
        self.graph.initializer.push(TensorProto::from_f32(name, shape.to_vec(), values));
        self
    }

    /// Adds whole numbers.
    fn wholes(mut self, name: &'static str, values: &[i64]) -> Self {
        let shape = vec![values.len() as i64];
        self.graph.initializer.push(TensorProto::from_i64(name, shape, values.to_vec()));
        self
    }

    /// Adds what the exporter noted.
    fn noted(mut self, key: &'static str, value: &'static str) -> Self {
        self.notes.push(StringStringEntry { key, value });
        self
    }

    fn encoded(self) -> Vec<u8> {
        let set = |domain, version| OperatorSetId { domain, version };
        onnx_rs::encode(&Model {
            ir_version: 9,
            opset_import: vec![set("", 17), set("ai.onnx.ml", 3)],
            graph: Some(self.graph),
            metadata_props: self.notes,
            ..Model::default()
        })
    }

    /// Why it is refused.
    fn refused(self) -> String {
        let bytes = self.encoded();
        let read = read(&bytes, Path::new(""), None);
        let compared = read.and_then(|network| compared(&network).map(drop));
        compared.map_or_else(|error| format!("{error:#}"), |()| "accepted".to_owned())
    }
}

/// The comparison of the layers with the graph, in its own units.
fn compared(network: &Network<'_>) -> anyhow::Result<Option<Compared>> {
    let units = Inputs::default().units(network.layers.input.channels)?;
    network.original.compare(&network.layers, &units)
}

fn int(name: &'static str, i: i64) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Int, i, ..Attribute::default() }
}

fn ints(name: &'static str, values: &[i64]) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Ints, ints: values.to_vec(), ..Attribute::default() }
}

fn text(name: &'static str, s: &'static str) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::String, s: s.as_bytes(), ..Attribute::default() }
}

fn texts(name: &'static str, values: &[&'static str]) -> Attribute<'static> {
    let strings = values.iter().map(|value| value.as_bytes()).collect();
    Attribute { name, r#type: AttributeType::Strings, strings, ..Attribute::default() }
}

/// A dense network of 4 features and 3 outputs, `y`, with a hidden layer `hidden`.
fn dense(outputs: &[&'static str]) -> Built {
    built(&[4], outputs)
        .weights("w0", &[4, 5])
        .weights("w1", &[5, 3])
        .node("MatMul", &["x", "w0"], "sums", vec![])
        .node("Tanh", &["sums"], "hidden", vec![])
        .node("MatMul", &["hidden", "w1"], "y", vec![])
}

/// A convolution of maps [2, 5, 4] to `map`, [4, 5, 4], whose end is from `last`, with so many values.
fn convolution(last: &'static str, values: i64) -> Built {
    built(&[2, 5, 4], &["y"])
        .weights("kernel", &[4, 2, 3, 3])
        .weights("w1", &[values, 3])
        .node("Conv", &["x", "kernel"], "map", vec![ints("pads", &[1, 1, 1, 1])])
        .node("Flatten", &[last], "flat", vec![])
        .node("MatMul", &["flat", "w1"], "y", vec![])
}

/// Puts the last nodes, which are built first, behind the others.
fn in_order(mut built: Built, first: usize) -> Built {
    let moved: Vec<_> = built.graph.node.drain(1..first).collect();
    built.graph.node.extend(moved);
    built
}

/// A graph with an operator between a convolution and the end.
fn between(
    values: i64,
    operator: &'static str,
    others: &[&'static str],
    attributes: Vec<Attribute<'static>>,
) -> Built {
    let input = [&["map"][..], others].concat();
    in_order(convolution("between", values).node(operator, &input, "between", attributes), 3)
}

#[test]
fn what_is_not_understood_is_refused_by_its_node() {
    let pooling = |attributes: Vec<Attribute<'static>>| {
        let all = [vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])], attributes];
        between(16, "MaxPool", &[], all.concat())
    };
    let dimension = vec![ints("kernel_shape", &[2, 2]), text("auto_pad", "SAME_UPPER")];
    for (refused, expected) in [
        (
            between(80, "AveragePool", &[], dimension.clone()),
            "`between` (AveragePool): found padding",
        ),
        (between(80, "MaxPool", &[], dimension), "`between` (MaxPool): found padding"),
        (
            pooling(vec![int("ceil_mode", 1)]),
            "`between` (MaxPool): found windows that leave the map",
        ),
        (pooling(vec![ints("dilations", &[2, 1])]), "`between` (MaxPool): found dilations"),
        (pooling(vec![ints("pads", &[1, 0, 0, 0])]), "`between` (MaxPool): found padding"),
        (pooling(vec![int("storage_order", 1)]), "`between` (MaxPool): found storage_order"),
        (
            pooling(vec![int("novel", 1)]),
            "`between` (MaxPool): its attribute \"novel\" is not known",
        ),
        (between(80, "Add", &["a"], vec![]).weights("a", &[4]), "`between` (Add): its values vary"),
        (
            between(80, "Mul", &["a"], vec![]).weights("a", &[1, 1, 5, 1]),
            "`between` (Mul): its values vary",
        ),
        (
            between(80, "Add", &["a"], vec![]).weights("a", &[4, 1]),
            "`between` (Add): a constant of the shape [4, 1]",
        ),
        (
            between(80, "Cast", &[], vec![int("to", 7)]),
            "`between` (Cast): it cuts off the fractions",
        ),
        (between(80, "Cast", &[], vec![int("to", 9)]), "`between` (Cast): it casts to the type 9"),
        (between(80, "Elu", &[], vec![]), "`between` (Elu): this operator is not supported"),
        (between(80, "Transpose", &[], vec![ints("perm", &[1, 0, 2, 3])]), "`between` (Transpose)"),
        (
            dense(&["y", "hidden"]),
            "the output `hidden`: it is not made of the network's last layer",
        ),
        (dense(&["p"]).node("Sigmoid", &["y"], "p", vec![]), "`p` (Sigmoid): found 3 sigmoids"),
        (
            dense(&["p"]).node("Softmax", &["y"], "p", vec![int("axis", 0)]),
            "`p` (Softmax): found the axis 0",
        ),
        (
            dense(&["z"]).weights("a", &[3, 1]).node("Add", &["y", "a"], "z", vec![]),
            "`z` (Add): a constant of",
        ),
        (dense(&["z"]).node("Flatten", &["y"], "z", vec![int("axis", 0)]), "`z` (Flatten)"),
        (
            built(&[3, 4], &["y"]).weights("w", &[4, 2]).node("MatMul", &["x", "w"], "y", vec![]),
            "`y` (MatMul): it reads [n, 3, 4], whose last axis alone it multiplies",
        ),
        (
            dense(&["z"]).wholes("on", &[1]).node("Dropout", &["y", "", "on"], "z", vec![]),
            "`z` (Dropout): it is in training mode",
        ),
        (
            built(&[4], &["y"])
                .weights("w", &[4, 3])
                .weights("s", &[4])
                .node(
                    "BatchNormalization",
                    &["x", "s", "s", "s", "s"],
                    "n",
                    vec![int("training_mode", 1)],
                )
                .node("MatMul", &["n", "w"], "y", vec![]),
            "`n` (BatchNormalization): found training_mode = 1",
        ),
        (
            built(&[2, 3, 4], &["y"])
                .weights("a", &[4])
                .weights("k", &[2, 2, 1, 1])
                .weights("w", &[24, 2])
                .node("Add", &["x", "a"], "shifted", vec![])
                .node("Conv", &["shifted", "k"], "map", vec![])
                .node("Flatten", &["map"], "flat", vec![])
                .node("MatMul", &["flat", "w"], "y", vec![]),
            "of the input: its values vary over the positions",
        ),
    ] {
        let message = refused.refused();
        assert!(message.contains(expected), "expected {expected}, found {message}");
    }
}

#[test]
fn all_obstacles_are_told_at_once_and_unnamed_nodes_by_their_outputs() {
    let mut model = dense(&["p", "hidden"]).node("Mish", &["y"], "z", vec![int("novel", 1)]).node(
        "Sigmoid",
        &["z"],
        "p",
        vec![],
    );
    for node in &mut model.graph.node {
        node.name = "";
    }
    let message = model.refused();
    for expected in ["the node of `z` (Mish)", "the node of `p` (Sigmoid)", "the output `hidden`"] {
        assert!(message.contains(expected), "{message}");
    }
}

/// Keras' `Conv1D(padding = "same")` by tf2onnx: rows [n, width, channels].
#[test]
fn a_series_with_channels_last_is_read_as_such() {
    let bytes = built(&[6, 2], &["y"])
        .weights("k", &[3, 2, 1, 3])
        .weights("w", &[18, 2])
        .wholes("two", &[2])
        .node("Transpose", &["x"], "turned", vec![ints("perm", &[0, 2, 1])])
        .node("Unsqueeze", &["turned", "two"], "map", vec![])
        .node("Conv", &["map", "k"], "conv", vec![text("auto_pad", "SAME_UPPER")])
        .node("Squeeze", &["conv", "two"], "series", vec![])
        .node("Relu", &["series"], "active", vec![])
        .node("Transpose", &["active"], "back", vec![ints("perm", &[0, 2, 1])])
        .wholes("shape", &[-1, 18])
        .node("Reshape", &["back", "shape"], "flat", vec![])
        .node("MatMul", &["flat", "w"], "y", vec![])
        .encoded();
    let network = read(&bytes, Path::new(""), None).expect("it is supported");
    let layers = &network.layers;
    assert_eq!(layers.input, Shape { height: 1, width: 6, channels: 2 });
    assert_eq!(layers.order, Order::ChannelsLast);
    let compared = compared(&network).expect("the same numbers").expect("they are computed");
    assert!(compared.rows == 32 && compared.difference < 1e-4, "{}", compared.difference);
}

#[test]
fn names_of_classes_come_with_the_model() {
    let names = ["cow", "ant", "bee"];
    let mapped = dense(&["z"]).node("Softmax", &["y"], "p", vec![]).node(
        "ZipMap",
        &["p"],
        "z",
        vec![texts("classlabels_strings", &names)],
    );
    let noted = dense(&["y"]).noted("names", "{0: 'cow', 1: 'ant', 2: 'bee'}");
    for model in [mapped, noted] {
        let bytes = model.encoded();
        let network = read(&bytes, Path::new(""), None).expect("it is supported");
        compared(&network).expect("the same numbers");
        assert_eq!(network.classes.as_deref(), Some(&names.map(str::to_owned)[..]));
    }
    let two = dense(&["z"]).node("Softmax", &["y"], "p", vec![]).node(
        "ZipMap",
        &["p"],
        "z",
        vec![texts("classlabels_strings", &names[..2])],
    );
    assert!(two.refused().contains("it names 2 classes, but its layers give 3"));
}

/// Probabilities that are not those of the classes are no end of a network.
#[test]
fn what_follows_probabilities_is_compared_too() {
    let half = dense(&["h"]).weights("half", &[]).node("Softmax", &["y"], "p", vec![]).node(
        "Mul",
        &["p", "half"],
        "h",
        vec![],
    );
    let message = half.refused();
    assert!(message.contains("the output `h`: expected the probabilities"), "{message}");
}

/// Graphs within graphs, and claims of sizes, cost what they take in the file.
#[test]
fn no_claim_of_a_file_decides_depth_or_memory() {
    let varint = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    // A graph (7) of a node (1) with an attribute (5) that holds a graph (6), and so on.
    let mut nested = Vec::new();
    for _ in 0..5_000 {
        for field in [6u8, 5, 1] {
            nested = [vec![(field << 3) | 2], varint(nested.len()), nested].concat();
        }
    }
    let nested = [vec![(7 << 3) | 2], varint(nested.len()), nested].concat();
    assert!(read(&nested, Path::new(""), None).is_err());
    let mut wide = dense(&["y"]);
    wide.graph.initializer[0] = TensorProto::from_f32("w0", vec![1 << 40, 1 << 20], vec![1.0]);
    assert!(wide.refused().contains("more than"));
    let many = [(8u8 << 3) | 2, 0].repeat(wire::MAX_FIELDS + 1);
    let message =
        format!("{:#}", read(&many, Path::new(""), None).map(drop).expect_err("too many"));
    assert!(message.contains("fields"), "{message}");
}
