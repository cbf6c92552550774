//! Training from a data file to an artifact, stage by stage. Every stage's result is a file in the
//! run's directory; a stage whose file is there is not done again.

mod export;
mod latent;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use rayon::prelude::*;
use tracing::{debug, info};

use fiberwalk_formats::Reading;

use crate::choose::{Choices, Fixed, Search};
use crate::config::{Config, PerLayer};
use crate::data::{Dataset, Rows, Schema, Source, Target, Task, TaskKind, Values, split};
use crate::descent::{Descended, Descent, Particle, TrainingSet, Watch};
use crate::device::{Device, threads};
use crate::import::ImportedNetwork;
use crate::network::{Architecture, Shape};
use crate::particles::{CHOICES, MAP, RunAtMap, WalkStage};
use crate::progress::Progress;
use crate::records::MAP_TRACE;
use crate::reuse::reuse;
use crate::run_data::{DATA, DataRecord, IMPORTED, imported_by, write_rows};
use crate::run_dir::{REQUESTED, RunDir};
use crate::trace::{Checkpoints, Trace, curves};
use crate::validation::Validation;

pub use run::Run;

/// What to train on, and how.
#[derive(Clone)]
pub struct TrainOptions {
    /// Data file, and how to read it.
    pub data: Source,
    /// Name of the target column, or of the labels where they are apart from the features.
    pub target: String,
    /// Classification or regression.
    pub task: TaskKind,
    /// Settings.
    pub config: Config,
    /// A network trained elsewhere, as `fiberwalk import` wrote it: the walk starts from it.
    pub network: Option<PathBuf>,
    /// Directory of the run.
    pub out: PathBuf,
    /// What computes.
    pub device: Arc<Device>,
    /// Seed of everything random.
    pub seed: u64,
    /// Go on with a run that was interrupted.
    pub resume: bool,
    /// A run to take over stages from, as far as data and settings agree.
    pub from: Option<PathBuf>,
    /// The stage to stop after; none for the whole way.
    pub until: Option<Until>,
    /// How to show progress.
    pub progress: Progress,
}

/// A stage that training can stop after, to go on later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// Hyper-parameters.
    Choose,
    /// MAP: all that `walk --shard` needs.
    Map,
    /// Particles.
    Walk,
    /// Decoder.
    Latent,
}

/// A run under way: data, network, and where results go.
struct Training<'a> {
    options: &'a TrainOptions,
    dir: RunDir,
    record: DataRecord,
    raw: Arc<Values>,
    target: Target,
    rows: Rows,
    architecture: Architecture,
    /// Of each of its layers whether it is walked.
    walked: Vec<bool>,
    /// The network that the decoder makes.
    decoded: Architecture,
    /// The parameters of a network trained elsewhere, `[P]`.
    imported: Option<Vec<f32>>,
}

/// Trains, or goes on training. The directory then holds `model.fwk`, `model.rs`, `report.html` and
/// every stage's result.
///
/// # Errors
/// Bad data or configuration, another run in the directory, or a full disk; each names the cause.
pub fn train(options: &TrainOptions) -> anyhow::Result<()> {
    train_with(options, &mut |_| {})
}

