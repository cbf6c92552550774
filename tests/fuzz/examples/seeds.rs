//! Writes the files that fuzzing starts from: a network of every kind, of random numbers; the files of a small
//! run; settings; a matrix; an imported network.
//!
//!     cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds

#[path = "../../../formats/tests/example/mod.rs"]
mod example;
#[path = "../fuzz_targets/finished/mod.rs"]
mod finished;

use std::fs;
use std::path::Path;

use fiberwalk::internals::import::import;

use example::{
    Shape, Structure, convolutional, frozen, mixture, random, random_maps, tiny, to_bytes,
};

const STRUCTURES: [(&str, Structure); 3] = [
    ("frozen", Structure::Frozen),
    ("low-rank", Structure::LowRank(3)),
    ("dense", Structure::Dense(2)),
];

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    artifacts(&corpora.join("artifact"))?;
    run(&corpora)
}

/// Every file of a small run behind a line with its name, the settings that it was made with and those with
/// every choice filled in, its best network as a matrix, and a network of another library with reference rows.
fn run(corpora: &Path) -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path().join("run");
    finished::train_to(&run);
    for corpus in ["run_files", "settings", "network"] {
        fs::create_dir_all(corpora.join(corpus))?;
    }
    for name in finished::FILES {
        let bytes = [name.as_bytes(), b"\n", &fs::read(run.join(name))?].concat();
        fs::write(corpora.join("run_files").join(name.replace('/', "-")), bytes)?;
    }
    fs::write(corpora.join("settings/some"), finished::SETTINGS)?;
    fs::copy(run.join("config.toml"), corpora.join("settings/all"))?;
    fs::copy(run.join("map.safetensors"), corpora.join("network/matrix"))?;
    let model = folder.path().join("model.onnx");
    fs::copy(corpora.join("onnx/graph00"), &model)?;
    let imported = import(&model, None).expect("a graph that import accepts");
    imported.network.write(&corpora.join("network/imported")).map_err(std::io::Error::other)
}

fn artifacts(corpus: &Path) -> std::io::Result<()> {
    fs::create_dir_all(corpus)?;
    fs::write(corpus.join("tiny.fwk"), to_bytes(&tiny()))?;
    fs::write(corpus.join("convolutional.fwk"), to_bytes(&convolutional().0))?;
    let network = frozen(3, &[5, 4, 3], false, 2);
    let codes = [vec![0, 0], vec![2, 2], vec![1, 0]];
    fs::write(corpus.join("mixture.fwk"), to_bytes(&mixture(&network, &[0, 2], 2, &codes, 3)))?;
    for seed in 1..=12 {
        // The seed chooses shapes too.
        let file = to_bytes(&random_maps(&Shape {
            features: 0,
            layers: vec![(0, Structure::Frozen); 2 + seed as usize % 3],
            tanh: false,
            latent_dim: 2,
            trunk: (seed % 2 == 0).then_some(2),
            stored: 3,
            regression: seed % 3 == 0,
            seed: 977 * seed,
        }));
        fs::write(corpus.join(format!("maps-{seed}.fwk")), file)?;
    }
    // The seed chooses bits of weights, floats or raw readings, and their type.
    let mut seed = 0;
    for (name, structure) in STRUCTURES {
        for (activation, tanh) in [("tanh", true), ("relu", false)] {
            for (task, regression) in [("classes", false), ("number", true)] {
                let middle = if regression { structure } else { Structure::LowRank(1) };
                for (codes, trunk, stored) in
                    [("stored", None, 3), ("drawn", Some(4), 0), ("both", Some(2), 6)]
                {
                    seed += 1;
                    let file = to_bytes(&random(&Shape {
                        features: 1 + seed as usize % 5,
                        layers: vec![
                            (9, structure),
                            (5, middle),
                            (if regression { 1 } else { 3 }, structure),
                        ],
                        tanh,
                        latent_dim: 3,
                        trunk,
                        stored,
                        regression,
                        seed,
                    }));
                    let name = format!("{name}-{activation}-{task}-{codes}.fwk");
                    fs::write(corpus.join(name), file)?;
                }
            }
        }
    }
    Ok(())
}
