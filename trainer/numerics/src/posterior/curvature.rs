//! The generalised Gauss-Newton matrix (GGN) Σ_n J_nᵀ Λ_n J_n, with J_n = ∂f(x_n)/∂θ and Λ_n the Hessian of
//! −log p(y_n | f) (Schraudolph 2002).

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DMatrixViewMut, DVector};
use rayon::prelude::*;

use crate::descent::TrainingSet;
use crate::network::{Architecture, Batch, Tape, outputs, softmax};
use crate::task::{Gaussian, Likelihood};

/// Rows whose Jacobians are in memory together.
const CHUNK_ROWS: usize = 64;
/// Columns of the matrix that a thread sums.
const BLOCK: usize = 96;

/// The GGN of the rows of `set` with respect to the parameters `range`, at `theta: [P]`: symmetric, `[Q, Q]`.
pub fn ggn(
    architecture: &Architecture,
    set: &TrainingSet,
    likelihood: Likelihood,
    theta: &[f32],
    range: &Range<usize>,
) -> DMatrix<f64> {
    let size = range.len();
    let mut ggn = DMatrix::zeros(size, size);
    for part in 0..set.parts() {
        let batch = &set.mini_batch(part).batch;
        let outputs = outputs(architecture, theta, batch);
        for start in (0..batch.rows()).step_by(CHUNK_ROWS) {
            let rows = start..(start + CHUNK_ROWS).min(batch.rows());
            let mut roots = jacobians(architecture, theta, batch, rows.clone(), range);
            to_roots(&mut roots, &outputs, rows, batch.rows(), likelihood);
            add_products(&mut ggn, &roots);
        }
    }
    ggn.fill_upper_triangle_with_lower_triangle();
    ggn
}

/// Adds `roots · rootsᵀ` to the lower triangle of `sum`, every entry by one thread.
fn add_products(sum: &mut DMatrix<f64>, roots: &DMatrix<f64>) {
    let (size, turned) = (sum.nrows(), roots.transpose());
    let columns = sum.as_mut_slice().par_chunks_mut(size * BLOCK);
    columns.enumerate().for_each(|(block, columns)| {
        let (first, width) = (block * BLOCK, columns.len() / size);
        let mut columns = DMatrixViewMut::from_slice(columns, size, width);
        let below: DMatrixView<'_, f64, _, _> = roots.rows(first, size - first);
        columns.rows_mut(first, size - first).gemm(1.0, &below, &turned.columns(first, width), 1.0);
    });
}

/// Transposed Jacobians of some rows with respect to the parameters `range`, `[Q, rows · C]`: the outputs of
/// a row side by side.
pub fn jacobians(
    architecture: &Architecture,
    theta: &[f32],
    batch: &Batch,
    rows: Range<usize>,
    range: &Range<usize>,
) -> DMatrix<f64> {
    let outputs = architecture.outputs();
    let columns: Vec<Vec<f64>> = rows
        .into_par_iter()
        .map(|row| {
            let (single, mut tape) = (batch.select(&[row]), Tape::default());
            tape.forward(architecture, theta, &single, 0..1);
            let mut columns = Vec::with_capacity(outputs * range.len());
            let mut gradient = vec![0.0; theta.len()];
            for output in 0..outputs {
                let mut d_outputs = vec![0.0; outputs];
                d_outputs[output] = 1.0;
                gradient.fill(0.0);
                tape.backward(architecture, theta, &single, &d_outputs, &mut gradient, None);
                columns.extend(gradient[range.clone()].iter().map(|&g| f64::from(g)));
            }
            columns
        })
        .collect();
    let count = columns.len() * outputs;
    DMatrix::from_vec(range.len(), count, columns.concat())
}

/// Replaces the transposed Jacobians of rows `rows` by roots r with Σ r rᵀ = Σ_n J_nᵀ Λ_n J_n. For the
/// categorical likelihood Λ = Σ_c p_c (e_c − p)(e_c − p)ᵀ, so that r_c = √p_c (J_c − Σ_k p_k J_k).
/// `outputs` are those of all `count` rows, `[C, count]`.
fn to_roots(
    jacobians: &mut DMatrix<f64>,
    outputs: &[f32],
    rows: Range<usize>,
    count: usize,
    likelihood: Likelihood,
) {
    match likelihood {
        Likelihood::Regression(Gaussian { noise_std }) => *jacobians /= f64::from(noise_std),
        Likelihood::Classification(_) => {
            let mut probabilities = outputs.to_vec();
            softmax(&mut probabilities, count);
            let classes = outputs.len() / count;
            for (index, row) in rows.enumerate() {
                let p = (0..classes).map(|class| f64::from(probabilities[class * count + row]));
                let p = DVector::from_iterator(classes, p);
                let mut own = jacobians.columns_mut(index * classes, classes);
                let mean = &own * &p;
                for (mut column, p) in own.column_iter_mut().zip(p.iter()) {
                    column -= &mean;
                    column *= p.sqrt();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;
    use crate::task::Targets;

    /// The GGN of a linear classifier is its Hessian Σ_n (diag p − p pᵀ) ⊗ x xᵀ, here by plain loops.
    #[test]
    fn the_ggn_of_a_linear_classifier_is_its_hessian() {
        let architecture = Architecture::perceptron(&[1, 3], Activation::Tanh);
        let theta = [0.4f32, -0.7, 0.1, 0.2, 0.0, -0.3];
        let x = [0.5f32, -1.5];
        let set = TrainingSet::of(&x, 1, &Targets::classes(vec![0, 2], 3), 2, 0);
        let outputs = outputs(&architecture, &theta, &Batch::from_rows(&x, 1));
        let found = ggn(&architecture, &set, Likelihood::CATEGORICAL, &theta, &(0..6));
        let mut expected = DMatrix::zeros(6, 6);
        for (row, x) in x.into_iter().map(f64::from).enumerate() {
            let exp: Vec<f64> = (0..3).map(|c| f64::from(outputs[c * 2 + row]).exp()).collect();
            let p: Vec<f64> = exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect();
            // Weights come first, then biases, whose input is 1.
            let input = |q: usize| if q < 3 { x } else { 1.0 };
            for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
                let own = if i % 3 == j % 3 { p[i % 3] } else { 0.0 };
                expected[(i, j)] += (own - p[i % 3] * p[j % 3]) * input(i) * input(j);
            }
        }
        assert!((found - expected).abs().max() < 1e-6);
    }
}
