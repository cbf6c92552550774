//! The ways of `docs/networks.md`: networks of other libraries come in, and particles go out. The page's
//! Python is run as it stands, with the libraries that `tests/setup` installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fiberwalk_tests::{Finished, digits, root};

/// Settings that walk and fit within seconds.
const SMALL: &str = "\
[map]
prior_precision = 1.0
steps = 100
[walk]
particles = 16
steps = 100
drift = \"isotropic\"
temperature = 0.1
[latent]
decoder = [\"frozen\", \"low-rank:4\"]
steps = 1500
[calibration]
fraction = 0.2
";

/// A folder with the digits' training and test rows.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = |test: bool| digits((0..1797).filter(move |row| (row % 5 == 3) == test));
    fs::write(folder.path().join("train.csv"), rows(false)).expect("writable");
    fs::write(folder.path().join("test.csv"), rows(true)).expect("writable");
    fs::write(folder.path().join("small.toml"), SMALL).expect("writable");
    folder
}

/// Python with the libraries of the page, beside those of other checks.
fn python() -> PathBuf {
    let python = root().join("target/networks/bin/python");
    assert!(python.exists(), "{} is missing: run tests/setup", python.display());
    python
}

/// Runs Python code to its end.
fn run_python(folder: &Path, code: &str) -> String {
    let output = Command::new(python())
        .args(["-c", code])
        .current_dir(folder)
        .env("JAX_PLATFORMS", "cpu")
        .output()
        .expect("python starts");
    let finished = Finished::from(output);
    assert_eq!(finished.code, Some(0), "{code}\n{}", finished.stderr);
    finished.stdout
}

/// The Python blocks under a heading of the page.
fn blocks(heading: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/networks.md")).expect("the page is there");
    let (_, after) = text.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = after.split("\n## ").next().unwrap_or_default();
    let code = |block: &str| block.split_once("\n```").expect("it ends").0.to_owned();
    section.split("\n```python\n").skip(1).map(code).collect()
}

/// The first of them.
fn block(heading: &str) -> String {
    blocks(heading).swap_remove(0)
}

fn run(folder: &Path, arguments: &str) -> Finished {
    Finished::success(folder, arguments.split_whitespace())
}

/// Share of the test rows that an engine gets right.
fn accuracy(folder: &Path, test: &str, engine: &str) -> f64 {
    let shown = run(folder, &format!("evaluate run {test} --engine {engine}")).stdout;
    let line = shown.lines().find(|line| line.starts_with("accuracy")).expect("it has a score");
    line.split_whitespace().nth(1).and_then(|value| value.parse().ok()).expect("a number")
}

/// Imports a network that is summed up so, and that gives what the original gives.
fn import(folder: &Path, model: &str, name: &str, summary: &str) {
    let imported = run(folder, &format!("import {model} --arch {name}.toml")).stdout;
    assert!(imported.contains(summary), "{imported}");
    assert!(
        imported.contains("its outputs for 100 reference rows differ by at most"),
        "{imported}"
    );
}

/// Every engine of the run gets nearly all test rows right.
fn check_accuracy(folder: &Path, test: &str, name: &str) {
    for engine in ["map", "particles", "runtime"] {
        let accuracy = accuracy(folder, test, engine);
        assert!(accuracy > 0.93, "{name}, {engine}: {accuracy}");
    }
}

/// Imports the network that a block of the page leaves, walks from it, and compares what comes of it.
fn from_library(heading: &str, model: &str, name: &str) {
    let folder = folder();
    let folder = folder.path();
    run_python(folder, &block(heading));
    import(folder, model, name, "64-50-10, tanh, 3760 parameters");
    let network = format!("--network {name}-network.safetensors");
    run(
        folder,
        &format!("train train.csv --target digit --config small.toml --out run --quiet {network}"),
    );
    let report = fs::read_to_string(folder.join("run/report.html")).expect("training leaves it");
    assert!(report.contains("a network trained elsewhere") && !report.contains("Loss of MAP"));
    check_accuracy(folder, "test.csv --target digit", heading);
}

#[test]
fn a_network_of_keras_walks() {
    from_library("Keras", "keras.safetensors", "keras");
}

#[test]
fn a_network_of_scikit_learn_walks() {
    from_library("scikit-learn, by ONNX", "sklearn.onnx", "sklearn");
}

