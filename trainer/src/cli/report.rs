//! `fiberwalk report`.

use std::path::{Path, PathBuf};

use clap::Args;

use fiberwalk::data::Table;
use fiberwalk::pipeline::Run;
use fiberwalk::report::{Foreign, HeldOut, REPORT, html};
use fiberwalk::run_dir::write_atomically;

#[derive(Args)]
pub struct Arguments {
    /// Directory of a run.
    run: PathBuf,
    /// CSV file with features and target to judge the run on [default: rows that it was calibrated
    /// with].
    test: Option<PathBuf>,
    /// Name of the target column in TEST [default: the run's].
    #[arg(long, requires = "test")]
    target: Option<String>,
    /// CSV file with rows from elsewhere [default: uniform in a box of ± 5 standard deviations].
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
            Some(path) => read_held_out(&run, path, target)?,
            None => HeldOut::calibration_rows(&run)?,
        };
        let foreign = match &self.ood {
            Some(path) => Some(read_foreign(&run, path, target)?),
            None => None,
        };
        let page = html(&run, &held_out, foreign.as_ref())?;
        let out = self.out.unwrap_or_else(|| self.run.join(REPORT));
        write_atomically(&out, page.as_bytes())
    }
}

fn read_held_out(run: &Run, path: &Path, target: &str) -> anyhow::Result<HeldOut> {
    let (schema, table) = (&run.record().schema, Table::read(path)?);
    Ok(HeldOut {
        target: schema.read_target(&table, target)?,
        raw: schema.features.read(&table, target)?,
        file: Some(name(path)),
    })
}

fn read_foreign(run: &Run, path: &Path, target: &str) -> anyhow::Result<Foreign> {
    let table = Table::read(path)?;
    let raw = run.record().schema.features.read(&table, target)?;
    Ok(Foreign { raw, file: name(path) })
}

/// The file's name without its folders, which are the reader's own business.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
