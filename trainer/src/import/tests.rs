//! Every way in gives the function that the original computes.

use std::fs;
use std::path::Path;

use onnx_rs::ast::{
    Attribute, AttributeType, DataLocation, Dimension, Graph, Model, Node, OpType, OperatorSetId,
    StringStringEntry, TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto,
    TypeValue, ValueInfo,
};
use safetensors::tensor::{Dtype, TensorView};

use super::*;
use crate::data::{Column, Layout, Series};
use crate::network::{Batch, Shape, outputs};

const WIDTHS: [usize; 3] = [3, 5, 2];
const MEAN: [f64; 3] = [10.0, -2.0, 0.5];
const STD: [f64; 3] = [4.0, 0.5, 2.0];

/// Weights `[outputs, inputs]` and biases of a small network.
fn original(widths: &[usize]) -> Vec<(Vec<f32>, Vec<f32>)> {
    let value = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 60.0;
    let layer = |pair: &[usize]| {
        let weights = (0..pair[0] * pair[1]).map(|index| value(index + pair[0])).collect();
        (weights, (0..pair[1]).map(|index| value(index + 7)).collect())
    };
    widths.windows(2).map(layer).collect()
}

/// Outputs of the original for features in original units, sum by sum.
fn forward(layers: &[(Vec<f32>, Vec<f32>)], x: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> =
        x.iter().zip(MEAN).zip(STD).map(|((&x, mean), std)| (f64::from(x) - mean) / std).collect();
    for (index, (weights, biases)) in layers.iter().enumerate() {
        let sum = |(row, &bias): (&[f32], &f32)| {
            let products = row.iter().zip(&values).map(|(&w, &x)| f64::from(w) * x);
            f64::from(bias) + products.sum::<f64>()
        };
        values = weights.chunks_exact(values.len()).zip(biases).map(sum).collect();
        if index + 1 < layers.len() {
            values.iter_mut().for_each(|value| *value = value.tanh());
        }
    }
    values
}

/// Some features in original units, `[rows, 3]`.
fn rows() -> Vec<f32> {
    let value =
        |index: usize| (MEAN[index % 3] + STD[index % 3] * (index as f64 * 0.7).sin()) as f32;
    (0..12).map(value).collect()
}

fn columns(names: impl Iterator<Item = String>) -> Layout {
    Layout::Columns(names.map(Column::Number).collect())
}

fn schema(task: AnyTask, features: &[&str]) -> Schema {
    Schema {
        layout: columns(features.iter().copied().map(str::to_owned)),
        mean: vec![9.0, -1.0, 0.0],
        std: vec![3.0, 1.5, 2.5],
        target: "y".to_owned(),
        task,
        series: Series::default(),
    }
}

fn classes(names: &[&str]) -> AnyTask {
    AnyTask::Classification(Classification {
        classes: names.iter().map(|&name| name.to_owned()).collect(),
    })
}

/// Outputs of the network that was made to fit `schema`, for features in original units, `[rows][outputs]`.
fn fitted(network: &ImportedNetwork, schema: &Schema, x: &[f32]) -> Vec<Vec<f64>> {
    let theta = network.fitted_to(schema, &[]).expect("it fits");
    let mut architecture = network.architecture().clone();
    architecture.blocks.last_mut().expect("an output").outputs = schema.task.outputs();
    let batch = Batch::from_rows(&schema.standardise(x), 3);
    let values = outputs(&architecture, &theta, &batch);
    let rows = batch.rows();
    let row = |row: usize| values.iter().skip(row).step_by(rows).copied().map(f64::from).collect();
    (0..rows).map(row).collect()
}

/// Bytes of a safetensors file.
fn safetensors(tensors: &[(&str, Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many as the shape"))
    });
    safetensors::serialize(views, None).expect("no name twice")
}

/// Imports what is written to files of these names.
fn imported(files: &[(&str, &[u8])]) -> anyhow::Result<Import> {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("writable");
    }
    let arch = files.iter().find(|(name, _)| name.ends_with(".toml"));
    let arch = arch.map(|(name, _)| folder.path().join(name));
    import(&folder.path().join(files[0].0), arch.as_deref())
}

/// The network as PyTorch and Keras would save it, with reference rows.
fn weights(transposed: bool) -> Vec<u8> {
    let mut tensors = Vec::new();
    for ((name, bias), (weights, biases)) in
        [("0.weight", "0.bias"), ("2.weight", "2.bias")].into_iter().zip(original(&WIDTHS))
    {
        let (outputs, inputs) = (biases.len(), weights.len() / biases.len());
        let across = (0..inputs).flat_map(|i| weights.iter().skip(i).step_by(inputs).copied());
        match transposed {
            true => tensors.push((name, vec![inputs, outputs], across.collect())),
            false => tensors.push((name, vec![outputs, inputs], weights)),
        }
        tensors.push((bias, vec![outputs], biases));
    }
    let reference: Vec<f32> = rows()
        .chunks_exact(3)
        .flat_map(|x| forward(&original(&WIDTHS), x))
        .map(|value| value as f32)
        .collect();
    tensors.push(("x", vec![4, 3], rows()));
    let probabilities = reference.chunks_exact(2).flat_map(|f| {
        let second = 1.0 / (1.0 + (f[0] - f[1]).exp());
        [1.0 - second, second]
    });
    tensors.push(("p", vec![4, 2], probabilities.collect()));
    tensors.push(("y", vec![4, 2], reference));
    safetensors(&tensors)
}

const ARCH: &str = "activation = \"tanh\"\nlayers = [\"0\", \"2\"]\n\
    [inputs]\nmean = [10.0, -2.0, 0.5]\nstd = [4.0, 0.5, 2.0]\n\
    [check]\ninputs = \"x\"\noutputs = \"y\"\n";

fn close(found: &[Vec<f64>], expected: &[Vec<f64>]) {
    for (found, expected) in found.concat().iter().zip(expected.concat()) {
        assert!((found - expected).abs() < 2e-5, "{found} but {expected}");
    }
}

