//! Files that are written whole or not at all, and stay so through a power loss.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use anyhow::Context;
use tracing::debug;

use super::faults::{Step, reach};
use crate::seal::Sealing;

/// How names of files that are being written start.
pub(super) const TEMPORARY: &str = ".fiberwalk-";
/// Links that are followed at most, as many as Linux does.
const MOST_LINKS: usize = 40;

/// Read while a file is written, so that whoever writes to it waits for files to be whole.
static WRITES: RwLock<()> = RwLock::new(());

/// Waits until no file is being written; none is begun while the guard lives. A program that exits then leaves no temporary file.
pub fn hold_writes() -> RwLockWriteGuard<'static, ()> {
    WRITES.write().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a file under a temporary name beside it, then renames it: a reader sees the old file or
/// the new one. A link stays a link to the file written. `-` is standard output. A device, a pipe or a name of an
/// open file, such as `/dev/stdout`, is written to as it is, since a rename would put a file in its place.
///
/// # Errors
/// The file cannot be written; then nothing is left of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write(path, &mut |file| file.write_all(bytes))
}

/// Writes as [`write_atomically`] does, bytes that come one after another. What is written in place is not held in
/// memory before.
///
/// # Errors
/// The file cannot be written; then nothing is left of it.
pub fn write_in_parts(path: &Path, fill: Fill<'_>) -> anyhow::Result<()> {
    let in_place = in_place(path).and_then(|out| {
        let Some(mut out) = out else { return Ok(false) };
        fill(&mut out)?;
        out.flush()?;
        Ok(true)
    });
    match in_place.with_context(|| format!("cannot write {}", path.display()))? {
        true => Ok(()),
        false => write(path, fill),
    }
}

/// Writes a file's bytes.
pub type Fill<'f> = &'f mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Writes as [`write_atomically`] does, bytes that come one after another; the file is sealed where it starts with
/// a place for its hash.
pub(super) fn write(path: &Path, fill: Fill<'_>) -> anyhow::Result<()> {
    filled(path, fill).with_context(|| format!("cannot write {}", path.display()))
}

fn filled(path: &Path, fill: Fill<'_>) -> io::Result<()> {
    if let Some(mut out) = in_place(path)? {
        let mut bytes = Sealing::new(Cursor::new(Vec::new()));
        fill(&mut bytes)?;
        out.write_all(bytes.finish()?.get_ref())?;
        return out.flush();
    }
    // A path that leads to no file yet is its own destination.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = folder_of(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // As any new file: the user's umask decides who else may read it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let _written = WRITES.read().unwrap_or_else(PoisonError::into_inner);
    reach(Step::Create, &path)?;
    let mut file = Sealing::new(BufWriter::new(builder.tempfile_in(folder)?));
    fill(&mut file)?;
    let file = file.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    reach(Step::Write, file.path())?;
    file.as_file().sync_all()?;
    let file = file.persist(&path)?;
    sync_folder(&path)?;
    debug!(path = %path.display(), bytes = file.metadata()?.len(), "wrote");
    Ok(())
}

/// Creates a folder, and those above it, to stay.
///
/// # Errors
/// It cannot be created.
pub(super) fn create_folder(path: &Path) -> anyhow::Result<()> {
    let create = || {
        if path.is_dir() {
            return Ok(());
        }
        reach(Step::Create, path)?;
        fs::create_dir_all(path)?;
        sync_folder(path)
    };
    create().with_context(|| format!("cannot create {}", path.display()))
}

/// Gives a whole file of the same disk its name.
///
/// # Errors
/// It cannot be renamed.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let rename = || {
        reach(Step::Create, to)?;
        fs::rename(from, to)?;
        sync_folder(to)
    };
    rename().with_context(|| format!("cannot write {}", to.display()))
}

/// Waits until the disk holds the name of what was put at `path`; elsewhere than on Unix no folder can be
/// waited for.
fn sync_folder(path: &Path) -> io::Result<()> {
    reach(Step::Name, path)?;
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Opens what is written to as it is; none for a file, which is replaced.
fn in_place(path: &Path) -> io::Result<Option<Box<dyn Write>>> {
    let name = followed(path);
    match name.to_str() {
        Some("-" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => {
            return Ok(Some(Box::new(io::stdout())));
        }
        Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => {
            return Ok(Some(Box::new(io::stderr())));
        }
        _ => {}
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // Another open file by the system's name for it may have something before.
        Ok(_) if is_of_system(&name) => {
            Ok(Some(Box::new(OpenOptions::new().append(true).open(path)?)))
        }
        Ok(found) if !found.is_file() => {
            Ok(Some(Box::new(OpenOptions::new().write(true).open(path)?)))
        }
        _ => Ok(None),
    }
}

/// Follows links up to a name that the system itself gives, whose links lead to whatever file is open.
fn followed(path: &Path) -> PathBuf {
    let mut name = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&name) {
            Ok(target) if !is_of_system(&name) => name = folder_of(&name).join(target),
            _ => break,
        }
    }
    name
}

fn is_of_system(path: &Path) -> bool {
    path.starts_with("/dev/fd")
        || path.starts_with("/proc")
        || ["/dev/stdin", "/dev/stdout", "/dev/stderr"].iter().any(|name| path == Path::new(name))
}
