//! The public data sets, and how they are used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use fiberwalk::internals::baselines::Hmc;
use fiberwalk::internals::cli::Terminal;
use fiberwalk::internals::compare::{CompareOptions, Comparison, Method, compare};
use fiberwalk::settings::Choice;
use fiberwalk::{Config, Data, Device, Progress, TaskKind};

use crate::Places;

/// Hidden units of the one hidden layer.
const HIDDEN: usize = 50;
/// Members of the deep ensemble.
pub const MEMBERS: usize = 5;

/// A data set.
pub struct Set {
    /// Of the file, without its ending.
    pub name: &'static str,
    /// Where it is from.
    pub source: &'static str,
    pub task: TaskKind,
    /// 70/30 splits, by seeds from 0 on: more where there are few rows to test on.
    pub splits: u64,
}

const fn set(name: &'static str, source: &'static str, task: TaskKind, splits: u64) -> Set {
    Set { name, source, task, splits }
}

/// All sets, classification first.
pub const SETS: [Set; 8] = [
    set("wine", "UCI wine", TaskKind::Classification, 10),
    set("wdbc", "UCI breast cancer Wisconsin (diagnostic)", TaskKind::Classification, 5),
    set("banana", "KEEL banana", TaskKind::Classification, 5),
    set(
        "digits",
        "UCI optical recognition of handwritten digits, 8 × 8",
        TaskKind::Classification,
        3,
    ),
    set("penbased", "UCI pen-based recognition of digits", TaskKind::Classification, 3),
    set("wine_red", "UCI wine quality, red", TaskKind::Regression, 5),
    set("power", "UCI combined cycle power plant", TaskKind::Regression, 3),
    set("kin8nm", "DELVE kin8nm", TaskKind::Regression, 3),
];

/// One hidden layer of 50 tanh units, everything else automatic.
pub fn config() -> Config {
    let mut config = Config::default();
    config.network.hidden = Choice::Fixed(vec![HIDDEN.into()]);
    config
}

impl Places {
    /// The sets asked for.
    pub fn sets(&self) -> impl Iterator<Item = &'static Set> {
        let wanted = |set: &&Set| self.only.is_empty() || self.only.iter().any(|o| o == set.name);
        SETS.iter().filter(wanted)
    }
}

impl Set {
    /// The data file.
    pub fn csv(&self, data: &Path) -> PathBuf {
        data.join(format!("{}.csv", self.name))
    }

    /// The last column.
    pub fn target(&self, data: &Path) -> anyhow::Result<String> {
        let path = self.csv(data);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let header = text.lines().next().unwrap_or_default();
        let last = header.rsplit(',').next().filter(|name| !name.trim().is_empty());
        Ok(last.with_context(|| format!("{}: the header is empty", path.display()))?.to_owned())
    }

    /// Folder of its splits and runs.
    pub fn folder(&self, work: &Path) -> PathBuf {
        work.join(self.name)
    }

    /// `methods` on one split; its run stays in `split-SEED/run` of [`Self::folder`].
    pub fn compare(
        &self,
        places: &Places,
        seed: u64,
        methods: Vec<Method>,
    ) -> anyhow::Result<Comparison> {
        compare(&CompareOptions {
            test: None,
            ood: None,
            data: Data::file(self.csv(&places.data))
                .target(self.target(&places.data)?)
                .task(self.task),
            config: config(),
            out: self.folder(&places.work),
            repeats: 1,
            methods,
            members: MEMBERS,
            hmc: Hmc::REFERENCE,
            seed,
            device: Arc::new(Device::Cpu),
            progress: Progress::to(Terminal),
        })
    }
}
