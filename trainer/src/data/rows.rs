//! Standardised rows.

use super::Inputs;

/// Targets, one a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Class indices.
    Classes {
        /// Index of each row's class, `[n]`.
        labels: Vec<u32>,
        /// Number of classes.
        classes: usize,
    },
    /// Standardised values, `[n]`.
    Values(Vec<f32>),
}

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

impl Targets {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of network outputs: classes, or 1.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes { classes, .. } => *classes,
            Self::Values(_) => 1,
        }
    }

    /// The targets of the named rows.
    pub fn subset(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes { labels, classes } => Self::Classes {
                labels: rows.iter().map(|&row| labels[row]).collect(),
                classes: *classes,
            },
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// Appends the rows of `other`, which is of the same kind.
    pub fn append(&mut self, other: &Self) {
        match (self, other) {
            (Self::Classes { labels, .. }, Self::Classes { labels: more, .. }) => {
                labels.extend(more);
            }
            (Self::Values(values), Self::Values(more)) => values.extend(more),
            _ => unreachable!("both sides are targets of one task"),
        }
    }
}

impl Rows {
    /// Their number.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
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
