//! The matrix product on the calling thread: by the `gemm-f32` crate, but for small matrices.
#![allow(unsafe_code, reason = "the crate takes pointers and strides")]

use gemm_common::Parallelism;

use super::direct::{Dots, Spread, Sum, Terms};

/// Weights of the largest layer that is multiplied without packing, 64 KiB: beyond, the `gemm-f32`
/// crate is as fast.
const DIRECT: usize = 1 << 14;

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub(super) values: &'a [f32],
    /// Index of the first element.
    pub(super) start: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix whose rows start `stride` values apart.
    pub fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns && Self::reach(rows, stride, columns, 1) <= values.len());
        Self { values, start: 0, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Values from the first to the last element.
    pub(super) fn span(&self) -> usize {
        Self::reach(self.rows, self.row_stride, self.columns, self.column_stride)
    }

    /// Values from the first to the last element of any matrix of these shapes and strides.
    pub(super) fn reach(
        rows: usize,
        row_stride: usize,
        columns: usize,
        column_stride: usize,
    ) -> usize {
        match (rows.checked_sub(1), columns.checked_sub(1)) {
            (Some(row), Some(column)) => row * row_stride + column * column_stride + 1,
            _ => 0,
        }
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

/// Values that a product is added to.
#[derive(Clone, Copy, Debug)]
pub enum Base<'a> {
    /// Nothing: `out = left · right`.
    Zero,
    /// The values that were there: `out += left · right`.
    Out,
    /// One value a row: `out = bias + left · right`.
    Bias(&'a [f32]),
}

/// Writes `left · right` plus `base` to `out`, which is row-major and dense.
pub fn multiply(out: &mut [f32], base: Base, left: Matrix, right: Matrix) {
    check(out, base, left, right);
    let arch = pulp::Arch::new();
    let along_sums = left.column_stride == 1 && right.row_stride == 1;
    if left.rows * left.columns <= DIRECT && right.column_stride == 1 {
        let sum = Sum { out, out_stride: right.columns, base, left, right, terms: Terms::ONE };
        return arch.dispatch(Spread(sum));
    }
    if left.rows * right.columns <= DIRECT && along_sums {
        let sum = Sum { out, out_stride: right.columns, base, left, right, terms: Terms::ONE };
        return arch.dispatch(Dots(sum));
    }
    multiply_by_gemm(out, base, left, right)
}

/// Panics unless the shapes fit.
fn check(out: &[f32], base: Base, left: Matrix, right: Matrix) {
    assert!(left.columns == right.rows && out.len() == left.rows * right.columns);
    if let Base::Bias(bias) = base {
        assert!(bias.len() == left.rows);
    }
}

/// Writes `left · right` plus `base` to `out`, which is row-major and dense, always by the `gemm-f32` crate.
pub fn multiply_by_gemm(out: &mut [f32], base: Base, left: Matrix, right: Matrix) {
    check(out, base, left, right);
    let row_length = right.columns;
    if let Base::Bias(bias) = base {
        let rows = out.chunks_exact_mut(row_length.max(1));
        rows.zip(bias).for_each(|(row, &bias)| row.fill(bias));
    }
    let accumulate = !matches!(base, Base::Zero);
    let keep = if accumulate { 1.0 } else { 0.0 };
    // The kernels write along columns, and `out` is row-major: the transpose is what they compute.
    let (left, right) = match row_length {
        1 => (left, right),
        _ => (right.transposed(), left.transposed()),
    };
    // SAFETY: `Matrix::new` and the assertion above checked that every index reached through the
    // shapes and strides lies within its slice, and `out` is borrowed exclusively.
    unsafe {
        gemm_f32::gemm::f32::get_gemm_fn()(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            row_length as isize,
            1,
            accumulate,
            left.values.as_ptr().add(left.start),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr().add(right.start),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_and_accumulates() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [2, 3]
        let right = [1.0, 0.0, 9.0, 0.0, 1.0, 9.0, 1.0, 1.0, 9.0]; // [3, 2] with stride 3
        let mut out = [10.0; 4];
        multiply(&mut out, Base::Out, Matrix::new(&left, 2, 3, 3), Matrix::new(&right, 3, 2, 3));
        assert_eq!(out, [14.0, 15.0, 20.0, 21.0]);
        let mut gram = [0.0; 9];
        let view = Matrix::new(&left, 2, 3, 3);
        multiply(&mut gram, Base::Zero, view.transposed(), view);
        assert_eq!(gram, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
    }

    /// Every remainder of rows, columns and depth that the kernels treat apart, and a product too
    /// large for them, against plain sums in f64.
    #[test]
    fn agrees_with_plain_sums_at_every_shape() {
        let value = |index: usize| ((index * 37 % 101) as f32 - 50.0) / 50.0;
        let shapes = (1..=13).flat_map(|rows| (1..=37).map(move |columns| (rows, columns)));
        for (rows, columns) in shapes.chain([(130, 140)]) {
            for depth in [1, 8, 23, 150] {
                let left: Vec<f32> = (0..rows * depth).map(value).collect();
                let right: Vec<f32> = (0..depth * columns).map(|i| value(i + 7)).collect();
                let across: Vec<f32> =
                    (0..right.len()).map(|i| right[i % depth * columns + i / depth]).collect();
                let bias: Vec<f32> = (0..rows).map(value).collect();
                let left = Matrix::new(&left, rows, depth, depth);
                let sum = |row: usize, column: usize| -> f64 {
                    let product = |k| {
                        f64::from(left.values[row * depth + k])
                            * f64::from(right[k * columns + column])
                    };
                    (0..depth).map(product).sum()
                };
                let layouts = [
                    Matrix::new(&right, depth, columns, columns),
                    Matrix::new(&across, columns, depth, depth).transposed(),
                ];
                for (layout, right) in layouts.into_iter().enumerate() {
                    for base in [Base::Zero, Base::Out, Base::Bias(&bias)] {
                        let mut out = vec![3.0; rows * columns];
                        multiply(&mut out, base, left, right);
                        for (index, &found) in out.iter().enumerate() {
                            let (row, column) = (index / columns, index % columns);
                            let expected = sum(row, column)
                                + match base {
                                    Base::Zero => 0.0,
                                    Base::Out => 3.0,
                                    Base::Bias(bias) => f64::from(bias[row]),
                                };
                            assert!(
                                (f64::from(found) - expected).abs() < 1e-4,
                                "{rows}x{depth}x{columns}, layout {layout}, {base:?}, {index}: \
                                 {found} but {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
