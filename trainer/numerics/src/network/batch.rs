//! Inputs in the layout that the kernels read.

use std::ops::Range;

use super::Architecture;

/// Most rows that pass through a network together: the values of one tile stay in the cache.
pub const TILE_ROWS: usize = 512;

/// Values of the largest map of a tile, 512 KiB, beyond which a tile has fewer rows.
const TILE_VALUES: usize = 1 << 17;

/// A tile is a multiple of this many rows, as many as the longest vectors hold.
const VECTOR_ROWS: usize = 16;

/// Network inputs, feature-major `[features, rows]`.
#[derive(Clone, Debug)]
pub struct Batch {
    values: Vec<f32>,
    features: usize,
    rows: usize,
}

impl Batch {
    /// Transposes row-major `x: [rows, features]`.
    pub fn from_rows(x: &[f32], features: usize) -> Self {
        let rows = x.len().checked_div(features).unwrap_or(0);
        let mut values = vec![0.0; rows * features];
        for (row, x) in x.chunks_exact(features.max(1)).enumerate() {
            for (feature, &value) in x.iter().enumerate() {
                values[feature * rows + row] = value;
            }
        }
        Self { values, features, rows }
    }

    /// Takes feature-major `values: [features, rows]` as they are.
    pub fn from_features(values: Vec<f32>, features: usize) -> Self {
        let rows = values.len().checked_div(features).unwrap_or(0);
        Self { values, features, rows }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The rows of `feature`.
    pub fn feature(&self, feature: usize) -> &[f32] {
        &self.values[feature * self.rows..(feature + 1) * self.rows]
    }

    /// All values, `[features, rows]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Row-major `[rows, features]`.
    pub fn to_rows(&self) -> Vec<f32> {
        let row = |row| (0..self.features).map(move |feature| self.feature(feature)[row]);
        (0..self.rows).flat_map(row).collect()
    }

    /// The batch of the named rows, in the order named.
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * self.features);
        for feature in 0..self.features {
            let source = self.feature(feature);
            values.extend(rows.iter().map(|&row| source[row]));
        }
        Self { values, features: self.features, rows: rows.len() }
    }

    /// Consecutive ranges of the rows that pass through a network together, about equally long: the last
    /// rows of a batch by themselves would cost much for little.
    pub fn tiles(&self, architecture: &Architecture) -> impl Iterator<Item = Range<usize>> + use<> {
        tiles(self.rows, architecture)
    }
}

/// The tiles of a batch of `rows` rows.
pub(crate) fn tiles(
    rows: usize,
    architecture: &Architecture,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let most = most_rows(architecture);
    let tile = rows.div_ceil(rows.div_ceil(most).max(1)).next_multiple_of(VECTOR_ROWS);
    (0..rows).step_by(tile.max(1)).map(move |start| start..(start + tile).min(rows))
}

/// Most rows of a tile: at most `TILE_ROWS`, and fewer where a convolution's map would leave the cache.
pub fn most_rows(architecture: &Architecture) -> usize {
    // Asked at every step: dense networks need no look at their maps.
    if !architecture.convolves() {
        return TILE_ROWS;
    }
    let blocks = architecture.placed_blocks().into_iter();
    let convolutions = blocks.filter(|placed| placed.block.window.is_some());
    let largest = convolutions.map(|placed| placed.sums.len()).max().unwrap_or(1).max(1);
    (TILE_VALUES / largest / VECTOR_ROWS * VECTOR_ROWS).clamp(VECTOR_ROWS, TILE_ROWS)
}
