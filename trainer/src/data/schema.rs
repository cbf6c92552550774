//! What the columns of a data file mean, and their normalisation.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand_distr::{Distribution, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tracing::info;

use fiberwalk_formats::INPUT_CLIP;

use super::inputs::standardise;
use super::series::windows;
use super::table::unreadable;
use super::{Dataset, Inputs, Rows, Series, Shape, Source, Table, TableError, Targets, Values};
use crate::excerpt::list;
use crate::store::Writer;

/// A text column with more categories than this is no feature but an identifier.
const MAX_CATEGORIES: usize = 32;
/// Whole numbers with at most this many distinct values are taken for classes by `--task auto`.
const MAX_AUTO_CLASSES: usize = 20;

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

/// Names of the features in the order of the network's inputs. A feature `column=value` is 1 where
/// a text column holds that value, else 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub Vec<String>);

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
    /// The map that the features are, if they are one; its channels have one mean and deviation each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Groups and windows of rows.
    #[serde(default, skip_serializing_if = "Series::is_empty")]
    pub series: Series,
}

/// The target column, as read.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Class index of every row, and the classes' names.
    Classes(Vec<u32>, Vec<String>),
    /// Value of every row, original units.
    Values(Vec<f32>),
}

/// What the fields of a column are.
struct Column<'t> {
    index: usize,
    /// The first row whose field is no number.
    text: Option<usize>,
    /// Different fields, or one more than a column of categories has.
    values: BTreeSet<&'t str>,
}

impl<'t> Column<'t> {
    fn new(index: usize) -> Self {
        Self { index, text: None, values: BTreeSet::new() }
    }

    fn meet(&mut self, row: usize, field: &'t str) {
        if self.text.is_none() && field.parse::<f32>().is_err() {
            self.text = Some(row);
        }
        if self.values.len() <= MAX_CATEGORIES {
            self.values.insert(field);
        }
    }
}

impl Features {
    /// The features of a training file: the numbers beside its columns, or every column but those `besides`,
    /// the last of which is the target.
    ///
    /// # Errors
    /// A text column with too many values, or no column but those.
    pub fn of(table: &Table, besides: &[&str]) -> Result<Self, TableError> {
        if let Some(block) = table.block() {
            return Ok(Self(block.names.clone()));
        }
        let columns = table.columns.iter().enumerate();
        let columns = columns.filter(|(_, name)| !besides.contains(&name.as_str()));
        let mut columns: Vec<Column<'_>> = columns.map(|column| Column::new(column.0)).collect();
        // Row by row, since a table can be larger than memory.
        for row in 0..table.len() {
            columns.iter_mut().for_each(|column| column.meet(row, table.field(row, column.index)));
        }
        let mut names = Vec::new();
        for Column { index, text, values } in columns {
            let name = &table.columns[index];
            match text {
                None => names.push(name.clone()),
                Some(row) if values.len() > MAX_CATEGORIES => {
                    let expected = format!(
                        "a number, or one of at most {MAX_CATEGORIES} categories (the column has more \
                         different values); correct the value or drop the column"
                    );
                    return Err(table.bad_field(row, index, expected));
                }
                Some(_) => names.extend(values.iter().map(|value| format!("{name}={value}"))),
            }
        }
        if names.is_empty() {
            let (groups, target) = besides.split_at(besides.len().saturating_sub(1));
            let groups = if groups.is_empty() { "" } else { " and those of --group" };
            return Err(table.unusable(format!(
                "there is no column besides the target {}{groups}",
                list(target)
            )));
        }
        Ok(Self(names))
    }

