//! From data files to standardised rows: [`Data`] are what a program gives, a [`Source`] says what to read, a
//! [`Table`] is what the file holds, a [`Dataset`] what is trained on; [`Schema`] knows what its numbers mean.

mod array;
mod dataset;
mod fields;
mod folder;
mod given;
mod idx;
mod layout;
mod memory;
mod npy;
mod numbers;
mod numpy;
mod outliers;
mod records;
mod rows;
mod schema;
mod series;
mod source;
mod split;
mod spread;
mod table;
mod target;
mod value;

pub use crate::inputs::{Inputs, Values};
pub use crate::network::Shape;
pub use dataset::Dataset;
pub use given::Data;
pub use layout::{Column, Layout};
pub use memory::ColumnValues;
pub use rows::Rows;
pub use schema::Schema;
pub use series::Series;
pub use source::{ChannelAxis, Selection, Source};
pub use split::{Split, evenly, folds, split, test_split};
pub use table::{Table, TableError};
pub use target::{Target, TaskKind};
