//! `fiberwalk report`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::data::Source;
use crate::report::{Foreign, HeldOut, REPORT, html};
use crate::run::Run;
use crate::run_dir::write_atomically;

use super::SourceArguments;

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run.
    run: PathBuf,
    /// File with features and target to judge the run on [default: rows that it was calibrated
    /// with].
    test: Option<PathBuf>,
    /// Name of the target column in TEST [default: the run's].
    #[arg(long, requires = "test")]
    target: Option<String>,
    #[command(flatten)]
    source: SourceArguments,
    /// File with rows from elsewhere [default: uniform in a box of ± 5 standard deviations].
    #[arg(long)]
    ood: Option<PathBuf>,
    /// HTML file to write [default: report.html in the run's directory].
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let run = Run::open(&self.run)?;
        let target = self.target.as_deref().unwrap_or(&run.record().schema.target);
        let held_out = match &self.test {
            Some(path) => read_held_out(&run, &self.source.at(path), target)?,
            None => HeldOut::calibration_rows(&run)?,
        };
        let foreign = match &self.ood {
            Some(path) => {
                let source = self.source.at(path).beside(path);
                Some(read_foreign(&run, &source, target)?)
            }
            None => None,
        };
        let page = html(&run, &held_out, foreign.as_ref())?;
        let out = self.out.unwrap_or_else(|| self.run.join(REPORT));
        write_atomically(&out, page.as_bytes())
    }
}

fn read_held_out(run: &Run, source: &Source, target: &str) -> anyhow::Result<HeldOut> {
    let (raw, targets) = run.record().schema.read_labelled(source, target)?;
    Ok(HeldOut { targets, raw: raw.to_floats(), file: Some(name(&source.path)) })
}

fn read_foreign(run: &Run, source: &Source, target: &str) -> anyhow::Result<Foreign> {
    let raw = run.record().schema.read(source, target)?;
    Ok(Foreign { raw: raw.to_floats(), file: name(&source.path) })
}

/// The file's name without its folders, which are the reader's own business.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
