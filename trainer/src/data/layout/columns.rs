//! Columns of a table: what they hold, and the input values made of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::spread::Spread;
use super::super::table::{Counts, Held, unreadable};
use super::super::value::number;
use super::super::{Table, TableError, Values};
use super::{Column, names, width};
use crate::excerpt::list;
use crate::store::Writer;

/// A text column with more categories than this is no feature but an identifier.
const MAX_CATEGORIES: usize = 32;

/// Fields that were met in a column of a training file.
struct Met<'t> {
    index: usize,
    counts: Counts,
    spread: Spread,
    /// Different fields, or one more than a column of categories has.
    values: BTreeSet<&'t str>,
}

impl<'t> Met<'t> {
    fn new(index: usize) -> Self {
        let (counts, spread) = (Counts::default(), Spread::default());
        Self { index, counts, spread, values: BTreeSet::new() }
    }

    fn meet(&mut self, row: usize, field: &'t str) {
        self.counts.meet(row, field);
        if let Some(number) = number(field) {
            self.spread.meet(number);
        }
        if self.values.len() <= MAX_CATEGORIES {
            self.values.insert(field);
        }
    }

    /// The column, once all rows were met.
    fn column(self, table: &Table) -> Result<Column, TableError> {
        let Self { index, counts, spread, values } = self;
        let name = table.columns[index].clone();
        if counts.held(table, index)? == Held::Numbers {
            return Ok(match spread.offset() {
                None => Column::Number(name),
                Some(offset) => Column::Shifted { name, offset },
            });
        }
        let row = counts.other().unwrap_or_default();
        if values.len() > MAX_CATEGORIES {
            let expected = format!(
                "a number, or one of at most {MAX_CATEGORIES} categories (the column has more different \
                 values); correct the value or drop the column"
            );
            return Err(table.bad_field(row, index, expected));
        }
        if values.contains("") {
            let empty = table.fields(index).position(str::is_empty).unwrap_or_default();
            table.text(empty, index)?;
        }
        let values = values.into_iter().map(str::to_owned).collect();
        Ok(Column::Categories { name, values })
    }
}

impl Column {
    /// Every column of a training file but those `besides`, the last of which is the target.
    pub(in super::super) fn learn(
        table: &Table,
        besides: &[&str],
    ) -> Result<Vec<Self>, TableError> {
        let columns = table.columns.iter().enumerate();
        let columns = columns.filter(|(_, name)| !besides.contains(&name.as_str()));
        let mut columns: Vec<Met<'_>> = columns.map(|(index, _)| Met::new(index)).collect();
        if columns.is_empty() {
            let (groups, target) = besides.split_at(besides.len().saturating_sub(1));
            let groups = if groups.is_empty() { "" } else { " and those of `group`" };
            return Err(table.unusable(format!(
                "there is no column besides the target {}{groups}",
                list(target)
            )));
        }
        // Row by row, since a table can be larger than memory.
        for row in 0..table.len() {
            columns.iter_mut().for_each(|column| column.meet(row, table.field(row, column.index)));
        }
        columns.into_iter().map(|column| column.column(table)).collect()
    }
}

/// A column of a file, and where its values go.
struct Reading<'c> {
    column: usize,
    becomes: Becomes<'c>,
}

