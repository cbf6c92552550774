//! Layouts of a network's inputs: columns of a table, an image, or a window of a series.

mod columns;
mod names;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(super) use columns::read_columns;

use super::{Shape, Table, TableError, Values};
use crate::excerpt::{LISTED, excerpt};

/// Layout of an input, in the order of the network's input values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Columns of a table.
    Columns(Vec<Column>),
    /// A map without names: an image, or an array's series, which is a map of height 1.
    Image(Shape),
    /// Consecutive rows of a table, one after another.
    Windows {
        /// Rows of a window.
        steps: usize,
        /// Columns of a row.
        channels: Vec<Column>,
    },
}

/// A column of a table, and the input values that it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    /// One value: the number in the column of this name.
    Number(String),
    /// One value: the number in the column of this name less `offset`, where floats of 32 bits hold too little
    /// of what the numbers themselves differ by.
    Shifted {
        /// Name of the column.
        name: String,
        /// Number that is subtracted in double precision.
        offset: f64,
    },
    /// A value a category: 1 where the column holds it, else 0.
    Categories {
        /// Name of the column.
        name: String,
        /// Categories, in the order of their values.
        values: Vec<String>,
    },
    /// One value of which only the name is known, as an artifact has it: a column's, or `column=category`. The
    /// table that is read decides between the two.
    Named(String),
}

impl Layout {
    /// The layout of a training file: its array's or images', or every column but those `besides`, the last of
    /// which is the target.
    ///
    /// # Errors
    /// A text column with too many values, a column of numbers and other fields, or no column but those; an
    /// array of which 32-bit floats hold too little.
    pub fn learn(table: &Table, besides: &[&str]) -> Result<Self, TableError> {
        match table.numbers() {
            Some(numbers) => match &numbers.blurred {
                Some(message) => Err(table.unusable(message.clone())),
                None => Ok(numbers.layout.clone()),
            },
            None => Column::learn(table, besides).map(Self::Columns),
        }
    }

    /// Number of input values.
    pub fn len(&self) -> usize {
        match self {
            Self::Columns(columns) => width(columns),
            Self::Image(shape) => shape.len(),
            Self::Windows { steps, channels } => steps * width(channels),
        }
    }

    /// The map that an input is; none where it is columns.
    pub fn map(&self) -> Option<Shape> {
        match self {
            Self::Columns(_) => None,
            Self::Image(shape) => Some(*shape),
            Self::Windows { steps, channels } => {
                Some(Shape { height: 1, width: *steps, channels: width(channels) })
            }
        }
    }

    /// The shape that a network reads: the map, or a single position.
    pub fn shape(&self) -> Shape {
        self.map().unwrap_or(Shape::flat(self.len()))
    }

    /// The first column that is read less an offset.
    pub fn shifted(&self) -> Option<&str> {
        let columns = self.columns().iter();
        let mut shifted = columns.filter(|column| matches!(column, Column::Shifted { .. }));
        shifted.next().map(Column::name)
    }

    /// The columns of a row; none of an image.
    fn columns(&self) -> &[Column] {
        match self {
            Self::Columns(columns) | Self::Windows { channels: columns, .. } => columns,
            Self::Image(_) => &[],
        }
    }

    /// Notes on columns that are read less an offset.
    pub(super) fn offset_notes(&self) -> Vec<String> {
        let note = |column: &Column| {
            let Column::Shifted { name, offset } = column else { return None };
            let read = names_of(std::slice::from_ref(column)).concat();
            Some(format!(
                "note: the values of `{}` lie so close together near {offset} that 32-bit floats hold little of \
                 them: the model reads `{}`, which a board has to be fed, taken in whole numbers or 64-bit \
                 floats",
                excerpt(name),
                excerpt(&read)
            ))
        };
        self.columns().iter().filter_map(note).take(LISTED).collect()
    }

    /// A name for every input value, to show and to write: `column`, `column-offset`, `column=category`, `y3x5` of a
    /// pixel, `y3x5c0` of one of its channels, `column@7` of a window's eighth row. Two values can have the same one,
    /// and nothing is read back from them where the layout is known.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Columns(columns) => names_of(columns),
            Self::Image(shape) => pixels(*shape),
            Self::Windows { steps, channels } => names::of_windows(*steps, &names_of(channels)),
        }
    }

    /// Names of the channels of a window; none of anything else.
    pub fn channel_names(&self) -> Vec<String> {
        match self {
            Self::Columns(_) | Self::Image(_) => Vec::new(),
            Self::Windows { channels, .. } => names_of(channels),
        }
    }

    /// Name of the column that an input value comes from.
    pub(super) fn column_of(&self, input: usize) -> Option<&str> {
        let Self::Columns(columns) = self else { return None };
        let each = columns.iter().flat_map(|column| std::iter::repeat_n(column, column.len()));
        each.map(Column::name).nth(input)
    }

    /// The inputs of every row, original units, row-major `[n, inputs]`. A column that is neither read nor among
    /// those `besides` is refused. Arrays and images are taken as they lie, since they have no names; a table
    /// may hold images or windows, too, in columns of their [names](Self::names).
    ///
    /// # Errors
    /// Missing and unknown columns, and fields that are no numbers or unknown categories; another number of
    /// values, or another map.
    pub fn read(&self, table: &Table, besides: &[&str]) -> Result<Arc<Values>, TableError> {
        let Some(numbers) = table.numbers() else {
            return match self {
                Self::Columns(columns) => read_columns(columns, table, besides),
                Self::Image(_) | Self::Windows { .. } => {
                    let columns: Vec<Column> =
                        self.names().into_iter().map(Column::Number).collect();
                    read_columns(&columns, table, besides)
                }
            };
        };
        match (numbers.layout.map(), self.map()) {
            (Some(found), Some(expected)) if found != expected => Err(table.unusable(format!(
                "found maps of {found}, expected {expected} as the model was trained with"
            ))),
            _ if numbers.layout.len() != self.len() => Err(table.unusable(format!(
                "found {} features a row, expected {} as the model was trained with",
                numbers.layout.len(),
                self.len()
            ))),
            _ => Ok(numbers.values.clone()),
        }
    }

    /// Whether a table has a window or an image a row, rather than rows to cut windows from.
    pub(super) fn lies_in(&self, table: &Table) -> bool {
        self.names().first().is_some_and(|first| table.columns.contains(first))
    }

    /// Number of input values, if it can be counted: a file may claim any shape.
    pub(super) fn checked_len(&self) -> Option<usize> {
        let product = |lengths: &[usize]| {
            lengths.iter().try_fold(1usize, |product, &length| product.checked_mul(length))
        };
        match self {
            Self::Columns(columns) => Some(width(columns)),
            Self::Image(Shape { height, width, channels }) => {
                product(&[*height, *width, *channels])
            }
            Self::Windows { steps, channels } => product(&[*steps, width(channels)]),
        }
    }
}

