//! The posterior of a network's parameters: its potential and curvature, its modes by second order, and samples of it.
//!
//! All of it is for networks whose curvature, a matrix of P × P, can be factored in a moment, and for full batches.

mod cholesky;
mod convergence;
mod curvature;
mod metric;
mod modes;
mod potential;
mod precisions;
mod refine;

pub use cholesky::LowerFactor;
pub use convergence::{Convergence, convergence, judged_functions, mixing};
pub use curvature::{ggn, jacobians};
pub use metric::Metric;
pub use modes::{Rest, follow, modes};
pub use potential::Potential;
pub use precisions::{Grouping, Groups};
pub use refine::{Chain, Refine, STEPS};

use crate::network::Architecture;

/// Most parameters for which a step by second order is cheap beside what it saves.
const MOST_PARAMETERS: usize = 3000;
/// Most multiply-accumulates of one curvature.
const MOST_PRODUCTS: f64 = 1e11;

/// Whether second order pays for a network on so many rows: few parameters, and one batch.
pub fn is_for(architecture: &Architecture, rows: usize, batch_rows: usize) -> bool {
    let parameters = architecture.parameters();
    let products = (rows * architecture.outputs()) as f64 * (parameters as f64).powi(2);
    rows <= batch_rows && parameters <= MOST_PARAMETERS && products <= MOST_PRODUCTS
}
