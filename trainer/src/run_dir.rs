//! The directory of a training run: every stage's result, each written whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::tensors::TensorFile;

/// How names of files that are being written start.
const TEMPORARY: &str = ".fiberwalk-";
/// The configuration as the user gave it: the first file of a run.
pub const REQUESTED: &str = "requested.toml";
/// The network trained elsewhere that the run starts from, `theta: [1, P]`, if there is one.
pub const IMPORTED: &str = "imported.safetensors";
/// The record of what the run is made from: the last of these, which makes a directory one of a run.
pub const DATA: &str = "data.json";

/// Read while a file is written, so that whoever writes to it waits for files to be whole.
static WRITES: RwLock<()> = RwLock::new(());

/// Waits until no file is being written by [`write_atomically`]; none is begun while the guard
/// lives. A program that exits then leaves no temporary file.
pub fn hold_writes() -> RwLockWriteGuard<'static, ()> {
    WRITES.write().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a file under a temporary name beside it, then renames it: a reader sees the old file or
/// the new one. A link stays a link to the file written. A device or a pipe, such as
/// `/dev/stdout`, is written to as it is, since a rename would put a file in its place.
///
/// # Errors
/// The file cannot be written; then nothing is left of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, &mut |file| file.write_all(bytes))
}

/// What writes a file's bytes.
type Fill<'f> = &'f mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

fn write(path: &Path, fill: Fill<'_>) -> anyhow::Result<()> {
    filled(path, fill).with_context(|| format!("cannot write {}", path.display()))
}