    /// The features of every row, original units, row-major `[n, features]`. A column that is
    /// neither a feature nor among those `besides` is refused. Numbers beside the columns are taken in their
    /// order, since arrays and images have no names.
    ///
    /// # Errors
    /// Missing and unknown columns, and fields that are no numbers or unknown categories; another number of
    /// features.
    pub fn read(&self, table: &Table, besides: &[&str]) -> Result<Arc<Values>, TableError> {
        if let Some(block) = table.block() {
            let (found, expected) = (block.names.len(), self.0.len());
            if found != expected {
                return Err(table.unusable(format!(
                    "found {found} features a row, expected {expected} as the model was trained with"
                )));
            }
            return Ok(block.values.clone());
        }
        let sources: Vec<_> = self.0.iter().map(|name| self.source(table, name)).collect();
        let missing: Vec<&String> = self
            .0
            .iter()
            .zip(&sources)
            .filter(|(_, source)| source.is_none())
            .map(|(name, _)| name)
            .collect();
        if !missing.is_empty() {
            return Err(table.unusable(format!(
                "feature columns are missing: {}; the model was trained with them",
                list(&missing)
            )));
        }
        let sources: Vec<_> = sources.into_iter().flatten().collect();
        let known = |column: &usize| sources.iter().any(|(source, _)| source == column);
        let extra: Vec<&String> = (0..table.columns.len())
            .filter(|column| !known(column) && !besides.contains(&table.columns[*column].as_str()))
            .map(|column| &table.columns[column])
            .collect();
        if !extra.is_empty() {
            return Err(table.unusable(format!(
                "found columns that the model does not know: {}; remove them",
                list(&extra)
            )));
        }
        let unreadable = |error| unreadable(&table.path, error);
        let mut values = Writer::default();
        let mut x = vec![0.0; self.0.len()];
        for row in 0..table.len() {
            for (x, &(column, category)) in x.iter_mut().zip(&sources) {
                *x = match category {
                    None => table.number(row, column)?,
                    Some(category) => self.indicator(table, row, column, category)?,
                };
            }
            values.extend(&x).map_err(unreadable)?;
        }
        Ok(Arc::new(Values::Floats(values.finish().map_err(unreadable)?)))
    }

    /// The column behind a feature, and its category where the column is text.
    fn source<'n>(&self, table: &Table, name: &'n str) -> Option<(usize, Option<&'n str>)> {
        let find = |name: &str| table.columns.iter().position(|column| column == name);
        if let Some(column) = find(name) {
            return Some((column, None));
        }
        let mut splits = name.match_indices('=').map(|(at, _)| (&name[..at], &name[at + 1..]));
        splits.find_map(|(column, category)| Some((find(column)?, Some(category))))
    }

    /// Whether a field is a category; any of those seen in training is one.
    fn indicator(
        &self,
        table: &Table,
        row: usize,
        column: usize,
        category: &str,
    ) -> Result<f32, TableError> {
        let field = table.field(row, column);
        if field == category {
            return Ok(1.0);
        }
        let prefix = format!("{}=", table.columns[column]);
        let known = || self.0.iter().filter_map(|name| name.strip_prefix(prefix.as_str()));
        if known().any(|known| known == field) {
            return Ok(0.0);
        }
        let known: Vec<&str> = known().collect();
        let expected = format!("a category seen in training: {}", list(&known));
        Err(table.bad_field(row, column, expected))
    }
}

impl Target {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(labels, _) => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The targets of the named rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(labels, classes) => {
                Self::Classes(rows.iter().map(|&row| labels[row]).collect(), classes.clone())
            }
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// The task to learn, where it was left open with what was decided and why.
    ///
    /// # Errors
    /// No such column.
    pub(super) fn decide(
        table: &Table,
        target: &str,
        task: TaskKind,
    ) -> Result<(TaskKind, Option<String>), TableError> {
        let column = table.column(target)?;
        if task != TaskKind::Auto {
            return Ok((task, None));
        }
        let classification = |reason: String| {
            let decision = format!("classification, since `{target}` holds {reason}");
            Ok((TaskKind::Classification, Some(decision)))
        };
        if !table.is_numeric(column) {
            return classification("text".to_owned());
        }
        let values = table.different(column, MAX_AUTO_CLASSES);
        let whole = values.iter().all(|value| value.parse::<i64>().is_ok());
        if whole && values.len() <= MAX_AUTO_CLASSES {
            return classification(format!("{} different whole numbers", values.len()));
        }
        Ok((TaskKind::Regression, Some(format!("regression, since `{target}` holds numbers"))))
    }

