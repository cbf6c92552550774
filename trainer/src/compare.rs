//! Many ways to a posterior predictive on the same splits, network, prior and budget.
//!
//! Each repeat splits the rows 70 to 30, unless test rows have a file of their own, and trains fiberwalk
//! on the larger part. The other methods take
//! network, prior precision and noise from that run. Every method is calibrated on what the folds of the
//! training rows held out, and scored on the rows that none has seen.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use comfy_table::{CellAlignment, Table as TextTable, presets};
use fiberwalk_formats::CodeSource;
use serde::{Deserialize, Serialize};

use crate::baselines::{
    Baseline, Convergence, Dropout, Ensemble, EnsembleArtifact, Fitted, Hmc, Laplace, Problem,
    Swag, calibrate,
};
use crate::choose::{self, Choices};
use crate::config::Config;
use crate::costs::footprint::{Work, int8_bytes, pass_products};
use crate::costs::instructions::{Core, Operations};
use crate::data::{Data, Dataset, Rows, Schema, Selection, Source, Target, TaskKind, test_split};
use crate::descent::TrainingSet;
use crate::device::Device;
use crate::engine::{Engine, FLOAT_SAMPLES, Predictor};
use crate::export;
use crate::folds::cross_validation;
use crate::latent;
use crate::map;
use crate::network::Batch;
use crate::pipeline::{STAGES, TrainOptions, train_with};
use crate::progress::Progress;
use crate::random::{Purpose, stream};
use crate::run::Run;
use crate::run_dir::{DATA, RunDir, write_atomically};
use crate::stage::Stage;
use crate::task::{
    Predictions, Scores, Targets, Thresholds, classification, regression, total_variation,
};
use crate::walk::{self, RunAtMap};

/// Share of the rows that methods are scored on.
const TEST_SHARE: f64 = 0.3;
/// Rates of dropout tried.
const DROPOUT_RATES: [f32; 3] = [0.05, 0.1, 0.2];
/// Learning rates of SWAG tried, on the mean loss of a row.
const SWAG_RATES: [f32; 3] = [0.01, 0.05, 0.2];
/// Folder of the ensemble's artifacts.
const ENSEMBLE: &str = "ensemble";
/// Seconds that a run's stages took, beside the run.
const SECONDS: &str = "seconds.json";

/// A way to a posterior predictive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The MAP network as trained.
    Map,
    /// The same with temperature, or noise for regression, calibrated.
    MapCalibrated,
    /// MAP from several initialisations.
    Ensemble,
    /// The same in int8, each member a file that the runtime runs.
    EnsembleArtifact,
    /// MC dropout, its rate chosen on held-out rows.
    Dropout,
    /// SWAG, its learning rate chosen on held-out rows.
    Swag,
    /// Laplace's approximation with the full generalised Gauss-Newton matrix, linearised.
    Laplace,
    /// The same of the output layer alone.
    LaplaceLastLayer,
    /// Hamiltonian Monte Carlo, the reference, for networks of up to 5000 parameters.
    Hmc,
    /// The walked particles.
    Particles,
    /// Draws from the decoder, in floats.
    Decoder,
    /// The runtime on the exported file.
    Artifact,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 12] = [
        Self::Map,
        Self::MapCalibrated,
        Self::Ensemble,
        Self::EnsembleArtifact,
        Self::Dropout,
        Self::Swag,
        Self::Laplace,
        Self::LaplaceLastLayer,
        Self::Hmc,
        Self::Particles,
        Self::Decoder,
        Self::Artifact,
    ];
}

