//! From a CSV file to standardised rows.

mod features;
mod rows;
mod schema;
mod split;
mod table;

pub use features::Features;
pub use rows::{Rows, Targets};
pub use schema::{Schema, Target, Task, TaskKind};
pub use split::{Split, folds, split};
pub use table::{Table, TableError};
