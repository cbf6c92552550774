//! One process at a time changes a directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail};

/// The file that is locked, which says by whom. It stays, empty, since another process may have it open.
pub(crate) const LOCK: &str = "lock";

/// A directory that nobody else changes. The system takes the lock back where its process dies.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Locks a directory.
    ///
    /// # Errors
    /// Another process has it, which is named, or no file can be written.
    pub(crate) fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(LOCK);
        let cannot = || format!("cannot lock {}", path.display());
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = Some(holder.trim()).filter(|holder| !holder.is_empty());
                bail!(
                    "{} is in use by {}: wait until that is done, or end it",
                    folder.display(),
                    holder.unwrap_or("another process")
                );
            }
            // Some network file systems have no locks: there the user sees to it.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        file.set_len(0).with_context(cannot)?;
        writeln!(file, "process {}{}", std::process::id(), machine()).with_context(cannot)?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What stays of a name is no harm: the lock itself goes with the file.
        let _ = self.0.set_len(0);
    }
}

/// The machine, which matters where several see one disk; nothing where the system does not say.
fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => String::new(),
        name => format!(" on {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let first = Lock::take(folder.path()).expect("free");
        let message = Lock::take(folder.path()).expect_err("taken").to_string();
        let holder = format!("in use by process {}", std::process::id());
        assert!(message.contains(&holder), "{message}");
        drop(first);
        Lock::take(folder.path()).expect("free again");
        // Whoever compares two runs finds the same in both.
        assert_eq!(fs::read(folder.path().join(LOCK)).expect("it stays"), b"");
    }
}
