//! Data as a program gives them: where they are, and what is to be predicted.

use std::path::PathBuf;
use std::sync::Arc;

use super::memory::Memory;
use super::{ChannelAxis, ColumnValues, Selection, Source, TableError, TaskKind};

/// Name of labels that have none.
const LABEL: &str = "label";

/// Rows to learn from, to predict or to evaluate on: a file, or values in memory.
///
/// ```
/// use fiberwalk::Data;
///
/// // A file with a header, in which every column but the target is a feature.
/// let wine = Data::file("wine.csv").target("quality");
/// // Windows of 64 rows, no recording on both sides of a split.
/// let motion = Data::file("motion.csv").target("activity").window(64).group(["recording"]);
/// // Columns in memory.
/// let table = Data::columns([
///     ("x", vec![1.0, 2.0, 3.0].into()),
///     ("colour", ["red", "blue", "red"].into()),
///     ("y", vec![1.1, 3.9, 9.2].into()),
/// ])
/// .target("y");
/// // Two images of 1 × 3 pixels, each with its label.
/// let pixels = vec![0.0, 0.5, 1.0, 1.0, 0.5, 0.0];
/// let images = Data::array(pixels, &[2, 1, 3], [("label", ["up", "down"].into())]);
/// ```
#[derive(Clone, Debug)]
pub struct Data {
    pub(crate) source: Source,
    pub(crate) target: Option<String>,
    pub(crate) task: TaskKind,
}

impl Data {
    /// A CSV file with a header; idx, `.npz` or `.npy`; or a folder with one subfolder of PNG files a class.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(path.into().into())
    }

    /// Data that a source leads to.
    pub(crate) const fn of(source: Source) -> Self {
        Self { source, target: None, task: TaskKind::Auto }
    }

    /// Columns of a table, each with its name, all of one length.
    pub fn columns<'n>(columns: impl IntoIterator<Item = (&'n str, ColumnValues)>) -> Self {
        Self::memory(Memory::new(None, columns))
    }

    /// Rows `[n, features]`, images `[n, height, width]` or `[n, height, width, channels]`, or what
    /// [`Self::channels`] says, the last axis the fastest; and columns beside them: labels, groups.
    pub fn array<'n>(
        values: Vec<f32>,
        shape: &[usize],
        beside: impl IntoIterator<Item = (&'n str, ColumnValues)>,
    ) -> Self {
        Self::memory(Memory::new(Some((values, shape.to_vec())), beside))
    }

    fn memory(memory: Memory) -> Self {
        Self::of(Source { memory: Some(Arc::new(memory)), ..Source::from("data in memory") })
    }

    /// Names the column to predict. Labels apart from the features are called `label` unless they are named.
    #[must_use]
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.target = Some(name.into());
        self
    }

    /// Says what to learn: classes or numbers, instead of what the target looks like.
    #[must_use]
    pub const fn task(mut self, task: TaskKind) -> Self {
        self.task = task;
        self
    }

    /// The idx or `.npy` file with the labels of an array's file.
    #[must_use]
    pub fn labels(mut self, path: impl Into<PathBuf>) -> Self {
        self.source.labels = Some(path.into());
        self
    }

    /// Names of the arrays of features and labels in an `.npz` file.
    #[must_use]
    pub fn arrays<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.source.arrays = names.into_iter().map(Into::into).collect();
        self
    }

    /// Where an array has its channels.
    #[must_use]
    pub const fn channels(mut self, axis: ChannelAxis) -> Self {
        self.source.channels = axis;
        self
    }

    /// Cuts consecutive rows of a table into windows of so many.
    #[must_use]
    pub const fn window(mut self, rows: usize) -> Self {
        self.source.series.window = Some(rows);
        self
    }

    /// Rows from the start of a window to that of the next; as many as a window has unless told otherwise.
    #[must_use]
    pub const fn stride(mut self, rows: usize) -> Self {
        self.source.series.stride = Some(rows);
        self
    }

    /// Columns that name a group, such as a person or a recording: no features, and a group is held out as a
    /// whole.
    #[must_use]
    pub fn group<N: Into<String>>(mut self, columns: impl IntoIterator<Item = N>) -> Self {
        self.source.series.group = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Takes so many of the rows, images or windows, drawn by the seed; classes keep their shares.
    #[must_use]
    pub fn take(mut self, rows: usize) -> Self {
        self.source.selection = Selection::Take(rows);
        self
    }

    /// Name of the column to predict, where it was given; else that which the model knows.
    pub(crate) fn target_or<'s>(&'s self, known: &'s str) -> &'s str {
        self.target.as_deref().unwrap_or(known)
    }

    /// Name of the column to learn to predict.
    ///
    /// # Errors
    /// There is none, and no labels apart from the features.
    pub(crate) fn learned_target(&self) -> Result<String, TableError> {
        match &self.target {
            Some(target) => Ok(target.clone()),
            None if self.source.has_labels_apart() => Ok(LABEL.to_owned()),
            None => {
                let message = "which column is the `target`? name it".to_owned();
                Err(TableError::Unusable { path: self.source.path.clone(), message })
            }
        }
    }
}
