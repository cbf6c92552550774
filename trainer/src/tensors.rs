//! Files of matrices in the safetensors format that are written and read a few rows at a time: a
//! shard of particles can be larger than memory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tracing::debug;

use crate::files;
use crate::store::{IN_MEMORY, Store};

/// Bytes before the header: its length.
const PREFIX: usize = 8;
/// Bytes of a header at most.
const LONGEST_HEADER: u64 = 1 << 26;
/// Values that are read at once.
const CHUNK: usize = 1 << 18;

/// What a file of `matrices`, named and `[rows, columns]`, starts with; their values follow, one matrix
/// after another, row by row, each value in four bytes, least first. `note` is a named text for the
/// reader, if there is one.
///
/// # Errors
/// The matrices have more bytes than can be counted.
pub fn header(
    matrices: &[(&str, [usize; 2])],
    note: Option<(&str, String)>,
) -> anyhow::Result<Vec<u8>> {
    let mut end = 0;
    let infos = matrices.iter().map(|&(name, [rows, columns])| {
        let start = end;
        end += rows * columns * size_of::<f32>();
        let shape = vec![rows, columns];
        (name.to_owned(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    });
    let infos = infos.collect();
    let notes = note.map(|(name, text)| HashMap::from([(name.to_owned(), text)]));
    let metadata = Metadata::new(notes, infos)?;
    let mut text = serde_json::to_vec(&metadata)?;
    text.resize(text.len().next_multiple_of(PREFIX), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
}

/// The header of a file; values are read on demand, and the file is not kept open.
#[derive(Clone, Debug)]
pub struct TensorFile {
    path: PathBuf,
    metadata: Metadata,
    /// Where the values start, bytes.
    start: usize,
}

impl TensorFile {
    /// Reads the header.
    ///
    /// # Errors
    /// The file cannot be read, is not of this format, or is longer or shorter than it says.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut file = files::open(path).with_context(|| unreadable(path))?;
        let length = file.metadata().with_context(|| unreadable(path))?.len();
        let wrong = || format!("{} is not what fiberwalk wrote", path.display());
        let mut prefix = [0; PREFIX];
        file.read_exact(&mut prefix).with_context(wrong)?;
        let size = u64::from_le_bytes(prefix);
        if size > length.min(LONGEST_HEADER) {
            bail!("{}: found no header, expected one", wrong());
        }
        let mut text = Vec::new();
        file.take(size).read_to_end(&mut text).with_context(wrong)?;
        let metadata: Metadata = serde_json::from_slice(&text).with_context(wrong)?;
        let start = PREFIX + text.len();
        let expected = start.saturating_add(metadata.data_len()) as u64;
        if length != expected {
            bail!("{}: it has {length} bytes, expected {expected}", wrong());
        }
        debug!(path = %path.display(), bytes = length, "read");
        Ok(Self { path: path.to_owned(), metadata, start })
    }

    /// The text that the writer left under this name.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// Rows and columns of a matrix.
    ///
    /// # Errors
    /// There is no such matrix.
    pub fn shape(&self, tensor: &str) -> anyhow::Result<[usize; 2]> {
        self.matrix(tensor).map(|(shape, _)| shape)
    }

    /// Some rows of a matrix, `[rows, columns]`.
    ///
    /// # Errors
    /// There is no such matrix, it has fewer rows, or the file cannot be read.
    pub fn values(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<f32>> {
        let ([all, columns], first) = self.matrix(tensor)?;
        if rows.end > all {
            bail!("{}: {tensor} has {all} rows, expected {}", self.path.display(), rows.end);
        }
        let start = self.start + first + rows.start * columns * size_of::<f32>();
        let count = rows.len() * columns;
        let read = || -> std::io::Result<Vec<f32>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(start as u64))?;
            let mut file = BufReader::new(file);
            let mut values = Vec::with_capacity(count);
            let mut bytes = vec![0; CHUNK.min(count) * size_of::<f32>()];
            while values.len() < count {
                let chunk = CHUNK.min(count - values.len()) * size_of::<f32>();
                file.read_exact(&mut bytes[..chunk])?;
                let each = bytes[..chunk].chunks_exact(size_of::<f32>());
                values.extend(each.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            Ok(values)
        };
        read().with_context(|| unreadable(&self.path))
    }

    /// All values of a matrix, in memory unless they are many.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn store(&self, tensor: &str) -> anyhow::Result<Store<f32>> {
        let ([rows, columns], first) = self.matrix(tensor)?;
        let bytes = rows * columns * size_of::<f32>();
        // What is mapped is read in the order of this machine's bytes.
        if bytes <= IN_MEMORY || cfg!(target_endian = "big") {
            return Ok(self.values(tensor, 0..rows)?.into());
        }
        let start = self.start + first;
        let map = || Store::in_file(&File::open(&self.path)?, start..start + bytes);
        map().with_context(|| unreadable(&self.path))
    }

    /// Some rows of a matrix, each apart.
    ///
    /// # Errors
    /// As [`Self::values`].
    pub fn rows(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<Vec<f32>>> {
        let [_, columns] = self.shape(tensor)?;
        let values = self.values(tensor, rows)?;
        Ok(values.chunks(columns.max(1)).map(<[f32]>::to_vec).collect())
    }

    /// Shape of a matrix and where it starts among the values, bytes.
    fn matrix(&self, tensor: &str) -> anyhow::Result<([usize; 2], usize)> {
        let shown = self.path.display();
        let info = self.metadata.info(tensor);
        let info = info.with_context(|| format!("{shown} has no tensor `{tensor}`"))?;
        match (info.dtype, info.shape.as_slice()) {
            (Dtype::F32, &[rows, columns]) => Ok(([rows, columns], info.data_offsets.0)),
            (dtype, shape) => bail!(
                "{shown} is not what fiberwalk wrote: {tensor} is {dtype:?} {shape:?}, expected a \
                 matrix of F32"
            ),
        }
    }
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("matrix");
        let values: Vec<f32> = (0..12).map(|value| value as f32 - 5.5).collect();
        let mut bytes =
            header(&[("theta", [4, 3])], Some(("made", "here".to_owned()))).expect("small");
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        std::fs::write(&path, &bytes).expect("writable");
        let file = TensorFile::open(&path).expect("as written");
        assert_eq!(file.note("made"), Some("here"));
        assert_eq!(file.shape("theta").expect("there"), [4, 3]);
        assert_eq!(file.values("theta", 1..3).expect("there"), values[3..9]);
        assert_eq!(file.rows("theta", 3..4).expect("there"), [&values[9..]]);
        assert!(file.values("theta", 3..5).is_err());
        let read = safetensors::SafeTensors::deserialize(&bytes).expect("the format");
        assert_eq!(read.tensor("theta").expect("there").shape(), [4, 3]);
    }

    #[test]
    fn a_file_that_is_cut_or_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("matrix");
        let mut whole =
            header(&[("theta", [1, 2])], Some(("made", "here".to_owned()))).expect("small");
        whole.extend([0; 8]);
        for bytes in [&whole[..whole.len() - 1], &whole[..20], &whole[..3], b"a,b,class\n1,2,x\n"] {
            std::fs::write(&path, bytes).expect("writable");
            let message = TensorFile::open(&path).expect_err("damaged").to_string();
            assert!(message.contains("not what fiberwalk wrote"), "{message}");
        }
    }
}
