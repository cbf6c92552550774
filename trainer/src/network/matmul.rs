//! The matrix product, by the `gemm` crate on the calling thread.

use gemm::Parallelism;

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix whose rows start `stride` values apart.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns && span(rows, columns, stride) <= values.len());
        Self { values, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transposed view.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `out = left · right`, or `out += left · right`; `out` is row-major and dense.
pub fn multiply(out: &mut [f32], accumulate: bool, left: Matrix, right: Matrix) {
    let (rows, columns) = (left.rows, right.columns);
    assert!(left.columns == right.rows && out.len() == rows * columns);
    let keep = if accumulate { 1.0 } else { 0.0 };
    // SAFETY: `Matrix::new` and the assertion above checked that every index reached through the
    // shapes and strides lies within its slice, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            columns as isize,
            accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            keep,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Values from the first to the last element of a matrix.
fn span(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 { 0 } else { (rows - 1) * stride + columns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_and_accumulates() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
        let right = [1.0, 0.0, 9.0, 0.0, 1.0, 9.0, 1.0, 1.0, 9.0]; // [3, 2] with stride 3
        let mut out = [10.0; 4];
        multiply(&mut out, true, Matrix::new(&left, 2, 3, 3), Matrix::new(&right, 3, 2, 3));
        assert_eq!(out, [14.0, 15.0, 20.0, 21.0]);
        let mut gram = [0.0; 9];
        let view = Matrix::new(&left, 2, 3, 3);
        multiply(&mut gram, false, view.transposed(), view);
        assert_eq!(gram, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }
}