/// A column of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// Mean −log p(y | x), nats; regression in the target's own units.
    Nll,
    /// Share of rows whose likeliest class is right.
    Accuracy,
    /// Root mean square error, the target's own units.
    Rmse,
    /// Expected calibration error.
    Ece,
    /// Brier score.
    Brier,
    /// Continuous ranked probability score, the target's own units.
    Crps,
    /// Area under the ROC curve, test rows against foreign ones.
    OodAuroc,
    /// The same by mutual information; of classifiers of more than one network.
    OodAurocMi,
    /// Mean total variation to the predictive of HMC at the test rows.
    TotalVariation,
    /// From the chosen hyper-parameters to what predicts; neither their choice nor calibration counts.
    FitSeconds,
    /// Bytes of flash: of the exported file, or of int8 networks.
    FlashBytes,
    /// Multiply-accumulates of a prediction.
    MultiplyAccumulates,
    /// Executed instructions of a prediction on a Cortex-M4F, by the model in `costs`;
    /// none where there is no int8 implementation.
    Instructions,
}

impl Column {
    const ALL: [Self; 13] = [
        Self::Nll,
        Self::Accuracy,
        Self::Rmse,
        Self::Ece,
        Self::Brier,
        Self::Crps,
        Self::OodAuroc,
        Self::OodAurocMi,
        Self::TotalVariation,
        Self::FitSeconds,
        Self::FlashBytes,
        Self::MultiplyAccumulates,
        Self::Instructions,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Nll => "NLL",
            Self::Accuracy => "accuracy",
            Self::Rmse => "RMSE",
            Self::Ece => "ECE",
            Self::Brier => "Brier",
            Self::Crps => "CRPS",
            Self::OodAuroc => "OOD AUROC",
            Self::OodAurocMi => "OOD AUROC (MI)",
            Self::TotalVariation => "TV to HMC",
            Self::FitSeconds => "seconds to fit",
            Self::FlashBytes => "flash bytes",
            Self::MultiplyAccumulates => "MACs",
            Self::Instructions => "instructions (M4F)",
        }
    }

    const fn decimals(self) -> usize {
        match self {
            Self::FlashBytes | Self::MultiplyAccumulates | Self::Instructions => 0,
            Self::FitSeconds => 2,
            _ => 4,
        }
    }
}

/// What to compare, and on what.
#[derive(Clone)]
pub struct CompareOptions {
    /// Rows to learn from.
    pub data: Data,
    /// A file of test rows: then all rows of the data are trained on. None to split them.
    pub test: Option<PathBuf>,
    /// A file of foreign rows; none for rows uniform in a box round the training rows.
    pub ood: Option<PathBuf>,
    /// Settings of fiberwalk.
    pub config: Config,
    /// Folder for splits and runs.
    pub out: PathBuf,
    /// Number of splits.
    pub repeats: u64,
    /// What to compare.
    pub methods: Vec<Method>,
    /// Members of the deep ensemble.
    pub members: usize,
    /// Length of the reference.
    pub hmc: Hmc,
    /// Seed of the first split; the next has the next.
    pub seed: u64,
    /// What computes.
    pub device: Arc<Device>,
    /// How to show progress.
    pub progress: Progress,
}

/// Figures of one method on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Seed of the split.
    pub seed: u64,
    /// Method.
    pub method: Method,
    /// The method with its sizes.
    pub name: String,
    /// What was measured.
    pub figures: BTreeMap<Column, f64>,
    /// Agreement of the chains of a method that has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convergence: Option<Convergence>,
}

/// A mean over splits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean; none for one split.
    pub standard_error: Option<f64>,
}

/// One method over all splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Method.
    pub method: Method,
    /// The method with its sizes.
    pub name: String,
    /// Means over the splits.
    pub figures: BTreeMap<Column, Mean>,
}

/// All methods on all splits; shown as a Markdown table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the data file.
    pub data: String,
    /// Name of the file of test rows; none where the rows were split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// Name of the target column.
    pub target: String,
    /// What computed.
    pub device: String,
    /// Number of splits.
    pub repeats: u64,
    /// Seconds to choose the hyper-parameters, which all methods share.
    pub choose_seconds: Mean,
    /// Means.
    pub methods: Vec<Summary>,
    /// Every split.
    pub splits: Vec<Measured>,
}