/// Like [`train`]; `after` is called with the name of every stage that is done or was there.
///
/// # Errors
/// Those of [`train`].
pub fn train_with(
    options: &TrainOptions,
    after: &mut dyn FnMut(&'static str),
) -> anyhow::Result<()> {
    options.config.check()?;
    let mut options = options.clone();
    let imported = options.network.as_deref().map(ImportedNetwork::read).transpose()?;
    if let Some(network) = &imported {
        options.config = network.settings(&options.config)?;
    }
    let training = Training::start(&options, imported.as_ref())?;
    let choices = training.choose()?;
    after("choose");
    if training.stops_after(Until::Choose) {
        return Ok(());
    }
    let maps = training.maps(&choices)?;
    after("map");
    if training.stops_after(Until::Map) {
        return Ok(());
    }
    // From the files, as any machine that walks a shard of them.
    let walk = WalkStage::open(RunAtMap::open(&options.out)?)?;
    let validation = training.validation(&training.architecture);
    let particles = walk.run(&options.device, options.progress, validation.as_ref())?;
    after("walk");
    if training.stops_after(Until::Walk) {
        return Ok(());
    }
    let (shape, decoder) = training.latent(&choices, &maps, &particles)?;
    after("latent");
    if training.stops_after(Until::Latent) {
        return Ok(());
    }
    training.export(&choices, &maps, &particles, &shape, &decoder)?;
    after("export");
    Ok(())
}

impl<'a> Training<'a> {
    /// Reads the data and opens the run's directory.
    fn start(
        options: &'a TrainOptions,
        imported: Option<&ImportedNetwork>,
    ) -> anyhow::Result<Self> {
        let data = Dataset::read(&options.data, &options.target, options.task, options.seed)?;
        let path = &options.data.path;
        if let Some(reading) = options.config.export.input.reading() {
            check_readings(&data, reading)?;
        }
        let config = &options.config.calibration;
        let groups = data.groups.as_deref();
        let split = split(&data.target, groups, config.fraction, config.coverage, options.seed)
            .map_err(|message| data.table.unusable(message))?;
        let schema = {
            let zero = imported.and_then(ImportedNetwork::padding);
            Schema::learn(&data, &split.training, zero)?
        };
        let Dataset { table, raw, target, groups, notes, .. } = data;
        let record = DataRecord {
            rows: table.len(),
            sha256: table.sha256,
            seed: options.seed,
            schema,
            split,
            layers: imported.map(|network| network.layers().to_vec()),
        };
        let architecture =
            record.architecture(&options.config).with_context(|| path.display().to_string())?;
        let decoded = record
            .decoded_architecture(&options.config)
            .with_context(|| path.display().to_string())?;
        options.config.check_depth(architecture.depth(), decoded.depth())?;
        let walked = record.walked(&options.config, &architecture)?;

        let progress = options.progress;
        notes.iter().for_each(|note| progress.note(note));
        let constant = record.schema.constant_features(&raw, &record.split.training);
        if !constant.is_empty() {
            progress.note(&format!(
                "note: constant in the training rows, of no use: {}",
                constant.join(", ")
            ));
        }
        info!(
            data = %path.display(),
            rows = record.rows,
            training = record.split.training.len(),
            calibration = record.split.calibration.len(),
            features = architecture.inputs(),
            network = ?architecture.maps().iter().map(Shape::len).collect::<Vec<_>>(),
            parameters = architecture.parameters(),
            threads = threads(),
            seed = options.seed,
            "data"
        );
        let fitted = |network: &ImportedNetwork| network.fitted_to(&record.schema, &constant);
        let imported = imported
            .map(fitted)
            .transpose()
            .with_context(|| options.network.as_deref().unwrap_or(path).display().to_string())?;
        let dir = open_run(options, &record, imported.as_deref())?;
        let rows = Rows { groups, ..record.schema.rows(&raw, &target) };
        Ok(Self {
            options,
            dir,
            record,
            raw,
            target,
            rows,
            architecture,
            walked,
            decoded,
            imported,
        })
    }

    /// Whether to stop here; says how to go on.
    fn stops_after(&self, stage: Until) -> bool {
        let stops = self.options.until == Some(stage);
        if stops {
            let run = self.options.out.display();
            let elsewhere = match stage {
                Until::Map => format!(
                    "; other machines can walk its particles: fiberwalk walk {run} --shard I/N, \
                     fiberwalk merge {run} SHARD..."
                ),
                _ => String::new(),
            };
            self.options.progress.note(&format!(
                "stopped; train with --resume and without --until goes on with {run}{elsewhere}"
            ));
        }
        stops
    }

    fn training_rows(&self) -> Rows {
        self.rows.subset(&self.record.split.training)
    }

    fn training_set(&self, rows: &Rows) -> TrainingSet {
        let batch_rows = self.options.config.walk.batch_rows;
        TrainingSet::new(&rows.x, &rows.targets, batch_rows, self.options.seed)
    }

    /// The calibration rows, for the eyes of the user, before a network; none where nobody looks.
    fn validation<'n>(&self, architecture: &'n Architecture) -> Option<Validation<'n>> {
        let calibration = &self.record.split.calibration;
        (self.options.progress == Progress::Shown)
            .then(|| Validation::new(architecture, &self.rows, calibration))
    }

    /// Hyper-parameters: `choices.json`.
    fn choose(&self) -> anyhow::Result<Choices> {
        if self.dir.has(CHOICES) {
            return self.dir.read_json(CHOICES);
        }
        let config = &self.options.config;
        let depth = self.architecture.depth();
        // The noise is configured in the target's own units.
        let unit = match &self.record.schema.task {
            Task::Regression { std, .. } => *std,
            Task::Classification { .. } => 1.0,
        };
        let fixed = Fixed {
            prior_precision: config.map.prior_precision.fixed().map(|prior| match prior {
                PerLayer::Same(precision) => vec![*precision; depth],
                PerLayer::Each(precisions) => precisions.clone(),
            }),
            noise_std: config.map.noise_std.fixed().map(|noise| noise / unit),
            drift: config.walk.drift.fixed().copied(),
            temperature: config.walk.temperature.fixed().copied(),
            maps: config.walk.maps.fixed().copied(),
        };
        let rows = self.training_rows();
        let search = Search {
            architecture: &self.architecture,
            rows: &rows,
            map_schedule: config.map.schedule(),
            walk_schedule: config.walk.schedule(),
            batch_rows: config.walk.batch_rows,
            walked: &self.walked,
            seed: self.options.seed,
            device: &self.options.device,
        };
        let stage = self.options.progress.stage("choose", search.steps(&fixed));
        let choices = search.run(&fixed, &|steps| stage.advance(steps))?;
        let chosen = &choices.chosen;
        stage.finish(&format!(
            "prior {:?}, {} drift, temperature {}, held-out NLL {:.4} ± {:.4}",
            chosen.prior_precision,
            chosen.drift,
            chosen.temperature,
            chosen.nll,
            chosen.standard_error
        ));
        self.dir.write_json(CHOICES, &choices)?;
        Ok(choices)
    }

    /// MAP training: `map-trace.safetensors`, then `map.safetensors`, the best one first. An imported
    /// network stays as it is.
    fn maps(&self, choices: &Choices) -> anyhow::Result<Vec<Vec<f32>>> {
        let rows = self.training_rows();
        // First, so that a run with its MAP is all that a walk needs.
        write_rows(&self.dir, &rows)?;
        if self.dir.has(MAP) {
            return self.dir.read_tensor(MAP, "theta");
        }
        let count = choices.maps;
        let mut schedule = self.options.config.map.schedule();
        if self.imported.is_some() {
            schedule.steps = 0;
        }
        let set = self.training_set(&rows);
        let prior = self.architecture.per_parameter(&choices.chosen.prior_precision);
        let stage = self.options.progress.stage("map", count * schedule.steps);
        let descent = Descent {
            architecture: &self.architecture,
            set: &set,
            likelihood: choices.likelihood(),
            prior_precision: &prior,
            held: None,
            schedule,
        };
        let starts = match &self.imported {
            Some(theta) => vec![theta.clone()],
            None => descent.initialisations(count, self.options.seed),
        };
        let validation = self.validation(&self.architecture);
        let validate = |theta: &[f32]| {
            if let Some(validation) = &validation {
                stage.validated(validation.nll(&[theta.to_vec()], choices.map_calibration));
            }
        };
        let first: Watch<'_> = &validate;
        let particles: Vec<_> = starts
            .iter()
            .enumerate()
            .map(|(index, start)| Particle {
                start,
                drift: None,
                control: None,
                watch: (index == 0).then_some(first),
            })
            .collect();
        let checkpoints = Checkpoints::of(schedule.steps);
        let advance = |steps| stage.advance(steps);
        let ends = descent.run_traced(&self.options.device, &particles, &checkpoints, &advance)?;
        let mut ends: Vec<(f64, Descended)> =
            ends.into_par_iter().map(|end| (descent.loss(&end.theta), end)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        validate(&ends[0].1.theta);
        debug!(losses = ?ends.iter().map(|end| end.0).collect::<Vec<_>>(), "the best MAP first");
        stage.finish(&format!("loss {:.2} over {} rows", ends[0].0, set.rows()));
        let traces = || ends.iter().map(|(_, end)| end.trace.as_slice());
        let nll = curves(traces(), |measured| measured.nll);
        let rows = set.rows() as f64;
        let loss = curves(traces(), |measured| rows * measured.nll + measured.prior);
        Trace::write(&self.dir, MAP_TRACE, &checkpoints, &[("nll", &nll), ("loss", &loss)])?;
        let maps: Vec<Vec<f32>> = ends.into_iter().map(|(_, end)| end.theta).collect();
        self.dir.write_tensors(MAP, &[("theta", &maps)])?;
        Ok(maps)
    }
}

