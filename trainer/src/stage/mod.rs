//! A stage of training, and what all stages share.
//!
//! Every stage is a folder that knows the others by what they leave in the run's directory, and says of
//! itself in one [`Stage`] all that running, resuming and reusing it takes.

mod training;

use std::path::Path;

pub use training::Training;

use crate::config::Config;
use crate::run_dir::RunDir;

/// A stage of training.
pub struct Stage {
    /// Its name for users.
    pub name: &'static str,
    /// What comes of it.
    pub about: &'static str,
    /// Files that it leaves, where it leaves them; the last says that it is done.
    pub files: &'static [&'static str],
    /// Folders that it leaves files in.
    pub folders: &'static [&'static str],
    /// Copies the settings that it reads. None where it is done anew in every run.
    pub reads: Option<Reads>,
    /// Whether it reads the network trained elsewhere that a run may start from.
    pub reads_network: bool,
    /// Does it, from what the stages before it left; its last file is written last.
    pub run: fn(&Training<'_>) -> anyhow::Result<()>,
    /// How a run that stops after it can go on but by `train`, by the run's directory.
    pub elsewhere: Option<fn(&Path) -> String>,
}

/// Copies settings from one configuration to another.
pub type Reads = fn(&Config, &mut Config);

impl Stage {
    /// The file that says that it is done.
    pub fn last_file(&self) -> &'static str {
        self.files.last().expect("a stage leaves a file")
    }

    /// Whether it is done in a run.
    pub fn is_done(&self, dir: &RunDir) -> bool {
        dir.has(self.last_file())
    }
}
