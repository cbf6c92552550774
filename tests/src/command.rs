//! The programs under test, built once a test program.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The project's root.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        manifest.parent().expect("this package lies in the root").to_owned()
    })
}

/// The command, ready for arguments.
pub fn fiberwalk() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(BINARY.get_or_init(|| build("fiberwalk")));
    command.stdin(Stdio::null());
    // Bytes are compared, and GPUs round in their own ways: what is to run there says so.
    command.env("FIBERWALK_DEVICE", "cpu");
    // Mesa's selection of a device looks for a desktop and complains where there is none.
    command.env("NODEVICE_SELECT", "1");
    command
}

/// The example that reads sensor rows, ready for a model.
pub fn sensor() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BINARY.get_or_init(|| build("fiberwalk-sensor")))
}

/// Builds the program of a package.
fn build(package: &str) -> PathBuf {
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--release", "--package", package])
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{package} does not build");
    let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    root().join(target).join("release").join(package)
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Runs `fiberwalk` in `folder` to its end.
    pub fn run(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        fiberwalk().args(arguments).current_dir(folder).output().expect("fiberwalk starts").into()
    }

    /// Like [`Self::run`], and it must succeed.
    pub fn success(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let finished = Self::run(folder, arguments);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
