//! Findings of a search so far, kept for one that goes on from there.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::stage::Scratch;

/// Findings in the order in which a search asks for them, which the settings and the data decide.
pub struct Kept {
    scratch: Scratch,
    batches: AtomicUsize,
}

/// A finding in a file; none where what was tried diverged.
#[derive(Serialize, Deserialize)]
struct Finding<T> {
    found: Option<T>,
}

/// Findings that are asked for together.
pub(super) struct Batch<'k> {
    kept: &'k Kept,
    number: usize,
}

impl Kept {
    /// Findings in files.
    pub const fn at(scratch: Scratch) -> Self {
        Self { scratch, batches: AtomicUsize::new(0) }
    }

    /// The next findings.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch { kept: self, number: self.batches.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Batch<'_> {
    fn name(&self, index: usize) -> String {
        format!("{:02}-{index:02}", self.number)
    }

    /// Whether a finding is there.
    ///
    /// # Errors
    /// Its file is damaged.
    pub(super) fn has<T: DeserializeOwned>(&self, index: usize) -> anyhow::Result<bool> {
        Ok(self.read::<T>(index)?.is_some())
    }

    fn read<T: DeserializeOwned>(&self, index: usize) -> anyhow::Result<Option<Finding<T>>> {
        self.kept.scratch.record(&self.name(index))
    }

    /// The finding of this index: the one that is there, or what `find` comes to, which is kept. None where
    /// what was tried diverged.
    ///
    /// # Errors
    /// The errors of `find`, or a file that cannot be read or written.
    pub(super) fn finding<T: Serialize + DeserializeOwned>(
        &self,
        index: usize,
        find: impl FnOnce() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        if let Some(Finding { found }) = self.read(index)? {
            return Ok(found);
        }
        let finding = Finding { found: find()? };
        self.kept.scratch.keep_record(&self.name(index), &finding)?;
        Ok(finding.found)
    }
}
