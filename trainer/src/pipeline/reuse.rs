//! A run that begins with the stages of another one: those whose data and settings are the same.

use std::path::Path;

use anyhow::bail;

use super::STAGES;
use crate::config::Config;
use crate::run_data::{DataRecord, imported_by};
use crate::run_dir::{REQUESTED, RunDir};
use crate::stage::Stage;

/// The first of `stages` that read the same in both settings.
fn agreeing<'s>(
    stages: &'s [&'static Stage],
    one: &'s Config,
    other: &'s Config,
) -> impl Iterator<Item = &'static Stage> + 's {
    let mut read = [Config::default(), Config::default()];
    stages.iter().copied().take_while(move |stage| {
        stage.reads.is_some_and(|reads| {
            read.iter_mut().zip([one, other]).for_each(|(read, settings)| reads(settings, read));
            read[0] == read[1]
        })
    })
}

/// Copies into the new run `dir` the stages of the run in `from` that `config` would do again with the
/// same result on a device of the same kind. Returns their names.
///
/// # Errors
/// No run, one of other data or another seed, or a file that cannot be copied.
pub(super) fn reuse(
    from: &Path,
    dir: &RunDir,
    config: &Config,
    record: &DataRecord,
    imported: Option<&[f32]>,
) -> anyhow::Result<Vec<&'static str>> {
    let source = RunDir::open(from)?;
    let before = DataRecord::read(&source)?;
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
    let before = Config::read_from(&source, REQUESTED)?;
    let same_network = imported_by(&source)?.as_deref() == imported;
    for stage in agreeing(STAGES, &before, config) {
        if !stage.is_done(&source)? || (stage.reads_network && !same_network) {
            break;
        }
        for file in stage.left(&source)? {
            dir.copy(&file, &source)?;
        }
        done.push(stage.name);
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
        agreeing(STAGES, &before, &config).map(|stage| stage.name).collect()
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
