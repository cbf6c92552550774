//! Everything in a folder, to compare two of them or the same one before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of every file below a folder, by path; none for a folder.
pub type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// Reads all files below `folder`.
pub fn contents(folder: &Path) -> Contents {
    let mut all = Contents::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            let name = path.strip_prefix(folder).expect("it is below the folder").to_owned();
            if path.is_dir() {
                all.insert(name, None);
                open.push(path);
            } else {
                all.insert(name, Some(fs::read(path).expect("the file is readable")));
            }
        }
    }
    all
}

/// Names of what is in only one of the two, or differs.
pub fn difference(one: &Contents, other: &Contents) -> Vec<PathBuf> {
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    names.filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