/// Runs the comparison.
///
/// # Errors
/// Bad data or settings, a folder that cannot be written, or a device that fails.
pub fn compare(options: &CompareOptions) -> anyhow::Result<Comparison> {
    if options.repeats == 0 {
        bail!("`repeats`: found 0, expected at least 1");
    }
    if options.members == 0 {
        bail!("`members`: found 0, expected at least 1");
    }
    let data = Dataset::read(&options.data, options.seed)?;
    data.notes.iter().for_each(|note| options.progress.note(note));
    let (mut splits, mut choose_seconds) = (Vec::new(), Vec::new());
    for seed in (0..options.repeats).map(|repeat| options.seed + repeat) {
        options.progress.note(&format!("split {seed}"));
        let split = Split::prepare(options, &data, seed)?;
        choose_seconds.push(split.seconds(&choose::STAGE));
        let predicted: Vec<(Measured, Predictions)> = options
            .methods
            .iter()
            .filter_map(|&method| split.measure(method, options).transpose())
            .collect::<anyhow::Result<_>>()?;
        splits.extend(beside_the_reference(predicted));
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Comparison {
        data: name(&options.data.source.path),
        test: options.test.as_deref().map(name),
        target: data.target_name.clone(),
        device: options.device.describe(),
        repeats: options.repeats,
        choose_seconds: Mean::of(&choose_seconds),
        methods: summarise(&splits),
        splits,
    })
}

/// The measurements, each with its distance from HMC's predictions where HMC ran.
fn beside_the_reference(predicted: Vec<(Measured, Predictions)>) -> Vec<Measured> {
    let reference = predicted.iter().find(|(measured, _)| measured.method == Method::Hmc);
    let distances: Vec<Option<f64>> = predicted
        .iter()
        .map(|(_, own)| reference.map(|(_, reference)| total_variation(own, reference)))
        .collect();
    let with = |((mut measured, _), distance): ((Measured, Predictions), Option<f64>)| {
        measured.figures.extend(distance.map(|distance| (Column::TotalVariation, distance)));
        measured
    };
    predicted.into_iter().zip(distances).map(with).collect()
}

/// What came of one method on one split.
struct Outcome {
    name: String,
    /// Of the test rows.
    predictions: Predictions,
    figures: BTreeMap<Column, f64>,
    convergence: Option<Convergence>,
}

/// What a prediction of a stage takes.
struct StageCost {
    /// For the stage's name.
    size: String,
    /// Bytes; none where it runs on no board.
    flash: Option<usize>,
    /// Multiply-accumulates.
    products: usize,
    /// On a Cortex-M4F.
    instructions: f64,
}

