//! Rows that a program holds in memory.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::array::{Array, Elements};
use super::table::GivenColumn;
use super::{ChannelAxis, Table, TableError};
use crate::seal::hexadecimal;

/// Where an array's labels come from, for a message.
const LABELS: &str = "add a column of labels";

/// Values of a column in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    /// Numbers; NaN is a missing value.
    Numbers(Vec<f64>),
    /// Text: categories, or names of classes.
    Text(Vec<String>),
}

impl From<Vec<f64>> for ColumnValues {
    fn from(numbers: Vec<f64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<Vec<f32>> for ColumnValues {
    fn from(numbers: Vec<f32>) -> Self {
        Self::Numbers(numbers.into_iter().map(f64::from).collect())
    }
}

impl From<Vec<String>> for ColumnValues {
    fn from(text: Vec<String>) -> Self {
        Self::Text(text)
    }
}

impl<const N: usize> From<[&str; N]> for ColumnValues {
    fn from(text: [&str; N]) -> Self {
        Self::Text(text.map(str::to_owned).to_vec())
    }
}

impl<const N: usize> From<[f64; N]> for ColumnValues {
    fn from(numbers: [f64; N]) -> Self {
        Self::Numbers(numbers.to_vec())
    }
}

impl ColumnValues {
    /// Returns them as fields of a table.
    fn fields(&self) -> Vec<String> {
        match self {
            // A missing value is an empty field.
            Self::Numbers(numbers) => numbers
                .iter()
                .map(|x| if x.is_nan() { String::new() } else { x.to_string() })
                .collect(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Named columns, and an array of this shape beside them or none.
#[derive(Debug)]
pub struct Memory {
    columns: Vec<(String, ColumnValues)>,
    array: Option<(Vec<f32>, Vec<usize>)>,
}

impl Memory {
    /// Holds them as they are; reading checks them.
    pub fn new<'n>(
        array: Option<(Vec<f32>, Vec<usize>)>,
        columns: impl IntoIterator<Item = (&'n str, ColumnValues)>,
    ) -> Self {
        let columns = columns.into_iter().map(|(name, column)| (name.to_owned(), column));
        Self { columns: columns.collect(), array }
    }

    /// Whether features are an array.
    pub const fn is_array(&self) -> bool {
        self.array.is_some()
    }

    /// The table of all this, which is called `path` in messages.
    pub(super) fn table(&self, path: &Path, channels: ChannelAxis) -> Result<Table, TableError> {
        let unusable = |message| TableError::Unusable { path: path.to_owned(), message };
        let mut hash = Sha256::new();
        let numbers = match &self.array {
            None => None,
            Some((values, shape)) => {
                let count = super::array::count(shape).map_err(unusable)?;
                if count == 0 || count != values.len() {
                    return Err(unusable(format!(
                        "found {} values for an array {shape:?}",
                        values.len()
                    )));
                }
                hash.update([channels as u8]);
                shape.iter().for_each(|&length| hash.update((length as u64).to_le_bytes()));
                values.iter().for_each(|value| hash.update(value.to_le_bytes()));
                let elements = Elements::Single(values.clone().into());
                let array = Array { shape: shape.clone(), elements, fortran: false };
                Some(array.into_numbers(channels, LABELS).map_err(unusable)?)
            }
        };
        let columns = self.columns.iter().map(|(name, column)| {
            let fields = column.fields();
            // Lengths between them, so that no two tables are the same text.
            for text in [name].into_iter().chain(&fields) {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            GivenColumn { name: name.clone(), path: path.to_owned(), fields }
        });
        let columns = columns.collect();
        Table::of_columns(path, hexadecimal(hash), columns, numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::table_from;
    use super::super::{Data, Dataset, Layout, Shape};

    fn refused(data: &Data) -> String {
        Dataset::read(data, 0).err().expect("refused").to_string()
    }

    fn columns() -> Data {
        Data::columns([
            ("x", vec![0.1, 2e-7, -30.0, 4.5].into()),
            ("colour", ["red", "blue", "red", "red"].into()),
            ("y", vec![1.0f32, 2.5, 3.0, 4.0].into()),
        ])
        .target("y")
    }

    #[test]
    fn columns_are_what_a_file_of_them_is() {
        let data = Dataset::read(&columns(), 0).expect("columns");
        let text = "x,colour,y\n0.1,red,1\n2e-7,blue,2.5\n-30,red,3\n4.5,red,4\n";
        let file = table_from(text).expect("a table");
        let layout = Layout::learn(&file, &["y"]).expect("columns");
        assert_eq!(data.layout, layout);
        assert_eq!(data.raw, layout.read(&file, &["y"]).expect("values"));
        assert_eq!(data.target.targets().to_values(), [1.0, 2.5, 3.0, 4.0]);
        assert_eq!(data.table.sha256, Dataset::read(&columns(), 1).expect("again").table.sha256);
    }

    #[test]
    fn an_array_has_its_labels_beside_it() {
        let values: Vec<f32> = (0..24).map(|x| x as f32).collect();
        let labels = ["up", "down", "up", "down"];
        let beside = [("label", labels.into()), ("who", [1.0, 2.0, 2.0, 1.0].into())];
        let data = Data::array(values, &[4, 2, 3], beside).group(["who"]);
        let data = Dataset::read(&data, 0).expect("images");
        assert_eq!(data.layout, Layout::Image(Shape { height: 2, width: 3, channels: 1 }));
        assert_eq!(data.raw.to_floats()[6..12], [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
        assert_eq!(data.target.targets().to_values(), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(data.groups, Some(vec![0, 1, 1, 0]));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let short = Data::columns([("x", [1.0, 2.0].into()), ("y", [1.0].into())]).target("y");
        assert!(refused(&short).contains("column `y`: found 1 values for 2 rows"));
        let twice = Data::columns([("y", [1.0, 2.0].into()), ("y", [1.0, 2.0].into())]).target("y");
        assert!(refused(&twice).contains("column 2 is named `y`"));
        let missing = Data::columns([("x", [1.0, f64::NAN].into()), ("y", ["a", "b"].into())]);
        let message = refused(&missing.target("y"));
        assert!(message.contains("row 2, column `x`: found a missing value"), "{message}");
        let array = |shape: &[usize]| refused(&Data::array(vec![1.0; 6], shape, []));
        assert!(array(&[2, 4]).contains("found 6 values for an array [2, 4]"));
        assert!(array(&[2, 3]).contains("found no `label`: add a column of labels"));
        assert!(refused(&Data::columns([("x", [1.0].into())])).contains("`target`"));
        assert!(refused(&Data::columns([]).target("y")).contains("no data rows"));
        assert!(refused(&columns().arrays(["x"])).contains("`arrays` is for an .npz file"));
    }
}