/// Outputs of the original for [`rows`].
fn reference(widths: &[usize]) -> Vec<Vec<f64>> {
    rows().chunks_exact(3).map(|x| forward(&original(widths), x)).collect()
}

#[test]
fn weights_of_pytorch_and_of_keras_give_the_original_function() {
    let keras = ARCH.replace(
        "[\"0\", \"2\"]",
        "[{ weight = \"0.weight\", bias = \"0.bias\", transposed = true },
          { weight = \"2.weight\", bias = \"2.bias\", transposed = true }]",
    );
    for (bytes, arch) in [(weights(false), ARCH), (weights(true), &keras)] {
        let import = imported(&[("net.safetensors", &bytes), ("arch.toml", arch.as_bytes())])
            .expect("a network");
        let (rows_checked, difference) = import.checked.expect("a check was asked for");
        assert!(rows_checked == 4 && difference < 1e-5, "{difference}");
        let found =
            fitted(&import.network, &schema(classes(&["a", "b"]), &["p", "q", "r"]), &rows());
        close(&found, &reference(&WIDTHS));
    }
}

#[test]
fn what_was_written_is_read_again() {
    let import = imported(&[("net.safetensors", &weights(false)), ("arch.toml", ARCH.as_bytes())])
        .expect("a network");
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("network.safetensors");
    import.network.write(&path).expect("writable");
    assert_eq!(ImportedNetwork::read(&path).expect("as written"), import.network);
    let mut without = import.network;
    without.references.clear();
    without.write(&path).expect("writable");
    assert_eq!(ImportedNetwork::read(&path).expect("as written"), without);
    fs::write(&path, safetensors(&[("theta", vec![1, 2], vec![0.0; 2])])).expect("writable");
    assert!(ImportedNetwork::read(&path).is_err());
}

#[test]
fn names_bring_features_and_classes_into_the_order_of_the_data() {
    let arch = ARCH.replace("[inputs]", "[inputs]\nnames = [\"p\", \"q\", \"r\"]");
    let arch = format!("{arch}[outputs]\nclasses = [\"no\", \"yes\"]\n");
    let import = imported(&[("net.safetensors", &weights(false)), ("arch.toml", arch.as_bytes())]);
    let network = import.expect("a network").network;
    let mut other = schema(classes(&["yes", "no"]), &["r", "p", "q"]);
    other.mean.rotate_right(1);
    other.std.rotate_right(1);
    let turned: Vec<f32> = rows().chunks_exact(3).flat_map(|x| [x[2], x[0], x[1]]).collect();
    let expected: Vec<Vec<f64>> = reference(&WIDTHS).iter().map(|f| vec![f[1], f[0]]).collect();
    close(&fitted(&network, &other, &turned), &expected);
    for (other, said) in [
        (schema(classes(&["yes", "no"]), &["r", "p", "s"]), "\"s\""),
        (schema(classes(&["yes", "other"]), &["p", "q", "r"]), "\"other\""),
        (schema(classes(&["yes", "no", "maybe"]), &["p", "q", "r"]), "3 classes"),
    ] {
        let message = network.fitted_to(&other, &[]).expect_err("it does not fit").to_string();
        assert!(message.contains(said), "{message}");
    }
}

/// A feature that never varied counts at its one value, whatever weight it had.
#[test]
fn constant_features_become_part_of_the_biases() {
    let import = imported(&[("net.safetensors", &weights(false)), ("arch.toml", ARCH.as_bytes())]);
    let network = import.expect("a network").network;
    let mut data = schema(classes(&["a", "b"]), &["p", "q", "r"]);
    (data.mean[1], data.std[1]) = (-2.3, 1.0);
    let theta = network.fitted_to(&data, &[1]).expect("it fits");
    assert!(theta[..15].chunks_exact(3).all(|row| row[1] == 0.0));
    let x: Vec<f32> = rows().chunks_exact(3).flat_map(|x| [x[0], -2.3, x[2]]).collect();
    let batch = Batch::from_rows(&data.standardise(&x), 3);
    let values = outputs(network.architecture(), &theta, &batch);
    for (row, x) in x.chunks_exact(3).enumerate() {
        for (output, expected) in forward(&original(&WIDTHS), x).into_iter().enumerate() {
            assert!((f64::from(values[output * 4 + row]) - expected).abs() < 2e-5);
        }
    }
}

#[test]
fn one_output_is_the_log_odds_of_two_classes_or_a_number() {
    let bytes = {
        let layers = original(&[3, 5, 1]);
        let [(w0, b0), (w2, b2)] = layers.try_into().expect("two layers");
        safetensors(&[
            ("0.weight", vec![5, 3], w0),
            ("0.bias", vec![5], b0),
            ("2.weight", vec![1, 5], w2),
            ("2.bias", vec![1], b2),
        ])
    };
    let arch = ARCH.split("[check]").next().expect("the part before");
    let files = [("net.safetensors", bytes.as_slice()), ("arch.toml", arch.as_bytes())];
    let network = imported(&files).expect("a network").network;
    let expected = reference(&[3, 5, 1]);
    let logits = fitted(&network, &schema(classes(&["a", "b"]), &["p", "q", "r"]), &rows());
    let odds: Vec<Vec<f64>> = logits.iter().map(|f| vec![f[1] - f[0]]).collect();
    close(&odds, &expected);

    let arch = format!("{arch}[outputs]\nmean = 20.0\nstd = 5.0\n");
    let files = [("net.safetensors", bytes.as_slice()), ("arch.toml", arch.as_bytes())];
    let network = imported(&files).expect("a network").network;
    let task = AnyTask::Regression(Regression { mean: 18.0, std: 4.0 });
    let values = fitted(&network, &schema(task, &["p", "q", "r"]), &rows());
    let expected: Vec<Vec<f64>> =
        expected.iter().map(|f| vec![(20.0 + 5.0 * f[0] - 18.0) / 4.0]).collect();
    close(&values, &expected);
}

/// An ONNX model of a graph.
fn encoded(graph: Graph<'_>) -> Vec<u8> {
    let set = |domain, version| OperatorSetId { domain, version };
    onnx_rs::encode(&Model {
        ir_version: 9,
        opset_import: vec![set("", 17), set("ai.onnx.ml", 3)],
        graph: Some(graph),
        ..Model::default()
    })
}

/// An ONNX model: a chain of nodes from `x` to `y` with these weights.
fn onnx(nodes: &[(OpType<'static>, &[&'static str], Vec<Attribute<'static>>)]) -> Vec<u8> {
    const VALUES: [&str; 10] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];
    let layers = original(&WIDTHS);
    let across = |layer: usize, inputs: usize| -> Vec<f32> {
        (0..inputs).flat_map(|i| layers[layer].0.iter().skip(i).step_by(inputs).copied()).collect()
    };
    let single = |values: [f64; 3]| values.map(|value| value as f32).to_vec();
    let initializer = vec![
        TensorProto::from_f32("w0", vec![5, 3], layers[0].0.clone()),
        TensorProto::from_f32("w0t", vec![3, 5], across(0, 3)),
        TensorProto::from_f32("b0", vec![5], layers[0].1.clone()),
        TensorProto::from_f32("w1", vec![2, 5], layers[1].0.clone()),
        TensorProto::from_f32("w1t", vec![5, 2], across(1, 5)),
        TensorProto::from_f32("b1", vec![2], layers[1].1.clone()),
        TensorProto::from_f32("w2", vec![1, 5], original(&[3, 5, 1])[1].0.clone()),
        TensorProto::from_f32("b2", vec![1], original(&[3, 5, 1])[1].1.clone()),
        TensorProto::from_f32("mean", vec![3], single(MEAN)),
        TensorProto::from_f32("std", vec![3], single(STD)),
    ];
    let node =
        |(index, (op_type, others, attribute)): (usize, &(OpType<'static>, &[&'static str], _))| {
            let attribute: &Vec<Attribute<'static>> = attribute;
            let input = [&[VALUES[index]][..], others].concat();
            let output = vec![if index + 1 == nodes.len() { "y" } else { VALUES[index + 1] }];
            Node {
                name: VALUES[index],
                op_type: op_type.clone(),
                domain: if *op_type == OpType::Custom("Scaler") { "ai.onnx.ml" } else { "" },
                input,
                output,
                attribute: attribute.clone(),
                ..Node::default()
            }
        };
    let graph = Graph {
        node: nodes.iter().enumerate().map(node).collect(),
        input: vec![ValueInfo { name: "v0", ..ValueInfo::default() }],
        output: vec![ValueInfo { name: "y", ..ValueInfo::default() }],
        initializer,
        ..Graph::default()
    };
    encoded(graph)
}

