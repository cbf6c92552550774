//! Multilayer perceptrons evaluated and differentiated on the CPU.
//!
//! A network is an [`Architecture`] and a flat parameter vector θ ∈ R^P. Matrices of values are
//! *feature-major*: `[width, rows]` with the rows of one feature contiguous, so that every loop
//! over rows is a vector loop. A particle is evaluated by one thread alone; parallelism is over
//! particles, which makes every result independent of the number of threads.

mod architecture;
mod batch;
mod direct;
mod likelihood;
mod matmul;
mod simd;
mod tape;
#[cfg(test)]
mod tests;

pub use architecture::{Activation, Architecture, LayerShape};
pub use batch::{Batch, TILE_ROWS};
pub(crate) use likelihood::softmax;
pub use likelihood::{Likelihood, Objective};
pub(crate) use matmul::{Base, Matrix, multiply_by_gemm};
pub use tape::{Tape, outputs, outputs_of_each};
pub(crate) use tape::{activate, through_activation};

pub(crate) use simd::{BETA1, BETA2, adam_step, vectorised};
