//! The third stage: particles walk from the MAPs, and what they walk through is kept as files, groups of
//! particles in a run's directory or shards of them that many machines walk apart, since particles are
//! independent given θ*.
//!
//! [`crate::drift`] is the algorithm. A run whose MAP is trained ([`RunAtMap`]) is all that it needs. The
//! [stage](STAGE) walks groups and keeps how they walked beside them; [`walk_shard`] leaves those of one shard in
//! one file; [`merge()`] makes of the shards what a walk in one place would have left.

mod at_map;
mod groups;
mod merge;
mod need;
mod record;
pub mod shard;
mod stage;
#[cfg(test)]
mod tests;

pub use at_map::RunAtMap;
pub use groups::{read, read_trace};
pub use merge::merge;
pub use record::WalkRecord;
pub use shard::{Shard, walk_shard};
pub use stage::STAGE;
