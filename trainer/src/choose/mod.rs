//! The first stage: hyper-parameters, chosen on held-out rows.

mod kept;
mod record;
mod search;
mod stage;

pub use kept::Kept;
pub use record::{Choices, FullWalk};
pub use search::{Fixed, Search};
pub use stage::STAGE;
