//! Trains on public data sets and prints every stage's scores on held-out rows, as Markdown.
//!
//! `cargo run --release -p fiberwalk-evaluate -- DATA WORK` reads `DATA/NAME.csv` (target last, named
//! `label` or `target`; `NAME_split0_test_rows.txt` where the split is fixed) and leaves runs and
//! `results.json` in `WORK`. What is there already is not done again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Parser;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use fiberwalk::config::{Choice, Config};
use fiberwalk::data::{Table, TaskKind};
use fiberwalk::device::Device;
use fiberwalk::engine::{Draws, Predictor};
use fiberwalk::metrics::Scores;
use fiberwalk::pipeline::{Run, TrainOptions, train};
use fiberwalk::progress::Progress;
use fiberwalk::random::{Purpose, stream};
use fiberwalk::run_dir::write_atomically;
use fiberwalk_formats::CodeSource;

/// Classification sets, 70/30 splits by seeds 0 to 2.
const CLASSIFICATION: [&str; 5] = ["digits", "wdbc", "wine", "banana", "penbased"];
/// Regression sets and their number of splits; a fixed split is split 0.
const REGRESSION: [(&str, u64); 3] = [("power", 1), ("kin8nm", 1), ("wine_red", 3)];
/// Splits of a classification set.
const SPLITS: u64 = 3;
/// Of ten rows this many are trained on.
const TRAINING_TENTHS: usize = 7;
/// Hidden units of the one hidden layer.
const HIDDEN: usize = 50;

#[derive(Parser)]
struct Arguments {
    /// Folder of the data sets.
    data: PathBuf,
    /// Folder for runs and results.
    work: PathBuf,
    /// Only these sets.
    #[arg(long)]
    only: Vec<String>,
}

/// Scores of one engine on one split.
#[derive(Clone, Serialize, Deserialize)]
struct Measured {
    set: String,
    split: u64,
    engine: String,
    /// Of the whole training, seconds.
    train_seconds: f64,
    calibration_rows: usize,
    test_rows: usize,
    scores: Scores,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.work).context("cannot create the folder for runs")?;
    let mut all = Vec::new();
    let sets = CLASSIFICATION
        .iter()
        .map(|set| (*set, SPLITS, TaskKind::Classification))
        .chain(REGRESSION.iter().map(|&(set, splits)| (set, splits, TaskKind::Regression)));
    for (set, splits, task) in sets {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == set) {
            continue;
        }
        for split in 0..splits {
            all.extend(measure(&arguments, set, split, task)?);
        }
        let path = arguments.work.join("results.json");
        write_atomically(&path, serde_json::to_string_pretty(&all)?.as_bytes())?;
    }
    println!("{}", markdown(&all));
    Ok(())
}

/// Trains on one split and scores every engine; reads the scores where they are there already.
fn measure(
    arguments: &Arguments,
    set: &str,
    split: u64,
    task: TaskKind,
) -> anyhow::Result<Vec<Measured>> {
    let folder = arguments.work.join(format!("{set}-{split}"));
    let done = folder.join("scores.json");
    if let Ok(text) = fs::read_to_string(&done) {
        return Ok(serde_json::from_str(&text)?);
    }
    fs::create_dir_all(&folder)?;
    let target = split_file(&arguments.data, set, split, &folder)?;
    let mut config = Config::default();
    config.network.hidden = Choice::Fixed(vec![HIDDEN]);
    let started = Instant::now();
    eprintln!("{set}, split {split}");
    let run = folder.join("run");
    train(&TrainOptions {
        data: folder.join("train.csv"),
        target: target.clone(),
        task,
        config,
        out: run.clone(),
        device: Arc::new(Device::Cpu),
        seed: split,
        resume: true,
        until: None,
        progress: Progress::Shown,
    })?;
    let train_seconds = started.elapsed().as_secs_f64();
    let table = Table::read(&folder.join("test.csv"))?;
    let training_rows = fs::read_to_string(folder.join("train.csv"))?.lines().count() - 1;
    let mut measured = Vec::new();
    for (name, predictor) in engines(&run)? {
        let schema = &predictor.schema;
        let test = schema.features.read(&table, &target)?;
        let truth = schema.read_target(&table, &target)?;
        let mut rng = stream(0, Purpose::Foreign, 0);
        let foreign = predictor.predict(&schema.foreign(table.len(), &mut rng))?;
        measured.push(Measured {
            set: set.to_owned(),
            split,
            engine: name.to_owned(),
            train_seconds,
            calibration_rows: (training_rows as f64 / 10.0).round().max(10.0) as usize,
            test_rows: table.len(),
            scores: Scores::of(&predictor.predict(&test)?, &truth, Some(&foreign)),
        });
    }
    write_atomically(&done, serde_json::to_string_pretty(&measured)?.as_bytes())?;
    Ok(measured)
}