/// A split with the run trained on its larger part.
struct Split {
    seed: u64,
    folder: PathBuf,
    run: Run,
    at_map: RunAtMap,
    choices: Choices,
    rows: Rows,
    seconds: BTreeMap<String, f64>,
    /// Raw test rows, their targets, and as many foreign rows.
    test: Vec<f32>,
    truth: Targets,
    foreign: Vec<f32>,
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
    fn prepare(options: &CompareOptions, data: &Dataset, seed: u64) -> anyhow::Result<Self> {
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
            foreign,
            test,
            truth,
            seconds,
            folder,
            run,
            at_map,
        })
    }

    fn schema(&self) -> &Schema {
        &self.at_map.record.schema
    }

    /// Seconds of a stage of the run.
    fn seconds(&self, stage: &Stage) -> f64 {
        self.seconds.get(stage.name).copied().unwrap_or(f64::NAN)
    }

    /// Seconds from the chosen hyper-parameters to the end of a stage.
    fn seconds_to_fit(&self, last: &Stage) -> f64 {
        let end = STAGES.iter().position(|stage| stage.name == last.name).expect("a stage");
        let chosen = |stage: &&&Stage| stage.name != choose::STAGE.name;
        STAGES[..=end].iter().filter(chosen).map(|stage| self.seconds(stage)).sum()
    }

    /// What a method does on this split; none, with a note, where the network is too large for it.
    fn measure(
        &self,
        method: Method,
        options: &CompareOptions,
    ) -> anyhow::Result<Option<(Measured, Predictions)>> {
        let outcome = match (baseline(method, self, options), method.stage()) {
            (Some((name, settings)), _) => {
                let parameters = self.at_map.architecture.parameters();
                let most = settings.iter().filter_map(|setting| setting.most_parameters()).min();
                if let Some(most) = most.filter(|&most| parameters > most) {
                    options.progress.note(&format!(
                        "{name}: left out, found {parameters} parameters, expected at most {most}"
                    ));
                    return Ok(None);
                }
                let stage = options.progress.stage(&name, 1);
                let outcome = self.measure_baseline(name, &settings, options)?;
                let nll = outcome.figures[&Column::Nll];
                let mixed = outcome.convergence.map(|c| format!("; {c}")).unwrap_or_default();
                stage.finish(&format!("NLL {nll:.4}{mixed}"));
                outcome
            }
            (None, Some(stage)) => self.measure_stage(stage)?,
            (None, None) => unreachable!("a method is a baseline or a stage"),
        };
        let Outcome { name, predictions, figures, convergence } = outcome;
        let measured = Measured { seed: self.seed, method, name, figures, convergence };
        Ok(Some((measured, predictions)))
    }

    /// One stage of fiberwalk, by its place in [`Run::stages`].
    fn measure_stage(&self, stage: usize) -> anyhow::Result<Outcome> {
        let (name, predictor) = self.run.stages()?.into_iter().nth(stage).expect("one of five");
        let (predictions, mut figures) = self.score(|raw| predictor.predict(raw))?;
        let (method, last) = STAGE_METHODS[stage];
        figures.insert(Column::FitSeconds, self.seconds_to_fit(last));
        let StageCost { size, flash, products, instructions } = self.cost(&predictor, method)?;
        figures.insert(Column::MultiplyAccumulates, products as f64);
        figures.insert(Column::Instructions, instructions);
        if let Some(flash) = flash {
            figures.insert(Column::FlashBytes, flash as f64);
        }
        let name = format!("{name}{size}");
        Ok(Outcome { name, predictions, figures, convergence: None })
    }

    /// What a prediction of a stage takes. The float decoder runs on no board: its products and
    /// instructions are those of the artifact with its own number of samples, drawn.
    fn cost(&self, predictor: &Predictor, method: Method) -> anyhow::Result<StageCost> {
        let file = self.run.artifact()?;
        let artifact = fiberwalk_formats::decode(&file)?;
        let of_artifact = |samples, flash, source| StageCost {
            size: format!(", {samples} samples"),
            flash,
            products: Work::of(&artifact).of_samples(samples),
            instructions: Core::M4f
                .instructions(&Operations::of(&artifact, source).of_samples(samples)),
        };
        Ok(match (&predictor.engine, method) {
            (Engine::Runtime { .. }, _) => {
                of_artifact(artifact.codes.samples.into(), Some(file.len()), artifact.codes.source)
            }
            (_, Method::Decoder) => of_artifact(FLOAT_SAMPLES, None, CodeSource::Normal),
            (Engine::Networks { architecture, thetas, .. }, _) => {
                let count = thetas.len();
                StageCost {
                    size: if count > 1 { format!(", {count}") } else { String::new() },
                    flash: Some(count * int8_bytes(architecture)),
                    products: count * pass_products(architecture),
                    instructions: count as f64 * Core::M4f.of_pass(architecture),
                }
            }
        })
    }

    /// The best setting of a method, fitted to the training rows; chosen and calibrated on what their
    /// folds held out.
    fn measure_baseline(
        &self,
        name: String,
        settings: &[Box<dyn Baseline>],
        options: &CompareOptions,
    ) -> anyhow::Result<Outcome> {
        let (architecture, config) = (&self.at_map.architecture, &self.at_map.config);
        let (features, batch_rows) = (architecture.inputs(), config.walk.batch_rows);
        let Rows { x, targets, .. } = &self.rows;
        let set = TrainingSet::new(x, targets, batch_rows, self.seed);
        let problem = Problem {
            architecture,
            set: &set,
            likelihood: self.choices.likelihood(),
            prior_precision: &self.choices.chosen.prior_precision,
            schedule: config.map.schedule(),
            seed: self.seed,
            device: &options.device,
        };
        let folds = cross_validation(&self.rows, batch_rows, self.seed);
        let (baseline, calibration) = calibrate(settings, &problem, &folds)?;
        let started = Instant::now();
        let fitted = baseline.fit(&problem)?;
        let fit_seconds = started.elapsed().as_secs_f64();
        let thresholds = Thresholds::open(calibration);
        let (predictions, mut figures) = self.score(|raw| {
            let x = self.schema().standardise(raw);
            let batch = Batch::from_rows(&x, features);
            Ok(thresholds.apply(&fitted.predictive(&problem, &batch)?, &self.schema().task))
        })?;
        if let Fitted::Artifacts(artifacts) = &fitted {
            artifacts.write(&self.folder.join(ENSEMBLE), calibration)?;
        }
        figures.insert(Column::FitSeconds, fit_seconds);
        figures.insert(Column::FlashBytes, fitted.flash_bytes(architecture) as f64);
        figures.insert(Column::MultiplyAccumulates, fitted.products(architecture) as f64);
        figures
            .extend(fitted.instructions(architecture).map(|count| (Column::Instructions, count)));
        Ok(Outcome { name, predictions, figures, convergence: fitted.convergence() })
    }

    /// Scores on the test rows, and against the foreign ones.
    fn score(
        &self,
        predict: impl Fn(&[f32]) -> anyhow::Result<Predictions>,
    ) -> anyhow::Result<(Predictions, BTreeMap<Column, f64>)> {
        let (test, foreign) = (predict(&self.test)?, predict(&self.foreign)?);
        let figures = figures(&Scores::of(&test, &self.truth, Some(&foreign)));
        Ok((test, figures))
    }
}

