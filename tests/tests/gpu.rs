//! Training on a GPU, whatever there is: a software one is slow, and right.

use std::fs;
use std::path::Path;

use fiberwalk_tests::{Finished, waves};
use serde_json::Value;
use tempfile::TempDir;

/// Small enough for a software GPU.
const CONFIG: &str = "\
[network]
hidden = [8]
[map]
prior_precision = [3, 1]
noise_std = 0.25
steps = 30
learning_rate = 0.05
[walk]
particles = 20
steps = 20
learning_rate = 0.05
drift = \"data-noise\"
temperature = 1.0
[latent]
dim = 2
decoder = [\"low-rank:2\", \"dense:2\"]
steps = 20
";
const TRAIN: &str = "train waves.csv --target height --config small.toml";

/// A folder with data to train on and to test with.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name, text: String| fs::write(folder.path().join(name), text).expect("writable");
    write("waves.csv", waves(0..1100));
    write("test.csv", waves(1100..1500));
    write("small.toml", CONFIG.to_owned());
    folder
}

fn succeed(folder: &Path, arguments: &str) -> Finished {
    Finished::success(folder, arguments.split_whitespace())
}

fn nll(folder: &Path, run: &str, engine: &str) -> f64 {
    succeed(
        folder,
        &format!("evaluate {run} test.csv --target height --engine {engine} --json scores.json"),
    );
    let text = fs::read_to_string(folder.join("scores.json")).expect("written");
    let scores: Value = serde_json::from_str(&text).expect("JSON");
    scores["nll"].as_f64().expect("a number")
}

#[test]
fn devices_are_listed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listed = succeed(folder.path(), "devices --json").stdout;
    let adapters: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    assert!(!adapters.is_empty(), "no GPU adapter; ./tests/setup installs a software one");
    assert!(adapters.iter().all(|adapter| adapter["max_binding"].as_u64() >= Some(128 << 20)));
    assert!(succeed(folder.path(), "devices").stdout.contains("gpu:0"));
}

#[test]
fn a_gpu_trains_what_the_processor_does() {
    let folder = prepared();
    let folder = folder.path();
    succeed(folder, &format!("{TRAIN} --out cpu --quiet"));
    let said = succeed(folder, &format!("{TRAIN} --out gpu --device gpu:0"));
    assert!(said.stderr.contains("of the GPU"), "memory is told: {}", said.stderr);
    for engine in ["map", "particles", "float", "runtime"] {
        let (found, expected) = (nll(folder, "gpu", engine), nll(folder, "cpu", engine));
        assert!((found - expected).abs() < 0.005, "NLL of {engine}: {found} but {expected}");
    }
}

#[test]
fn a_run_goes_on_on_another_device() {
    let folder = prepared();
    let folder = folder.path();
    succeed(folder, &format!("{TRAIN} --out run --quiet --until walk"));
    let walked = folder.join("run/particles/group-000.safetensors");
    let before = fs::read(&walked).expect("a group");
    // As if the walk had been interrupted before its last group.
    fs::remove_file(folder.join("run/particles/group-001.safetensors")).expect("there");
    fs::remove_file(folder.join("run/walk.json")).expect("there");
    succeed(folder, &format!("{TRAIN} --out run --quiet --resume --device gpu:0"));
    assert_eq!(fs::read(&walked).expect("a group"), before, "what was walked is kept");
    succeed(folder, &format!("{TRAIN} --out whole --quiet"));
    let (found, expected) = (nll(folder, "run", "runtime"), nll(folder, "whole", "runtime"));
    assert!((found - expected).abs() < 0.005, "NLL {found} but {expected}");
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let folder = prepared();
    let arguments = format!("{TRAIN} --out run --device gpu:99");
    let finished = Finished::run(folder.path(), arguments.split_whitespace());
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("no GPU of number 99"), "{}", finished.stderr);
    assert!(!folder.path().join("run").exists());
    let arguments = format!("{TRAIN} --out run --device tpu");
    let finished = Finished::run(folder.path(), arguments.split_whitespace());
    assert!(finished.stderr.contains("found \"tpu\", expected \"auto\""), "{}", finished.stderr);
}