/// Every stage of a run.
fn engines(run: &Path) -> anyhow::Result<Vec<(&'static str, Predictor)>> {
    let finished = Run::open(run)?;
    let draw = |samples, source| {
        let draws = Draws { samples: Some(samples), source: Some(source), seed: 0 };
        Predictor::from_artifact(finished.artifact()?, draws)
    };
    // The exported artifact draws 16 stored codes.
    let mut engines = Vec::from(finished.stages()?);
    for (samples, low_discrepancy, normal) in [
        (4, "exported, low-discrepancy 4", "exported, normal 4"),
        (8, "exported, low-discrepancy 8", "exported, normal 8"),
        (16, "exported, low-discrepancy 16", "exported, normal 16"),
        (32, "exported, low-discrepancy 32", "exported, normal 32"),
    ] {
        engines.push((low_discrepancy, draw(samples, CodeSource::LowDiscrepancy)?));
        engines.push((normal, draw(samples, CodeSource::Normal)?));
    }
    engines.push(("exported, stored 4", draw(4, CodeSource::Stored)?));
    engines.push(("exported, stored 8", draw(8, CodeSource::Stored)?));
    Ok(engines)
}

/// Writes `train.csv` and `test.csv`; returns the target's name.
fn split_file(data: &Path, set: &str, split: u64, folder: &Path) -> anyhow::Result<String> {
    let path = data.join(format!("{set}.csv"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (header, rows) = text.split_once('\n').context("the file has a header")?;
    let rows: Vec<&str> = rows.lines().collect();
    let fixed = data.join(format!("{set}_split{split}_test_rows.txt"));
    let mut is_test = vec![false; rows.len()];
    if let Ok(list) = fs::read_to_string(fixed) {
        for row in list.split_whitespace() {
            is_test[row.parse::<f64>()? as usize] = true;
        }
    } else {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.shuffle(&mut stream(split, Purpose::Split, 1));
        let training = rows.len() * TRAINING_TENTHS / 10;
        order[training..].iter().for_each(|&row| is_test[row] = true);
    }
    for (name, test) in [("train.csv", false), ("test.csv", true)] {
        let part: Vec<&str> =
            (0..rows.len()).filter(|&row| is_test[row] == test).map(|row| rows[row]).collect();
        write_atomically(
            &folder.join(name),
            format!("{header}\n{}\n", part.join("\n")).as_bytes(),
        )?;
    }
    match header.trim().rsplit(',').next() {
        Some(target) => Ok(target.to_owned()),
        None => bail!("{}: the header is empty", path.display()),
    }
}

/// Means over splits, one table a task.
fn markdown(all: &[Measured]) -> String {
    let mut text = String::new();
    for regression in [false, true] {
        let columns: &[&str] = if regression {
            &["nll", "rmse", "crps", "ood_auroc", "coverage", "mean_width"]
        } else {
            &["nll", "accuracy", "ece", "brier", "ood_auroc", "set_coverage", "set_size"]
        };
        text.push_str(&format!("\n| set | engine | {} | train s |\n", columns.join(" | ")));
        text.push_str(&format!("|---|---|{}---|\n", "---|".repeat(columns.len())));
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for measured in all {
            let key = (measured.set.as_str(), measured.engine.as_str());
            let is_regression = matches!(measured.scores, Scores::Regression { .. });
            if is_regression != regression || seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let same: Vec<_> = all
                .iter()
                .filter(|other| (other.set.as_str(), other.engine.as_str()) == key)
                .collect();
            let mean = |value: &dyn Fn(&Measured) -> f64| {
                same.iter().map(|measured| value(measured)).sum::<f64>() / same.len() as f64
            };
            text.push_str(&format!("| {} | {} |", key.0, key.1));
            for column in columns {
                let value = |measured: &Measured| {
                    let scores = serde_json::to_value(&measured.scores).unwrap_or_default();
                    scores[column].as_f64().unwrap_or(f64::NAN)
                };
                text.push_str(&format!(" {:.4} |", mean(&value)));
            }
            text.push_str(&format!(" {:.0} |\n", mean(&|measured| measured.train_seconds)));
        }
    }
    text
}
