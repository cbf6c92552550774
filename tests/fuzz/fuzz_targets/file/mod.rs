//! A file for the readers of the trainer, which take paths.

use std::cell::LazyCell;
use std::fs;
use std::path::Path;

use fiberwalk::Data;
use fiberwalk::internals::data::Dataset;
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
}

/// Calls `read` with a file of these bytes, `name` in a folder of its own.
pub fn with(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("writable");
        fs::write(&path, bytes).expect("writable");
        read(&path);
    });
}

/// Reads data to train on; what is refused is refused with a message of one line and of some length at most.
#[allow(dead_code, reason = "not every target reads data")]
pub fn train(data: Data) {
    match Dataset::read(&data.target("y"), 0) {
        Ok(data) => {
            let inputs = data.raw.len() / data.table.len();
            assert_eq!(data.raw.len(), inputs * data.table.len());
            assert!(data.raw.iter().all(f32::is_finite));
            assert_eq!(data.target.len(), data.table.len());
        }
        Err(error) => {
            const LONGEST: usize = 4000;
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < LONGEST, "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
}
