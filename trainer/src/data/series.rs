//! Rows that belong together, and windows cut from consecutive ones.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::layout::read_columns;
use super::numbers::Numbers;
use super::outliers;
use super::table::unreadable;
use super::value::Value;
use super::{Column, Layout, Table, TableError, Values};
use crate::store::Writer;

/// Which rows of a file belong together, and how consecutive ones are cut into windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Rows of a window; none where every row is an input of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Rows from the start of a window to that of the next; as many as a window has, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Columns whose values name a group, such as a person or a recording. They are no features, no window
    /// crosses from one group to another, and a group is trained on or held out as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
}

impl Series {
    /// Whether rows are inputs, each on its own.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Settings that are given here, and the rest from `other`.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            window: self.window.or(other.window),
            stride: self.stride.or(other.stride),
            group: if self.group.is_empty() { &other.group } else { &self.group }.clone(),
        }
    }

    /// Columns that are no features.
    pub(super) fn besides<'s>(&'s self, target: &'s str) -> Vec<&'s str> {
        self.group.iter().map(String::as_str).chain([target]).collect()
    }

    /// Refuses settings that do not fit together.
    pub(super) fn check(&self, target: &str) -> Result<(), String> {
        match self {
            Self { window: Some(0), .. } => Err("`window`: found 0, expected at least 1".into()),
            Self { stride: Some(0), .. } => Err("`stride`: found 0, expected at least 1".into()),
            Self { window: None, stride: Some(_), .. } => Err("`stride` needs `window`".into()),
            Self { group, .. } if group.iter().any(|column| column == target) => {
                Err(format!("`group`: `{target}` is the target"))
            }
            _ => Ok(()),
        }
    }
}

/// Windows that were cut.
pub(super) struct Windows {
    /// A row a window: target and group columns of its last row, and its readings as a map of height 1.
    pub table: Table,
    /// How many there are, and what is in none.
    pub note: String,
    /// Values that flatten a channel.
    pub outliers: Vec<String>,
}

