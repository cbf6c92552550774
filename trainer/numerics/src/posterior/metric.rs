//! Coordinates in which a posterior is round.

use nalgebra::DMatrix;

use super::LowerFactor;
use crate::network::dot;

/// Partial sums of a product of vectors.
const LANES: usize = 16;

/// L⁻¹ with K = L Lᵀ the precision of a Gaussian that is near the posterior: with θ = L⁻ᵀ u the posterior of u is
/// near N(0, I), and the gradient with respect to u is L⁻¹ ∇U.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    size: usize,
    /// Rows of L⁻¹ up to the diagonal, one after another.
    lower: Vec<f32>,
    /// Rows of L⁻ᵀ from the diagonal on.
    upper: Vec<f32>,
}

impl Metric {
    /// Factors `precision`, symmetric, `[P, P]`; none where it is not positive definite.
    pub fn new(precision: DMatrix<f64>) -> Option<Self> {
        let size = precision.nrows();
        let mut inverse = DMatrix::identity(size, size);
        LowerFactor::new(precision)?.solve(&mut inverse);
        let rows = (0..size).flat_map(|row| (0..=row).map(move |column| (row, column)));
        let lower = rows.map(|place| inverse[place] as f32).collect();
        let columns = (0..size).flat_map(|row| (row..size).map(move |column| (column, row)));
        let upper = columns.map(|place| inverse[place] as f32).collect();
        Some(Self { size, lower, upper })
    }

    /// L⁻¹ `gradient`, `[P]`.
    pub fn whiten(&self, gradient: &[f64], narrow: &mut Vec<f32>, into: &mut [f64]) {
        narrow.clear();
        narrow.extend(gradient.iter().map(|&g| g as f32));
        let mut start = 0;
        for (row, value) in into.iter_mut().enumerate() {
            *value = f64::from(dot::<LANES>(&self.lower[start..=start + row], &narrow[..=row]));
            start += row + 1;
        }
    }

    /// L⁻ᵀ `u`, `[P]`.
    pub fn color(&self, u: &[f64], narrow: &mut Vec<f32>, into: &mut [f64]) {
        narrow.clear();
        narrow.extend(u.iter().map(|&value| value as f32));
        let mut start = 0;
        for (row, value) in into.iter_mut().enumerate() {
            let length = self.size - row;
            *value = f64::from(dot::<LANES>(&self.upper[start..start + length], &narrow[row..]));
            start += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a metric makes of independent coordinates has the covariance K⁻¹.
    #[test]
    fn a_metric_undoes_the_precision() {
        let size = 37;
        let root =
            DMatrix::from_fn(size, size, |i, j| (((i * 31 + j * 17) % 23) as f64 / 11.0).sin());
        let precision = &root * root.transpose() + DMatrix::identity(size, size) * 0.5;
        let metric = Metric::new(precision.clone()).expect("positive definite");
        let (mut narrow, mut whitened) = (Vec::new(), vec![0.0; size]);
        let inverse = precision.clone().try_inverse().expect("full rank");
        for column in 0..size {
            let mut unit = vec![0.0; size];
            unit[column] = 1.0;
            metric.whiten(&unit, &mut narrow, &mut whitened);
            let mut back = vec![0.0; size];
            metric.color(&whitened, &mut narrow, &mut back);
            for (row, value) in back.iter().enumerate() {
                assert!((value - inverse[(row, column)]).abs() < 1e-4 * inverse.abs().max());
            }
        }
    }
}
