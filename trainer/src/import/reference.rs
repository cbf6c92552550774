//! Reference rows of an imported network: they stay in its file, and are compared again wherever the file is read.

use anyhow::{Context, ensure};

use super::ImportedNetwork;
use super::check::{Compared, Given, difference};
use crate::network::Architecture;
use crate::tensors::TensorFile;

/// Most rows that a file holds: parameters that are read in another way give other outputs for any of them.
const MOST_ROWS: usize = 64;

/// Rows, and what the original gave for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    given: Given,
    /// Number of rows n.
    rows: usize,
    /// Features in original units, channels last, `[n, inputs]`.
    x: Vec<f32>,
    /// What the original gave, `[n, outputs]` or `[n, classes]`.
    expected: Vec<f32>,
}

/// Names of the matrices that a file has of rows and of what was given for them.
const fn names(given: Given) -> [&'static str; 2] {
    match given {
        Given::Outputs => ["reference.outputs.inputs", "reference.outputs"],
        Given::Probabilities => ["reference.probabilities.inputs", "reference.probabilities"],
    }
}

impl Reference {
    /// Takes the first rows of what was compared, up to [`MOST_ROWS`] of everything, those of a kind together.
    pub fn of<'c>(all: impl IntoIterator<Item = &'c Compared>) -> Vec<Self> {
        let mut left = MOST_ROWS;
        let mut references: Vec<Self> = Vec::new();
        for compared in all {
            let Compared { given, rows, inputs, ref x, ref expected, .. } = *compared;
            let kept = rows.min(left);
            if kept == 0 {
                continue;
            }
            left -= kept;
            let single = |values: &[f64], columns: usize| -> Vec<f32> {
                values[..kept * columns].iter().map(|&value| value as f32).collect()
            };
            let (x, expected) = (single(x, inputs), single(expected, expected.len() / rows));
            match references.iter_mut().find(|reference| reference.given == given) {
                Some(reference) => {
                    reference.rows += kept;
                    reference.x.extend(x);
                    reference.expected.extend(expected);
                }
                None => references.push(Self { given, rows: kept, x, expected }),
            }
        }
        references
    }

    /// Reads those that a file of a network of this architecture holds; none where it has none.
    ///
    /// # Errors
    /// Matrices of other shapes, or of more rows than a file holds.
    pub fn read(file: &TensorFile, architecture: &Architecture) -> anyhow::Result<Vec<Self>> {
        let mut left = MOST_ROWS;
        let mut references = Vec::new();
        for given in [Given::Outputs, Given::Probabilities] {
            let [x, y] = names(given);
            if !file.has(y) {
                continue;
            }
            let [rows, columns] = file.shape(y)?;
            let (inputs, outputs) = (architecture.inputs(), given.columns(architecture.outputs()));
            let most = left;
            ensure!(
                (1..=most).contains(&rows) && columns == outputs,
                "{y}: found the shape [{rows}, {columns}], expected 1 to {most} rows of {outputs}"
            );
            let found = file.shape(x)?;
            let expected = [rows, inputs];
            ensure!(found == expected, "{x}: found the shape {found:?}, expected {expected:?}");
            left -= rows;
            let (x, expected) = (file.values(x, 0..rows)?, file.values(y, 0..rows)?);
            references.push(Self { given, rows, x, expected });
        }
        Ok(references)
    }

    /// Number of rows.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Names, shapes and values of its matrices.
    pub fn matrices(&self) -> [(&'static str, [usize; 2], &[f32]); 2] {
        let [x, y] = names(self.given);
        let shape = |values: &[f32]| [self.rows, values.len() / self.rows];
        [(x, shape(&self.x), &self.x), (y, shape(&self.expected), &self.expected)]
    }

    /// Checks that a network gives what its original gave.
    ///
    /// # Errors
    /// It gives something else, by row and output, or a value is beyond single precision.
    pub fn check(&self, network: &ImportedNetwork) -> anyhow::Result<()> {
        for (name, _, values) in self.matrices() {
            let finite = values.iter().all(|value| value.is_finite());
            ensure!(finite, "{name}: found values that are no finite numbers of 32 bits");
        }
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
        difference(network, &wide(&self.x), &wide(&self.expected), self.given)
            .with_context(|| names(self.given)[1])
            .map(drop)
    }
}
