//! Standardised features, made where they are asked for.

mod values;

use std::sync::Arc;

use fiberwalk_formats::INPUT_CLIP;

use crate::network::Batch;
use crate::store::Store;
pub use values::Values;

/// Rows that a batch is filled with at a time: so many values of a feature lie side by side.
const STRIP: usize = 16;

/// Standardised and clipped features of some rows. What was read stays as it is, in memory or on a disk; a
/// part of the rows is no copy of them.
#[derive(Clone, Debug)]
pub struct Inputs {
    values: Arc<Values>,
    features: usize,
    /// None where the values are standardised already.
    normalisation: Option<Arc<Normalisation>>,
    /// Which rows of the values these are; none for all.
    chosen: Option<Arc<[usize]>>,
}

/// Mean and standard deviation of every feature.
#[derive(Debug)]
struct Normalisation {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Inputs {
    /// Inputs of raw `values: [n, features]`, each feature with its mean and standard deviation.
    pub fn of_raw(values: Arc<Values>, mean: &[f32], std: &[f32]) -> Self {
        let normalisation = Normalisation { mean: mean.to_vec(), std: std.to_vec() };
        let normalisation = Some(Arc::new(normalisation));
        Self { values, features: mean.len(), normalisation, chosen: None }
    }

    /// Inputs of `x: [n, features]`, which is standardised already.
    pub fn standardised(x: impl Into<Store<f32>>, features: usize) -> Self {
        let values = Arc::new(Values::Floats(x.into()));
        Self { values, features, normalisation: None, chosen: None }
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.chosen {
            Some(chosen) => chosen.len(),
            None => self.values.len().checked_div(self.features).unwrap_or(0),
        }
    }

    /// The named rows.
    #[must_use]
    pub fn subset(&self, rows: &[usize]) -> Self {
        let chosen = match &self.chosen {
            Some(chosen) => rows.iter().map(|&row| chosen[row]).collect(),
            None => rows.into(),
        };
        Self { chosen: Some(chosen), ..self.clone() }
    }

    /// One row, `[features]`.
    pub fn row(&self, row: usize) -> Vec<f32> {
        let mut values = vec![0.0; self.features];
        self.read(row, &mut values);
        values
    }

    fn read(&self, row: usize, out: &mut [f32]) {
        let row = self.chosen.as_ref().map_or(row, |chosen| chosen[row]);
        out.copy_from_slice(&self.values.row(row, self.features));
        if let Some(Normalisation { mean, std }) = self.normalisation.as_deref() {
            standardise(out, mean, std);
        }
    }

    /// The named rows in the layout of the kernels.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        let mut values = vec![0.0; rows.len() * self.features];
        let mut strip = vec![0.0; STRIP * self.features];
        for (index, chosen) in rows.chunks(STRIP).enumerate() {
            for (&row, out) in chosen.iter().zip(strip.chunks_exact_mut(self.features)) {
                self.read(row, out);
            }
            for feature in 0..self.features {
                let start = feature * rows.len() + index * STRIP;
                let out = &mut values[start..start + chosen.len()];
                let column = strip.iter().skip(feature).step_by(self.features);
                out.iter_mut().zip(column).for_each(|(out, x)| *out = *x);
            }
        }
        Batch::from_features(values, self.features)
    }

    /// All rows in the layout of the kernels.
    pub fn to_batch(&self) -> Batch {
        self.batch(&(0..self.rows()).collect::<Vec<_>>())
    }
}

/// Standardises a row of raw features and clips it to ± [`INPUT_CLIP`].
pub fn standardise(row: &mut [f32], mean: &[f32], std: &[f32]) {
    for ((x, mean), std) in row.iter_mut().zip(mean).zip(std) {
        *x = ((*x - mean) / std).clamp(-INPUT_CLIP, INPUT_CLIP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_standardised_where_they_are_asked_for() {
        let raw: Vec<u8> = (0..40).collect();
        let values = Arc::new(Values::Bytes(raw.into()));
        let all = Inputs::of_raw(values, &[1.0, 10.0], &[2.0, 1.0]);
        assert_eq!((all.rows(), all.features()), (20, 2));
        assert_eq!(all.row(1), [0.5, -INPUT_CLIP]);
        let part = all.subset(&[19, 5, 6]).subset(&[2, 1]);
        assert_eq!((part.row(0), part.row(1)), (vec![INPUT_CLIP, 3.0], vec![4.5, 1.0]));
        assert_eq!(part.to_batch().values(), [INPUT_CLIP, 4.5, 3.0, 1.0]);
        let batch = all.to_batch();
        assert!((0..20).all(|row| [0, 1].map(|of| batch.feature(of)[row]) == all.row(row)[..]));
    }
}
