//! The page as a stage of a run.

use super::{HeldOut, REPORT, html};
use crate::run::Run;
use crate::stage::{Stage, Training};

/// The page about the run, judged on its calibration rows.
pub const STAGE: Stage = Stage {
    name: "report",
    about: "Page about the run",
    files: &[REPORT],
    more: None,
    scratch: None,
    check: None,
    reads: None,
    reads_network: true,
    run,
};

fn run(training: &Training<'_>) -> anyhow::Result<()> {
    let stage = training.progress.stage(STAGE.name, 1);
    let run = Run::open(training.dir.root())?;
    let page = html(&run, &HeldOut::calibration_rows(&run)?, None)?;
    training.dir.write(REPORT, page.as_bytes())?;
    stage.finish(&training.dir.path(REPORT).display().to_string());
    Ok(())
}
