//! The trainer's arithmetic on GPUs, through wgpu and WGSL.
//!
//! All state stays on the GPU: a step is a list of dispatches recorded once, or one dispatch where a
//! particle's weights fit a workgroup, and what differs between steps (learning rate, codes, probes) is
//! uploaded a few dozen steps at a time. Before the end, only what is
//! measured at checkpoints is read back. Sums run in a fixed order
//! and there are no atomics, so results do not depend on how the particles are grouped; between kinds of
//! GPU they differ by rounding.

mod adapters;
mod context;
mod convolution;
mod decoder;
mod descent;
mod fused;
mod gpus;
mod groups;
mod latent;
mod measure;
mod network;
mod outputs;
mod peaks;
mod pooling;
mod product;
#[cfg(test)]
mod tests;

pub use adapters::adapters;
use adapters::hardware;
use context::{Gpu, GpuError};
pub(in crate::device) use gpus::open;
