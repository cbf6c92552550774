//! Files of matrices in the safetensors format that are written and read a few rows at a time: a
//! shard of particles can be larger than memory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, Metadata};
use serde_json::{Map, Value, json};
use tracing::debug;

use crate::files;
use crate::seal;
use crate::store::{IN_MEMORY, Store};

/// Bytes before the header: its length.
const PREFIX: usize = 8;
/// Bytes of a header at most.
const LONGEST_HEADER: u64 = 1 << 26;
/// Values that are read at once.
const CHUNK: usize = 1 << 18;

/// Start of a file of `matrices`, named and `[rows, columns]`; their values follow, one matrix after another,
/// row by row, each value in four bytes, least first. It has a place for the hash of the file, which whoever
/// writes it atomically fills in. `note` is a named text for the reader, if there is one.
///
/// # Errors
/// The matrices have more bytes than can be counted.
pub fn header(
    matrices: &[(&str, [usize; 2])],
    note: Option<(&str, String)>,
) -> anyhow::Result<Vec<u8>> {
    let notes = seal::fields().into_iter().chain(note);
    let notes: Map<_, _> =
        notes.map(|(name, text)| (name.to_owned(), Value::String(text))).collect();
    // In this order, so that the hash has its place near the start.
    let mut entries = Map::from_iter([("__metadata__".to_owned(), Value::Object(notes))]);
    let mut end = 0_usize;
    for &(name, [rows, columns]) in matrices {
        let start = end;
        let bytes = rows.checked_mul(columns).and_then(|count| count.checked_mul(size_of::<f32>()));
        end = bytes.and_then(|bytes| start.checked_add(bytes)).context("too large a matrix")?;
        let info =
            json!({ "dtype": "F32", "shape": [rows, columns], "data_offsets": [start, end] });
        entries.insert(name.to_owned(), info);
    }
    let mut text = serde_json::to_vec(&entries)?;
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
    /// Reads the header, and checks the hash of the whole file.
    ///
    /// # Errors
    /// The file cannot be read, is not of this format, is longer or shorter than it says, or is not as it was
    /// written.
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
        (&mut file).take(size).read_to_end(&mut text).with_context(wrong)?;
        let metadata: Metadata = serde_json::from_slice(&text).with_context(wrong)?;
        let start = PREFIX + text.len();
        let expected = start.saturating_add(metadata.data_len()) as u64;
        if length != expected {
            bail!("{}: it has {length} bytes, expected {expected}", wrong());
        }
        file.rewind().with_context(|| unreadable(path))?;
        seal::verify(path, &mut file)?;
        debug!(path = %path.display(), bytes = length, "read");
        Ok(Self { path: path.to_owned(), metadata, start })
    }

    /// The text that the writer left under this name.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// Whether there is a matrix of this name.
    pub fn has(&self, tensor: &str) -> bool {
        self.metadata.info(tensor).is_some()
    }

    /// Rows and columns of a matrix.
    ///
    /// # Errors
    /// There is no such matrix.
    pub fn shape(&self, tensor: &str) -> anyhow::Result<[usize; 2]> {
        self.matrix(tensor).map(|(shape, _)| shape)
    }

    /// Some rows of a matrix of finite numbers, `[rows, columns]`.
    ///
    /// # Errors
    /// There is no such matrix, it has fewer rows or one that is not finite, or the file cannot be read.
    pub fn values(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<f32>> {
        let first = rows.start;
        let values = self.measurements(tensor, rows)?;
        let [_, columns] = self.shape(tensor)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(place) => bail!(
                "{}: row {} of {tensor} has {} as its value {}, expected finite numbers",
                self.path.display(),
                first + place / columns,
                values[place],
                place % columns
            ),
        }
    }

    /// Some rows of a matrix of numbers that need not be finite, such as the loss of a descent that diverged.
    ///
    /// # Errors
    /// There is no such matrix, it has fewer rows, or the file cannot be read.
    pub fn measurements(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<f32>> {
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
    /// The errors of [`Self::values`].
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
    /// The errors of [`Self::values`].
    pub fn rows(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(apart(self.values(tensor, rows)?, self.shape(tensor)?))
    }

    /// Some rows of [`Self::measurements`], each apart.
    ///
    /// # Errors
    /// The errors of [`Self::measurements`].
    pub fn curves(&self, tensor: &str, rows: Range<usize>) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(apart(self.measurements(tensor, rows)?, self.shape(tensor)?))
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

fn apart(values: Vec<f32>, [_, columns]: [usize; 2]) -> Vec<Vec<f32>> {
    values.chunks(columns.max(1)).map(<[f32]>::to_vec).collect()
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_dir::write_atomically;

    #[test]
    fn rows_are_read_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("matrix");
        let values: Vec<f32> = (0..12).map(|value| value as f32 - 5.5).collect();
        let mut bytes =
            header(&[("theta", [4, 3])], Some(("made", "here".to_owned()))).expect("small");
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        write_atomically(&path, &bytes).expect("writable");
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
        write_atomically(&path, &whole).expect("writable");
        let whole = std::fs::read(&path).expect("there");
        for bytes in [&whole[..whole.len() - 1], &whole[..20], &whole[..3], b"a,b,class\n1,2,x\n"] {
            std::fs::write(&path, bytes).expect("writable");
            let message = TensorFile::open(&path).expect_err("damaged").to_string();
            assert!(message.contains("not what fiberwalk wrote"), "{message}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_where_it_has_no_place() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("matrix");
        let mut bytes = header(&[("theta", [2, 3])], None).expect("small");
        let values = [0.5, 1.0, 2.0, 3.0, f32::NAN, 4.0];
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        write_atomically(&path, &bytes).expect("writable");
        let file = TensorFile::open(&path).expect("as written");
        assert_eq!(file.rows("theta", 0..1).expect("numbers"), [values[..3].to_vec()]);
        let message = file.rows("theta", 0..2).expect_err("no number").to_string();
        assert!(message.contains("row 1 of theta has NaN as its value 1"), "{message}");
        assert!(file.curves("theta", 0..2).expect("measured")[1][1].is_nan());
    }

    #[test]
    fn a_changed_value_is_found() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("matrix");
        let mut bytes = header(&[("theta", [1, 1])], None).expect("small");
        bytes.extend(1.5_f32.to_le_bytes());
        write_atomically(&path, &bytes).expect("writable");
        let mut bytes = std::fs::read(&path).expect("there");
        *bytes.last_mut().expect("values") ^= 1;
        std::fs::write(&path, &bytes).expect("writable");
        let message = TensorFile::open(&path).expect_err("changed").to_string();
        assert!(message.contains("changed or damaged"), "{message}");
    }
}