/// Cuts every run of consecutive rows of one group, and of one value of the column `label` where classes are
/// learned, into windows of `channels`. Rows at the end of a run that fill no window are dropped.
pub(super) fn windows(
    table: &Table,
    channels: &[Column],
    series: &Series,
    target: &str,
    label: Option<usize>,
) -> Result<Windows, TableError> {
    let length = series.window.unwrap_or(1);
    let stride = series.stride.unwrap_or(length);
    let besides = series.besides(target);
    let groups: Vec<usize> =
        series.group.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?;
    let raw = read_columns(channels, table, &besides)?;
    let layout = Layout::Windows { steps: length, channels: channels.to_vec() };

    let keys: Vec<usize> = groups.iter().copied().chain(label).collect();
    let breaks = (1..table.len()).filter(|&row| {
        let value = |row, column| Value::of(table.field(row, column));
        keys.iter().any(|&column| value(row, column) != value(row - 1, column))
    });
    let ends: Vec<usize> = breaks.chain([table.len()]).collect();
    let begins = [0].into_iter().chain(ends.iter().copied());
    let (mut starts, mut unused, mut short, mut longest) = (Vec::new(), 0, 0, 0);
    for (begin, &end) in begins.zip(&ends) {
        let rows = end - begin;
        longest = longest.max(rows);
        if rows < length {
            short += 1;
            unused += rows;
            continue;
        }
        let count = (rows - length) / stride + 1;
        // Between windows further apart than they are long there are rows in none, which was asked for.
        unused += rows - ((count - 1) * stride + length);
        starts.extend((0..count).map(|index| begin + index * stride));
    }
    if starts.is_empty() {
        return Err(table.unusable(format!(
            "`window` {length}: every run of rows that belong together is shorter; the longest has {longest}"
        )));
    }
    let mut note = format!("{} windows of {length} rows every {stride}", starts.len());
    if unused > 0 {
        note.push_str(&format!(
            "; {unused} rows at the ends of runs are in none, {short} of {} runs being shorter than a window",
            ends.len()
        ));
    }
    let overlap = stride < length;
    if overlap && series.group.is_empty() {
        note.push_str(
            "; they overlap, and without `group` rows of one window can be trained on in another that is \
             held out",
        );
    }
    let width = layout.shape().channels;
    let mut values = Writer::default();
    let unreadable = |error| unreadable(&table.path, error);
    for start in &starts {
        let window = raw.floats(start * width..(start + length) * width);
        values.extend(&window).map_err(unreadable)?;
    }
    let channels = Layout::Columns(channels.to_vec());
    let outliers = outliers::notes(table, &channels, &raw);
    let numbers = Numbers {
        layout,
        values: Arc::new(Values::Floats(values.finish().map_err(unreadable)?)),
        blurred: None,
        labels: "expected it among the columns",
    };
    let last: Vec<usize> = starts.iter().map(|start| start + length - 1).collect();
    let target = table.column(target).ok();
    let columns: Vec<usize> = groups.into_iter().chain(target).collect();
    Ok(Windows { table: table.condensed(&last, &columns, numbers)?, note, outliers })
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::super::table::table_from;
    use super::*;

    const TABLE: &str =
        "who,a,b,class\nx,1,10,u\nx,2,20,u\nx,3,30,u\nx,4,40,v\nx,5,50,v\ny,6,60,v\ny,7,70,v\n";

    fn series(window: usize, stride: usize) -> Series {
        Series { window: Some(window), stride: Some(stride), group: vec!["who".into()] }
    }

    fn cut(series: &Series, label: Option<usize>) -> Result<Windows, TableError> {
        let table = table_from(TABLE).expect("a table");
        windows(&table, &["a", "b"].map(|name| Column::Number(name.into())), series, "class", label)
    }

    #[test]
    fn windows_stay_within_group_and_class() {
        let Windows { table, note, .. } = cut(&series(2, 1), Some(3)).expect("windows");
        let numbers = table.numbers().expect("numbers");
        assert_eq!(numbers.layout.names(), ["a@0", "b@0", "a@1", "b@1"]);
        assert_eq!(numbers.layout.map(), Some(Shape { height: 1, width: 2, channels: 2 }));
        let firsts: Vec<f32> =
            numbers.values.to_floats().chunks(4).map(|window| window[0]).collect();
        assert_eq!(firsts, [1.0, 2.0, 4.0, 6.0]);
        assert_eq!(numbers.values.to_floats()[..4], [1.0, 10.0, 2.0, 20.0]);
        assert_eq!(table.columns, ["who", "class"]);
        assert_eq!(table.fields(1).collect::<String>(), "uuvv");
        assert_eq!(note, "4 windows of 2 rows every 1");
    }

    #[test]
    fn the_target_is_the_last_row_s_and_the_rest_is_told() {
        let Windows { table, note, .. } = cut(&series(3, 3), None).expect("windows");
        assert_eq!(table.fields(1).collect::<String>(), "u");
        assert!(note.starts_with("1 windows"), "{note}");
        assert!(note.contains("4 rows") && note.contains("1 of 2 runs"), "{note}");
    }

    #[test]
    fn windows_that_fit_nowhere_are_refused() {
        let message = cut(&series(6, 1), None).err().expect("too long").to_string();
        assert!(message.contains("`window` 6") && message.contains("longest has 5"), "{message}");
        let unknown = Series { group: vec!["whom".into()], ..series(2, 1) };
        let message = cut(&unknown, None).err().expect("no column").to_string();
        assert!(message.contains("no column `whom`"), "{message}");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let check = |series: Series| series.check("who").expect_err("refused");
        assert!(
            check(Series { window: Some(0), ..Series::default() }).contains("`window`: found 0")
        );
        assert!(check(Series { stride: Some(1), ..Series::default() }).contains("needs `window`"));
        assert!(check(series(2, 0)).contains("`stride`: found 0"));
        assert!(check(series(2, 1)).contains("`who` is the target"));
    }
}