/// Methods that are stages of fiberwalk, in the order of [`Run::stages`], each with the stage that it ends with.
const STAGE_METHODS: [(Method, &Stage); 5] = [
    (Method::Map, &map::STAGE),
    (Method::MapCalibrated, &map::STAGE),
    (Method::Particles, &walk::STAGE),
    (Method::Decoder, &latent::STAGE),
    (Method::Artifact, &export::STAGE),
];

impl Method {
    fn stage(self) -> Option<usize> {
        STAGE_METHODS.iter().position(|(method, _)| *method == self)
    }
}

/// The method's name and the settings to choose from, unless it is a stage of fiberwalk.
fn baseline(
    method: Method,
    split: &Split,
    options: &CompareOptions,
) -> Option<(String, Vec<Box<dyn Baseline>>)> {
    fn boxed<B: Baseline + 'static>(setting: B) -> Box<dyn Baseline> {
        Box::new(setting)
    }
    let (name, settings) = match method {
        Method::Ensemble => {
            let members = options.members;
            (format!("deep ensemble, {members}"), vec![boxed(Ensemble { members })])
        }
        Method::EnsembleArtifact => {
            let (members, config) = (options.members, &split.at_map.config);
            let setting = EnsembleArtifact {
                ensemble: Ensemble { members },
                schema: split.schema().clone(),
                reading: config.export.input.reading(),
                coverage: config.calibration.coverage,
            };
            (format!("deep ensemble, {members}, int8"), vec![boxed(setting)])
        }
        Method::Dropout => {
            let settings = DROPOUT_RATES.map(|rate| boxed(Dropout { rate }));
            (format!("MC dropout, {}", Dropout::DRAWS), settings.into())
        }
        Method::Swag => {
            let settings = SWAG_RATES.map(|learning_rate| boxed(Swag { learning_rate }));
            (format!("SWAG, {}", Swag::DRAWS), settings.into())
        }
        Method::Laplace => ("Laplace, full GGN".to_owned(), vec![boxed(Laplace::Full)]),
        Method::LaplaceLastLayer => {
            ("Laplace, last layer".to_owned(), vec![boxed(Laplace::LastLayer)])
        }
        Method::Hmc => {
            let hmc = options.hmc;
            (format!("HMC, {}", hmc.chains * hmc.draws), vec![boxed(hmc)])
        }
        Method::Map
        | Method::MapCalibrated
        | Method::Particles
        | Method::Decoder
        | Method::Artifact => return None,
    };
    Some((name, settings))
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

