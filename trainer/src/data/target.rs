//! The column that is predicted.

use std::collections::{BTreeMap, HashMap, HashSet};

use fiberwalk_formats::MAX_TARGET;

use super::spread::Spread;
use super::table::{Held, Table, TableError};
use super::value::Value;
use crate::excerpt::{excerpt, list};
use crate::task::Targets;

/// Whole numbers with at most this many distinct values are taken for classes by [`TaskKind::Auto`].
const MAX_AUTO_CLASSES: usize = 20;

/// The task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum TaskKind {
    /// Classification for text and for whole numbers with few distinct values, else regression.
    Auto,
    /// The target is a class.
    Classification,
    /// The target is a number.
    Regression,
}

/// The target column, as read.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Class index of every row, and the classes' names.
    Classes(Vec<u32>, Vec<String>),
    /// Value of every row, original units.
    Values(Vec<f32>),
}

impl Target {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(labels, _) => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// The targets of all rows, original units.
    pub fn targets(&self) -> Targets {
        match self {
            Self::Classes(labels, classes) => Targets::classes(labels.clone(), classes.len()),
            Self::Values(values) => Targets::Regression(values.clone()),
        }
    }

    /// The task to learn, where it was left open with what was decided and why.
    ///
    /// # Errors
    /// No such column, or one of numbers and other fields.
    pub(super) fn decide(
        table: &Table,
        target: &str,
        task: TaskKind,
    ) -> Result<(TaskKind, Option<String>), TableError> {
        let column = table.column(target)?;
        if task != TaskKind::Auto {
            return Ok((task, None));
        }
        let shown = excerpt(target);
        let classification = |reason: String| {
            let decision = format!("classification, since `{shown}` holds {reason}");
            Ok((TaskKind::Classification, Some(decision)))
        };
        if table.held(column)? == Held::Text {
            return classification("text".to_owned());
        }
        let mut different = HashSet::new();
        for row in 0..table.len() {
            let whole = table.number(row, column)?.fract() == 0.0;
            different.insert(Value::of(table.field(row, column)));
            if !whole || different.len() > MAX_AUTO_CLASSES {
                let decision = format!("regression, since `{shown}` holds numbers");
                return Ok((TaskKind::Regression, Some(decision)));
            }
        }
        classification(format!("{} different whole numbers", different.len()))
    }

    /// Reads the target column of a training file. A class that is a number is called by its shortest spelling.
    ///
    /// # Errors
    /// No such column, a value that does not fit the task, or a target that never varies.
    pub fn read(table: &Table, target: &str, task: TaskKind) -> Result<Self, TableError> {
        let (task, _) = Self::decide(table, target, task)?;
        let column = table.column(target)?;
        let shown = excerpt(target);
        let first = Value::of(table.text(0, column)?);
        if table.fields(column).all(|field| Value::of(field) == first) {
            return Err(table.unusable(format!(
                "the target `{shown}` is `{}` in every row: there is nothing to learn",
                excerpt(table.field(0, column))
            )));
        }
        if task == TaskKind::Regression {
            return learned_numbers(table, target, column).map(Self::Values);
        }
        let mut classes: BTreeMap<Value<'_>, &str> = BTreeMap::new();
        for row in 0..table.len() {
            let field = table.text(row, column)?;
            let shortest = classes.entry(Value::of(field)).or_insert(field);
            if (field.len(), field) < (shortest.len(), *shortest) {
                *shortest = field;
            }
        }
        if classes.len() > table.len() / 2 {
            let numbers = matches!(classes.first_key_value(), Some((Value::Number(..), _)));
            let hint = if numbers {
                "is it a number? take the `task` regression"
            } else {
                "more rows are needed"
            };
            return Err(table.unusable(format!(
                "the target `{shown}` has {} classes in {} rows; {hint}",
                classes.len(),
                table.len()
            )));
        }
        let indices: HashMap<Value<'_>, u32> = classes.keys().copied().zip(0..).collect();
        let labels = table.fields(column).map(|field| indices[&Value::of(field)]).collect();
        Ok(Self::Classes(labels, classes.into_values().map(str::to_owned).collect()))
    }

    /// Reads the target column of a file to evaluate on: one of these classes in every row.
    ///
    /// # Errors
    /// No such column, or a field that is none of them.
    pub(super) fn read_classes(
        table: &Table,
        target: &str,
        classes: &[String],
    ) -> Result<Targets, TableError> {
        let column = table.column(target)?;
        let indices: HashMap<Value<'_>, u32> =
            classes.iter().map(|class| Value::of(class)).zip(0..).collect();
        let label = |row| {
            let found = indices.get(&Value::of(table.text(row, column)?)).copied();
            found.ok_or_else(|| {
                let expected = format!("a class seen in training: {}", list(classes));
                table.bad_field(row, column, expected)
            })
        };
        let labels = (0..table.len()).map(label).collect::<Result<_, _>>()?;
        Ok(Targets::classes(labels, classes.len()))
    }

    /// Reads the target column of a file to evaluate on: a number in every row.
    ///
    /// # Errors
    /// No such column, or a field that is no number.
    pub(super) fn read_values(table: &Table, target: &str) -> Result<Targets, TableError> {
        numbers(table, table.column(target)?).map(Targets::Regression)
    }
}