fn whole(name: &'static str, i: i64) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Int, i, ..Attribute::default() }
}

fn wholes(name: &'static str, values: &[i64]) -> Attribute<'static> {
    Attribute { name, r#type: AttributeType::Ints, ints: values.to_vec(), ..Attribute::default() }
}

fn floats(name: &'static str, values: [f64; 3]) -> Attribute<'static> {
    let floats = values.map(|value| value as f32).to_vec();
    Attribute { name, r#type: AttributeType::Floats, floats, ..Attribute::default() }
}

#[test]
fn onnx_models_give_the_original_function() {
    let pytorch = onnx(&[
        (OpType::Sub, &["mean"], vec![]),
        (OpType::Div, &["std"], vec![]),
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Tanh, &[], vec![]),
        (OpType::Gemm, &["w1", "b1"], vec![whole("transB", 1)]),
    ]);
    let scikit = onnx(&[
        (
            OpType::Custom("Scaler"),
            &[],
            vec![floats("offset", MEAN), floats("scale", STD.map(|std| 1.0 / std))],
        ),
        (OpType::MatMul, &["w0t"], vec![]),
        (OpType::Add, &["b0"], vec![]),
        (OpType::Tanh, &[], vec![]),
        (OpType::MatMul, &["w1t"], vec![]),
        (OpType::Add, &["b1"], vec![]),
        (OpType::Softmax, &[], vec![]),
    ]);
    for bytes in [pytorch, scikit] {
        let network = imported(&[("net.onnx", &bytes)]).expect("a network").network;
        let found = fitted(&network, &schema(classes(&["a", "b"]), &["p", "q", "r"]), &rows());
        close(&found, &reference(&WIDTHS));
    }
}

/// Rows that a network holds, features and what the original gave, of outputs.
fn held(network: &ImportedNetwork) -> (Vec<f32>, Vec<f32>) {
    let [reference] = network.references.as_slice() else { panic!("{:?}", network.references) };
    let [(x_name, _, x), (y_name, _, y)] = reference.matrices();
    assert_eq!([x_name, y_name], ["reference.outputs.inputs", "reference.outputs"]);
    (x.to_vec(), y.to_vec())
}

/// A graph that takes normalised features, with the head that is named.
fn normalised(head: &[&'static str]) -> Vec<u8> {
    onnx(&[
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Tanh, &[], vec![]),
        (OpType::Gemm, head, vec![whole("transB", 1)]),
    ])
}

const UNITS: &str = "[inputs]\nmean = [10.0, -2.0, 0.5]\nstd = [4.0, 0.5, 2.0]\n";

/// Whatever units and names a description adds, rows are in those of the data, and outputs in those of the network.
#[test]
fn drawn_rows_stay_with_the_network() {
    let named =
        format!("{UNITS}names = [\"p\", \"q\", \"r\"]\n[outputs]\nclasses = [\"yes\", \"no\"]\n");
    let number = format!("{UNITS}[outputs]\nmean = 2000.0\nstd = 5.0\n");
    for (description, head, widths, [mean, std]) in [
        (UNITS, ["w1", "b1"], WIDTHS, [0.0, 1.0]),
        (&*named, ["w1", "b1"], WIDTHS, [0.0, 1.0]),
        (&*number, ["w2", "b2"], [3, 5, 1], [2000.0, 5.0]),
    ] {
        let model = normalised(&head);
        let files = [("net.onnx", model.as_slice()), ("arch.toml", description.as_bytes())];
        let import = imported(&files).expect("a network");
        assert_eq!(import.network.reference_rows(), 32);
        assert_eq!(import.computed.expect("the graph is small").0, 32);
        let (x, y) = held(&import.network);
        for (x, y) in x.chunks_exact(3).zip(y.chunks_exact(widths[2])) {
            for (x, (mean, std)) in x.iter().zip(MEAN.iter().zip(STD)) {
                assert!((f64::from(*x) - mean).abs() < 2.51 * std, "{x}");
            }
            for (&y, f) in y.iter().zip(forward(&original(&widths), x)) {
                let expected = mean + std * f;
                assert!(
                    (f64::from(y) - expected).abs() < 1e-6 * mean + 1e-5 * std,
                    "{y}, {expected}"
                );
            }
        }
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("network.safetensors");
        import.network.write(&path).expect("writable");
        assert_eq!(ImportedNetwork::read(&path).expect("as written"), import.network);
    }
}

#[test]
fn inputs_that_32_bits_do_not_resolve_are_told() {
    let far = UNITS.replace("mean = [10.0", "mean = [1e6");
    let model = normalised(&["w1", "b1"]);
    let files = [("net.onnx", model.as_slice()), ("arch.toml", far.as_bytes())];
    let message = format!("{:#}", imported(&files).map(drop).expect_err("digits are lost"));
    assert!(message.contains("lie so far from 0"), "{message}");
}

/// Padding, whose zero is another value than the mean, and the order of maps are those of the network too.
#[test]
fn drawn_maps_stay_with_the_network() {
    let model = convolutions_in_onnx(&[1, 1, 1, 1]);
    let description = "[inputs]\nmean = [0.5, -0.25]\nstd = [2.0, 0.5]\n";
    let files = [("net.onnx", model.as_slice()), ("arch.toml", description.as_bytes())];
    let network = imported(&files).expect("a network").network;
    let (x, y) = held(&network);
    let [channels, height, width] = IMAGE;
    let length = channels * height * width;
    assert_eq!((x.len(), y.len()), (32 * length, 32 * 3));
    for (x, y) in x.chunks_exact(length).zip(y.chunks_exact(3)) {
        let image: Vec<f32> = (0..length)
            .map(|index| {
                let (channel, position) = (index / (height * width), index % (height * width));
                (x[position * channels + channel] - [0.5, -0.25][channel]) / [2.0, 0.5][channel]
            })
            .collect();
        let y = y.iter().copied().map(f64::from).collect();
        close(&[y], &[convolved(&image)]);
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("network.safetensors");
    network.write(&path).expect("writable");
    assert_eq!(ImportedNetwork::read(&path).expect("as written"), network);
}

#[test]
fn rows_of_a_description_stay_with_the_network() {
    let bytes = weights(false);
    let probabilities = ARCH.replace("outputs = \"y\"", "probabilities = \"p\"");
    let check = ARCH.split_once("[check]").expect("the last part").1;
    let with_units = format!("{UNITS}[check]{check}");
    let model = normalised(&["w1", "b1"]);
    let by_graph = with_units.replace("[check]", "[check]\nfile = \"weights.safetensors\"");
    let both = by_graph.replace("outputs = \"y\"", "probabilities = \"p\"");
    let (graph, weights) =
        (("net.onnx", model.as_slice()), ("weights.safetensors", bytes.as_slice()));
    for (files, kinds) in [
        (vec![weights, ("arch.toml", ARCH.as_bytes())], &[4][..]),
        (vec![weights, ("arch.toml", probabilities.as_bytes())], &[4]),
        (vec![graph, ("arch.toml", by_graph.as_bytes()), weights], &[36]),
        (vec![graph, ("arch.toml", both.as_bytes()), weights], &[32, 4]),
    ] {
        let network = imported(&files).expect("a network").network;
        let rows: Vec<_> = network.references.iter().map(Reference::rows).collect();
        assert_eq!(rows, kinds);
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("network.safetensors");
        network.write(&path).expect("writable");
        assert_eq!(ImportedNetwork::read(&path).expect("as written"), network);
        // Outputs that the network does not give.
        let mut other = network;
        other.theta.iter_mut().for_each(|weight| *weight *= 1.1);
        other.write(&path).expect("writable");
        let message = format!("{:#}", ImportedNetwork::read(&path).expect_err("another network"));
        assert!(message.contains("row 0, output"), "{message}");
    }
}

/// Of many rows the first ones are kept, of each comparison.
#[test]
fn a_file_holds_few_rows() {
    let compared = |given, rows: usize| Compared {
        given,
        compared: rows,
        difference: 0.0,
        rows,
        inputs: 3,
        x: (0..3 * rows).map(|index| index as f64).collect(),
        expected: (0..2 * rows).map(|index| index as f64).collect(),
    };
    let all = [compared(check::Given::Outputs, 32), compared(check::Given::Probabilities, 100)];
    let references = Reference::of(&all);
    let shapes = references.iter().flat_map(Reference::matrices).map(|(_, shape, _)| shape);
    assert_eq!(shapes.collect::<Vec<_>>(), [[32, 3], [32, 2], [32, 3], [32, 2]]);
    let first = compared(check::Given::Outputs, 100).keep(64);
    assert_eq!(first.x.len(), 192);
    let references = Reference::of([&first, &all[0]]);
    assert_eq!(references.iter().map(Reference::rows).collect::<Vec<_>>(), [64]);
}

/// The hash of such a file is right: another version may have written it, or this one reads it in another way.
#[test]
fn parameters_that_give_other_outputs_are_refused() {
    let model = normalised(&["w1", "b1"]);
    let files = [("net.onnx", model.as_slice()), ("arch.toml", UNITS.as_bytes())];
    let network = imported(&files).expect("a network").network;
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("network.safetensors");
    let refused = |network: &ImportedNetwork| {
        network.write(&path).expect("writable");
        format!("{:#}", ImportedNetwork::read(&path).map(drop).expect_err("another network"))
    };
    for parameter in 0..network.theta.len() {
        let mut other = network.clone();
        // Small ones change less than single precision leaves open.
        if other.theta[parameter].abs() < 0.05 {
            continue;
        }
        other.theta[parameter] *= -1.0;
        let message = refused(&other);
        for part in ["network.safetensors", "reference.outputs: row", "output", "gives", "expected"]
        {
            assert!(message.contains(part), "parameter {parameter}: {message}");
        }
        assert!(message.contains("import the network again"), "{message}");
    }
    let mut other = network.clone();
    other.about.architecture.blocks[0].activation = crate::network::Activation::Relu;
    assert!(refused(&other).contains("row 0, output"));
}

/// A file whose hash is right may still be of any numbers.
#[test]
fn what_a_network_file_claims_is_checked() {
    let model = convolutions_in_onnx(&[1, 1, 1, 1]);
    let network = imported(&[("net.onnx", &model)]).expect("a network").network;
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("network.safetensors");
    let refused = |change: &dyn Fn(&mut ImportedNetwork)| {
        let mut other = network.clone();
        change(&mut other);
        other.write(&path).expect("writable");
        format!("{:#}", ImportedNetwork::read(&path).map(drop).expect_err("out of range"))
    };
    let window = |change: &dyn Fn(&mut crate::network::Window)| {
        refused(&|other| {
            change(other.about.architecture.blocks[0].window.as_mut().expect("a convolution"));
        })
    };
    for (message, said) in [
        (window(&|window| window.groups = 0), "layer 0: found 0"),
        (window(&|window| window.stride = [0, 1]), "layer 0: found 0"),
        (refused(&|other| other.about.architecture.blocks.clear()), "found 0 layers"),
        (refused(&|other| other.about.zero = Some(Vec::new())), "expected 2 numbers"),
        (refused(&|other| other.about.zero = Some(vec![0.3, -0.9])), "reference.outputs: row"),
        (
            refused(&|other| other.about.rescaled = Some(OutputUnits { mean: 0.0, std: 0.0 })),
            "found outputs of",
        ),
        (refused(&|other| other.theta.truncate(1)), "1 parameters, expected"),
    ] {
        assert!(message.contains(said), "expected {said}, found {message}");
    }
    let held = Reference::of([&Compared {
        given: check::Given::Outputs,
        compared: 1,
        difference: 0.0,
        rows: 1,
        inputs: 47,
        x: vec![0.0; 47],
        expected: vec![0.0; 3],
    }]);
    let message = refused(&|other| other.references.clone_from(&held));
    assert!(message.contains("found the shape [1, 47], expected [1, 48]"), "{message}");

    let shapes = [
        (THETA, [1, network.theta.len()]),
        ("reference.outputs.inputs", [65, 48]),
        ("reference.outputs", [65, 3]),
    ];
    let about = serde_json::to_string(&network.about).expect("a text");
    let mut bytes = header(&shapes, Some((NOTE, about))).expect("small");
    let values: usize = shapes.iter().map(|(_, [rows, columns])| rows * columns).sum();
    bytes.resize(bytes.len() + values * size_of::<f32>(), 0);
    write_atomically(&path, &bytes).expect("writable");
    let message = format!("{:#}", ImportedNetwork::read(&path).expect_err("many rows"));
    assert!(message.contains("expected 1 to 64 rows of 3"), "{message}");
}

/// PyTorch keeps the weights in a file beside the model.
#[test]
fn weights_beside_the_model_are_found() {
    let [(w, b), _] = original(&WIDTHS).try_into().expect("two layers");
    let bytes: Vec<u8> = w.iter().flat_map(|value| value.to_le_bytes()).collect();
    let model = |location: &'static str, offset: &'static str| {
        let entry = |key, value| StringStringEntry { key, value };
        let weights = TensorProto::from_f32("w", vec![5, 3], Vec::new())
            .with_data_location(DataLocation::External)
            .with_external_data(vec![
                entry("location", location),
                entry("offset", offset),
                entry("length", "60"),
            ]);
        let graph = Graph {
            node: vec![Node {
                name: "only",
                op_type: OpType::Gemm,
                input: vec!["x", "w", "b"],
                output: vec!["y"],
                attribute: vec![whole("transB", 1)],
                ..Node::default()
            }],
            input: vec![ValueInfo { name: "x", ..ValueInfo::default() }],
            output: vec![ValueInfo { name: "y", ..ValueInfo::default() }],
            initializer: vec![weights, TensorProto::from_f32("b", vec![5], b.clone())],
            ..Graph::default()
        };
        encoded(graph)
    };
    let data = [vec![0; 8], bytes].concat();
    let read = |location, offset| {
        imported(&[("net.onnx", &model(location, offset)), ("net.data", &data)])
            .map(|import| import.network)
    };
    assert_eq!(read("net.data", "8").expect("weights").theta, [w, b.clone()].concat());
    for (location, offset, said) in [
        ("net.data", "9", "ends before"),
        ("other.data", "8", "other.data"),
        ("../net.data", "8", "beside the model"),
        // A terminal would obey it.
        ("\u{1b}[31m", "8", "\\u{1b}[31m"),
        ("net.data", "x", "offset"),
    ] {
        let message = format!("{:#}", read(location, offset).expect_err("no weights"));
        assert!(message.contains(said), "{message}");
    }
}

/// A damaged file is an error or another network, and never ends the program.
#[test]
fn damaged_models_are_refused() {
    let whole = onnx(&[
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Tanh, &[], vec![]),
        (OpType::Gemm, &["w1", "b1"], vec![whole("transB", 1)]),
    ]);
    assert!(onnx::read(&whole, Path::new(""), None).is_ok());
    let mut cut = 0;
    for end in 0..whole.len() {
        cut += usize::from(onnx::read(&whole[..end], Path::new(""), None).is_err());
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[end] ^= flip;
            let _either = onnx::read(&damaged, Path::new(""), None).map(drop);
        }
    }
    assert!(cut > whole.len() / 2, "{cut} of {}", whole.len());
}

#[test]
fn what_is_not_understood_is_named() {
    let said = |files: &[(&str, &[u8])]| match imported(files) {
        Ok(_) => String::new(),
        Err(error) => format!("{error:#}"),
    };
    let relu_after_tanh = onnx(&[
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Elu, &[], vec![]),
        (OpType::Gemm, &["w1", "b1"], vec![whole("transB", 1)]),
    ]);
    let message = said(&[("net.onnx", &relu_after_tanh)]);
    assert!(message.contains("node `v1` (Elu)"), "{message}");
    // An activation that also stands at the end of a model is no end before other layers.
    let hidden_sigmoid = onnx(&[
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Sigmoid, &[], vec![]),
        (OpType::Gemm, &["w1", "b1"], vec![whole("transB", 1)]),
    ]);
    let message = said(&[("net.onnx", &hidden_sigmoid)]);
    assert!(message.contains("node `v1` (Sigmoid)"), "{message}");
    let crossed = onnx(&[
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
        (OpType::Tanh, &[], vec![]),
        (OpType::Gemm, &["w0", "b0"], vec![whole("transB", 1)]),
    ]);
    let message = said(&[("net.onnx", &crossed)]);
    assert!(
        message.contains("`v2` (Gemm): it takes 3 values a row, but [n, 5] gives 5"),
        "{message}"
    );
    assert!(said(&[("net.onnx", b"a,b\n1,2\n")]).contains("net.onnx"));
    let both = [("net.onnx", crossed.as_slice()), ("arch.toml", ARCH.as_bytes())];
    assert!(said(&both).contains("remove `layers`"));
    assert!(said(&[("net.csv", b"a,b\n1,2\n")]).contains("`csv`"));
    let bytes = weights(false);
    let weights = |arch: &str| said(&[("net.safetensors", &bytes), ("arch.toml", arch.as_bytes())]);
    assert!(said(&[("net.safetensors", &bytes)]).contains("layers = "));
    for (change, to, expected) in [
        ("\"2\"]", "\"3\"]", "no tensor `3.weight`"),
        ("tanh", "relu", "row 0, output"),
        ("tanh", "gelu", "line 1"),
        ("std = [4.0, 0.5, 2.0]", "std = [4.0, 0.5]", "inputs.std: found 2 values"),
        ("std = [4.0, 0.5, 2.0]", "std = 0.0", "found 0, expected numbers above 0"),
        ("outputs = \"y\"", "outputs = \"x\"", "expected [4, 2]"),
        ("outputs = \"y\"", "", "`outputs` or `probabilities`"),
    ] {
        let message = weights(&ARCH.replace(change, to));
        assert!(message.contains(expected), "{change} to {to}: {message}");
    }
}

