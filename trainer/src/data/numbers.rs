//! Rows that are numbers from the start, not fields of text.

use std::sync::Arc;

use super::{Layout, Values};

/// The part of every row that is numbers from the start: an image, a window of a series, an array's columns.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// Layout of a row.
    pub layout: Layout,
    /// Original units, row-major `[n, inputs]`, all finite.
    pub values: Arc<Values>,
    /// Why they are not to be trained on, where 32-bit floats hold too little of what was read.
    pub blurred: Option<String>,
    /// Where labels were looked for.
    pub labels: &'static str,
}