impl Column {
    /// Number of input values.
    fn len(&self) -> usize {
        match self {
            Self::Number(_) | Self::Shifted { .. } | Self::Named(_) => 1,
            Self::Categories { values, .. } => values.len(),
        }
    }

    /// Name of the column, as far as it is known.
    fn name(&self) -> &str {
        match self {
            Self::Number(name)
            | Self::Shifted { name, .. }
            | Self::Categories { name, .. }
            | Self::Named(name) => name,
        }
    }
}

/// Number of input values of some columns.
fn width(columns: &[Column]) -> usize {
    columns.iter().map(Column::len).sum()
}

fn names_of(columns: &[Column]) -> Vec<String> {
    let names = columns.iter().flat_map(|column| match column {
        Column::Number(name) | Column::Named(name) => vec![name.clone()],
        Column::Shifted { name, offset } => {
            let sign = if *offset < 0.0 { '+' } else { '-' };
            vec![format!("{name}{sign}{}", offset.abs())]
        }
        Column::Categories { name, values } => {
            values.iter().map(|value| format!("{name}={value}")).collect()
        }
    });
    names.collect()
}

fn pixels(Shape { height, width, channels }: Shape) -> Vec<String> {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| format!("y{y}x{x}")));
    let names = pixels.flat_map(|pixel| {
        (0..channels).map(move |channel| match channels {
            1 => pixel.clone(),
            _ => format!("{pixel}c{channel}"),
        })
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str) -> Column {
        Column::Number(name.to_owned())
    }

    #[test]
    fn names_are_in_the_order_of_the_values() {
        let image =
            |height, width, channels| Layout::Image(Shape { height, width, channels }).names();
        assert_eq!(image(2, 2, 1), ["y0x0", "y0x1", "y1x0", "y1x1"]);
        assert_eq!(image(1, 2, 2), ["y0x0c0", "y0x0c1", "y0x1c0", "y0x1c1"]);
        let values = ["blue", "red"].map(str::to_owned).to_vec();
        let category = Column::Categories { name: "c".to_owned(), values };
        let columns = vec![category, number("x")];
        let windows = Layout::Windows { steps: 2, channels: columns.clone() };
        assert_eq!(windows.names(), ["c=blue@0", "c=red@0", "x@0", "c=blue@1", "c=red@1", "x@1"]);
        assert_eq!(windows.channel_names(), ["c=blue", "c=red", "x"]);
        assert_eq!(windows.map(), Some(Shape { height: 1, width: 2, channels: 3 }));
        let columns = Layout::Columns(columns);
        assert_eq!((columns.len(), columns.map()), (3, None));
        let of: Vec<_> = (0..4).map(|input| columns.column_of(input)).collect();
        assert_eq!(of, [Some("c"), Some("c"), Some("x"), None]);
    }

    #[test]
    fn offsets_are_named_and_told() {
        let shifted = |offset| Column::Shifted { name: "lat".to_owned(), offset };
        let columns = vec![number("a"), shifted(52.52), shifted(-3.5)];
        let layout = Layout::Windows { steps: 2, channels: columns };
        assert_eq!(layout.channel_names(), ["a", "lat-52.52", "lat+3.5"]);
        assert_eq!(layout.shifted(), Some("lat"));
        let notes = layout.offset_notes();
        assert!(notes.len() == 2 && notes[0].contains("reads `lat-52.52`"), "{notes:?}");
    }

    #[test]
    fn a_shape_beyond_all_memory_has_no_length() {
        let shape = Shape { height: usize::MAX, width: 2, channels: 1 };
        assert_eq!(Layout::Image(shape).checked_len(), None);
        let columns = vec![number("a"), number("b")];
        let windows = |steps| Layout::Windows { steps, channels: columns.clone() };
        assert_eq!((windows(usize::MAX).checked_len(), windows(3).checked_len()), (None, Some(6)));
    }
}