fn filled(path: &Path, fill: Fill<'_>) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            return fill(&mut fs::OpenOptions::new().write(true).open(path)?);
        }
        _ => {}
    }
    // A path that leads to no file yet is its own destination.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // As any new file: the user's umask decides who else may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let _written = WRITES.read().unwrap_or_else(PoisonError::into_inner);
    let mut file = BufWriter::new(builder.tempfile_in(folder)?);
    fill(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    let file = file.persist(&path)?;
    debug!(path = %path.display(), bytes = file.metadata()?.len(), "wrote");
    Ok(())
}

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The directory, whatever it holds.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A directory for a new run: created if need be, and empty.
    ///
    /// # Errors
    /// It cannot be created, or holds something already.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
        if !entries(root)?.is_empty() {
            bail!(
                "{} is not empty: use --resume to go on with that run, or another --out",
                root.display()
            );
        }
        Ok(Self::at(root))
    }

    /// A directory to go on in: created if need be, and cleared of files that a killed process
    /// had not finished.
    ///
    /// # Errors
    /// It cannot be created or cleared, or holds something that is no run.
    pub fn reopen(root: &Path) -> anyhow::Result<Self> {
        let run = Self::at(root);
        fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
        // What there may be before there is a run.
        let early = |path: &PathBuf| {
            let names = [REQUESTED, IMPORTED].map(|name| run.path(name));
            is_unfinished(path) || names.contains(path)
        };
        let held = entries(root)?;
        if let Some(other) = held.iter().find(|path| !early(path)).filter(|_| !run.has(DATA)) {
            bail!(
                "{} is not the directory of a run: it holds {} and no {DATA}; use another --out",
                root.display(),
                other.file_name().unwrap_or_default().display()
            );
        }
        let mut files = held.clone();
        for folder in held.iter().filter(|path| path.is_dir()) {
            files.extend(entries(folder)?);
        }
        for path in files.iter().filter(|path| is_unfinished(path)) {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(run)
    }

    /// The directory of an existing run.
    ///
    /// # Errors
    /// There is no run.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let run = Self::at(root);
        if !run.has(DATA) {
            bail!("{} is not the directory of a run: it has no {DATA}", root.display());
        }
        Ok(run)
    }

    /// Its path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a file in the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Whether the file is there.
    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.write_with(name, &mut |file| file.write_all(bytes))
    }

    /// Writes a file, whole or not at all, whose bytes come one after another.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_with(&self, name: &str, fill: Fill<'_>) -> anyhow::Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        write(&path, fill)
    }

    /// Copies a file of another run.
    ///
    /// # Errors
    /// The file cannot be read, or written.
    pub fn copy(&self, name: &str, from: &Self) -> anyhow::Result<()> {
        let path = from.path(name);
        let mut file =
            fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        self.write_with(name, &mut |out| io::copy(&mut file, out).map(drop))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        debug!(path = %path.display(), bytes = bytes.len(), "read");
        Ok(bytes)
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(value).context("cannot format JSON")?;
        bytes.push(b'\n');
        self.write(name, &bytes)
    }

    /// Reads a value from JSON.
    ///
    /// # Errors
    /// The file cannot be read or is not what this version writes.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<T> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not what fiberwalk wrote", self.path(name).display()))
    }

    /// Writes named tensors, each `[rows, columns]` as rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_tensors(&self, name: &str, tensors: &[(&str, &[Vec<f32>])]) -> anyhow::Result<()> {
        let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
            .iter()
            .map(|(tensor, rows)| {
                let shape = vec![rows.len(), rows.first().map_or(0, Vec::len)];
                let bytes = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
                (*tensor, shape, bytes)
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(tensor, shape, bytes)| {
                Ok((*tensor, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let file = safetensors::serialize(views, None).context("cannot format tensors")?;
        self.write(name, &file)
    }

    /// Reads one tensor as rows.
    ///
    /// # Errors
    /// The file cannot be read or lacks the tensor.
    pub fn read_tensor(&self, name: &str, tensor: &str) -> anyhow::Result<Vec<Vec<f32>>> {
        let file = TensorFile::open(&self.path(name))?;
        let [rows, _] = file.shape(tensor)?;
        file.rows(tensor, 0..rows)
    }
}

/// Paths of all that a folder holds.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
    let paths: std::io::Result<_> = list();
    paths.with_context(|| format!("cannot read {}", folder.display()))
}

/// Whether the file was being written by a process that ended before it was whole.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_come_back_as_they_were() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let run = RunDir::create(folder.path()).expect("empty folder");
        let rows = vec![vec![1.0, -2.5], vec![f32::MIN_POSITIVE, 3e8]];
        run.write_tensors("a/b.safetensors", &[("theta", &rows)]).expect("writable");
        assert_eq!(run.read_tensor("a/b.safetensors", "theta").expect("readable"), rows);
        let message = run.read_tensor("a/b.safetensors", "phi").expect_err("absent").to_string();
        assert!(message.contains("no tensor `phi`"), "{message}");
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("occupied");
        fs::create_dir(&target).expect("folder");
        fs::write(target.join("file"), b"x").expect("file");
        assert!(write_atomically(&target, b"bytes").is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
    #[test]
    fn a_folder_of_something_else_is_not_a_run_to_resume() {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("letter.txt"), b"x").expect("file");
        let message = RunDir::reopen(folder.path()).expect_err("no run").to_string();
        assert!(message.contains("letter.txt") && message.contains("--out"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }

    #[test]
    fn a_run_killed_at_its_first_file_is_resumed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let run = RunDir::reopen(&folder.path().join("run")).expect("new");
        run.write(REQUESTED, b"").expect("writable");
        fs::write(run.path(".fiberwalk-1"), b"half").expect("file");
        RunDir::reopen(&folder.path().join("run")).expect("a run");
        assert!(!run.has(".fiberwalk-1"));
        run.write(DATA, b"").expect("writable");
        run.write("particles/whole", b"").expect("writable");
        fs::write(run.path("particles/.fiberwalk-2"), b"half").expect("file");
        RunDir::reopen(&folder.path().join("run")).expect("a run");
        assert!(!run.has("particles/.fiberwalk-2"));
        assert!(run.has(REQUESTED) && run.has("particles/whole"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, b"old").expect("file");
        std::os::unix::fs::symlink("file", &link).expect("link");
        write_atomically(&link, b"new").expect("writable");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).expect("readable"), b"new");
    }

    /// What is written to a pipe arrives, and the pipe is still one: a rename would have replaced
    /// it, as it would `/dev/null`.
    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().expect("temporary folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(made.success());
        let (written, read) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| fs::read(&pipe));
            (write_atomically(&pipe, b"bytes"), reader.join().expect("no panic"))
        });
        written.expect("writable");
        assert_eq!(read.expect("readable"), b"bytes");
        assert!(fs::metadata(&pipe).expect("there").file_type().is_fifo());
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
