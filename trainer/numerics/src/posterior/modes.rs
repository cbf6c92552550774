//! Modes of the posterior by second order, and where particles with a drift come to rest.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::{Metric, Potential, ggn};
use crate::descent::Descent;

/// Nats above its minimum at which a quadratic potential counts as at rest: a hundredth of what one parameter's
/// posterior spreads over.
const REST: f64 = 0.005;
/// Damping to start with, as a share of the curvature's diagonal, and how it goes on after steps that did and did not help.
/// Up to as much, what is above the minimum is told by the damped curvature too.
const DAMPING: f64 = 0.1;
const LESS: f64 = 0.1;
const MORE: f64 = 10.0;
/// Damping beyond which no step helps.
const MOST_DAMPING: f64 = 1e8;
/// Most steps to a mode from where gradient steps ended.
const MOST_STEPS: usize = 480;
/// Least and most steps in one curvature, which in between are as many as take its time.
const STEPS_BY_CURVATURE: [usize; 2] = [25, 100];
/// Steps whose gradients tell of the curvature beyond the metric.
const MEMORY: usize = 20;
/// Decrease that a step has to bring, as a share of what its gradient promises (Armijo 1966).
const DECREASE: f64 = 1e-4;
/// Halvings of a step that does not bring it.
const HALVINGS: usize = 12;

/// Where a descent ended.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Parameters, `[P]`.
    pub theta: Vec<f64>,
    /// Nats above the minimum of the quadratic that value, gradient and curvature make: ½ gᵀ K⁻¹ g.
    pub above: f64,
    /// Steps done.
    pub steps: usize,
}

impl Rest {
    /// Whether it is at rest.
    pub fn is_reached(&self) -> bool {
        self.above <= REST
    }

    /// Its parameters in single precision.
    pub fn narrow(&self) -> Vec<f32> {
        self.theta.iter().map(|&value| value as f32).collect()
    }
}

impl Potential<'_> {
    /// K = GGN + diag α at `theta`, symmetric, `[P, P]`.
    pub fn curvature(&self, theta: &[f64]) -> DMatrix<f64> {
        let theta: Vec<f32> = theta.iter().map(|&value| value as f32).collect();
        let all = 0..theta.len();
        let mut matrix = ggn(self.architecture, self.set, self.likelihood, &theta, &all);
        for (place, alpha) in self.prior_precision.iter().enumerate() {
            matrix[(place, place)] += alpha;
        }
        matrix
    }
}

/// Takes networks `thetas: [N][P]` that `descent` brought near modes of its loss to these modes.
pub fn modes(descent: &Descent<'_>, thetas: &[Vec<f32>]) -> Vec<Rest> {
    let mode = |theta: &Vec<f32>| {
        let start: Vec<f64> = theta.iter().map(|&value| f64::from(value)).collect();
        minimise(&mut potential(descent), &start)
    };
    thetas.par_iter().map(mode).collect()
}

fn potential<'d>(descent: &'d Descent<'_>) -> Potential<'d> {
    let Descent { architecture, set, likelihood, prior_precision, .. } = *descent;
    let prior = prior_precision.iter().map(|&alpha| f64::from(alpha));
    Potential::new(architecture, set, likelihood, prior)
}

/// Descends to a mode by L-BFGS in the coordinates of the damped curvature K + λ diag K (Levenberg 1944, Marquardt 1963),
/// which is taken anew after some steps: where there are many outputs it takes a thousand gradients' time.
fn minimise(potential: &mut Potential<'_>, start: &[f64]) -> Rest {
    let [least, most] = STEPS_BY_CURVATURE;
    // A row's share of the curvature takes C P² products, its gradient 3 P.
    let each = (potential.architecture.outputs() * start.len() / 6).clamp(least, most);
    let mut rest = Rest { theta: start.to_vec(), above: f64::INFINITY, steps: 0 };
    let mut damping = DAMPING;
    while rest.steps < MOST_STEPS && damping < MOST_DAMPING {
        let mut matrix = potential.curvature(&rest.theta);
        for place in 0..start.len() {
            matrix[(place, place)] *= 1.0 + damping;
        }
        let Some(metric) = Metric::new(matrix) else {
            damping *= MORE;
            continue;
        };
        let next = follow(potential, &metric, &rest.theta, each, &mut |_| {});
        let stuck = next.steps < each && !next.is_reached();
        rest = Rest { steps: rest.steps + next.steps.max(1), ..next };
        if rest.is_reached() && damping <= DAMPING {
            break;
        }
        damping *= if stuck { MORE } else { LESS };
    }
    rest
}

