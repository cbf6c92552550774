//! Fits one method on one split, and measures it.

use std::collections::BTreeMap;
use std::time::Instant;

use fiberwalk_formats::CodeSource;

use super::kept::{Kept, OfBaseline};
use super::method::{STAGE_METHODS, baseline};
use super::split::Split;
use super::{Column, CompareOptions, Measured, Method};
use crate::baselines::{Baseline, Convergence, Fitted, Problem, calibrate};
use crate::costs::footprint::{Work, int8_bytes, pass_products};
use crate::costs::instructions::{Core, Operations};
use crate::data::Rows;
use crate::descent::TrainingSet;
use crate::engine::{Engine, FLOAT_SAMPLES, Predictor};
use crate::folds::cross_validation;
use crate::network::Batch;
use crate::task::{Predictions, Scores, Thresholds, classification, regression};

/// Folder of the ensemble's artifacts.
const ENSEMBLE: &str = "ensemble";

/// Result of one method on one split.
struct Outcome {
    name: String,
    /// Predictions of the test rows.
    predictions: Predictions,
    figures: BTreeMap<Column, f64>,
    convergence: Option<Convergence>,
}

/// Cost of a prediction of a stage.
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

impl Split {
    /// Returns what a method does on this split; none, with a note, where the network is too large for it.
    pub(super) fn measure(
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
                let kept = Kept::new(self, method, &settings, &options.device);
                let before = kept.read()?;
                let when = if before.is_some() { ", measured before" } else { "" };
                let measured = match before {
                    Some(measured) => measured,
                    None => kept.keep(self.measure_baseline(name, &settings, options)?)?,
                };
                let nll = measured.figures[&Column::Nll];
                let mixed = measured.convergence.map(|c| format!("; {c}")).unwrap_or_default();
                stage.finish(&format!("NLL {nll:.4}{mixed}{when}"));
                let predictions = measured.predictions(&self.schema().task);
                let OfBaseline { name, figures, convergence, .. } = measured;
                Outcome { name, predictions, figures, convergence }
            }
            (None, Some(stage)) => self.measure_stage(stage)?,
            (None, None) => unreachable!("a method is a baseline or a stage"),
        };
        let Outcome { name, predictions, figures, convergence } = outcome;
        let measured = Measured { seed: self.seed, method, name, figures, convergence };
        Ok(Some((measured, predictions)))
    }

    /// One stage of fiberwalk, by its place in [`crate::run::Run::stages`].
    fn measure_stage(&self, stage: usize) -> anyhow::Result<Outcome> {
        let (name, predictor) = self.run.stages()?.into_iter().nth(stage).expect("one of five");
        let [predictions, foreign] = self.at_rows(|raw| predictor.predict(raw))?;
        let mut figures = self.score(&predictions, &foreign);
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

    /// Returns the cost of a prediction of a stage. The float decoder runs on no board: its products and
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
    ) -> anyhow::Result<OfBaseline> {
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
        let [predictive, foreign] = self.at_rows(|raw| {
            let x = self.schema().standardise(raw);
            fitted.predictive(&problem, &Batch::from_rows(&x, features))
        })?;
        let calibrated = |predictive| thresholds.apply(predictive, &self.schema().task);
        let mut figures = self.score(&calibrated(&predictive), &calibrated(&foreign));
        let files = match &fitted {
            Fitted::Artifacts(artifacts) => {
                let names = artifacts.write(&self.folder.join(ENSEMBLE), calibration)?;
                names.iter().map(|name| format!("{ENSEMBLE}/{name}")).collect()
            }
            _ => Vec::new(),
        };
        figures.insert(Column::FitSeconds, fit_seconds);
        figures.insert(Column::FlashBytes, fitted.flash_bytes(architecture) as f64);
        figures.insert(Column::MultiplyAccumulates, fitted.products(architecture) as f64);
        figures
            .extend(fitted.instructions(architecture).map(|count| (Column::Instructions, count)));
        let convergence = fitted.convergence();
        Ok(OfBaseline { name, figures, convergence, calibration, predictive, files })
    }

    /// Returns what is predicted of the test rows and of the foreign ones.
    fn at_rows<P>(&self, predict: impl Fn(&[f32]) -> anyhow::Result<P>) -> anyhow::Result<[P; 2]> {
        Ok([predict(&self.test)?, predict(&self.foreign)?])
    }

    /// Scores on the test rows, and against the foreign ones.
    fn score(&self, test: &Predictions, foreign: &Predictions) -> BTreeMap<Column, f64> {
        figures(&Scores::of(test, &self.truth, Some(foreign)))
    }
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
