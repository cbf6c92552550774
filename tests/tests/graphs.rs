//! Random ONNX graphs, with every operator that import accepts, odd sides and both layouts: each is refused, or gives
//! what onnxruntime gives.

use std::fs;
use std::path::Path;
use std::process::Command;

use fiberwalk_tests::{Finished, root};

const SEED: u64 = 1;
const GRAPHS: usize = 150;
/// Share of the graphs that has to be accepted, for the others to say something.
const ACCEPTED: f64 = 0.4;

/// Writes the graphs with rows that onnxruntime computed.
fn write_graphs(folder: &Path) {
    let output = Command::new(root().join("target/networks/bin/python"))
        .arg(root().join("tests/graphs/random_graphs.py"))
        .args([SEED.to_string(), GRAPHS.to_string()])
        .current_dir(folder)
        .output()
        .expect("tests/setup installs Python and its libraries");
    let finished = Finished::from(output);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn a_graph_is_refused_or_gives_what_onnxruntime_gives() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    write_graphs(folder);
    let mut accepted = 0;
    for graph in 0..GRAPHS {
        let arguments =
            format!("import {graph}.onnx --arch {graph}.toml --out {graph}-network.safetensors");
        let finished = Finished::run(folder, arguments.split_whitespace());
        if finished.code == Some(0) {
            accepted += 1;
            continue;
        }
        let message = &finished.stderr;
        let model = fs::read(folder.join(format!("{graph}.onnx"))).expect("it was written").len();
        // Another number is a fault: only the graph's operators, attributes and shapes are reasons.
        let wrong =
            message.contains("the imported network gives") || message.contains("a fault of import");
        assert!(
            finished.code == Some(1) && !wrong,
            "graph {graph} of seed {SEED}, {model} bytes, code {:?}: {message}",
            finished.code
        );
    }
    let share = f64::from(accepted) / GRAPHS as f64;
    assert!(share >= ACCEPTED, "{accepted} of {GRAPHS} graphs are accepted");
}