    /// Reads the target column of a training file.
    ///
    /// # Errors
    /// No such column, a value that does not fit the task, or a target that never varies.
    pub fn read(table: &Table, target: &str, task: TaskKind) -> Result<Self, TableError> {
        let (task, _) = Self::decide(table, target, task)?;
        let column = table.column(target)?;
        if table.different(column, 1).len() < 2 {
            let only = table.fields(column).next().unwrap_or_default();
            return Err(table.unusable(format!(
                "the target `{target}` is `{only}` in every row: there is nothing to learn"
            )));
        }
        if task == TaskKind::Regression {
            return Ok(Self::Values(table.numbers(column)?));
        }
        let classes = table.different(column, usize::MAX);
        let mut classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
        if table.is_numeric(column) {
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
        let index =
            |field: &str| classes.iter().position(|class| class == field).unwrap_or(0) as u32;
        let labels = table.fields(column).map(index).collect();
        Ok(Self::Classes(labels, classes))
    }
}

impl Schema {
    /// Learns normalisation from the training rows `rows`: of each feature, or of each channel of a map over
    /// all of its positions. `centre`, one value a channel, is what a network has to be fed instead of the
    /// means: 0 is then there, and the deviations are from it.
    ///
    /// # Errors
    /// All features constant, or a constant target; another number of channels than of centres.
    pub fn learn(
        data: &Dataset,
        rows: &[usize],
        centre: Option<&[f32]>,
    ) -> Result<Self, TableError> {
        let Dataset { table, features, raw, target, target_name, .. } = data;
        let (width, shape) = (features.0.len(), data.shape());
        let channels = shape.map_or(width, |shape| shape.channels);
        if let Some(centre) = centre.filter(|centre| centre.len() != channels) {
            let found = centre.len();
            return Err(table.unusable(format!(
                "the imported network reads {found} channels, the data have {channels}"
            )));
        }
        let mut constant = 0;
        let of_channels = moments(raw, rows, width, channels).into_iter().enumerate();
        let (means, stds) = of_channels
            .map(|(channel, (mean, std))| {
                // A value that moves by less than its own rounding does not vary.
                let varies = std > 1e-6 * mean.abs() && std > 0.0;
                constant += usize::from(!varies);
                let zero = centre.map_or(mean, |centre| centre[channel]);
                (zero, if varies { std.hypot(mean - zero) } else { 1.0 })
            })
            .unzip();
        if constant == channels {
            let what = if shape.is_some() { "channel" } else { "feature column" };
            return Err(
                table.unusable(format!("every {what} is constant: there is nothing to learn from"))
            );
        }
        let every = |channels: Vec<f32>| channels.into_iter().cycle().take(width).collect();
        let task = match target {
            Target::Classes(_, classes) => Task::Classification { classes: classes.clone() },
            Target::Values(values) => {
                let (mean, std) = moments(&values.clone().into(), rows, 1, 1)[0];
                if std <= 1e-6 * mean.abs() || std <= 0.0 {
                    let message =
                        format!("the target `{target_name}` is constant in the training rows");
                    return Err(table.unusable(message));
                }
                Task::Regression { mean, std }
            }
        };
        Ok(Self {
            features: features.clone(),
            mean: every(means),
            std: every(stds),
            target: target_name.clone(),
            task,
            shape,
            series: data.series.clone(),
        })
    }

