//! A small finished run.

use std::fs;
use std::path::Path;

use fiberwalk::{Data, TaskKind, TrainOptions, train};

/// Nothing is searched for, and every stage takes milliseconds.
pub const SETTINGS: &str = "\
[network]
hidden = [2]
[map]
prior_precision = 1.0
steps = 2
[walk]
starts = 1
particles = 2
steps = 2
drift = \"isotropic\"
temperature = 1.0
[latent]
dim = 1
decoder = [\"low-rank:1\", \"low-rank:1\"]
reconstruction = 0.0
steps = 2
[export]
samples = 2
weight_bits = [8, 8]
factor_bits = 8
";

/// Names of the run's files that are read back.
pub const FILES: [&str; 16] = [
    "calibration-rows.safetensors",
    "calibration.json",
    "choices.json",
    "config.toml",
    "cost-curve.json",
    "data.json",
    "latent-trace.safetensors",
    "latent.json",
    "latent.safetensors",
    "map-trace.safetensors",
    "map.safetensors",
    "particles/group-000.safetensors",
    "particles/trace-000.safetensors",
    "precision.json",
    "requested.toml",
    "walk.json",
];

/// Trains to the folder `out`, from data beside it.
pub fn train_to(out: &Path) {
    let data = out.with_extension("csv");
    let rows = (0..40).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 7 > row % 5));
    fs::write(&data, format!("a,b,above\n{}", rows.collect::<String>())).expect("writable");
    let data = Data::file(data).target("above").task(TaskKind::Classification);
    let config = SETTINGS.parse().expect("settings");
    train(&data, out, &TrainOptions { config, seed: 5, ..TrainOptions::default() })
        .expect("trained");
}