/// Settings for the digits as images.
fn small_convolutions() -> String {
    SMALL.replace("[\"frozen\", \"low-rank:4\"]", "[\"frozen\", \"frozen\", \"low-rank:4\"]")
}

/// Imports the network that piece number `place` of the page's Python about convolutions leaves, and walks from it.
fn convolutions_from_library(
    place: usize,
    model: &str,
    name: &str,
    options: &str,
) -> tempfile::TempDir {
    let owned = folder();
    let folder = owned.path();
    fs::write(folder.join("small.toml"), small_convolutions()).expect("writable");
    run_python(folder, &blocks("Convolutions")[place]);
    let summary =
        "maps of 8 × 8 × 1: conv 3x3x8 padding 1 relu, max 2, 16 relu, 10, 2314 parameters";
    import(folder, model, name, summary);
    let network = format!("--network {name}-network.safetensors");
    run(
        folder,
        &format!("train train.npz {options} --config small.toml --out run --quiet {network}"),
    );
    run_python(
        folder,
        "
import numpy as np
data = np.loadtxt('test.csv', delimiter=',', skiprows=1, dtype=np.float32)
shape = np.load('train.npz')['x'].shape
np.savez('test.npz', x=data[:, :-1].reshape(-1, *shape[1:]), y=data[:, -1].astype(int))
",
    );
    // A run remembers which layers walk, but not how arrays lie.
    let reading = if options.starts_with("--channels") { options } else { "" };
    check_accuracy(folder, &format!("test.npz {reading}"), name);
    owned
}

/// What comes in from Keras goes out to whoever convolves as PyTorch does, and predicts the same. Layers walk
/// by their names there.
#[test]
fn convolutions_of_keras_walk_and_go_out() {
    let walk = "--walk-layers hidden,out*";
    let folder = convolutions_from_library(1, "keras-conv.safetensors", "keras-conv", walk);
    let folder = folder.path();
    run(folder, "export run --out ensemble.safetensors");
    run(folder, "export run --engine map --out map.safetensors");
    run(folder, "predict run test.npz --engine map --out map.csv");
    let compare = "
import json, jax, jax.numpy as jnp, numpy as np
from safetensors import safe_open
with safe_open('ensemble.safetensors', 'numpy') as file:
    walked = [name for name in file.keys() if np.ptp(file.get_tensor(name), axis=0).max() > 0]
assert sorted(walked) == ['4.bias', '4.weight', '6.bias', '6.weight'], walked
x = jnp.moveaxis(np.load('test.npz')['x'], -1, 1)
with safe_open('map.safetensors', 'numpy') as file:
    t = {key: file.get_tensor(key) for key in file.keys()}
    about = json.loads(file.metadata()['fiberwalk'])
assert about['shape'] == [1, 8, 8] and about['hidden'] == ['conv 3x3x8 padding 1 relu', 'max 2', '16 relu'], about
x = x - np.array(about['mean'], np.float32)[:, None, None]
x = jax.lax.conv_general_dilated(x, t['0.weight'], (1, 1), [(1, 1), (1, 1)]) + t['0.bias'][:, None, None]
x = jax.nn.relu(x).reshape(len(x), 8, 4, 2, 4, 2).max((3, 5)).reshape(len(x), -1)
x = jax.nn.relu(x @ t['4.weight'].T + t['4.bias'])
logits = x @ t['6.weight'].T + t['6.bias']
p = jax.nn.softmax(logits / about['temperature'])
expected = np.genfromtxt('map.csv', delimiter=',', skip_header=1, usecols=range(10))
assert np.abs(p - expected).max() < 1e-3, np.abs(p - expected).max()
";
    run_python(folder, compare);
}

/// As [`a_network_of_pytorch_walks_and_returns`].
#[test]
#[ignore = "needs PyTorch, several gigabytes"]
fn convolutions_of_pytorch_walk() {
    convolutions_from_library(0, "conv.onnx", "conv", "--channels-first");
}