#[test]
fn a_network_fixes_its_own_settings() {
    let import = imported(&[("net.safetensors", &weights(false)), ("arch.toml", ARCH.as_bytes())]);
    let network = import.expect("a network").network;
    let settings = network.settings(&Config::default()).expect("nothing is against it");
    assert_eq!(settings.network.hidden, Choice::Fixed(vec![5.into()]));
    assert_eq!(settings.walk.starts, Choice::Fixed(1));
    assert_eq!(network.settings(&settings).expect("the same"), settings);
    for (text, said) in [("[network]\nhidden = [6]", "[6]"), ("[walk]\nstarts = 4", "walk.starts")]
    {
        let config: Config = toml::from_str(text).expect("settings");
        assert!(network.settings(&config).expect_err("another").to_string().contains(said));
    }
    assert!(ImportedNetwork::read(Path::new("nowhere")).is_err());
}

/// Channels, height and width of the images that the network of convolutions reads.
const IMAGE: [usize; 3] = [2, 4, 6];
const CHANNEL_MEAN: [f64; 2] = [0.3, -1.0];
const CHANNEL_STD: [f64; 2] = [0.7, 2.0];

/// Weights of a network of convolutions as PyTorch has them, by name with their shapes.
fn convolutions() -> Vec<(&'static str, Vec<usize>, Vec<f32>)> {
    let tensor = |name, shape: &[usize], start: usize| {
        let value = |index: usize| (((index + start) * 37 % 101) as f32 - 50.0) / 90.0;
        (name, shape.to_vec(), (0..shape.iter().product()).map(value).collect())
    };
    let positive = |(name, shape, values): (_, _, Vec<f32>)| {
        (name, shape, values.into_iter().map(|value| 0.5 + value.abs()).collect())
    };
    vec![
        tensor("a.weight", &[4, 2, 3, 3], 0),
        tensor("norm.weight", &[4], 9),
        tensor("norm.bias", &[4], 17),
        tensor("norm.running_mean", &[4], 29),
        positive(tensor("norm.running_var", &[4], 31)),
        tensor("b.weight", &[4, 1, 3, 3], 5),
        tensor("b.bias", &[4], 3),
        tensor("c.weight", &[3, 4 * 2 * 3], 11),
        tensor("c.bias", &[3], 13),
    ]
}

