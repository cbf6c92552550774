//! Values that may be more than memory holds. Few are kept in memory; many go to a temporary file without a
//! name, which the system reads in where they are looked at and drops when it needs the room.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

use bytemuck::Pod;
use memmap2::Mmap;

/// Most bytes of one store in memory.
pub const IN_MEMORY: usize = 256 << 20;

/// Values, read as a slice.
#[derive(Debug)]
pub struct Store<T>(Held<T>);

#[derive(Debug)]
enum Held<T> {
    Memory(Vec<T>),
    /// The bytes of the values in a file.
    File(Mmap, Range<usize>),
}

impl<T> From<Vec<T>> for Store<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Held::Memory(values))
    }
}

impl<T: Pod> Store<T> {
    /// Values that lie in a file in the order of this machine's bytes.
    ///
    /// # Errors
    /// The file cannot be mapped, is shorter, or the values do not start at a whole multiple of their size.
    #[allow(unsafe_code, reason = "a mapped file must not change meanwhile")]
    pub fn in_file(file: &File, bytes: Range<usize>) -> io::Result<Self> {
        // SAFETY: files that are mapped are temporary ones that nobody else knows of, or lie in the directory
        // of a run, where this program replaces files and never changes them.
        let map = unsafe { Mmap::map(file) }?;
        let values = map.get(bytes.clone()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let sound = bytemuck::try_cast_slice::<_, T>(values);
        sound.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(Held::File(map, bytes)))
    }
}

impl<T: Pod> Deref for Store<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Held::Memory(values) => values,
            Held::File(map, bytes) => bytemuck::cast_slice(&map[bytes.clone()]),
        }
    }
}

impl<T: Pod + PartialEq> PartialEq for Store<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

/// Makes a [`Store`] from values that come one after another.
#[derive(Debug)]
pub struct Writer<T> {
    memory: Vec<T>,
    file: Option<BufWriter<File>>,
    most: usize,
}

impl<T: Pod> Default for Writer<T> {
    fn default() -> Self {
        Self::keeping(IN_MEMORY)
    }
}

impl<T: Pod> Writer<T> {
    /// Writer that keeps at most so many bytes in memory.
    pub(crate) fn keeping(most: usize) -> Self {
        Self { memory: Vec::new(), file: None, most }
    }

    /// Appends values.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn extend(&mut self, values: &[T]) -> io::Result<()> {
        let bytes = size_of_val(&self.memory[..]) + size_of_val(values);
        if self.file.is_none() && bytes > self.most {
            let file = tempfile::tempfile_in(folder()).map_err(full)?;
            let mut file = BufWriter::new(file);
            file.write_all(bytemuck::cast_slice(&self.memory)).map_err(full)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            None => self.memory.extend_from_slice(values),
            Some(file) => file.write_all(bytemuck::cast_slice(values)).map_err(full)?,
        }
        Ok(())
    }

    /// All values that were appended.
    ///
    /// # Errors
    /// The temporary file cannot be written or mapped.
    pub fn finish(self) -> io::Result<Store<T>> {
        let Some(file) = self.file else { return Ok(self.memory.into()) };
        let mut file = file.into_inner().map_err(|error| full(error.into_error()))?;
        let bytes = file.stream_position()? as usize;
        Store::in_file(&file, 0..bytes).map_err(full)
    }
}

/// Where temporary files go that are too large for memory: what TMPDIR names, else a folder that lies on a
/// disk, as the usual one need not.
fn folder() -> PathBuf {
    let on_disk = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR") {
        None if on_disk.is_dir() => on_disk.to_owned(),
        _ => std::env::temp_dir(),
    }
}

fn full(error: io::Error) -> io::Error {
    let folder = folder();
    let message = format!(
        "cannot keep what memory has no room for in {}: {error}; TMPDIR names another folder",
        folder.display()
    );
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_are_read_back_as_few_are() {
        let values: Vec<f32> = (0..1000).map(|value| value as f32).collect();
        for most in [0, 100, 1 << 20] {
            let mut writer = Writer::keeping(most);
            values.chunks(7).for_each(|chunk| writer.extend(chunk).expect("room"));
            let store = writer.finish().expect("room");
            assert_eq!(matches!(store.0, Held::Memory(_)), most > 4000);
            assert_eq!(store[..], values);
        }
        assert!(Writer::<u8>::keeping(0).finish().expect("nothing").is_empty());
    }

    #[test]
    fn values_out_of_place_are_refused() {
        let mut file = tempfile::tempfile().expect("temporary file");
        file.write_all(&[0; 16]).expect("room");
        assert_eq!(Store::<f32>::in_file(&file, 4..12).expect("there")[..], [0.0; 2]);
        assert!(Store::<f32>::in_file(&file, 4..24).is_err());
        assert!(Store::<f32>::in_file(&file, 2..10).is_err());
    }
}
