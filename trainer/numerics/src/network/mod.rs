//! Networks evaluated and differentiated on the CPU.
//!
//! A network is an [`Architecture`] and a flat parameter vector θ ∈ R^P. Matrices of values are
//! *feature-major*: `[values, rows]` with the rows of one value contiguous, so that every loop
//! over rows is a vector loop. A particle is evaluated by one thread alone; parallelism is over
//! particles, which makes every result independent of the number of threads.

mod activation;
mod architecture;
mod batch;
mod convolution;
mod direct;

mod matmul;
mod pooling;
mod simd;
mod softmax;
mod spec;
mod tape;
#[cfg(test)]
mod tests;
mod window;

pub use activation::Activation;
pub use architecture::{Architecture, Block, LayerShape, PlacedBlock};
pub use batch::Batch;
pub use batch::most_rows;
pub(crate) use batch::tiles;
pub use matmul::{Base, Matrix, multiply_by_gemm};
pub use softmax::softmax;
pub use spec::LayerSpec;
pub use tape::{Tape, outputs, outputs_of_each};
pub use window::{Pool, PoolKind, Shape, Window};

pub(crate) use simd::{BETA1, BETA2, adam_step, dot, vectorised};
