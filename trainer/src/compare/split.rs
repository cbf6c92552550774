//! A split of the rows, with the run trained on its larger part.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::CompareOptions;
use crate::choose::{self, Choices};
use crate::data::{Data, Dataset, Rows, Schema, Selection, Source, Target, TaskKind, test_split};
use crate::pipeline::{STAGES, TrainOptions, train_with};
use crate::random::{Purpose, stream};
use crate::run::Run;
use crate::run_dir::{DATA, RunDir, write_atomically};
use crate::seal::hexadecimal;
use crate::stage::Stage;
use crate::task::Targets;
use crate::walk::RunAtMap;

/// Share of the rows that methods are scored on.
const TEST_SHARE: f64 = 0.3;
/// Seconds that a run's stages took, beside the run.
const SECONDS: &str = "seconds.json";

/// A split with the run trained on its larger part.
pub(super) struct Split {
    pub(super) seed: u64,
    pub(super) folder: PathBuf,
    pub(super) run: Run,
    pub(super) at_map: RunAtMap,
    pub(super) choices: Choices,
    pub(super) rows: Rows,
    pub(super) seconds: BTreeMap<String, f64>,
    /// Raw test rows, their targets, and as many foreign rows.
    pub(super) test: Vec<f32>,
    pub(super) truth: Targets,
    pub(super) foreign: Vec<f32>,
    /// Hash of these three.
    pub(super) scored_rows: String,
}

/// Where the test rows of a split are.
enum TestRows {
    /// In a file of their own.
    In(Source),
    /// Among the rows of the data, by index.
    Among(Vec<usize>),
}

impl Split {
    /// Splits the rows and trains, or goes on training.
    pub(super) fn prepare(
        options: &CompareOptions,
        data: &Dataset,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let given = &options.data.source;
        let folder = options.out.join(format!("split-{seed}"));
        fs::create_dir_all(&folder)?;
        let beside = |path: &PathBuf| Source { selection: Selection::All, ..given.beside(path) };
        // Rows of text become files of their own; images and windows are read from where they are.
        let file = |name: &str, csv: &[u8]| -> anyhow::Result<Source> {
            let path = folder.join(name);
            write_atomically(&path, csv)?;
            Ok(Source { series: given.series.clone(), ..path.into() })
        };
        let (train_data, test) = match &options.test {
            Some(path) => (given.clone(), TestRows::In(beside(path))),
            None => {
                let (training, test) =
                    test_split(&data.target, data.groups.as_deref(), TEST_SHARE, seed)
                        .map_err(|message| data.table.unusable(message))?;
                match (data.table.to_csv(&training), data.table.to_csv(&test)) {
                    (Some(training), Some(test)) => {
                        (file("train.csv", &training)?, TestRows::In(file("test.csv", &test)?))
                    }
                    _ => {
                        let selection = data.selection(&training);
                        (Source { selection, ..given.clone() }, TestRows::Among(test))
                    }
                }
            }
        };
        let task = match &data.target {
            Target::Classes(..) => TaskKind::Classification,
            Target::Values(_) => TaskKind::Regression,
        };
        let train_data = Data { source: train_data, task, ..options.data.clone() };
        let train = TrainOptions {
            config: options.config.clone(),
            device: options.device.clone(),
            seed,
            resume: true,
            progress: options.progress.clone(),
            ..TrainOptions::default()
        };
        let out = folder.join("run");
        let seconds = train_timed(&train_data, &out, &train, &folder.join(SECONDS))?;
        let (run, at_map) = (Run::open(&out)?, RunAtMap::open(&out)?);
        let schema = &at_map.record.schema;
        let (test, truth) = match test {
            TestRows::In(source) => {
                let (test, truth) = schema.read_labelled(&source, &data.target_name)?;
                (test.to_floats(), truth)
            }
            TestRows::Among(rows) => data.subset(&rows),
        };
        let foreign = match &options.ood {
            Some(path) => schema.read(&beside(path), &data.target_name)?.to_floats(),
            None => schema.foreign(truth.len(), &mut stream(seed, Purpose::Foreign, 0)),
        };
        Ok(Self {
            seed,
            choices: Choices::read(&at_map.dir, at_map.architecture.depth(), &schema.task)?,
            rows: at_map.record.read_rows(&at_map.dir)?,
            scored_rows: hash([&test, &truth.to_values(), &foreign]),
            foreign,
            test,
            truth,
            seconds,
            folder,
            run,
            at_map,
        })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.at_map.record.schema
    }

    /// Seconds of a stage of the run.
    pub(super) fn seconds(&self, stage: &Stage) -> f64 {
        self.seconds.get(stage.name).copied().unwrap_or(f64::NAN)
    }

    /// Seconds from the chosen hyper-parameters to the end of a stage.
    pub(super) fn seconds_to_fit(&self, last: &Stage) -> f64 {
        let end = STAGES.iter().position(|stage| stage.name == last.name).expect("a stage");
        let chosen = |stage: &&&Stage| stage.name != choose::STAGE.name;
        STAGES[..=end].iter().filter(chosen).map(|stage| self.seconds(stage)).sum()
    }
}

/// Hash of numbers in several parts, hexadecimal.
fn hash(parts: [&[f32]; 3]) -> String {
    let mut hash = Sha256::new();
    for values in parts {
        hash.update((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    hexadecimal(hash)
}

/// Trains; returns the seconds of every stage. Those of a stage that was there are in `path`, where
/// they are kept.
fn train_timed(
    data: &Data,
    out: &Path,
    options: &TrainOptions,
    path: &Path,
) -> anyhow::Result<BTreeMap<String, f64>> {
    // A run that is begun anew takes its own time.
    let begun = RunDir::at(out).has(DATA);
    let before = if begun { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let mut seconds: BTreeMap<String, f64> = serde_json::from_slice(&before).unwrap_or_default();
    let mut started = Instant::now();
    let mut written = Ok(());
    train_with(data, out, options, &mut |stage| {
        if !seconds.contains_key(stage.name) {
            seconds.insert(stage.name.to_owned(), started.elapsed().as_secs_f64());
            let text = serde_json::to_vec_pretty(&seconds).expect("numbers by name");
            if written.is_ok() {
                written = write_atomically(path, &text);
            }
        }
        started = Instant::now();
        ControlFlow::Continue(())
    })?;
    written?;
    Ok(seconds)
}
