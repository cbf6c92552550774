//! Standardised rows.

use super::Inputs;
use crate::task::Targets;

/// Inputs and targets.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Standardised and clipped features, `[n, features]`.
    pub x: Inputs,
    /// Targets, one a row.
    pub targets: Targets,
    /// Group of each row, `[n]`, if rows belong together: a group is held out as a whole.
    pub groups: Option<Vec<u32>>,
}

impl Rows {
    /// Their number.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// The named rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        Self {
            x: self.x.subset(rows),
            targets: self.targets.subset(rows),
            groups: self
                .groups
                .as_ref()
                .map(|groups| rows.iter().map(|&row| groups[row]).collect()),
        }
    }
}
