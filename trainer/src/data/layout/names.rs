//! Layouts by the names of input values, where nothing else is known: an artifact has names alone, and so had the
//! records of versions up to 0.1.

use std::collections::{HashMap, HashSet};

use super::super::Shape;
use super::{Column, Layout};

/// Stands between the name of a channel and the number of a row in the name of a window's value.
const AT: char = '@';

/// Names of the values of windows: all channels of the first row, then of the second.
pub(super) fn of_windows(steps: usize, channels: &[String]) -> Vec<String> {
    let row = |step| channels.iter().map(move |channel| format!("{channel}{AT}{step}"));
    (0..steps).flat_map(row).collect()
}

impl Layout {
    /// The layout that an artifact tells: a name for every input value or, with a `map`, for every channel, or
    /// none.
    pub fn of_artifact(names: Vec<String>, map: Option<Shape>) -> Self {
        match map {
            None => Self::of_inputs(names, None),
            Some(map) if map.height == 1 && map.channels == names.len() => {
                Self::Windows { steps: map.width, channels: named(names) }
            }
            Some(map) => Self::Image(map),
        }
    }

    /// The layout of input values of these names, which may be a `map`.
    pub(in super::super) fn of_inputs(names: Vec<String>, map: Option<Shape>) -> Self {
        let first = format!("{AT}0");
        let channels: Vec<String> =
            names.iter().map_while(|name| name.strip_suffix(&first)).map(str::to_owned).collect();
        let steps = names.len().checked_div(channels.len()).unwrap_or(0);
        if steps > 0 && of_windows(steps, &channels) == names {
            return Self::Windows { steps, channels: named(channels) };
        }
        map.map_or_else(|| Self::Columns(named(names)), Self::Image)
    }
}

fn named(names: Vec<String>) -> Vec<Column> {
    names.into_iter().map(Column::Named).collect()
}

/// Finds the columns of a table that names stand for.
pub(super) struct Resolver<'a> {
    /// Columns of the table.
    places: &'a HashMap<&'a str, usize>,
    /// Columns that are read otherwise.
    besides: &'a [&'a str],
    /// All names that are to be found.
    names: HashSet<&'a str>,
    /// The first name that is there twice.
    twice: Option<&'a str>,
}

impl<'a> Resolver<'a> {
    pub fn new(
        columns: &'a [Column],
        places: &'a HashMap<&'a str, usize>,
        besides: &'a [&'a str],
    ) -> Self {
        let (mut names, mut twice) = (HashSet::new(), None);
        for column in columns {
            if let Column::Named(name) = column
                && !names.insert(name.as_str())
            {
                twice = twice.or(Some(name.as_str()));
            }
        }
        Self { places, besides, names, twice }
    }

    /// The column that a name stands for, and the category where it is `column=category`; none if there is no
    /// such column.
    ///
    /// # Errors
    /// A message where it may be more than one.
    pub fn name<'n>(&self, name: &'n str) -> Result<Option<(usize, Option<&'n str>)>, String> {
        let column = self.places.get(name).map(|&column| (column, None));
        // What is a number by its own name has no categories.
        let has_categories =
            |column: &&str| !self.names.contains(column) && !self.besides.contains(column);
        let splits = name.match_indices('=').map(|(at, _)| (&name[..at], &name[at + 1..]));
        let categories = splits.filter_map(|(column, category)| {
            let place = self.places.get(Some(column).filter(has_categories)?)?;
            Some((*place, Some(category)))
        });
        let mut found = column.into_iter().chain(categories);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(ambiguous(name)),
            (Some(_), None) if self.twice == Some(name) => Err(ambiguous(name)),
            (found, None) => Ok(found),
        }
    }
}

fn ambiguous(name: &str) -> String {
    format!(
        "the model's input `{name}` can be a column of this name or a category of another column, and a .fwk \
         file does not say which: predict with the directory of its run"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_artifact_s_names_tell_windows_from_columns_and_images() {
        let windows = Layout::Windows { steps: 2, channels: named(names(&["a", "b"])) };
        let map = Shape { height: 1, width: 2, channels: 2 };
        let flat = names(&["a@0", "b@0", "a@1", "b@1"]);
        assert_eq!(Layout::of_artifact(flat.clone(), None), windows);
        assert_eq!(Layout::of_artifact(names(&["a", "b"]), Some(map)), windows);
        assert_eq!(Layout::of_artifact(Vec::new(), Some(map)), Layout::Image(map));
        assert_eq!(Layout::of_inputs(flat, Some(map)), windows);
        let columns = names(&["a@0", "b@0", "c@1", "d@1"]);
        assert_eq!(Layout::of_artifact(columns.clone(), None), Layout::Columns(named(columns)));
    }
}