fn figures(scores: &Scores) -> BTreeMap<Column, f64> {
    let (columns, foreign) = match *scores {
        Scores::Classification(classification::Scores {
            nll,
            accuracy,
            ece,
            brier,
            ood_auroc,
            ood_auroc_mi,
            ..
        }) => (
            vec![
                (Column::Nll, nll),
                (Column::Accuracy, accuracy),
                (Column::Ece, ece),
                (Column::Brier, brier),
            ],
            [(Column::OodAuroc, ood_auroc), (Column::OodAurocMi, ood_auroc_mi)],
        ),
        Scores::Regression(regression::Scores { nll, rmse, crps, ood_auroc, .. }) => (
            vec![(Column::Nll, nll), (Column::Rmse, rmse), (Column::Crps, crps)],
            [(Column::OodAuroc, ood_auroc), (Column::OodAurocMi, None)],
        ),
    };
    let foreign = foreign.into_iter().filter_map(|(column, auroc)| Some((column, auroc?)));
    columns.into_iter().chain(foreign).collect()
}

/// Means of every method over the splits, in the order in which the methods first appear.
fn summarise(splits: &[Measured]) -> Vec<Summary> {
    let mut summaries: Vec<Summary> = Vec::new();
    for Measured { method, name, .. } in splits {
        if summaries.iter().any(|summary| summary.method == *method) {
            continue;
        }
        let same: Vec<_> = splits.iter().filter(|other| other.method == *method).collect();
        let mean = |column: Column| {
            let values: Vec<f64> =
                same.iter().filter_map(|one| one.figures.get(&column).copied()).collect();
            (!values.is_empty()).then(|| (column, Mean::of(&values)))
        };
        let figures = Column::ALL.into_iter().filter_map(mean).collect();
        summaries.push(Summary { method: *method, name: name.clone(), figures });
    }
    summaries
}

impl Mean {
    /// Of the values of some splits, at least one.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (count * (count - 1.0))).sqrt();
        Self { mean, standard_error: (values.len() > 1).then_some(error) }
    }

    /// The mean of a difference, with its sign.
    pub fn signed(&self) -> String {
        match self.standard_error {
            None => format!("{:+.4}", self.mean),
            Some(error) => format!("{:+.4} ± {error:.4}", self.mean),
        }
    }

    /// The mean with its standard error.
    pub fn show(&self, decimals: usize) -> String {
        match self.standard_error {
            None => format!("{:.decimals$}", self.mean),
            Some(error) => format!("{:.decimals$} ± {error:.decimals$}", self.mean),
        }
    }
}

impl Comparison {
    /// Comparisons of one split each as one of them all; none of none.
    pub fn joined(parts: Vec<Self>) -> Option<Self> {
        let seconds: Vec<f64> = parts.iter().map(|part| part.choose_seconds.mean).collect();
        let splits: Vec<Measured> = parts.iter().flat_map(|part| part.splits.clone()).collect();
        Some(Self {
            repeats: parts.len() as u64,
            choose_seconds: Mean::of(&seconds),
            methods: summarise(&splits),
            splits,
            ..parts.into_iter().next()?
        })
    }