enum Becomes<'c> {
    /// The number becomes this input value, less an offset.
    Number(usize, f64),
    /// A category becomes 1 in its input value.
    Categories(Vec<(&'c str, usize)>),
}

/// The input values of every row, `[n, inputs]`; a column that is neither read nor among those `besides` is
/// refused.
///
/// # Errors
/// Missing and unknown columns, and fields that are no numbers or unknown categories.
pub(in super::super) fn read_columns(
    columns: &[Column],
    table: &Table,
    besides: &[&str],
) -> Result<Arc<Values>, TableError> {
    let readings = readings(columns, table, besides)?;
    let read: HashSet<usize> = readings.iter().map(|reading| reading.column).collect();
    let unknown: Vec<&String> = (0..table.columns.len())
        .filter(|column| !read.contains(column))
        .map(|column| &table.columns[column])
        .filter(|name| !besides.contains(&name.as_str()))
        .collect();
    if !unknown.is_empty() {
        return Err(table.unusable(format!(
            "found columns that the model does not know: {}; remove them",
            list(&unknown)
        )));
    }
    let unreadable = |error| unreadable(&table.path, error);
    let mut values = Writer::default();
    let mut x = vec![0.0; width(columns)];
    for row in 0..table.len() {
        for Reading { column, becomes } in &readings {
            match becomes {
                Becomes::Number(input, offset) => {
                    x[*input] = (table.number(row, *column)? - offset) as f32;
                }
                Becomes::Categories(categories) => {
                    let field = table.text(row, *column)?;
                    let mut known = false;
                    for &(category, input) in categories {
                        x[input] = f32::from(u8::from(category == field));
                        known |= category == field;
                    }
                    if !known {
                        let known: Vec<&str> = categories.iter().map(|known| known.0).collect();
                        let expected = format!("a category seen in training: {}", list(&known));
                        return Err(table.bad_field(row, *column, expected));
                    }
                }
            }
        }
        values.extend(&x).map_err(unreadable)?;
    }
    Ok(Arc::new(Values::Floats(values.finish().map_err(unreadable)?)))
}

/// Where the columns are in a table.
fn readings<'c>(
    columns: &'c [Column],
    table: &Table,
    besides: &[&str],
) -> Result<Vec<Reading<'c>>, TableError> {
    let places: HashMap<&str, usize> =
        table.columns.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let resolve = names::Resolver::new(columns, &places, besides);
    let mut readings: Vec<Reading<'c>> = Vec::with_capacity(columns.len());
    // Categories that are known by their names alone come one by one.
    let mut of_named: HashMap<usize, usize> = HashMap::new();
    let (mut missing, mut input) = (Vec::new(), 0);
    for column in columns {
        let found = match column {
            Column::Number(name) => {
                places.get(name.as_str()).map(|&column| (column, Becomes::Number(input, 0.0)))
            }
            Column::Shifted { name, offset } => {
                places.get(name.as_str()).map(|&column| (column, Becomes::Number(input, *offset)))
            }
            Column::Categories { name, values } => {
                let categories = values.iter().map(String::as_str).zip(input..).collect();
                places.get(name.as_str()).map(|&column| (column, Becomes::Categories(categories)))
            }
            Column::Named(name) => match resolve.name(name) {
                Err(message) => return Err(table.unusable(message)),
                Ok(None) => None,
                Ok(Some((column, None))) => Some((column, Becomes::Number(input, 0.0))),
                Ok(Some((column, Some(category)))) => match of_named.get(&column) {
                    None => {
                        of_named.insert(column, readings.len());
                        Some((column, Becomes::Categories(vec![(category, input)])))
                    }
                    Some(&before) => {
                        if let Becomes::Categories(categories) = &mut readings[before].becomes {
                            categories.push((category, input));
                        }
                        input += 1;
                        continue;
                    }
                },
            },
        };
        match found {
            Some((column, becomes)) => readings.push(Reading { column, becomes }),
            None => missing.push(column.name()),
        }
        input += column.len();
    }
    if missing.is_empty() {
        return Ok(readings);
    }
    Err(table.unusable(format!(
        "feature columns are missing: {}; the model was trained with them",
        list(&missing)
    )))
}

#[cfg(test)]
mod tests {
    use super::super::super::table::table_from;
    use super::super::Layout;

    fn read(layout: &Layout, text: &str) -> Result<Vec<f32>, String> {
        let table = table_from(text).expect("a table");
        let values = layout.read(&table, &["y"]).map_err(|error| error.to_string())?;
        Ok(values.to_floats())
    }

    fn learned(text: &str) -> Layout {
        Layout::learn(&table_from(text).expect("a table"), &["y"]).expect("a layout")
    }

