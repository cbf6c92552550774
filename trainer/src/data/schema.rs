//! What the columns of a data file mean, and their normalisation.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use fiberwalk_formats::{INPUT_CLIP, MAX_WIDTH};

use super::table::list;
use super::{Features, Rows, Table, TableError, Targets};

/// Whole numbers with at most this many distinct values are taken for classes by `--task auto`.
const MAX_AUTO_CLASSES: usize = 20;
/// Range of a feature's standard deviation: the artifact's scale, its inverse, is a normal f32.
const FEATURE_STD: RangeInclusive<f32> = 1e-30..=1e30;
/// Range of a target's standard deviation, and largest mean: variances are normal f32s.
const TARGET_STD: RangeInclusive<f32> = 1e-15..=1e15;

/// The task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TaskKind {
    /// Classification for text and for whole numbers with few distinct values, else regression.
    Auto,
    /// The target is a class.
    Classification,
    /// The target is a number.
    Regression,
}

/// What is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of these classes.
    Classification {
        /// Class names, in the order of their indices.
        classes: Vec<String>,
    },
    /// A number.
    Regression {
        /// Mean of the training rows, original units.
        mean: f32,
        /// Standard deviation of the training rows, original units.
        std: f32,
    },
}

/// The meaning of a data file's columns, learned from training rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Feature names.
    pub features: Features,
    /// Mean of each feature over the training rows.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature over the training rows; 1 for a constant feature.
    pub std: Vec<f32>,
    /// Name of the target column.
    pub target: String,
    /// What is predicted.
    pub task: Task,
}

/// The target column, as read.
pub enum Target {
    /// Class index of every row, and the classes' names.
    Classes(Vec<u32>, Vec<String>),
    /// Value of every row, original units.
    Values(Vec<f32>),
}

impl Target {
    /// The targets of the named rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(labels, classes) => {
                Self::Classes(rows.iter().map(|&row| labels[row]).collect(), classes.clone())
            }
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// Reads the target column of a training file. Also says, where the task was left open, what
    /// was decided and why.
    ///
    /// # Errors
    /// No such column, a value that does not fit the task, or a target that never varies.
    pub fn read(
        table: &Table,
        target: &str,
        task: TaskKind,
    ) -> Result<(Self, Option<String>), TableError> {
        let column = table.column(target)?;
        table.check_present(column)?;
        let values: BTreeSet<&str> = table.fields(column).collect();
        let numeric = table.is_numeric(column);
        let whole = numeric && values.iter().all(|value| value.parse::<i64>().is_ok());
        let (classification, reason) = match task {
            TaskKind::Classification => (true, None),
            TaskKind::Regression => (false, None),
            TaskKind::Auto if !numeric => (true, Some(format!("`{target}` holds text"))),
            TaskKind::Auto if whole && values.len() <= MAX_AUTO_CLASSES => {
                (true, Some(format!("`{target}` holds {} different whole numbers", values.len())))
            }
            TaskKind::Auto => (false, Some(format!("`{target}` holds numbers"))),
        };
        if values.len() < 2 {
            let only = table.fields(column).next().unwrap_or_default();
            return Err(table.unusable(format!(
                "the target `{target}` is `{only}` in every row: there is nothing to learn"
            )));
        }
        if !classification {
            return Ok((
                Self::Values(table.numbers(column)?),
                reason.map(|r| format!("regression, since {r}")),
            ));
        }
        table.check_names(column)?;
        let mut classes: Vec<String> = values.into_iter().map(str::to_owned).collect();
        if numeric {
            let number = |class: &String| class.parse::<f64>().unwrap_or(f64::NAN);
            classes.sort_by(|a, b| number(a).total_cmp(&number(b)));
        }
        if classes.len() > table.len() / 2 {
            return Err(table.unusable(format!(
                "the target `{target}` has {} classes in {} rows; is it a number? use --task regression",
                classes.len(),
                table.len()
            )));
        }
        if classes.len() > MAX_WIDTH {
            return Err(table.unusable(format!(
                "the target `{target}` has {} classes, expected at most {MAX_WIDTH}; merge some, or \
                 use --task regression",
                classes.len()
            )));
        }
        let index =
            |field: &str| classes.iter().position(|class| class == field).unwrap_or(0) as u32;
        let labels = table.fields(column).map(index).collect();
        Ok((Self::Classes(labels, classes), reason.map(|r| format!("classification, since {r}"))))
    }
}