/// Descends from `start` to rest by at most `most` steps of L-BFGS (Liu & Nocedal 1989) in the coordinates of
/// `metric`, in which the first step is Newton's. `visit` is called with the parameters before every step.
pub fn follow(
    potential: &mut Potential<'_>,
    metric: &Metric,
    start: &[f64],
    most: usize,
    visit: &mut dyn FnMut(&[f64]),
) -> Rest {
    let size = start.len();
    let mut narrow = Vec::with_capacity(size);
    let mut theta = start.to_vec();
    let mut gradient = vec![0.0; size];
    let mut energy = potential.at(&theta, &mut gradient).total();
    let mut white = vec![0.0; size];
    metric.whiten(&gradient, &mut narrow, &mut white);
    // Moves, changes of the gradient, and the inverses of their products, the oldest first.
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    let (mut moved, mut next, mut next_white) = (vec![0.0; size], vec![0.0; size], vec![0.0; size]);
    let mut steps = 0;
    while steps < most && 0.5 * product(&white, &white) > REST {
        visit(&theta);
        let direction = direction(&memory, &white);
        let slope = product(&direction, &white);
        metric.color(&direction, &mut narrow, &mut moved);
        let (origin, along) = (theta.clone(), moved.clone());
        let mut share = 1.0;
        let mut reached = None;
        for _ in 0..HALVINGS {
            for ((at, from), by) in theta.iter_mut().zip(&origin).zip(&along) {
                *at = from - share * by;
            }
            let value = potential.at(&theta, &mut next).total();
            if value <= energy - DECREASE * share * slope {
                reached = Some(value);
                break;
            }
            share *= 0.5;
        }
        let Some(value) = reached else {
            theta = origin;
            break;
        };
        metric.whiten(&next, &mut narrow, &mut next_white);
        let step: Vec<f64> = direction.iter().map(|d| -share * d).collect();
        let change: Vec<f64> = next_white.iter().zip(&white).map(|(new, old)| new - old).collect();
        let curved = product(&step, &change);
        // Where the curvature along the step is not positive, it tells nothing of a minimum.
        if curved > 1e-8 * product(&step, &step) {
            if memory.len() == MEMORY {
                memory.remove(0);
            }
            memory.push((step, change, 1.0 / curved));
        }
        energy = value;
        std::mem::swap(&mut white, &mut next_white);
        steps += 1;
    }
    Rest { theta, above: 0.5 * product(&white, &white), steps }
}

/// The inverse Hessian that `memory` tells of, times `gradient`: the two-loop recursion from the identity.
fn direction(memory: &[(Vec<f64>, Vec<f64>, f64)], gradient: &[f64]) -> Vec<f64> {
    let mut direction = gradient.to_vec();
    let mut shares = Vec::with_capacity(memory.len());
    for (step, change, inverse) in memory.iter().rev() {
        let share = inverse * product(step, &direction);
        direction.iter_mut().zip(change).for_each(|(d, y)| *d -= share * y);
        shares.push(share);
    }
    for ((step, change, inverse), share) in memory.iter().zip(shares.into_iter().rev()) {
        let other = inverse * product(change, &direction);
        direction.iter_mut().zip(step).for_each(|(d, s)| *d += (share - other) * s);
    }
    direction
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(l, r)| l * r).sum()
}
