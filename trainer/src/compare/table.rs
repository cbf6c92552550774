//! Figures that were measured, their means over the splits, and the table of them.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table as TextTable, presets};
use serde::{Deserialize, Serialize};

use super::Method;
use crate::baselines::Convergence;

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
    /// Area under the ROC curve by mutual information; of classifiers of more than one network.
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

/// Figures of one method on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Seed of the split.
    pub seed: u64,
    /// Method.
    pub method: Method,
    /// The method with its sizes.
    pub name: String,
    /// Figures that were measured.
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
    /// Device that computed.
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

/// Means of every method over the splits, in the order in which the methods first appear.
pub(super) fn summarise(splits: &[Measured]) -> Vec<Summary> {
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
    /// Returns the mean of the values of some splits, at least one.
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
