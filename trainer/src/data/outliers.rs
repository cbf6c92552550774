//! Values so far from the rest that the rest becomes one input of the board.

use fiberwalk_formats::{INPUT_CLIP, INPUT_UNITS};

use super::schema::moments;
use super::{Layout, Table, Values};
use crate::excerpt::{LISTED, excerpt};

/// Rows that quartiles are taken from.
const SAMPLED: usize = 2000;

/// Notes on columns whose middle half of rows lies within a step of the board's inputs, because of values far
/// away from them: each names the farthest, with its row.
pub(super) fn notes(table: &Table, layout: &Layout, raw: &Values) -> Vec<String> {
    if layout.map().is_some() {
        return Vec::new();
    }
    let (width, rows) = (layout.len(), table.len());
    let every: Vec<usize> = (0..rows).collect();
    let moments = moments(raw, &every, width, width);
    let sampled: Vec<usize> =
        every.iter().copied().step_by(rows.div_ceil(SAMPLED).max(1)).collect();
    let flattened = (0..width).filter_map(|input| {
        let value = |row: usize| raw.floats(row * width + input..row * width + input + 1)[0];
        let mut sample: Vec<f32> = sampled.iter().map(|&row| value(row)).collect();
        sample.sort_unstable_by(f32::total_cmp);
        let quartile = |quarter: usize| sample[(sample.len() - 1) * quarter / 4];
        let half = quartile(3) - quartile(1);
        let step = INPUT_CLIP / INPUT_UNITS * moments[input].1;
        (half > 0.0 && half < step).then_some((input, quartile(2)))
    });
    let flattened: Vec<(usize, f32)> = flattened.collect();
    let names = layout.names();
    let note = |&(input, median): &(usize, f32)| {
        let value = |row: usize| raw.floats(row * width + input..row * width + input + 1)[0];
        let distance = |row: usize| (value(row) - median).abs();
        // The first of several.
        let farthest = (0..rows).rev().max_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        let farthest = farthest.unwrap_or_default();
        format!(
            "note: column `{}`: {} holds {:?}, so far from the rest that half of all rows become one input of \
             the board; if it stands for a missing value, remove the row",
            excerpt(&names[input]),
            table.place(farthest),
            value(farthest)
        )
    };
    let mut notes: Vec<String> = flattened.iter().take(LISTED).map(note).collect();
    if flattened.len() > LISTED {
        notes.push(format!("note: so it is in {} more columns", flattened.len() - LISTED));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::*;

    fn of(values: &[f64]) -> Vec<String> {
        let rows: String =
            values.iter().map(|value| format!("{value},{}\n", value % 2.0)).collect();
        let table = table_from(&format!("a,y\n{rows}")).expect("a table");
        let layout = Layout::learn(&table, &["y"]).expect("a layout");
        let raw = layout.read(&table, &["y"]).expect("numbers");
        notes(&table, &layout, &raw)
    }

    #[test]
    fn what_flattens_a_column_is_told_with_its_row() {
        let ordinary: Vec<f64> = (0..300).map(|row| (f64::from(row) * 0.7).sin()).collect();
        assert!(of(&ordinary).is_empty());
        for outlier in [-9999.0, 1e30] {
            let mut values = ordinary.clone();
            values[6] = outlier;
            let notes = of(&values);
            let expected = format!("column `a`: row 7 (line 8) holds {:?}", outlier as f32);
            assert!(notes.len() == 1 && notes[0].contains(&expected), "{notes:?}");
        }
    }

    #[test]
    fn skewed_and_sparse_columns_are_ordinary() {
        let skewed: Vec<f64> = (0..300).map(|row| (f64::from(row) * 0.02).exp()).collect();
        assert!(of(&skewed).is_empty());
        let sparse: Vec<f64> = (0..300).map(|row| f64::from(u8::from(row % 50 == 0))).collect();
        assert!(of(&sparse).is_empty());
    }
}
