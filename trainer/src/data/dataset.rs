//! A data file as it is trained on.

use std::collections::HashMap;
use std::sync::Arc;

use super::series::windows;
use super::split::stratified;
use super::value::Value;
use super::{
    Column, Data, Layout, Selection, Series, Table, TableError, Target, TaskKind, Values, outliers,
};
use crate::random::Purpose;
use crate::task::Targets;

/// Features, targets and groups of the rows of a file, or of windows cut from them.
pub struct Dataset {
    /// Table that was read.
    pub table: Table,
    /// Layout of a row.
    pub layout: Layout,
    /// Features, original units, row-major `[n, features]`.
    pub raw: Arc<Values>,
    /// Name of the target column.
    pub target_name: String,
    /// Targets, `[n]`.
    pub target: Target,
    /// Groups and windows, as they were asked for.
    pub series: Series,
    /// Group of each row, `[n]`, if rows belong together.
    pub groups: Option<Vec<u32>>,
    /// The rows of the file, or its windows, that these are; none for all.
    pub chosen: Option<Vec<usize>>,
    /// Notes for the user of what was decided or left out.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Reads a file to train on. `seed` draws the rows of [`Selection::Take`].
    ///
    /// # Errors
    /// [`TableError`] names the file and where in it; a target or options that do not fit the file.
    pub fn read(data: &Data, seed: u64) -> Result<Self, TableError> {
        let Data { source, task, .. } = data;
        let (target_name, series) = (&data.learned_target()?, source.series.clone());
        let mut table = source.table(target_name)?;
        series.check(target_name).map_err(|message| table.unusable(message))?;
        let (task, decision) = Target::decide(&table, target_name, *task)?;
        let mut notes: Vec<String> =
            decision.map(|decision| format!("task: {decision}")).into_iter().collect();
        let besides = series.besides(target_name);
        if series.window.is_some() {
            let label = table.column(target_name)?;
            let label = (task == TaskKind::Classification).then_some(label);
            let channels = Column::learn(&table, &besides)?;
            let cut = windows(&table, &channels, &series, target_name, label)?;
            table = cut.table;
            notes.push(cut.note);
            notes.extend(cut.outliers);
        }
        let chosen = match &source.selection {
            Selection::All => None,
            Selection::These(rows) => Some(rows.clone()),
            Selection::Take(most) => {
                let target = Target::read(&table, target_name, task)?;
                Some(take(&target, *most, seed).map_err(|message| table.unusable(message))?)
            }
        };
        if let Some(rows) = &chosen {
            table = table.select(rows)?;
        }
        // A field that is missing is named before the target is judged as a whole.
        let layout = Layout::learn(&table, &besides)?;
        let raw = layout.read(&table, &besides)?;
        let target = Target::read(&table, target_name, task)?;
        notes.extend(layout.offset_notes());
        notes.extend(outliers::notes(&table, &layout, &raw));
        let groups = groups(&table, &series)?;
        Ok(Self {
            table,
            layout,
            raw,
            target_name: target_name.to_owned(),
            target,
            series,
            groups,
            chosen,
            notes,
        })
    }

    /// Features, `[n, features]`, and targets of the named rows.
    pub fn subset(&self, rows: &[usize]) -> (Vec<f32>, Targets) {
        let width = self.layout.len();
        let raw = rows.iter().map(|&row| self.raw.row(row, width));
        (raw.collect::<Vec<_>>().concat(), self.target.targets().subset(rows))
    }

    /// Selection that reads the named rows of these from the file again.
    pub fn selection(&self, rows: &[usize]) -> Selection {
        Selection::These(match &self.chosen {
            None => rows.to_vec(),
            Some(chosen) => rows.iter().map(|&row| chosen[row]).collect(),
        })
    }

    /// An error about one input value of one row.
    pub fn bad_input(&self, row: usize, input: usize, expected: String) -> TableError {
        let name = self.layout.column_of(input).filter(|_| self.table.numbers().is_none());
        match name.map(|name| self.table.column(name)) {
            Some(Ok(column)) => self.table.bad_field(row, column, expected),
            Some(Err(error)) => error,
            None => {
                let index = row * self.layout.len() + input;
                let found = self.raw.floats(index..index + 1)[0];
                self.table.bad_number(row, &self.layout.names()[input], found, expected)
            }
        }
    }
}

/// Indices, ascending, of `most` rows; classes keep their shares.
fn take(target: &Target, most: usize, seed: u64) -> Result<Vec<usize>, String> {
    let n = target.len();
    if most == 0 || most > n {
        return Err(format!("`take`: found {most}, expected 1 to {n}, the number of rows"));
    }
    let mut rows = stratified(target, most, Purpose::Take, seed);
    rows.sort_unstable();
    Ok(rows)
}

/// The group of every row: one for all rows with the same fields, numbered as they appear.
fn groups(table: &Table, series: &Series) -> Result<Option<Vec<u32>>, TableError> {
    if series.group.is_empty() {
        return Ok(None);
    }
    let columns: Vec<usize> =
        series.group.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
    let mut known: HashMap<Vec<Value<'_>>, u32> = HashMap::new();
    let group = |row| {
        let values = columns.iter().map(|&column| Ok(Value::of(table.text(row, column)?)));
        let next = known.len() as u32;
        Ok(*known.entry(values.collect::<Result<_, _>>()?).or_insert(next))
    };
    Ok(Some((0..table.len()).map(group).collect::<Result<_, _>>()?))
}
