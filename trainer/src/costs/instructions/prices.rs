//! Written by `./tests/prices`: a least-squares fit to 301 predictions with 43 models on
//! emulated boards.

/// Instructions of every operation of [`Operation::ALL`](super::Operation::ALL), on the cores of
/// [`Core::ALL`](super::Core::ALL).
#[rustfmt::skip] // A table.
pub(super) const PRICES: &[[f64; 5]] = &[
    [3779.07, 2442.77, 2051.68, 2052.63, 2688.83], // Classification
    [4695.36, 3368.68, 2121.60, 2116.63, 3272.86], // Regression
    [329.76, 117.39, 109.97, 109.00, 207.27], // ClassSummary
    [277.41, 158.00, 28.30, 30.12, 165.79], // FloatInput
    [21.80, 7.37, 6.32, 6.43, 18.76], // WholeInput
    [893.01, 389.69, 397.79, 397.83, 430.63], // ClassSample
    [512.60, 311.62, 287.42, 287.66, 324.53], // ValueSample
    [69.94, 43.57, 42.05, 42.09, 54.18], // Softmax
    [176.06, 0.00, 0.00, 0.00, 7.38], // Matrix
    [16.63, 11.47, 6.80, 7.41, 10.86], // MatrixOutput
    [3.46, 3.44, 1.65, 1.65, 3.28], // EightRows
    [3.42, 3.57, 1.73, 1.73, 3.63], // FourRows
    [6.48, 4.97, 4.72, 4.70, 5.69], // OneRow
    [4.03, 3.61, 1.54, 1.57, 3.23], // EightRows4
    [9.00, 5.73, 5.46, 5.46, 6.60], // OneRow4
    [47.20, 12.29, 45.21, 49.70, 47.87], // Chunk4
    [373.04, 539.74, 520.83, 515.54, 467.14], // Hidden
    [38.34, 14.32, 14.46, 14.59, 28.80], // Tanh
    [29.85, 9.16, 10.02, 10.13, 24.70], // Relu
    [21.80, 11.55, 10.22, 10.29, 17.24], // Projected
    [18.59, 12.23, 10.27, 10.23, 16.40], // Modulated
    [6.91, 6.89, 13.87, 13.83, 5.70], // FactorOutput
    [6.29, 4.82, 1.37, 1.37, 4.78], // FactorProduct
    [5.76, 3.71, 2.08, 2.08, 4.90], // LongFactorProduct
    [86.94, 39.98, 31.98, 32.22, 29.18], // DenseOutput
    [31.14, 10.13, 12.50, 12.39, 10.70], // DenseFactor
    [1222.04, 902.39, 780.97, 784.01, 928.65], // Position
    [17.13, 1.19, 0.79, 0.79, 6.44], // PatchByte
    [2.31, 3.25, 2.42, 2.41, 2.84], // WindowProduct
];

/// Largest relative error of the fit on the cores of [`Core::ALL`](super::Core::ALL): of dense
/// networks, and of those with convolutions.
pub(super) const WORST_ERRORS: [[f64; 5]; 2] =
    [[0.040, 0.070, 0.085, 0.085, 0.052], [0.259, 0.262, 0.372, 0.373, 0.280]];
