//! Writes `a.fwk` and `d.fwk` anew: random numbers in networks of the shapes that are compared.
//!
//!     cargo run --manifest-path tests/compare/Cargo.toml --package fiberwalk-compare-models

#[path = "../../../../formats/tests/example/mod.rs"]
mod example;

use std::path::Path;

use example::{Shape, Structure, random, to_bytes};

fn main() -> std::io::Result<()> {
    let a = Shape {
        features: 64,
        layers: [64, 32, 10].map(|outputs| (outputs, Structure::Frozen)).into(),
        tanh: false,
        latent_dim: 1,
        trunk: None,
        stored: 1,
        regression: false,
        seed: 1,
    };
    // One output more than the layer that is measured: a model ends in a prediction.
    let d = Shape {
        features: 256,
        layers: [256, 1].map(|outputs| (outputs, Structure::Frozen)).into(),
        regression: true,
        ..a.clone()
    };
    for (name, shape) in [("a.fwk", a), ("d.fwk", d)] {
        let file = to_bytes(&random(&shape));
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(name), file)?;
    }
    Ok(())
}
