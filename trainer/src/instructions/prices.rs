//! Written by `./tests/prices`: a least-squares fit to 252 predictions with 36 models on
//! emulated boards.

/// Instructions of every operation of [`Operation::ALL`](super::Operation::ALL), on the cores of
/// [`Core::ALL`](super::Core::ALL).
#[rustfmt::skip] // A table.
pub(super) const PRICES: &[[f64; 5]] = &[
    [3206.61, 2111.49, 1686.01, 1682.02, 2621.46], // Classification
    [4113.05, 3012.83, 1729.24, 1719.43, 3189.14], // Regression
    [325.14, 112.76, 105.22, 104.24, 207.04], // ClassSummary
    [277.46, 158.37, 31.46, 31.28, 166.27], // FloatInput
    [22.00, 8.56, 8.34, 8.50, 19.14], // WholeInput
    [876.31, 391.33, 368.90, 368.98, 425.33], // ClassSample
    [499.62, 305.85, 274.33, 274.53, 319.80], // ValueSample
    [70.74, 43.12, 41.73, 41.78, 54.87], // Softmax
    [254.17, 47.46, 41.33, 41.85, 0.00], // Matrix
    [16.37, 11.52, 7.41, 8.01, 10.95], // MatrixOutput
    [3.46, 3.45, 1.65, 1.65, 3.27], // EightRows
    [3.42, 3.60, 1.76, 1.75, 3.60], // FourRows
    [6.60, 5.06, 4.73, 4.71, 5.64], // OneRow
    [4.05, 3.62, 1.52, 1.55, 3.24], // EightRows4
    [9.09, 5.77, 5.46, 5.46, 6.57], // OneRow4
    [46.41, 13.13, 48.34, 53.21, 45.05], // Chunk4
    [227.15, 444.15, 445.50, 438.94, 451.72], // Hidden
    [38.61, 14.51, 13.97, 14.12, 29.55], // Tanh
    [30.32, 9.41, 8.32, 8.45, 25.49], // Relu
    [21.23, 11.26, 9.45, 9.48, 18.04], // Projected
    [18.05, 11.41, 11.42, 11.37, 16.28], // Modulated
    [5.54, 6.37, 14.25, 14.20, 5.07], // FactorOutput
    [6.41, 4.91, 1.36, 1.36, 4.78], // FactorProduct
    [5.82, 3.76, 2.03, 2.04, 4.91], // LongFactorProduct
    [81.11, 38.49, 31.64, 31.87, 28.43], // DenseOutput
    [33.16, 10.53, 12.78, 12.67, 10.74], // DenseFactor
    [60.00, 60.00, 60.00, 60.00, 60.00], // Position
    [3.00, 3.00, 1.50, 1.50, 3.00], // PatchByte
    [6.00, 6.00, 6.00, 6.00, 6.00], // Pooled
];

/// Largest relative error of the fit on the cores of [`Core::ALL`](super::Core::ALL).
pub(super) const WORST_ERRORS: [f64; 5] = [0.037, 0.061, 0.078, 0.078, 0.053];