/// Checks that every feature is a whole number that the board's readings can be.
fn check_readings(data: &Dataset, reading: Reading) -> anyhow::Result<()> {
    let (least, most) = reading.range();
    let columns = data.features.0.len();
    let fits = |x: f32| x.fract() == 0.0 && (least as f32..=most as f32).contains(&x);
    match data.raw.iter().position(|x| !fits(x)) {
        None => Ok(()),
        Some(index) => {
            // A category's column is never refused: it holds 0 and 1.
            let expected = format!(
                "a whole number from {least} to {most}, since export.input is not \"float\""
            );
            Err(data.bad_feature(index / columns, index % columns, expected)?)?
        }
    }
}

/// Creates the run's directory, or checks that the one there is of the same data and settings.
fn open_run(
    options: &TrainOptions,
    record: &DataRecord,
    imported: Option<&[f32]>,
) -> anyhow::Result<RunDir> {
    let requested = options.config.to_toml();
    let dir =
        if options.resume { RunDir::reopen(&options.out)? } else { RunDir::create(&options.out)? };
    if !dir.has(DATA) {
        dir.write(REQUESTED, requested.as_bytes())?;
        if let Some(theta) = imported {
            dir.write_tensors(IMPORTED, &[("theta", &[theta.to_vec()])])?;
        }
        dir.write_json(DATA, record)?;
        if let Some(from) = &options.from {
            let stages = reuse(from, &dir, &options.config, record, imported)?;
            let stages = if stages.is_empty() { "nothing".to_owned() } else { stages.join(", ") };
            options.progress.note(&format!("from {}: {stages}", from.display()));
        }
        return Ok(dir);
    }
    let before: DataRecord = dir.read_json(DATA)?;
    let shown = options.out.display();
    if before.sha256 != record.sha256 {
        bail!(
            "{shown} is a run of other data than {}, or of other rows of it: use another --out",
            options.data.path.display()
        );
    }
    if before.seed != record.seed {
        bail!("{shown} is a run with --seed {}, found --seed {}", before.seed, record.seed);
    }
    if dir.read(REQUESTED)? != requested.as_bytes() {
        bail!(
            "{shown} is a run with another configuration (see its requested.toml): use another --out"
        );
    }
    if &before != record {
        bail!("{shown} is a run with another target, task or windows: use another --out");
    }
    if imported_by(&dir)?.as_deref() != imported {
        bail!("{shown} is a run from another --network, or from none: use another --out");
    }
    Ok(dir)
}
