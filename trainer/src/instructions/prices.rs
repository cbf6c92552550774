//! Written by `./tests/prices`: a least-squares fit to 301 predictions with 43 models on
//! emulated boards.

/// Instructions of every operation of [`Operation::ALL`](super::Operation::ALL), on the cores of
/// [`Core::ALL`](super::Core::ALL).
#[rustfmt::skip] // A table.
pub(super) const PRICES: &[[f64; 5]] = &[
    [3777.07, 2442.84, 2051.66, 2052.06, 2688.83], // Classification
    [4693.09, 3368.83, 2121.69, 2115.80, 3272.86], // Regression
    [329.75, 117.40, 109.97, 109.01, 207.27], // ClassSummary
    [277.42, 158.00, 28.30, 30.11, 165.79], // FloatInput
    [21.81, 7.37, 6.31, 6.42, 18.76], // WholeInput
    [892.99, 389.69, 397.78, 397.83, 430.63], // ClassSample
    [512.63, 311.62, 287.41, 287.65, 324.53], // ValueSample
    [69.94, 43.57, 42.05, 42.08, 54.18], // Softmax
    [175.88, 0.00, 0.00, 0.00, 7.38], // Matrix
    [16.64, 11.47, 6.80, 7.42, 10.86], // MatrixOutput
    [3.46, 3.44, 1.65, 1.65, 3.28], // EightRows
    [3.42, 3.57, 1.73, 1.73, 3.63], // FourRows
    [6.48, 4.97, 4.72, 4.70, 5.69], // OneRow
    [4.03, 3.61, 1.54, 1.57, 3.23], // EightRows4
    [9.00, 5.73, 5.46, 5.46, 6.60], // OneRow4
    [47.30, 12.28, 45.24, 49.70, 47.87], // Chunk4
    [373.31, 539.72, 520.87, 515.55, 467.14], // Hidden
    [38.33, 14.32, 14.45, 14.59, 28.80], // Tanh
    [29.84, 9.16, 10.02, 10.13, 24.70], // Relu
    [21.80, 11.55, 10.22, 10.28, 17.24], // Projected
    [18.59, 12.23, 10.27, 10.23, 16.40], // Modulated
    [6.92, 6.89, 13.87, 13.84, 5.70], // FactorOutput
    [6.29, 4.82, 1.37, 1.37, 4.78], // FactorProduct
    [5.76, 3.71, 2.08, 2.08, 4.90], // LongFactorProduct
    [86.94, 39.99, 31.99, 32.23, 29.18], // DenseOutput
    [31.15, 10.13, 12.50, 12.39, 10.70], // DenseFactor
    [1335.79, 980.33, 962.05, 965.05, 1001.12], // Position
    [11.52, 0.00, 0.00, 0.00, 6.62], // PatchByte
    [2.66, 3.92, 1.98, 1.98, 2.94], // WindowProduct
];

/// Largest relative error of the fit on the cores of [`Core::ALL`](super::Core::ALL): of dense
/// networks, and of those with convolutions.
pub(super) const WORST_ERRORS: [[f64; 5]; 2] =
    [[0.040, 0.070, 0.085, 0.085, 0.052], [0.256, 0.251, 0.355, 0.357, 0.275]];
