//! Trains and exports the files of the format's current version for `tests/compat`, or those named; see
//! `tests/compat/make`.

use std::path::Path;
use std::{env, fs, io};

use fiberwalk_formats::{Factors, I8s, VERSION, decode, encode};
use fiberwalk_tests::{Finished, colourful, digits, npy, root, waves};

/// A file: its name, data with how to read them, target and what its settings add to [`SETTINGS`].
struct Kind {
    name: &'static str,
    data: &'static str,
    target: &'static str,
    network: &'static str,
    decoder: &'static str,
    export: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "tanh-low-rank-int8",
        data: "waves.csv",
        target: "kind",
        network: "hidden = [9, 6]",
        decoder: r#"["low-rank:2", "low-rank:3", "low-rank:2"]"#,
        export: "weight_bits = [8, 8, 8]\nfactor_bits = 8\ncodes = \"stored\"\ntrunk = false",
    },
    Kind {
        name: "relu-int4",
        data: "waves.csv",
        target: "kind",
        network: "hidden = [11]\nactivation = \"relu\"",
        decoder: r#"["low-rank:2", "low-rank:2"]"#,
        export: "weight_bits = [4, 4]\nfactor_bits = 4\ncodes = \"stored\"",
    },
    Kind {
        name: "number-dense",
        data: "waves.csv",
        target: "height",
        network: "hidden = [10]",
        decoder: r#"["dense:2", "dense:2"]"#,
        export: "weight_bits = [8, 8]\nfactor_bits = 8\ncodes = \"stored\"",
    },
    Kind {
        name: "mixture",
        data: "waves.csv",
        target: "kind",
        network: "hidden = [9, 7]",
        decoder: r#"["members:3", "members:3", "members:3"]"#,
        export: "weight_bits = [8, 4, 8]\ncodes = \"stored\"",
    },
    Kind {
        name: "number-drawn",
        data: "waves.csv",
        target: "height",
        network: "hidden = [8, 8]\nactivation = \"relu\"",
        decoder: r#"["frozen", "low-rank:3", "dense:1"]"#,
        export: "weight_bits = [8, 4, 8]\nfactor_bits = 8\ncodes = \"low-discrepancy\"",
    },
    Kind {
        name: "raw-u8",
        data: "digits.csv",
        target: "digit",
        network: "hidden = [8]",
        decoder: r#"["frozen", "low-rank:3"]"#,
        export: "weight_bits = [4, 8]\nfactor_bits = 8\ncodes = \"normal\"\ninput = \"u8\"",
    },
    Kind {
        name: "colour-convolutions",
        data: "colour.npy --labels brightest.npy",
        target: "brightest",
        network: "hidden = [\"conv 2x2x4\", \"max 3\", 6]",
        decoder: r#"["low-rank:2", "frozen", "low-rank:2"]"#,
        export: "weight_bits = [8, 4, 8]\nfactor_bits = 8\ncodes = \"stored\"\ninput = \"u8\"",
    },
];

/// The mean weights of one of them.
const FROZEN: &str = "frozen";

/// Settings of all kinds: training is short, and nothing is chosen.
fn settings(kind: &Kind) -> String {
    format!(
        "[network]\n{}\n[map]\nprior_precision = 1.0\nnoise_std = 0.2\nsteps = 300\n\
         [walk]\nparticles = 16\nsteps = 150\ndrift = \"isotropic\"\ntemperature = 1.0\n\
         [latent]\ndim = 2\nsteps = 300\ndecoder = {}\n[export]\nsamples = 8\n{}\n",
        kind.network, kind.decoder, kind.export
    )
}

fn main() -> io::Result<()> {
    let folder = root().join(format!("tests/compat/v{VERSION}"));
    let work = tempfile::tempdir()?;
    fs::create_dir_all(&folder)?;
    fs::write(work.path().join("waves.csv"), waves(0..400))?;
    fs::write(work.path().join("digits.csv"), digits((0..1200).step_by(3)))?;
    let (pixels, brightest) = colourful();
    fs::write(work.path().join("colour.npy"), npy("240, 4, 4, 3", &pixels))?;
    fs::write(work.path().join("brightest.npy"), npy("240,", &brightest))?;
    let named: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| named.is_empty() || named.iter().any(|wanted| wanted == name);
    for kind in KINDS.iter().filter(|kind| wanted(kind.name)) {
        let Kind { name, data, target, .. } = kind;
        let run = work.path().join(name);
        fs::write(run.with_extension("toml"), settings(kind))?;
        let command = format!("train {data} --target {target} --config {name}.toml --out {name}");
        Finished::success(work.path(), command.split(' ').chain(["--quiet"]));
        write(&folder, name, &fs::read(run.join("model.fwk"))?)?;
    }
    if wanted(FROZEN) {
        let tanh = fs::read(folder.join("tanh-low-rank-int8.fwk"))?;
        write(&folder, FROZEN, &frozen(&tanh))?;
    }
    Ok(())
}

/// The network of mean weights in `file`: training makes none without a stochastic layer.
fn frozen(file: &[u8]) -> Vec<u8> {
    let mut artifact = decode(file).expect("it was exported");
    artifact.layers.iter_mut().for_each(|layer| layer.factors = Factors::Frozen);
    artifact.trunk = None;
    artifact.codes.stored = I8s::new(&[]);
    artifact.scratch_len = artifact.required_scratch() as u32;
    let mut frozen = vec![0; file.len()];
    let length = encode(&artifact, &mut frozen).expect("it is shorter");
    frozen.truncate(length);
    frozen
}

/// Writes a file, and removes what an earlier one of the name predicted.
fn write(folder: &Path, name: &str, file: &[u8]) -> io::Result<()> {
    let path = folder.join(name).with_extension("fwk");
    fs::write(&path, file)?;
    match fs::remove_file(path.with_extension("txt")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
