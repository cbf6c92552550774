//! The first stage: hyper-parameters, chosen on held-out rows.

mod record;
mod search;
mod stage;

pub use record::{Candidate, Choices, FullWalk};
pub use search::{Fixed, Search};
pub use stage::STAGE;
