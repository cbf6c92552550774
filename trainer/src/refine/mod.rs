//! The stage behind the walk: its particles become samples of the posterior, prior precisions and noise sampled with
//! them. [`crate::posterior`] has the algorithm.

mod record;
mod stage;
#[cfg(test)]
mod tests;

pub use record::{Refined, read, read_refined};
pub use stage::STAGE;
