//! Cholesky's factor of a large matrix, in blocks: nalgebra's own goes through memory once a column.

use nalgebra::{Cholesky, DMatrix};

/// Columns of a block.
const BLOCK: usize = 96;

/// L, lower triangular, of A = L Lᵀ.
pub struct LowerFactor(DMatrix<f64>);

impl LowerFactor {
    /// Factors a symmetric `[n, n]` matrix, of which the lower triangle is read; none where it is not
    /// positive definite.
    pub fn new(mut matrix: DMatrix<f64>) -> Option<Self> {
        let n = matrix.nrows();
        for start in (0..n).step_by(BLOCK) {
            let width = BLOCK.min(n - start);
            let (next, rest) = (start + width, n - start - width);
            let diagonal = matrix.view((start, start), (width, width)).into_owned();
            let diagonal = Cholesky::new(diagonal)?.unpack();
            // Below it L₂₁ = A₂₁ L₁₁⁻ᵀ, and what is left to factor is A₂₂ − L₂₁ L₂₁ᵀ.
            let mut turned = matrix.view((next, start), (rest, width)).transpose();
            diagonal.solve_lower_triangular_mut(&mut turned);
            let below = turned.transpose();
            for first in (0..rest).step_by(BLOCK) {
                let (rows, columns) = (rest - first, BLOCK.min(rest - first));
                let mut left = matrix.view_mut((next + first, next + first), (rows, columns));
                left.gemm(-1.0, &below.rows(first, rows), &turned.columns(first, columns), 1.0);
            }
            matrix.view_mut((start, start), (width, width)).copy_from(&diagonal);
            matrix.view_mut((next, start), (rest, width)).copy_from(&below);
        }
        Some(Self(matrix))
    }

    /// ln det A.
    pub fn ln_determinant(&self) -> f64 {
        self.0.diagonal().iter().map(|d| 2.0 * d.ln()).sum()
    }

    /// Replaces `right: [n, columns]` by L⁻¹ `right`.
    pub fn solve(&self, right: &mut DMatrix<f64>) {
        let n = right.nrows();
        for start in (0..n).step_by(BLOCK) {
            let width = BLOCK.min(n - start);
            let (next, rest) = (start + width, n - start - width);
            let mut solved = right.rows(start, width).into_owned();
            let diagonal = self.0.view((start, start), (width, width));
            diagonal.solve_lower_triangular_mut(&mut solved);
            right.rows_mut(start, width).copy_from(&solved);
            let below = self.0.view((next, start), (rest, width));
            right.rows_mut(next, rest).gemm(-1.0, &below, &solved, 1.0);
        }
    }

    /// Replaces `right: [n, columns]` by L⁻ᵀ `right`.
    pub fn solve_transposed(&self, right: &mut DMatrix<f64>) {
        let _ = self.0.tr_solve_lower_triangular_mut(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_agree_with_the_whole() {
        let n = 2 * BLOCK + 17;
        let entry = |row: usize, column: usize| ((row * 7 + column * 13) as f64).sin();
        let square = DMatrix::from_fn(n, n, entry);
        let matrix = &square * square.transpose() + DMatrix::identity(n, n);
        let whole = Cholesky::new(matrix.clone()).expect("positive definite");
        let factor = LowerFactor::new(matrix.clone()).expect("positive definite");
        assert!((factor.0.lower_triangle() - whole.l()).amax() < 1e-9);
        assert!((factor.ln_determinant() - whole.ln_determinant()).abs() < 1e-9);
        let mut right = DMatrix::from_fn(n, 3, entry);
        let expected = whole.l().solve_lower_triangular(&right).expect("full rank");
        factor.solve(&mut right);
        assert!((right - expected).amax() < 1e-9);
        assert!(LowerFactor::new(-matrix).is_none());
    }
}
