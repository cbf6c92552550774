//! The directory of a training run: every stage's result, each written whole or not at all, with a hash of
//! its contents that is checked where it is read, by one process at a time.

mod atomic;
pub(crate) mod faults;
mod lock;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::files;
use crate::seal;
use crate::tensors::{TensorFile, header};
use atomic::{TEMPORARY, create_folder, write};
use lock::LOCK;

pub(crate) use atomic::rename;
pub use atomic::{Fill, hold_writes, write_atomically, write_in_parts};
pub(crate) use lock::Lock;

/// The configuration as the user gave it: the first file of a run.
pub const REQUESTED: &str = "requested.toml";
/// The network trained elsewhere that the run starts from, `theta: [1, P]`, if there is one.
pub const IMPORTED: &str = "imported.safetensors";
/// The record of what the run is made from: the last of these, which makes a directory one of a run.
pub const DATA: &str = "data.json";

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunDir {
    root: PathBuf,
    /// Held by whoever writes a run.
    _lock: Option<Arc<Lock>>,
}

impl RunDir {
    /// The directory, whatever it holds.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), _lock: None }
    }

    /// A directory that no other process writes to while this value or a clone of it lives.
    pub(crate) fn locked(root: &Path) -> anyhow::Result<Self> {
        Ok(Self { root: root.to_owned(), _lock: Some(Arc::new(Lock::take(root)?)) })
    }

    /// A directory for a new run: created if need be, empty, and locked.
    ///
    /// # Errors
    /// It cannot be created, holds something already, or another process uses it.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        create_folder(root)?;
        let empty = || match entries(root)?.iter().all(|path| path.ends_with(LOCK)) {
            true => Ok(()),
            false => bail!(
                "{} is not empty: `resume` the run in it, or use another directory",
                root.display()
            ),
        };
        // Nothing is put into a folder of something else.
        empty()?;
        let run = Self::locked(root)?;
        empty()?;
        Ok(run)
    }

    /// A directory to go on in: created if need be, cleared of files that a killed process had not
    /// finished, and locked.
    ///
    /// # Errors
    /// It cannot be created or cleared, holds something that is no run, or another process uses it.
    pub fn reopen(root: &Path) -> anyhow::Result<Self> {
        create_folder(root)?;
        let run = Self::at(root);
        // What there may be before there is a run.
        let early = |path: &PathBuf| {
            let names = [REQUESTED, IMPORTED, LOCK].map(|name| run.path(name));
            is_unfinished(path) || names.contains(path)
        };
        let held = entries(root)?;
        if let Some(other) = held.iter().find(|path| !early(path)).filter(|_| !run.has(DATA)) {
            bail!(
                "{} is not the directory of a run: it holds {} and no {DATA}; use another directory",
                root.display(),
                other.file_name().unwrap_or_default().display()
            );
        }
        let run = Self::locked(root)?;
        let mut files = entries(root)?;
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
            create_folder(folder)?;
        }
        write(&path, fill)
    }

    /// Copies a sealed file of another run.
    ///
    /// # Errors
    /// The file cannot be read, is not as it was written, or cannot be written.
    pub fn copy(&self, name: &str, from: &Self) -> anyhow::Result<()> {
        let path = from.path(name);
        let open = || files::open(&path).with_context(|| format!("cannot read {}", path.display()));
        seal::verify(&path, &mut open()?)?;
        let mut file = open()?;
        self.write_with(name, &mut |out| seal::copy_blank(&mut file, out))
    }

    /// Reads a sealed file.
    ///
    /// # Errors
    /// The file cannot be read or is not as it was written.
    pub fn read_sealed(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        seal::verify(&self.path(name), &mut bytes.as_slice())?;
        Ok(bytes)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path(name);
        let bytes = files::read(&path, files::MOST_ARTIFACT)
            .with_context(|| format!("cannot read {}", path.display()))?;
        debug!(path = %path.display(), bytes = bytes.len(), "read");
        Ok(bytes)
    }

    /// Writes a record with named fields as JSON, sealed, if it can be read back: a number that is not finite
    /// cannot.
    ///
    /// # Errors
    /// A number is not finite, or the file cannot be written.
    pub fn write_json<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        value: &T,
    ) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("cannot format JSON")?;
        serde_json::from_slice::<T>(text.as_bytes()).with_context(|| {
            format!(
                "{} is not written, since it has a number that is not finite; a smaller learning rate may help",
                self.path(name).display()
            )
        })?;
        let fields = text.strip_prefix("{\n").context("a record has fields")?;
        self.write(name, format!("{{\n{}{fields}\n", seal::json_lines()).as_bytes())
    }

    /// Reads a record from JSON, and checks it.
    ///
    /// # Errors
    /// The file cannot be read, is not as it was written, or is not a record of this version. What is wrong
    /// with it, `check` says.
    pub fn read_json<T: DeserializeOwned>(
        &self,
        name: &str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> anyhow::Result<T> {
        let bytes = self.read_sealed(name)?;
        let record: Result<T, _> = serde_json::from_slice(&bytes);
        let checked = record.map_err(|error| error.to_string()).and_then(|record| {
            check(&record)?;
            Ok(record)
        });
        checked.map_err(|message| {
            let writer = seal::writer(&bytes).unwrap_or_default();
            anyhow!(
                "{}, which fiberwalk {writer} wrote, is not what this version reads: {message}",
                self.path(name).display()
            )
        })
    }

    /// Writes a text of TOML, sealed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_toml(&self, name: &str, text: &str) -> anyhow::Result<()> {
        self.write(name, (seal::toml_line() + text).as_bytes())
    }

    /// Reads the text of TOML that [`Self::write_toml`] wrote, behind a comment.
    ///
    /// # Errors
    /// The file cannot be read or is not as it was written.
    pub fn read_toml(&self, name: &str) -> anyhow::Result<String> {
        let bytes = self.read_sealed(name)?;
        String::from_utf8(bytes)
            .with_context(|| format!("{} is no text", self.path(name).display()))
    }

    /// Writes named tensors of finite numbers, each `[rows, columns]` as rows, sealed.
    ///
    /// # Errors
    /// A number is not finite, or the file cannot be written.
    pub fn write_tensors(&self, name: &str, tensors: &[(&str, &[Vec<f32>])]) -> anyhow::Result<()> {
        for (tensor, rows) in tensors {
            if let Some(row) = rows.iter().position(|row| !row.iter().all(|x| x.is_finite())) {
                bail!(
                    "{}: row {row} of {tensor} has a value that is no finite number, and is not written; a \
                     smaller learning rate may help",
                    self.path(name).display()
                );
            }
        }
        self.write_measurements(name, tensors)
    }

    /// Writes tensors of numbers that need not be finite, such as the loss of a descent that diverged.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_measurements(
        &self,
        name: &str,
        tensors: &[(&str, &[Vec<f32>])],
    ) -> anyhow::Result<()> {
        let shape = |rows: &[Vec<f32>]| [rows.len(), rows.first().map_or(0, Vec::len)];
        let matrices: Vec<_> =
            tensors.iter().map(|&(tensor, rows)| (tensor, shape(rows))).collect();
        let header = header(&matrices, None)?;
        self.write_with(name, &mut |file| {
            file.write_all(&header)?;
            let mut values = tensors.iter().flat_map(|(_, rows)| rows.iter().flatten());
            values.try_for_each(|value| file.write_all(&value.to_le_bytes()))
        })
    }

    /// Reads one tensor as rows, at least one, each of so many numbers.
    ///
    /// # Errors
    /// The file cannot be read, is not as it was written, lacks the tensor, or holds no numbers.
    pub fn read_tensor(
        &self,
        name: &str,
        tensor: &str,
        columns: usize,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let file = TensorFile::open(&self.path(name))?;
        let [rows, found] = file.shape(tensor)?;
        if found != columns || rows == 0 {
            bail!(
                "{}: {tensor} is [{rows}, {found}], expected [1 or more, {columns}]",
                self.path(name).display()
            );
        }
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
        assert_eq!(run.read_tensor("a/b.safetensors", "theta", 2).expect("readable"), rows);
        let message = |tensor, columns| {
            let read = run.read_tensor("a/b.safetensors", tensor, columns);
            read.expect_err("another shape").to_string()
        };
        assert!(message("theta", 3).contains("theta is [2, 2], expected [1 or more, 3]"));
        let message = message("phi", 2);
        assert!(message.contains("no tensor `phi`"), "{message}");
    }

    /// Numbers of many digits.
    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Awkward {
        tenth: f64,
        large: f64,
    }

    #[test]
    fn a_number_that_is_not_finite_is_not_written() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let run = RunDir::create(folder.path()).expect("empty folder");
        for wrong in [f64::NAN, f64::INFINITY] {
            let record = Awkward { tenth: 0.1, large: wrong };
            let message = run.write_json("a.json", &record).expect_err("not finite");
            assert!(message.to_string().contains("a.json is not written"), "{message}");
        }
        assert!(!run.has("a.json"));
        let record = Awkward { tenth: 0.1, large: 1e300 / 3.0 };
        run.write_json("a.json", &record).expect("finite");
        assert_eq!(run.read_json::<Awkward>("a.json", |_| Ok(())).expect("as written"), record);
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
        assert!(
            message.contains("letter.txt") && message.contains("use another directory"),
            "{message}"
        );
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }

    #[test]
    fn a_run_killed_at_its_first_file_is_resumed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let reopened = || RunDir::reopen(&folder.path().join("run")).expect("a run");
        let run = reopened();
        run.write(REQUESTED, b"").expect("writable");
        fs::write(run.path(".fiberwalk-1"), b"half").expect("file");
        drop(run);
        let run = reopened();
        assert!(!run.has(".fiberwalk-1"));
        run.write(DATA, b"").expect("writable");
        run.write("particles/whole", b"").expect("writable");
        fs::write(run.path("particles/.fiberwalk-2"), b"half").expect("file");
        drop(run);
        let run = reopened();
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
