//! What the end-to-end tests share: the built programs, small data sets, and folders to compare.

mod command;
mod data;
mod folder;

pub use command::{Finished, fiberwalk, root, sensor};
pub use data::{DIGITS_CONFIG, REGRESSION_CONFIG, SIDE, colourful, digits, npy, waves};
pub use folder::{Contents, contents, difference};
