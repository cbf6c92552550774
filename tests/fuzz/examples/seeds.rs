//! Writes the files that fuzzing starts from: a network of every kind, of random numbers.
//!
//!     cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds

#[path = "../../../formats/tests/example/mod.rs"]
mod example;

use std::path::Path;

use example::{Shape, Structure, convolutional, random, random_maps, tiny, to_bytes};

const STRUCTURES: [(&str, Structure); 3] = [
    ("frozen", Structure::Frozen),
    ("low-rank", Structure::LowRank(3)),
    ("dense", Structure::Dense(2)),
];

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/artifact");
    std::fs::create_dir_all(&corpus)?;
    std::fs::write(corpus.join("tiny.fwk"), to_bytes(&tiny()))?;
    std::fs::write(corpus.join("convolutional.fwk"), to_bytes(&convolutional().0))?;
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
        std::fs::write(corpus.join(format!("maps-{seed}.fwk")), file)?;
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
                    std::fs::write(corpus.join(name), file)?;
                }
            }
        }
    }
    Ok(())
}