/// PyTorch takes gigabytes: `pip install torch onnx onnxscript` in `target/networks`, then `-- --ignored`.
#[test]
#[ignore = "needs PyTorch, several gigabytes"]
fn a_network_of_pytorch_walks_and_returns() {
    from_library("PyTorch", "net.safetensors", "net");
    let folder = folder();
    let folder = folder.path();
    run_python(folder, &block("PyTorch"));
    run(folder, "import net.safetensors --arch net.toml");
    let options = "--config small.toml --quiet --network net-network.safetensors";
    run(folder, &format!("train train.csv --target digit {options}"));
    run(folder, "export train-run --out ensemble.safetensors");
    run_python(folder, &format!("{}\nassert probabilities.shape == (5, 10)", block("And back")));
}

/// What goes out predicts what the run predicts, and what comes back is the network that went out.
#[test]
fn exported_networks_predict_what_the_run_predicts() {
    let folder = folder();
    let folder = folder.path();
    let config = format!("[network]\nhidden = [24]\n{SMALL}");
    fs::write(folder.join("own.toml"), config).expect("writable");
    run(folder, "train train.csv --target digit --config own.toml --out own --quiet");
    run(folder, "export own --out ensemble.safetensors");
    run(folder, "export own --engine float --samples 8 --seed 3 --out draws.safetensors");
    run(folder, "predict own test.csv --engine particles --out particles.csv");
    run(folder, "predict own test.csv --engine float --samples 8 --seed 3 --out draws.csv");
    let compare = "
import json, numpy as np
from safetensors import safe_open
for name, count in [('ensemble', 16), ('draws', 8)]:
    expected = {'ensemble': 'particles', 'draws': 'draws'}[name]
    expected = np.genfromtxt(expected + '.csv', delimiter=',', skip_header=1, usecols=range(10))
    x = np.loadtxt('test.csv', delimiter=',', skiprows=1)[:, :-1]
    with safe_open(name + '.safetensors', 'numpy') as file:
        t = {key: file.get_tensor(key) for key in file.keys()}
        about = json.loads(file.metadata()['fiberwalk'])
    assert t['0.weight'].shape == (count, 24, 64) and t['2.bias'].shape == (count, 10)
    hidden = np.tanh(np.einsum('nhi,ri->nrh', t['0.weight'], x) + t['0.bias'][:, None])
    logits = np.einsum('noh,nrh->nro', t['2.weight'], hidden) + t['2.bias'][:, None]
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p = (p / p.sum(-1, keepdims=True)).mean(0) ** (1 / about['temperature'])
    p = p / p.sum(-1, keepdims=True)
    assert about['classes'] == [str(c) for c in range(10)] and len(about['features']) == 64
    inside = np.abs(p - expected).max(-1) < 1e-3
    # The run clips what lies beyond five standard deviations.
    assert inside.mean() > 0.8, (name, np.abs(p - expected).max())
";
    run_python(folder, compare);

    // One network goes out and comes back.
    run(folder, "export own --engine map --out map.safetensors");
    fs::write(folder.join("map.toml"), "activation = \"tanh\"\nlayers = [\"0\", \"2\"]\n")
        .expect("writable");
    run(folder, "import map.safetensors --arch map.toml");
    let network = "--network map-network.safetensors";
    run(
        folder,
        &format!("train train.csv --target digit --config own.toml --out again --quiet {network}"),
    );
    let probabilities = |run_of: &str| {
        run(folder, &format!("predict {run_of} test.csv --engine map --out map.csv"));
        let text = fs::read_to_string(folder.join("map.csv")).expect("written");
        let row = |line: &str| -> Vec<f64> {
            line.split(',').take(10).map(|field| field.parse().expect("a number")).collect()
        };
        text.lines().skip(1).flat_map(row).collect::<Vec<f64>>()
    };
    let (own, again) = (probabilities("own"), probabilities("again"));
    let apart = own.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(own.len() == again.len() && apart < 1e-4, "{apart}");

    // Another network is another run.
    let resume = "train train.csv --target digit --config own.toml --out again --quiet --resume";
    assert_eq!(
        Finished::run(folder, format!("{resume} {network}").split_whitespace()).code,
        Some(0)
    );
    let other = Finished::run(folder, resume.split_whitespace());
    assert!(other.code != Some(0) && !other.stderr.is_empty(), "{}", other.stderr);
    let runtime = Finished::run(folder, "export own --engine runtime --out x".split_whitespace());
    assert!(runtime.stderr.contains("`engine` particles"), "{}", runtime.stderr);
}