    /// Names of the features that did not vary in the training rows `rows` of `x`; none of a map, where
    /// pixels that are always dark are no mistake.
    pub fn constant_features(&self, x: &Values, rows: &[usize]) -> Vec<&str> {
        if self.shape.is_some() {
            return Vec::new();
        }
        let names = &self.features.0;
        let row = |&row: &usize| x.row(row, names.len());
        let mut constant = vec![true; names.len()];
        if let Some((first, others)) = rows.split_first() {
            let first = row(first);
            for other in others {
                let other = row(other);
                let both = first.iter().zip(&*other);
                constant.iter_mut().zip(both).for_each(|(constant, (a, b))| *constant &= a == b);
            }
        }
        let constant = names.iter().zip(constant).filter(|(_, constant)| *constant);
        constant.map(|(name, _)| name.as_str()).collect()
    }

    /// Standardises raw features `[n, features]` and clips them to ± [`INPUT_CLIP`].
    pub fn standardise(&self, raw: &[f32]) -> Vec<f32> {
        let mut x = raw.to_vec();
        x.chunks_exact_mut(self.mean.len()).for_each(|row| standardise(row, &self.mean, &self.std));
        x
    }

    /// Raw features of standardised rows `[n, features]`.
    pub fn original(&self, standardised: &[f32]) -> Vec<f32> {
        let normalisation = self.mean.iter().zip(&self.std).cycle();
        standardised.iter().zip(normalisation).map(|(&x, (&mean, &std))| mean + std * x).collect()
    }

    /// Raw rows `[rows, features]` uniform in a box of ± [`INPUT_CLIP`] standard deviations round the
    /// training rows: as far as inputs are told apart.
    pub fn foreign(&self, rows: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
        let unit = Uniform::new(-INPUT_CLIP, INPUT_CLIP).expect("the box is not empty");
        let columns: Vec<_> = self.mean.iter().zip(&self.std).collect();
        let each = (0..rows).flat_map(|_| &columns);
        each.map(|(mean, std)| *mean + *std * unit.sample(rng)).collect()
    }

    /// Standardised rows with their targets, no group among them.
    pub fn rows(&self, raw: &Arc<Values>, target: &Target) -> Rows {
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
        Rows { x: Inputs::of_raw(raw.clone(), &self.mean, &self.std), targets, groups: None }
    }

    /// Number of network outputs: classes, or 1.
    pub fn outputs(&self) -> usize {
        match &self.task {
            Task::Classification { classes } => classes.len(),
            Task::Regression { .. } => 1,
        }
    }

    /// Raw features `[n, features]` of every row of a file, or of windows cut from it. Its column `target`, if
    /// there is one, is ignored.
    ///
    /// # Errors
    /// The file cannot be read, or holds other features than the model was trained with.
    pub fn read(&self, source: &Source, target: &str) -> Result<Arc<Values>, TableError> {
        let (series, table) = self.table(source, target, false)?;
        self.features.read(&table, &series.besides(target))
    }

    /// The same with the targets of a file to evaluate on, original units.
    ///
    /// # Errors
    /// Those of [`Self::read`]; no column `target`, a class that training did not see, or a field that is no
    /// number.
    pub fn read_labelled(
        &self,
        source: &Source,
        target: &str,
    ) -> Result<(Arc<Values>, Target), TableError> {
        let (series, table) = self.table(source, target, true)?;
        let targets = self.read_target(&table, target)?;
        Ok((self.features.read(&table, &series.besides(target))?, targets))
    }

    /// What a file holds, cut into windows if those are what was trained on, and the groups and windows it was
    /// read by: the source's own, else the remembered ones.
    fn table(
        &self,
        source: &Source,
        target: &str,
        labelled: bool,
    ) -> Result<(Series, Table), TableError> {
        let series = source.series.or(&self.series);
        let table = source.table(target)?;
        series.check(target).map_err(|message| table.unusable(message))?;
        if let Some(block) = table.block() {
            return match (block.shape, self.shape) {
                (Some(found), Some(expected)) if found != expected => Err(table.unusable(format!(
                    "found maps of {found}, expected {expected} as the model was trained with"
                ))),
                _ => Ok((series, table)),
            };
        }
        // A file may hold windows already, one a row.
        let already = self.features.0.first().is_some_and(|first| table.columns.contains(first));
        let Some(channels) = self.features.channels().filter(|_| !already) else {
            return match series.window {
                Some(_) if !already => {
                    Err(table.unusable("--window: the model was not trained on windows".into()))
                }
                _ => Ok((series, table)),
            };
        };
        let expected = self.features.0.len() / channels.0.len();
        if series.window != Some(expected) {
            let found =
                series.window.map_or("none".to_owned(), |found| format!("--window {found}"));
            return Err(table.unusable(format!(
                "the model predicts windows of {expected} rows: found {found}, expected --window {expected}"
            )));
        }
        let label = match (&self.task, labelled) {
            (Task::Classification { .. }, true) => Some(table.column(target)?),
            _ => None,
        };
        let cut = windows(&table, &channels, &series, target, label)?;
        info!(path = %source.path.display(), "{}", cut.note);
        Ok((series, cut.table))
    }

