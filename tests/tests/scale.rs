//! What a walk of a million parameters takes, measured: the memory that `fiberwalk walk` tells
//! before it starts is enough and not much too much; the time is shown, with what it makes of 1024
//! particles.
//!
//! ```text
//! cargo test --package fiberwalk-tests --test scale -- --nocapture              # seconds
//! cargo test --package fiberwalk-tests --test scale -- --nocapture --ignored    # full batches
//! ```
#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::fs;

use fiberwalk_tests::{Finished, fiberwalk};

/// Features; with hidden layers of 1024 and 200 units and ten classes, 1,010,850 parameters.
const FEATURES: usize = 784;
const PARAMETERS: usize = 1_010_850;
/// What the measurement is drawn out to.
const PARTICLES: usize = 1024;
const STEPS: usize = 1000;
/// The memory told is at most this many times that taken.
const SLACK: f64 = 2.0;

/// Rows of ten classes, each with features of its own raised.
fn table(rows: usize) -> String {
    let mut state = 1u64;
    let mut uniform = || {
        // Knuth's MMIX generator: the upper bits are good enough for noise.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 57
    };
    let names: Vec<String> = (0..FEATURES).map(|feature| format!("f{feature}")).collect();
    let mut csv = names.join(",") + ",class\n";
    for row in 0..rows {
        let class = row % 10;
        for feature in 0..FEATURES {
            let raised = if feature % 10 == class { 64 } else { 0 };
            write!(csv, "{},", uniform() + raised).expect("a string grows");
        }
        writeln!(csv, "c{class}").expect("a string grows");
    }
    csv
}

/// The number before `unit` in a text that ends in it.
fn number(text: &str, before: &str, unit: &str) -> f64 {
    let (_, from) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in: {text}"));
    let (value, _) = from.split_once(unit).unwrap_or_else(|| panic!("no `{unit}` in: {from}"));
    value.trim().parse().unwrap_or_else(|_| panic!("no number: {value}"))
}

/// Walks one of `shards` shards of a network on so many rows, on one thread.
fn measure(rows: usize, steps: usize, batch_rows: usize, shards: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!(
        "[network]\nhidden = [1024, 200]\nactivation = \"relu\"\n[map]\nprior_precision = [10, 10, 1]\n\
         steps = 1\n[walk]\nparticles = {PARTICLES}\nsteps = {steps}\nbatch_rows = {batch_rows}\n\
         drift = \"isotropic\"\ntemperature = 0.1\n"
    );
    fs::write(folder.path().join("large.csv"), table(rows)).expect("writable");
    fs::write(folder.path().join("large.toml"), config).expect("writable");
    let train = "train large.csv --target class --config large.toml --quiet --out run --until map";
    Finished::success(folder.path(), train.split(' '));

    let mut command = fiberwalk();
    command.args(["walk", "run", "--shard", &format!("1/{shards}"), "--out", "shard"]);
    command.current_dir(folder.path()).env("RAYON_NUM_THREADS", "1");
    let finished: Finished = command.output().expect("fiberwalk starts").into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let said = finished.stderr;
    let walked = PARTICLES / shards;
    assert!(said.contains(&format!("{walked} particles of {PARAMETERS} parameters")), "{said}");
    assert!(said.contains(&format!("{} particle-steps", walked * steps)), "{said}");

    let (told, taken) = (number(&said, "memory", "MB"), number(&said, "peak memory", "MB"));
    let each = number(&said, "; ", "ms a particle-step");
    let days = each / 1000.0 * (PARTICLES * STEPS) as f64 / 86_400.0;
    println!("{said}");
    println!(
        "{PARAMETERS} parameters, {rows} rows: {each:.0} ms a particle-step and thread; \
         {PARTICLES} particles of {STEPS} steps: {days:.1} days of one thread"
    );
    assert!(taken <= told, "told {told} MB, taken {taken} MB");
    assert!(told <= SLACK * taken, "told {told} MB, taken {taken} MB");
}

#[test]
fn a_million_parameters_stay_within_the_memory_told() {
    measure(60, 2, 2048, 256);
}

#[test]
#[ignore = "takes minutes: full batches of the default size"]
fn a_million_parameters_on_full_batches() {
    // A tenth of the rows is set aside to calibrate with.
    measure(2270, 10, 2048, 128);
    measure(2270, 10, 512, 128);
}