    /// A figure of a method on every split that has it, with the split's seed.
    pub fn of_splits(&self, method: Method, column: Column) -> BTreeMap<u64, f64> {
        let own = self.splits.iter().filter(|one| one.method == method);
        own.filter_map(|one| Some((one.seed, *one.figures.get(&column)?))).collect()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = |column: &Column| {
            self.methods.iter().any(|summary| summary.figures.contains_key(column))
        };
        let columns: Vec<Column> = Column::ALL.into_iter().filter(measured).collect();
        let mut table = TextTable::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["method"].into_iter().chain(columns.iter().map(|c| c.title())));
        for summary in &self.methods {
            let cells = columns.iter().map(|column| match summary.figures.get(column) {
                None => "–".to_owned(),
                Some(mean) => mean.show(column.decimals()),
            });
            table.add_row([summary.name.clone()].into_iter().chain(cells));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(
            f,
            "{}, target {}; {} {}; {}; hyper-parameters, shared by all: {} s\n",
            self.data,
            self.target,
            self.repeats,
            match &self.test {
                None => "split(s) of 70 to 30".to_owned(),
                Some(test) => format!("training(s), tested on {test}"),
            },
            self.device,
            self.choose_seconds.show(1)
        )?;
        write!(f, "{table}")?;
        for Measured { seed, name, convergence, .. } in &self.splits {
            if let Some(convergence) = convergence {
                write!(f, "\n\n{name}, split {seed}: {convergence}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn means_and_standard_errors_by_hand() {
        let mean = Mean::of(&[1.0, 2.0, 6.0]);
        assert_eq!(mean.mean, 3.0);
        // √(14 / (3 · 2)).
        assert!((mean.standard_error.expect("three") - (14.0f64 / 6.0).sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[2.5]), Mean { mean: 2.5, standard_error: None });
    }

    /// A class by the side of a parabola.
    fn parabola() -> String {
        let mut csv = String::from("a,b,class\n");
        for row in 0..120 {
            let (a, b) = (f64::from(row * 37 % 120) / 60.0 - 1.0, f64::from(row) / 60.0 - 1.0);
            let class = if b > a * a - 0.3 { "above" } else { "below" };
            writeln!(csv, "{a},{b},{class}").expect("a string grows");
        }
        csv
    }

    const CONFIG: &str = "\
[network]
hidden = [6]
[map]
prior_precision = [3, 1]
steps = 100
[walk]
particles = 4
steps = 50
drift = \"isotropic\"
temperature = 0.3
[latent]
decoder = [\"frozen\", \"low-rank:2\"]
steps = 50
";

    fn options(folder: &Path, methods: Vec<Method>) -> CompareOptions {
        let data = folder.join("data.csv");
        fs::write(&data, parabola()).expect("writable");
        CompareOptions {
            test: None,
            ood: None,
            data: Data::file(data).target("class"),
            config: toml::from_str(CONFIG).expect("settings"),
            out: folder.join("out"),
            repeats: 2,
            methods,
            members: 3,
            hmc: Hmc { chains: 2, warm_up: 40, draws: 40 },
            seed: 5,
            device: Arc::new(Device::Cpu),
            progress: Progress::QUIET,
        }
    }

    /// Figures that do not depend on the time that passed.
    fn lasting(comparison: &Comparison) -> Vec<Measured> {
        let mut splits = comparison.splits.clone();
        splits.iter_mut().for_each(|one| {
            one.figures.remove(&Column::FitSeconds);
        });
        splits
    }

    #[test]
    fn regression_has_columns_of_its_own() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let options = options(folder.path(), Method::ALL.to_vec());
        let comparison = compare(&CompareOptions {
            repeats: 1,
            data: options.data.clone().target("b").task(TaskKind::Regression),
            ..options
        });
        let comparison = comparison.expect("compared");
        for Measured { name, figures, .. } in &comparison.splits {
            // The target is uniform on [-1, 1].
            let (rmse, crps) = (figures[&Column::Rmse], figures[&Column::Crps]);
            assert!(rmse < 0.57 && crps < 0.33, "{name}: {figures:?}");
            assert!(figures[&Column::TotalVariation] < 0.8, "{name}: {figures:?}");
            assert!(!figures.contains_key(&Column::Accuracy), "{name}");
        }
        assert_eq!(comparison.splits.len(), Method::ALL.len());
    }

    #[test]
    fn all_methods_are_measured_on_every_split_alike_for_any_number_of_threads() {
        let run = |threads| {
            let folder = tempfile::tempdir().expect("temporary folder");
            let options = options(folder.path(), Method::ALL.to_vec());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.expect("threads");
            let first = pool.install(|| compare(&options)).expect("compared");
            let again = pool.install(|| compare(&options)).expect("compared again");
            assert_eq!(lasting(&first), lasting(&again), "a finished run is read");
            assert_eq!(first.choose_seconds, again.choose_seconds);
            let parts = [5, 6].map(|seed| {
                let one = CompareOptions { repeats: 1, seed, ..options.clone() };
                pool.install(|| compare(&one)).expect("compared one by one")
            });
            let joined = Comparison::joined(parts.into()).expect("two splits");
            assert_eq!((lasting(&joined), joined.repeats), (lasting(&first), first.repeats));
            first
        };
        let one = run(1);
        let methods = Method::ALL.len();
        assert_eq!((one.methods.len(), one.splits.len()), (methods, 2 * methods));
        assert_eq!(lasting(&one), lasting(&run(3)));
        for Measured { name, figures, .. } in &one.splits {
            let of = |column| figures.get(&column).copied().unwrap_or(f64::NAN);
            assert!(of(Column::Nll) < 0.69, "{name}: {figures:?}");
            assert!((0.0..=1.0).contains(&of(Column::OodAuroc)), "{name}: {figures:?}");
            assert!(of(Column::FitSeconds) > 0.0, "{name}: {figures:?}");
        }
        let figures = |method| {
            &one.methods.iter().find(|summary| summary.method == method).expect("there").figures
        };
        // 2 · 6 + 6 · 2 products; 24 weights and 8 biases of two bytes; three members.
        let ensemble = figures(Method::Ensemble);
        assert_eq!(ensemble[&Column::MultiplyAccumulates].mean, 72.0);
        assert_eq!(ensemble[&Column::FlashBytes].mean, 120.0);
        let instructions = |method| figures(method)[&Column::Instructions].mean;
        assert_eq!(instructions(Method::Ensemble), 3.0 * instructions(Method::Map));
        assert!(instructions(Method::Artifact) > instructions(Method::Map));
        assert!(!figures(Method::Laplace).contains_key(&Column::Instructions));
        // As many products, and more bytes: units, names and the header come on top.
        let artifacts = figures(Method::EnsembleArtifact);
        assert_eq!(artifacts[&Column::MultiplyAccumulates].mean, 72.0);
        assert!(artifacts[&Column::FlashBytes].mean > 120.0);
        let apart = artifacts[&Column::Nll].mean - ensemble[&Column::Nll].mean;
        assert!(apart.abs() < 0.02, "{apart}");
        assert!(!figures(Method::Decoder).contains_key(&Column::FlashBytes));
        assert_eq!(figures(Method::Hmc)[&Column::TotalVariation].mean, 0.0);
        assert!(figures(Method::Map)[&Column::TotalVariation].mean > 0.0);
        let shown = one.to_string();
        assert!(shown.contains("| deep ensemble, 3"), "{shown}");
        assert!(shown.contains("R-hat at most"), "{shown}");
        assert!(shown.contains(" ± "), "{shown}");
    }
}
