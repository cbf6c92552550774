//! Softmax of blocks of outputs.

use super::simd::{exp, vectorised};

/// Softmax of every row of `outputs: [C, rows]` in place; returns the rows' log-normalisers.
pub fn softmax(outputs: &mut [f32], rows: usize) -> Vec<f32> {
    vectorised(
        #[inline(always)]
        || {
            let mut max = vec![f32::NEG_INFINITY; rows];
            for row in outputs.chunks_exact(rows) {
                max.iter_mut().zip(row).for_each(|(m, &f)| *m = if f > *m { f } else { *m });
            }
            let mut sum = vec![0.0f32; rows];
            for row in outputs.chunks_exact_mut(rows) {
                for ((f, &max), sum) in row.iter_mut().zip(&max).zip(&mut sum) {
                    *f = exp(*f - max);
                    *sum += *f;
                }
            }
            let inverse: Vec<f32> = sum.iter().map(|&sum| 1.0 / sum).collect();
            for row in outputs.chunks_exact_mut(rows) {
                row.iter_mut().zip(&inverse).for_each(|(p, &inverse)| *p *= inverse);
            }
            max.iter().zip(&sum).map(|(&max, &sum)| max + sum.ln()).collect()
        },
    )
}