    #[test]
    fn text_columns_become_indicators_and_are_found_again() {
        let layout = learned("c,x,y\nred,1,0\nblue,2,1\nred,3,1\nblue,4,0\n");
        assert_eq!(layout.names(), ["c=blue", "c=red", "x"]);
        let named = Layout::of_artifact(layout.names(), None);
        for layout in [layout, named] {
            assert_eq!(read(&layout, "x,c\n7,blue\n8,red\n"), Ok(vec![1., 0., 7., 0., 1., 8.]));
            let message = read(&layout, "x,c\n7,green\n").expect_err("green");
            let expected = "row 1 (line 2), column `c`: found `green`, expected a category seen in \
                            training: `blue`, `red`";
            assert!(message.ends_with(expected), "{message}");
        }
    }

    #[test]
    fn a_column_may_be_called_as_a_category_of_another() {
        for (header, row, expected) in [
            ("c,c=blue,y\n", "red,5,0\n", [0., 1., 5.]),
            ("c,c=blue,y\n", "blue,6,0\n", [1., 0., 6.]),
        ] {
            let layout = learned(&format!("{header}red,1,0\nblue,2,1\n"));
            assert_eq!(layout.names(), ["c=blue", "c=red", "c=blue"]);
            assert_eq!(read(&layout, &format!("{header}{row}")), Ok(expected.to_vec()));
            let missing = read(&layout, "c,y\nblue,0\n").expect_err("a column is missing");
            assert!(missing.contains("missing: `c=blue`;"), "{missing}");
            // The names alone do not say which is which, and nothing is guessed.
            let named = Layout::of_artifact(layout.names(), None);
            let message = read(&named, &format!("{header}{row}")).expect_err("either");
            assert!(message.contains("`c=blue`") && message.contains("its run"), "{message}");
        }
    }

    #[test]
    fn numbers_that_lie_close_together_keep_what_they_differ_by() {
        let latitudes = ["52.52000691", "52.52001643", "52.51997394", "52.52001811"];
        let rows: String = latitudes.iter().map(|latitude| format!("{latitude},7,0\n")).collect();
        let layout = learned(&format!("lat,x,y\n{rows}"));
        assert_eq!(layout.names(), ["lat-52.52", "x"]);
        let found = read(&layout, "x,lat\n7,52.52001642\n").expect("a row");
        assert!((f64::from(found[0]) - 1.642e-5).abs() < 1e-12, "{found:?}");
        // A column that already holds the difference, as an artifact names it.
        let named = Layout::of_artifact(layout.names(), None);
        assert_eq!(read(&named, "x,lat-52.52\n7,1e-5\n"), Ok(vec![1e-5, 7.0]));
    }

    #[test]
    fn any_text_but_none_is_a_category() {
        let layout = learned("c,x,y\nnone,1,0\nNA,2,1\n?,3,1\nnull,4,0\n");
        assert_eq!(layout.names(), ["c=?", "c=NA", "c=none", "c=null", "x"]);
        let refused = |text: &str| {
            let table = table_from(text).expect("a table");
            Layout::learn(&table, &["y"]).expect_err(text).to_string()
        };
        let message = refused("c,x,y\nred,1,0\n,2,1\nblue,3,1\n");
        assert!(message.contains("row 2 (line 3), column `c`: found a missing value"), "{message}");
        let message = refused("c,x,y\nred,1,0\nred,2,1\nred,ovf,1\n");
        assert!(message.contains("row 3 (line 4), column `x`: found `ovf`"), "{message}");
        let message = read(&layout, "c,x\nnone,NA\n").expect_err("a number");
        assert!(message.contains("row 1 (line 2), column `x`: found a missing value"), "{message}");
    }

    #[test]
    fn missing_and_extra_columns_are_named() {
        let layout = learned("a,b,y\n1,2,3\n");
        assert!(read(&layout, "a,y\n1,2\n").expect_err("b").contains("missing: `b`"));
        assert!(read(&layout, "a,b,c,y\n1,2,3,4\n").expect_err("c").contains("know: `c`"));
    }
}