    /// The target column of an evaluation file, original units.
    fn read_target(&self, table: &Table, target: &str) -> Result<Target, TableError> {
        let column = table.column(target)?;
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

/// Mean and standard deviation (divisor n) of every channel of the named rows of `raw: [n, width]`, in which
/// the values of all channels take turns.
fn moments(raw: &Values, rows: &[usize], width: usize, channels: usize) -> Vec<(f32, f32)> {
    let mean_of = |value: &dyn Fn(usize, f32) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; channels];
        for &row in rows {
            for values in raw.row(row, width).chunks_exact(channels) {
                let values = values.iter().enumerate();
                sums.iter_mut().zip(values).for_each(|(sum, (of, &x))| *sum += value(of, x));
            }
        }
        let count = (rows.len() * width / channels) as f64;
        sums.into_iter().map(|sum| sum / count).collect()
    };
    let means = mean_of(&|_, x| f64::from(x));
    let variances = mean_of(&|of, x| (f64::from(x) - means[of]).powi(2));
    let each = means.iter().zip(variances);
    each.map(|(&mean, variance)| (mean as f32, variance.sqrt() as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::*;

    #[test]
    fn text_columns_become_indicators_and_are_found_again() {
        let table = table_from("c,x,y\nred,1,0\nblue,2,1\nred,3,1\nblue,4,0\n").expect("table");
        let features = Features::of(&table, &["y"]).expect("features");
        assert_eq!(features.0, ["c=blue", "c=red", "x"]);
        let other = table_from("x,c\n7,blue\n").expect("table");
        assert_eq!(features.read(&other, &["y"]).expect("row").to_floats(), [1.0, 0.0, 7.0]);
        let unknown = table_from("x,c\n7,green\n").expect("table");
        let message = features.read(&unknown, &["y"]).expect_err("green").to_string();
        assert!(message.contains("row 1 (line 2), column `c`: found `green`"), "{message}");
    }

    #[test]
    fn missing_and_extra_columns_are_named() {
        let features = Features(vec!["a".into(), "b".into()]);
        let table = table_from("a,y\n1,2\n").expect("table");
        assert!(features.read(&table, &["y"]).expect_err("b").to_string().contains("missing: `b`"));
        let table = table_from("a,b,c,y\n1,2,3,4\n").expect("table");
        assert!(features.read(&table, &["y"]).expect_err("c").to_string().contains("know: `c`"));
    }

    #[test]
    fn the_task_follows_from_the_target() {
        for (target, task) in
            [("0\n1\n2\n0\n1\n2", "classification"), ("0.5\n1\n2\n3", "regression")]
        {
            let table =
                table_from(&format!("x,y\n{}", target.replace('\n', "\n1,").replacen("", "1,", 1)))
                    .expect("table");
            let (_, reason) = Target::decide(&table, "y", TaskKind::Auto).expect("target");
            assert!(reason.expect("a reason").starts_with(task));
        }
        let table = table_from("x,y\n1,a\n2,a\n").expect("table");
        let message = Target::read(&table, "y", TaskKind::Auto).expect_err("one class").to_string();
        assert!(message.contains("`y` is `a` in every row"), "{message}");
    }
}
