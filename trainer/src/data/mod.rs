//! From a CSV file to standardised rows.

mod rows;
mod schema;
mod split;
mod table;

pub use rows::{Rows, Targets};
pub use schema::{Features, Schema, Target, Task, TaskKind};
pub use split::{Split, evenly, folds, split, test_split};
pub use table::{Table, TableError};