impl Schema {
    /// Learns normalisation from the training rows `rows` of raw features `x: [n, features]`.
    ///
    /// # Errors
    /// All features constant, a constant target, or a column too large or too small for f32.
    pub fn learn(
        table: &Table,
        features: Features,
        x: &[f32],
        target_name: &str,
        target: &Target,
        rows: &[usize],
    ) -> Result<Self, TableError> {
        let width = features.0.len();
        let (mut means, mut stds) = (Vec::with_capacity(width), Vec::with_capacity(width));
        let mut constant = 0;
        for feature in 0..width {
            let (mean, std) = mean_std(rows.iter().map(|&row| x[row * width + feature]));
            // A value that moves by less than its own rounding does not vary.
            let varies = std > 1e-6 * mean.abs() && std > 0.0;
            constant += usize::from(!varies);
            if varies && !FEATURE_STD.contains(&std) {
                return Err(table.unusable(scale_message(&features.0[feature], std, &FEATURE_STD)));
            }
            means.push(mean);
            stds.push(if varies { std } else { 1.0 });
        }
        if constant == width {
            return Err(table.unusable(
                "every feature column is constant: there is nothing to learn from".into(),
            ));
        }
        let task = match target {
            Target::Classes(_, classes) => Task::Classification { classes: classes.clone() },
            Target::Values(values) => {
                let (mean, std) = mean_std(rows.iter().map(|&row| values[row]));
                if std <= 1e-6 * mean.abs() || std <= 0.0 {
                    let message =
                        format!("the target `{target_name}` is constant in the training rows");
                    return Err(table.unusable(message));
                }
                if !TARGET_STD.contains(&std) || mean.abs() > *TARGET_STD.end() {
                    let size = if mean.abs() > std { mean.abs() } else { std };
                    return Err(table.unusable(scale_message(target_name, size, &TARGET_STD)));
                }
                Task::Regression { mean, std }
            }
        };
        Ok(Self { features, mean: means, std: stds, target: target_name.to_owned(), task })
    }

    /// Names of the features that did not vary in the training rows `rows` of `x`.
    pub fn constant_features(&self, x: &[f32], rows: &[usize]) -> Vec<&str> {
        let width = self.features.0.len();
        let constant = |feature: &usize| {
            rows.iter().all(|&row| x[row * width + feature] == x[rows[0] * width + feature])
        };
        (0..width).filter(constant).map(|feature| self.features.0[feature].as_str()).collect()
    }

    /// Standardises raw features `[n, features]` and clips them to ± [`INPUT_CLIP`].
    pub fn standardise(&self, raw: &[f32]) -> Vec<f32> {
        let normalisation = self.mean.iter().zip(&self.std).cycle();
        raw.iter()
            .zip(normalisation)
            .map(|(&x, (&mean, &std))| ((x - mean) / std).clamp(-INPUT_CLIP, INPUT_CLIP))
            .collect()
    }

    /// Standardised rows with their targets.
    pub fn rows(&self, raw: &[f32], target: &Target) -> Rows {
        let targets = match (target, &self.task) {
            (Target::Values(values), Task::Regression { mean, std }) => {
                Targets::Values(values.iter().map(|value| (value - mean) / std).collect())
            }
            (Target::Classes(labels, classes), _) => {
                Targets::Classes { labels: labels.clone(), classes: classes.len() }
            }
            (Target::Values(_), Task::Classification { .. }) => {
                unreachable!("the task was learned from this target")
            }
        };
        Rows { x: self.standardise(raw), n: targets.len(), targets }
    }

    /// Number of network outputs: classes, or 1.
    pub fn outputs(&self) -> usize {
        match &self.task {
            Task::Classification { classes } => classes.len(),
            Task::Regression { .. } => 1,
        }
    }