fn images() -> Vec<f32> {
    let length: usize = IMAGE.iter().product();
    (0..3 * length).map(|index| (index as f32 * 0.9).sin()).collect()
}

/// Sum by sum what PyTorch computes for an image `[2][4][6]`: normalisation, a convolution with batch
/// normalisation and relu6, a depthwise one to which its input is added before tanh, pooling, a dense layer.
fn convolved(image: &[f32]) -> Vec<f64> {
    let tensors = convolutions();
    let of = |name: &str| &tensors.iter().find(|(other, ..)| *other == name).expect("there").2;
    let [_, height, width] = IMAGE;
    let at = |c: usize, y: usize, x: usize| (c * height + y) * width + x;
    let x: Vec<f64> = image
        .iter()
        .enumerate()
        .map(|(index, &value)| {
            let channel = index / (height * width);
            (f64::from(value) - CHANNEL_MEAN[channel]) / CHANNEL_STD[channel]
        })
        .collect();
    // A 3 × 3 window with a zero on every side; `reads` names the channels that an output reads.
    let convolve = |x: &[f64], weights: &[f32], reads: &dyn Fn(usize) -> Vec<usize>| {
        let mut out = vec![0.0; 4 * height * width];
        for channel in 0..4 {
            for y in 0..height {
                for column in 0..width {
                    for (index, c) in reads(channel).into_iter().enumerate() {
                        for (ky, kx) in (0..9).map(|tap| (tap / 3, tap % 3)) {
                            let (y_in, x_in) = (y + ky, column + kx);
                            if (1..=height).contains(&y_in) && (1..=width).contains(&x_in) {
                                let weight =
                                    (channel * reads(channel).len() + index) * 9 + ky * 3 + kx;
                                out[at(channel, y, column)] +=
                                    f64::from(weights[weight]) * x[at(c, y_in - 1, x_in - 1)];
                            }
                        }
                    }
                }
            }
        }
        out
    };
    let [gamma, beta, mean, variance] =
        ["weight", "bias", "running_mean", "running_var"].map(|name| of(&format!("norm.{name}")));
    let mut first = convolve(&x, of("a.weight"), &|_| vec![0, 1]);
    for (index, value) in first.iter_mut().enumerate() {
        let channel = index / (height * width);
        let [gamma, beta, mean, variance] =
            [gamma, beta, mean, variance].map(|values| f64::from(values[channel]));
        *value = (gamma * (*value - mean) / (variance + 1e-5).sqrt() + beta).clamp(0.0, 6.0);
    }
    let second = convolve(&first, of("b.weight"), &|channel| vec![channel]);
    let second: Vec<f64> = second
        .iter()
        .zip(&first)
        .enumerate()
        .map(|(index, (value, first))| {
            (value + f64::from(of("b.bias")[index / (height * width)]) + first).tanh()
        })
        .collect();
    let mut pooled = Vec::new();
    for (channel, y, column) in (0..24).map(|index| (index / 6, index / 3 % 2, index % 3)) {
        let places = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let value = |(dy, dx)| second[at(channel, 2 * y + dy, 2 * column + dx)];
        pooled.push(places.map(value).into_iter().fold(f64::NEG_INFINITY, f64::max));
    }
    let row = |(row, &bias): (&[f32], &f32)| {
        f64::from(bias) + row.iter().zip(&pooled).map(|(&w, x)| f64::from(w) * x).sum::<f64>()
    };
    of("c.weight").chunks_exact(24).zip(of("c.bias")).map(row).collect()
}

