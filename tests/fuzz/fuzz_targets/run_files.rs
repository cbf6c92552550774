//! Any bytes as a file of a finished run, under a hash made right: they are refused, or predictions and the
//! page about the run come of them. The first line names the file.
#![no_main]

mod finished;
mod sealed;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use fiberwalk::internals::report::{HeldOut, html};
use fiberwalk::internals::run::Run;
use libfuzzer_sys::{Corpus, fuzz_target};
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    finished::train_to(&folder.path().join("run"));
    folder
});

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Corpus::Reject };
    let (name, file) = (&bytes[..end], &bytes[end + 1..]);
    let Some(name) = finished::FILES.iter().find(|known| known.as_bytes() == name) else {
        return Corpus::Reject;
    };
    let run = FOLDER.path().join("run");
    let path = run.join(name);
    let whole = fs::read(&path).expect("readable");
    fs::write(&path, sealed::sealed(file)).expect("writable");
    let used = use_run(&run);
    fs::write(&path, whole).expect("writable");
    if let Err(error) = used {
        assert!(!error.to_string().is_empty());
    }
    Corpus::Keep
});

/// All that a finished run is used for.
fn use_run(path: &Path) -> anyhow::Result<()> {
    let run = Run::open(path)?;
    for (_, predictor) in run.stages()? {
        predictor.predict(&[1.5, 2.5])?;
    }
    html(&run, &HeldOut::calibration_rows(&run)?, None).map(drop)
}
