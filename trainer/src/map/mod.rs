//! The second stage: the networks of the largest posterior density (MAP), where the walk starts.

mod record;
mod stage;

pub use record::{read, read_trace};
pub use stage::STAGE;