/// Numbers of which 32-bit floats hold enough to learn them.
fn learned_numbers(table: &Table, target: &str, column: usize) -> Result<Vec<f32>, TableError> {
    let mut spread = Spread::default();
    for row in 0..table.len() {
        spread.meet(table.number(row, column)?);
    }
    match spread.offset() {
        None => numbers(table, column),
        Some(offset) => Err(table.unusable(format!(
            "the target `{}` varies by {:.1e} near {offset}, of which 32-bit floats hold too little: take \
             {offset} off it",
            excerpt(target),
            spread.std()
        ))),
    }
}

/// Numbers that can be predicted.
fn numbers(table: &Table, column: usize) -> Result<Vec<f32>, TableError> {
    let number = |row| {
        let number = table.number(row, column)?;
        if (number as f32).abs() > MAX_TARGET {
            let expected = format!("a number to predict, within ± {MAX_TARGET:e}");
            return Err(table.bad_field(row, column, expected));
        }
        Ok(number as f32)
    };
    (0..table.len()).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::*;

    /// Three times the given fields, and a feature.
    fn table(fields: &[&str]) -> Table {
        let rows: String = fields.iter().map(|field| format!("1,{field}\n")).collect();
        table_from(&format!("x,y\n{}", rows.repeat(3))).expect("a table")
    }

    fn read(fields: &[&str], task: TaskKind) -> Result<Target, String> {
        Target::read(&table(fields), "y", task).map_err(|error| error.to_string())
    }

    fn classes(fields: &[&str], task: TaskKind) -> Vec<String> {
        match read(fields, task) {
            Ok(Target::Classes(_, classes)) => classes,
            other => panic!("{fields:?}: {other:?}"),
        }
    }

    #[test]
    fn the_task_follows_from_the_target() {
        for (fields, task) in [
            (&["0", "1", "2"][..], "classification, since `y` holds 3 different whole"),
            (&["0.0", "1.0"], "classification, since `y` holds 2 different whole"),
            (&["0.5", "1", "2", "3"], "regression"),
            (&["none", "walk"], "classification, since `y` holds text"),
        ] {
            let decided = Target::decide(&table(fields), "y", TaskKind::Auto).expect("target");
            assert!(decided.1.expect("a reason").starts_with(task), "{fields:?}");
        }
        let message = read(&["", "a"], TaskKind::Auto).expect_err("nothing");
        assert!(message.contains("row 1 (line 2), column `y`: found a missing value"), "{message}");
        let message = read(&["a"], TaskKind::Auto).expect_err("one class");
        assert!(message.contains("`y` is `a` in every row"), "{message}");
        let message = read(&["1", "1.0"], TaskKind::Auto).expect_err("one number");
        assert!(message.contains("`y` is `1` in every row"), "{message}");
    }

    #[test]
    fn a_class_is_a_number_or_any_text() {
        assert_eq!(classes(&["1", "1.0", "0.0", "01", "0"], TaskKind::Auto), ["0", "1"]);
        assert_eq!(classes(&["2.0", "10.0"], TaskKind::Auto), ["2.0", "10.0"]);
        assert_eq!(classes(&["01", "02"], TaskKind::Auto), ["01", "02"]);
        let text = ["?", "NA", "none", "null", "walk"];
        assert_eq!(classes(&text, TaskKind::Auto), text);
        assert_eq!(classes(&["1", "2", "none"], TaskKind::Classification), ["1", "2", "none"]);
        let message = read(&["a", "b", ""], TaskKind::Auto).expect_err("nothing");
        assert!(message.contains("row 3 (line 4), column `y`: found a missing value"), "{message}");
    }

    #[test]
    fn a_number_is_no_text_among_others() {
        let message = read(&["0.5", "1.5", "ovf"], TaskKind::Auto).expect_err("ovf");
        assert!(message.contains("row 3 (line 4), column `y`: found `ovf`"), "{message}");
        let message = read(&["0.5", "1.5", "NA"], TaskKind::Regression).expect_err("NA");
        assert!(message.contains("row 3 (line 4), column `y`: found a missing value"), "{message}");
        let message = read(&["0.5", "1e30"], TaskKind::Regression).expect_err("too large");
        assert!(message.contains("found `1e30`, expected a number to predict"), "{message}");
        let message = read(&["52.52000691", "52.52001643"], TaskKind::Auto).expect_err("close");
        assert!(message.contains("varies by 4.8e-6 near 52.52, of which 32-bit"), "{message}");
    }

    #[test]
    fn classes_are_found_again_however_they_are_spelled() {
        let names = ["0", "1", "b"].map(str::to_owned);
        let read = |fields: &[&str]| Target::read_classes(&table(fields), "y", &names);
        let labels = [1, 2, 0].repeat(3);
        assert_eq!(read(&["1.0", "b", "0"]).expect("classes"), Targets::classes(labels, 3));
        let message = read(&["1", "c"]).expect_err("c").to_string();
        assert!(message.contains("row 2 (line 3), column `y`: found `c`, expected a class"));
    }
}