/// The network of [`convolutions`] as ONNX.
fn convolutions_in_onnx(pads: &[i64]) -> Vec<u8> {
    let mut initializer: Vec<TensorProto<'static>> = convolutions()
        .into_iter()
        .map(|(name, shape, values)| {
            let shape = shape.into_iter().map(|side| side as i64).collect();
            TensorProto::from_f32(name, shape, values)
        })
        .collect();
    let channels = |values: [f64; 2]| values.map(|value| value as f32).to_vec();
    initializer.push(TensorProto::from_f32("mean", vec![1, 2, 1, 1], channels(CHANNEL_MEAN)));
    initializer.push(TensorProto::from_f32("std", vec![1, 2, 1, 1], channels(CHANNEL_STD)));
    initializer.push(TensorProto::from_f32("zero", vec![], vec![0.0]));
    initializer.push(TensorProto::from_f32("six", vec![], vec![6.0]));
    let node = |op_type, input: &[&'static str], output, attribute: Vec<Attribute<'static>>| Node {
        name: output,
        op_type,
        input: input.to_vec(),
        output: vec![output],
        attribute,
        ..Node::default()
    };
    let window = |group| vec![wholes("pads", pads), whole("group", group)];
    let norm = ["conv", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"];
    let pool = vec![wholes("kernel_shape", &[2, 2]), wholes("strides", &[2, 2])];
    let nodes = vec![
        node(OpType::Sub, &["x", "mean"], "less", vec![]),
        node(OpType::Div, &["less", "std"], "unit", vec![]),
        node(OpType::Conv, &["unit", "a.weight"], "conv", window(1)),
        node(OpType::BatchNormalization, &norm, "normed", vec![]),
        node(OpType::Clip, &["normed", "zero", "six"], "first", vec![]),
        node(OpType::Conv, &["first", "b.weight", "b.bias"], "depthwise", window(4)),
        node(OpType::Add, &["depthwise", "first"], "sum", vec![]),
        node(OpType::MaxPool, &["sum"], "pooled", pool),
        node(OpType::Tanh, &["pooled"], "second", vec![]),
        node(OpType::Flatten, &["second"], "flat", vec![]),
        node(OpType::Gemm, &["flat", "c.weight", "c.bias"], "y", vec![whole("transB", 1)]),
    ];
    let side = |side| TensorShapeDimension { value: side, ..TensorShapeDimension::default() };
    let sides = IMAGE.map(|length| side(Dimension::Value(length as i64)));
    let dim = [side(Dimension::Param("batch"))].into_iter().chain(sides).collect();
    let tensor = TensorTypeProto { shape: Some(TensorShape { dim }), ..TensorTypeProto::default() };
    let input = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..TypeProto::default() };
    let graph = Graph {
        node: nodes,
        input: vec![ValueInfo { name: "x", r#type: Some(input), ..ValueInfo::default() }],
        output: vec![ValueInfo { name: "y", ..ValueInfo::default() }],
        initializer,
        ..Graph::default()
    };
    encoded(graph)
}

const CONVOLUTIONS: &str =
    "hidden = [\"conv 3x3x4 padding 1 relu6\", \"conv 3x3x4 padding 1 groups 4 skip 0\", \"max 2\"]
activation = \"tanh\"
layers = [{ weight = \"a.weight\", norm = \"norm\" }, \"b\", \"c\"]
[inputs]
shape = [4, 6, 2]
mean = [0.3, -1.0]
std = [0.7, 2.0]
[check]
inputs = \"x\"
outputs = \"y\"
";

/// Its tensors, with reference images and outputs.
fn convolutions_in_safetensors() -> Vec<u8> {
    let mut tensors = convolutions();
    let length: usize = IMAGE.iter().product();
    let outputs =
        images().chunks_exact(length).flat_map(convolved).map(|value| value as f32).collect();
    tensors.push(("x", [&[3][..], &IMAGE].concat(), images()));
    tensors.push(("y", vec![3, 3], outputs));
    safetensors(&tensors)
}

/// Images whose padding is another value than their mean: the padding has to stay what it was.
#[test]
fn networks_of_convolutions_give_the_original_function() {
    let model = convolutions_in_onnx(&[1, 1, 1, 1]);
    let weights = convolutions_in_safetensors();
    let length: usize = IMAGE.iter().product();
    let [channels, height, width] = IMAGE;
    let expected: Vec<Vec<f64>> = images().chunks_exact(length).map(convolved).collect();
    let check = "[check]\nfile = \"weights.safetensors\"\ninputs = \"x\"\noutputs = \"y\"\n";
    let by_onnx = [
        ("net.onnx", model.as_slice()),
        ("weights.safetensors", &weights),
        ("arch.toml", check.as_bytes()),
    ];
    let by_weights =
        [("net.safetensors", weights.as_slice()), ("arch.toml", CONVOLUTIONS.as_bytes())];
    for files in [&by_onnx[..], &by_weights] {
        let import = imported(files).expect("a network");
        let (rows, difference) = import.checked.expect("a check was asked for");
        assert!(rows == 3 && difference < 1e-5, "{difference}");
        let network = import.network;
        let padding: Vec<f32> = network.padding().expect("the first layer has some").to_vec();
        assert!((padding[0] - 0.3).abs() < 1e-6 && (padding[1] + 1.0).abs() < 1e-6, "{padding:?}");

        let mut data = schema(classes(&["a", "b", "c"]), &[]);
        let each = |values: [f32; 2]| values.into_iter().cycle().take(length).collect::<Vec<_>>();
        data.layout = Layout::Image(Shape { height, width, channels });
        (data.mean, data.std) = (each([padding[0], padding[1]]), each([1.3, 0.4]));
        let theta = network.fitted_to(&data, &[]).expect("it fits");
        let place = |index: usize| (index % channels) * height * width + index / channels;
        for (image, expected) in images().chunks_exact(length).zip(&expected) {
            let own: Vec<f32> = (0..length).map(|index| image[place(index)]).collect();
            let batch = Batch::from_rows(&data.standardise(&own), length);
            let found = outputs(network.architecture(), &theta, &batch);
            let found = found.into_iter().map(f64::from).collect();
            close(&[found], std::slice::from_ref(expected));
        }
        let columns =
            Schema { layout: columns((0..length).map(|index| index.to_string())), ..data };
        let message = network.fitted_to(&columns, &[]).expect_err("no images").to_string();
        assert!(message.contains("maps of 4 × 6 × 2, the data have columns"), "{message}");
    }
}

#[test]
fn what_is_wrong_with_convolutions_is_named() {
    let said = |files: &[(&str, &[u8])]| match imported(files) {
        Ok(_) => String::new(),
        Err(error) => format!("{error:#}"),
    };
    let onnx = convolutions_in_onnx(&[3, 3, 3, 3]);
    let message = said(&[("net.onnx", &onnx)]);
    assert!(message.contains("`sum` (Add): found a sum of [n, 4, 8, 10]"), "{message}");
    let onnx = convolutions_in_onnx(&[0, 0, 0, 0]);
    let message = said(&[("net.onnx", &onnx)]);
    let expected =
        "node `depthwise` (Conv): the window is larger than the map before it, 2 × 4 × 4";
    assert!(message.contains(expected), "{message}");
    let onnx = convolutions_in_onnx(&[1, -1, 1, 1]);
    assert!(said(&[("net.onnx", &onnx)]).contains("pads = [1, -1, 1, 1]"));
    let bytes = convolutions_in_safetensors();
    for (change, to, expected) in [
        ("[4, 6, 2]", "[6, 4, 2]", "expected n maps of [2, 6, 4]"),
        ("[4, 6, 2]", "[4, 6, 1]", "a.weight: found the shape [4, 2, 3, 3], expected [4, 1, 3, 3]"),
        ("shape = [4, 6, 2]", "", "inputs.shape"),
        ("\"b\", \"c\"", "\"c\"", "found 2 names"),
        (" skip 0", "", "row 0, output 0"),
        ("norm = \"norm\"", "norm = \"n\"", "no tensor `n.weight`"),
        ("mean = [0.3, -1.0]", "mean = [0.3]", "inputs.mean: found 1 values, expected 1 or 2"),
    ] {
        let arch = CONVOLUTIONS.replace(change, to);
        let message = said(&[("net.safetensors", &bytes), ("arch.toml", arch.as_bytes())]);
        assert!(message.contains(expected), "{change} to {to}: {message}");
    }
    let damaged = convolutions_in_onnx(&[1, 1, 1, 1]);
    for end in 0..damaged.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = damaged.clone();
            damaged[end] ^= flip;
            let _either = onnx::read(&damaged, Path::new(""), None);
        }
    }
}