    /// The target column of an evaluation file, original units.
    ///
    /// # Errors
    /// No such column or one that is a feature, a class that training did not see, a missing value,
    /// or a field that is no number.
    pub fn read_target(&self, table: &Table, target: &str) -> Result<Target, TableError> {
        let column = table.column(target)?;
        let mut sources =
            self.features.0.iter().filter_map(|name| self.features.source(table, name));
        if sources.any(|(source, _)| source == column) {
            return Err(table.unusable(format!(
                "`{target}` is a feature of the model, which predicts `{}`",
                self.target
            )));
        }
        table.check_present(column)?;
        match &self.task {
            Task::Regression { .. } => Ok(Target::Values(table.numbers(column)?)),
            Task::Classification { classes } => {
                let label = |(row, field): (usize, &str)| {
                    let found = classes.iter().position(|class| class == field);
                    found.map(|class| class as u32).ok_or_else(|| {
                        let expected = format!("a class seen in training: {}", list(classes));
                        table.bad_field(row, column, expected)
                    })
                };
                let labels =
                    table.fields(column).enumerate().map(label).collect::<Result<_, _>>()?;
                Ok(Target::Classes(labels, classes.clone()))
            }
        }
    }
}

fn scale_message(column: &str, found: f32, range: &RangeInclusive<f32>) -> String {
    format!(
        "column `{column}` is of the order of {found:e}, expected {:e} to {:e}; change its unit",
        range.start(),
        range.end()
    )
}

/// Mean and standard deviation (divisor n).
fn mean_std(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count() as f64;
    let mean = values.clone().map(f64::from).sum::<f64>() / count;
    let variance = values.map(|value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count;
    (mean as f32, variance.sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::*;

    #[test]
    fn the_task_follows_from_the_target() {
        for (target, task) in
            [("0\n1\n2\n0\n1\n2", "classification"), ("0.5\n1\n2\n3", "regression")]
        {
            let table =
                table_from(&format!("x,y\n{}", target.replace('\n', "\n1,").replacen("", "1,", 1)))
                    .expect("table");
            let (_, reason) = Target::read(&table, "y", TaskKind::Auto).expect("target");
            assert!(reason.expect("a reason").starts_with(task));
        }
        let table = table_from("x,y\n1,a\n2,a\n").expect("table");
        let message =
            Target::read(&table, "y", TaskKind::Auto).err().expect("one class").to_string();
        assert!(message.contains("`y` is `a` in every row"), "{message}");
    }
    #[test]
    fn a_class_name_of_two_lines_is_refused() {
        let table = table_from("x,y\n1,a\n2,\"b\nc\"\n3,a\n4,a\n").expect("table");
        let message = Target::read(&table, "y", TaskKind::Auto).err().expect("refused").to_string();
        assert!(message.contains("row 2 (line 3), column `y`"), "{message}");
    }

    #[test]
    fn units_beyond_the_range_of_the_artifact_are_refused() {
        for (x, y, column) in [
            (vec![0.0, 1e-38, 2e-38], vec![1.0, 2.0, 3.0], "column `x`"),
            (vec![-3e38, 0.0, 3e38], vec![1.0, 2.0, 3.0], "column `x`"),
            (vec![1.0, 2.0, 3.0], vec![1e20, 2e20, 3e20], "column `y`"),
            (vec![1.0, 2.0, 3.0], vec![1e-30, 2e-30, 3e-30], "column `y`"),
        ] {
            let table = table_from("x,y\n1,1\n").expect("table");
            let features = Features(vec!["x".into()]);
            let target = Target::Values(y);
            let learned = Schema::learn(&table, features, &x, "y", &target, &[0, 1, 2]);
            let message = learned.expect_err(column).to_string();
            assert!(message.contains(column) && message.contains("change its unit"), "{message}");
        }
    }

    #[test]
    fn a_feature_is_not_taken_for_the_target() {
        let table = table_from("a,b\n1,2\n").expect("table");
        let schema = Schema {
            features: Features(vec!["a".into()]),
            mean: vec![0.0],
            std: vec![1.0],
            target: "b".into(),
            task: Task::Regression { mean: 0.0, std: 1.0 },
        };
        assert!(schema.read_target(&table, "b").is_ok());
        let message = schema.read_target(&table, "a").err().expect("a feature").to_string();
        assert!(message.contains("`a` is a feature of the model, which predicts `b`"), "{message}");
    }
}
