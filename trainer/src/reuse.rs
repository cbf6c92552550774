//! A run that begins with the stages of another one: those whose data and settings are the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::{Choice, Config, Export, Latent, Walk};
use crate::particles::{CHOICES, MAP};
use crate::records::{LATENT, LATENT_CANDIDATES, LATENT_TRACE, MAP_TRACE};
use crate::run_data::{DATA, DataRecord, ROWS, imported_by};
use crate::run_dir::{PARTICLES, REQUESTED, RunDir};

/// A stage that can be taken over.
struct Stage {
    name: &'static str,
    /// Its files, where it leaves them, and what says that it is done, the last.
    files: &'static [&'static str],
    /// Folders that it leaves files in.
    folders: &'static [&'static str],
    /// The settings with all that this stage and those before it do not read left at their defaults.
    reads: fn(&Config) -> Config,
}

/// In order.
const STAGES: [Stage; 4] = [
    Stage { name: "choose", files: &[CHOICES], folders: &[], reads: choose_reads },
    Stage { name: "map", files: &[ROWS, MAP_TRACE, MAP], folders: &[], reads: choose_reads },
    Stage { name: "walk", files: &["walk.json"], folders: &[PARTICLES], reads: walk_reads },
    Stage {
        name: "latent",
        files: &[LATENT, LATENT_CANDIDATES, LATENT_TRACE, "latent.json"],
        folders: &[],
        reads: latent_reads,
    },
];

fn choose_reads(config: &Config) -> Config {
    let walk = Walk { particles: Walk::default().particles, ..config.walk.clone() };
    Config { walk, ..walk_reads(config) }
}

fn walk_reads(config: &Config) -> Config {
    Config { latent: Latent::default(), export: Export::default(), ..config.clone() }
}

fn latent_reads(config: &Config) -> Config {
    // Only a choice of decoders reads what they may cost.
    let export = match config.latent.decoder {
        Choice::Auto => config.export.clone(),
        Choice::Fixed(_) => Export::default(),
    };
    Config { export, ..config.clone() }
}

/// Copies into the new run `dir` the stages of the run in `from` that `config` would do again with the
/// same result on a device of the same kind. Returns their names.
///
/// # Errors
/// No run, one of other data or another seed, or a file that cannot be copied.
pub fn reuse(
    from: &Path,
    dir: &RunDir,
    config: &Config,
    record: &DataRecord,
    imported: Option<&[f32]>,
) -> anyhow::Result<Vec<&'static str>> {
    let source = RunDir::open(from)?;
    let before: DataRecord = source.read_json(DATA)?;
    let shown = from.display();
    if before.seed != record.seed {
        bail!("{shown} is a run with --seed {}, found --seed {}", before.seed, record.seed);
    }
    if before.sha256 != record.sha256 || before.schema != record.schema {
        bail!("{shown} is a run of other data, target or task");
    }
    let mut done = Vec::new();
    if before.split != record.split {
        return Ok(done);
    }
    let before = Config::read(&source.path(REQUESTED))?;
    let same_network = imported_by(&source)?.as_deref() == imported;
    for Stage { name, files, folders, reads } in STAGES {
        let finished = files.last().is_some_and(|last| source.has(last));
        if !finished || reads(&before) != reads(config) {
            break;
        }
        // The hyper-parameters are chosen without it.
        if name != "choose" && !same_network {
            break;
        }
        for folder in folders {
            let path = source.path(folder);
            let entries = fs::read_dir(&path).with_context(|| path.display().to_string())?;
            for entry in entries {
                let file = format!("{folder}/{}", entry?.file_name().to_string_lossy());
                dir.copy(&file, &source)?;
            }
        }
        for file in files.iter().filter(|file| source.has(file)) {
            dir.copy(file, &source)?;
        }
        done.push(name);
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stages that a run with `text` takes over from one with `before`, were both finished.
    fn taken(before: &str, text: &str) -> Vec<&'static str> {
        let [before, config]: [Config; 2] =
            [before, text].map(|text| toml::from_str(text).expect("settings"));
        let agrees = |stage: &&Stage| (stage.reads)(&before) == (stage.reads)(&config);
        STAGES.iter().take_while(agrees).map(|stage| stage.name).collect()
    }

    #[test]
    fn a_stage_is_done_again_where_it_or_one_before_reads_another_setting() {
        let all = ["choose", "map", "walk", "latent"];
        let decoder = "decoder = [\"frozen\", \"low-rank:2\"]";
        let fixed = format!("[latent]\n{decoder}\n");
        assert_eq!(taken("", ""), all);
        assert_eq!(taken("", "[map]\nsteps = 3"), [""; 0]);
        assert_eq!(taken("", "[calibration]\nfraction = 0.2"), [""; 0]);
        assert_eq!(taken("", "[walk]\nsteps = 3"), [""; 0]);
        assert_eq!(taken("", "[walk]\nmaps = 2"), [""; 0]);
        assert_eq!(taken("", "[walk]\nparticles = 32"), all[..2]);
        assert_eq!(taken("", "[latent]\ndim = 2"), all[..3]);
        assert_eq!(taken("", &fixed), all[..3]);
        assert_eq!(taken("", "[export]\ncost = 9.0"), all[..3]);
        assert_eq!(taken(&fixed, &format!("{fixed}[export]\ncost = 9.0")), all);
    }
}
