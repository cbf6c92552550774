//! Writes `a.fwk`, `a4.fwk`, `d.fwk` and `d4.fwk` anew: random numbers in networks of the shapes
//! that are compared, of int8 and of int4 weights.
//!
//!     cargo run --manifest-path tests/compare/Cargo.toml --package fiberwalk-compare-models

#[path = "../../../../formats/tests/example/mod.rs"]
mod example;

use std::path::Path;

use example::{dense, dense_4, i16s, rescale, tiny, to_bytes};
use fiberwalk_formats::{
    Activation, Artifact, Bits, Factors, Inputs, Layer, Names, Normalisation, Output, Reading,
};

fn main() -> std::io::Result<()> {
    for (name, widths) in [("a", &[64, 64, 32, 10][..]), ("d", &[256, 256])] {
        for (suffix, bits) in [("", Bits::Eight), ("4", Bits::Four)] {
            let file = to_bytes(&network(widths, bits));
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{name}{suffix}.fwk"));
            std::fs::write(path, file)?;
        }
    }
    Ok(())
}

/// A deterministic ReLU classifier of int8 inputs that are taken as they are.
fn network(widths: &[usize], bits: Bits) -> Artifact<'static> {
    let mut state = 1u32;
    // xorshift32.
    let mut random = |limit: i32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 1) as i32 % (2 * limit + 1) - limit
    };
    let names = |count: usize| Names::new("\n".repeat(count - 1).leak());
    let mut artifact = tiny();
    let features = widths[0];
    artifact.inputs = Inputs {
        names: names(features),
        normalisation: Normalisation::Whole {
            reading: Reading::I8,
            multiplier: i16s(&vec![1; features]),
            offset: i16s(&vec![0; features]),
            offset_shift: 0,
            shift: 0,
        },
    };
    artifact.layers.clear();
    for (index, pair) in widths.windows(2).enumerate() {
        let limit = bits.offset() - 1;
        let weights: Vec<i8> = (0..pair[0] * pair[1]).map(|_| random(limit) as i8).collect();
        let bias: Vec<i16> = (0..pair[1]).map(|_| random(2000) as i16).collect();
        let scaling = rescale(&vec![1 << 14; pair[1]], 18);
        let layer = Layer {
            mean: match bits {
                Bits::Eight => dense(pair[0], &weights, &bias),
                Bits::Four => dense_4(pair[0], &weights, &bias),
            },
            factors: Factors::Frozen,
            activation: if index + 2 == widths.len() {
                Activation::Logits(scaling)
            } else {
                Activation::Relu(scaling)
            },
        };
        artifact.layers.push(layer).expect("few layers");
    }
    artifact.trunk = None;
    artifact.codes.stored = example::i8s(&[]);
    if let Output::Classification { classes, .. } = &mut artifact.output {
        *classes = names(widths[widths.len() - 1]);
    }
    artifact.scratch_len = artifact.required_scratch() as u32;
    artifact
}
