//! A stage of training, and what all stages share.
//!
//! Every stage is a folder that knows the others by what they leave in the run's directory, and says of
//! itself in one [`Stage`] all that running, resuming and reusing it takes.

mod scratch;
mod training;

pub use scratch::Scratch;
pub use training::Training;

use crate::config::Config;
use crate::run_dir::RunDir;

/// A stage of training.
pub struct Stage {
    /// Its name for users.
    pub name: &'static str,
    /// Its result, for users.
    pub about: &'static str,
    /// Files that it always leaves; the last is written last, and has to be there where it is done.
    pub files: &'static [&'static str],
    /// Names the others that it left, as its record has it. None where there are none.
    pub more: Option<More>,
    /// Folder for what is done of it while it is under way; removed once it is done.
    pub scratch: Option<&'static str>,
    /// Refuses what it could not do, before anything of a run is done or written.
    pub check: Option<fn(&Training<'_>) -> anyhow::Result<()>>,
    /// Copies the settings that it reads. None where it is done anew in every run.
    pub reads: Option<Reads>,
    /// Whether it reads the network trained elsewhere that a run may start from.
    pub reads_network: bool,
    /// Does it, from what the stages before it left; its last file is written last.
    pub run: fn(&Training<'_>) -> anyhow::Result<()>,
}

/// Names files that a stage left in a run.
pub type More = fn(&RunDir) -> anyhow::Result<Vec<String>>;

/// Copies settings from one configuration to another.
pub type Reads = fn(&Config, &mut Config);

impl Stage {
    /// The file that is written last.
    pub fn last_file(&self) -> &'static str {
        self.files.last().expect("a stage leaves a file")
    }

    /// Does it unless it is done, and leaves nothing of the way.
    ///
    /// # Errors
    /// The errors of the stage.
    pub fn complete(&self, training: &Training<'_>) -> anyhow::Result<()> {
        if !self.is_done(&training.dir)? {
            (self.run)(training)?;
        }
        match self.scratch {
            Some(folder) => Scratch::new(&training.dir, folder).clear(),
            None => Ok(()),
        }
    }

    /// Where it keeps what it has done of itself.
    pub fn scratch(&self, training: &Training<'_>) -> Scratch {
        let folder = self.scratch.expect("asked for by a stage that has one");
        Scratch::new(&training.dir, folder)
    }

    /// Files that it left in a run where it is done, the last one last.
    ///
    /// # Errors
    /// Its record is damaged.
    pub fn left(&self, dir: &RunDir) -> anyhow::Result<Vec<String>> {
        let more = self.more.map_or_else(|| Ok(Vec::new()), |more| more(dir))?;
        Ok(more.into_iter().chain(self.files.iter().map(ToString::to_string)).collect())
    }

    /// Whether it is done in a run: all that it leaves is there. Where some of it was lost, it is done again,
    /// with the same result.
    ///
    /// # Errors
    /// Its record is damaged.
    pub fn is_done(&self, dir: &RunDir) -> anyhow::Result<bool> {
        Ok(dir.has(self.last_file()) && self.left(dir)?.iter().all(|file| dir.has(file)))
    }
}
