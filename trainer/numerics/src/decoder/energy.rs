//! The energy score between two sets of functions, compared one input at a time.

use rayon::prelude::*;

use crate::network::vectorised;
use crate::task::Share;

/// Keeps the norm differentiable where two draws coincide.
const SMOOTHING: f32 = 1e-10;

/// The energy score of draws D against particles W, averaged over inputs x:
///
/// ES = E‖f_D(x) − f_W(x)‖ − ½ E‖f_D(x) − f_D'(x)‖, D' independent of D
///
/// It is proper: its minimum over the law of D is the law of W (Gneiting & Raftery 2007, eq. 22).
/// Every set holds `[C, rows]` blocks. Returns the score and its gradient with respect to every
/// draw.
pub fn energy_score(
    draws: &[Vec<f32>],
    of: Share,
    particles: &[Vec<f32>],
    rows: usize,
) -> (f64, Vec<Vec<f32>>) {
    let (m, n) = (draws.len(), particles.len());
    let to_particles = 1.0 / (m * n * rows) as f32;
    let others = match of {
        Share::Some => (m - 1).max(1),
        Share::All => m,
    };
    let between_draws = -1.0 / (m * others * rows) as f32;
    let scored: Vec<(f64, Vec<f32>)> = draws
        .par_iter()
        .enumerate()
        .map(|(index, draw)| {
            let mut gradient = vec![0.0; draw.len()];
            let mut squares = vec![0.0; rows];
            let mut distance = |other: &[f32], weight: f32| {
                add_distance(draw, other, weight, &mut squares, &mut gradient)
            };
            let mut score = 0.0;
            for particle in particles {
                score += distance(particle, to_particles);
            }
            for (other, draw) in draws.iter().enumerate() {
                if other != index {
                    // Each pair is met from both sides, hence the half in the score alone.
                    score += 0.5 * distance(draw, between_draws);
                }
            }
            (score, gradient)
        })
        .collect();
    let total = scored.iter().map(|(score, _)| score).sum();
    (total, scored.into_iter().map(|(_, gradient)| gradient).collect())
}

/// Mean over the rows of ‖left − right‖, both `[C, rows]`.
pub fn mean_distance(left: &[f32], right: &[f32], rows: usize) -> f64 {
    let mut squares = vec![0.0; rows];
    squared_distances(left, right, &mut squares);
    squares.iter().map(|&square| f64::from(square.sqrt())).sum::<f64>() / rows as f64
}

#[inline(always)]
fn squared_distances(left: &[f32], right: &[f32], squares: &mut [f32]) {
    let rows = squares.len();
    vectorised(
        #[inline(always)]
        || {
            squares.fill(SMOOTHING);
            for (left, right) in left.chunks_exact(rows).zip(right.chunks_exact(rows)) {
                for ((square, &l), &r) in squares.iter_mut().zip(left).zip(right) {
                    *square += (l - r) * (l - r);
                }
            }
        },
    );
}

/// Adds the gradient of `weight · Σ_x ‖draw(x) − other(x)‖` and returns that value.
fn add_distance(
    draw: &[f32],
    other: &[f32],
    weight: f32,
    squares: &mut [f32],
    gradient: &mut [f32],
) -> f64 {
    let rows = squares.len();
    squared_distances(draw, other, squares);
    vectorised(
        #[inline(always)]
        || {
            let mut partial = [0.0f32; 8];
            for (index, square) in squares.iter_mut().enumerate() {
                let norm = square.sqrt();
                partial[index % 8] += norm;
                *square = weight / norm;
            }
            for ((gradient, draw), other) in gradient
                .chunks_exact_mut(rows)
                .zip(draw.chunks_exact(rows))
                .zip(other.chunks_exact(rows))
            {
                for (((g, &d), &o), &scale) in
                    gradient.iter_mut().zip(draw).zip(other).zip(&*squares)
                {
                    *g += scale * (d - o);
                }
            }
            f64::from(weight) * f64::from(partial.iter().sum::<f32>())
        },
    )
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::{Purpose, stream};

    fn normals(sets: usize, len: usize, shift: f32, index: u64) -> Vec<Vec<f32>> {
        let mut rng = stream(7, Purpose::Probes, index);
        let mut value = || -> f32 { StandardNormal.sample(&mut rng) };
        (0..sets).map(|_| (0..len).map(|_| shift + value()).collect()).collect()
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (rows, classes) = (5, 3);
        let mut draws = normals(4, rows * classes, 0.0, 0);
        let particles = normals(6, rows * classes, 0.5, 1);
        let (_, gradient) = energy_score(&draws, Share::Some, &particles, rows);
        for (draw, index) in [(0, 0), (1, 7), (3, 14)] {
            let middle = draws[draw][index];
            let mut at = |value: f32| {
                draws[draw][index] = value;
                energy_score(&draws, Share::Some, &particles, rows).0
            };
            let difference = (at(middle + 1e-2) - at(middle - 1e-2)) / 2e-2;
            at(middle);
            assert!((f64::from(gradient[draw][index]) - difference).abs() < 1e-4);
        }
    }

    #[test]
    fn the_score_is_least_for_draws_of_the_same_law() {
        let particles = normals(400, 1, 0.0, 0);
        let same = energy_score(&normals(400, 1, 0.0, 1), Share::Some, &particles, 1).0;
        let shifted = energy_score(&normals(400, 1, 0.7, 1), Share::Some, &particles, 1).0;
        let narrow: Vec<Vec<f32>> =
            normals(400, 1, 0.0, 1).into_iter().map(|draw| vec![0.4 * draw[0]]).collect();
        let narrow = energy_score(&narrow, Share::Some, &particles, 1).0;
        assert!(same < shifted && same < narrow, "{same} {shifted} {narrow}");
    }
}
