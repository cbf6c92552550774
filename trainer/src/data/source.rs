//! Where data are, and how they are read.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::array::{Array, LABELS_OPTION};
use super::fields::Hashing;
use super::memory::Memory;
use super::numbers::Numbers;
use super::table::{GivenColumn, unreadable};
use super::{Series, Table, TableError, folder, idx, npy, numpy};
use crate::excerpt::excerpt;
use crate::files;
use crate::seal::hexadecimal;

/// The first bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A data file, and how to read it where its path does not say.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A CSV, idx (gzipped or not), `.npz` or `.npy` file, or a folder of PNG files.
    pub path: PathBuf,
    /// Labels of an array: an idx or `.npy` file. Those of idx images are else looked for beside them.
    pub labels: Option<PathBuf>,
    /// Arrays of features and labels in an `.npz` file that does not name them as usual.
    pub arrays: Vec<String>,
    /// Where an array has its channels.
    pub channels: ChannelAxis,
    /// Groups and windows of rows.
    pub series: Series,
    /// Which rows, or windows, to take.
    pub selection: Selection,
    /// Data that a program holds in memory instead of a file; messages call it by the path.
    pub memory: Option<Arc<Memory>>,
}

/// Where an array has its channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelAxis {
    /// Behind height and width, and three axes are images of one channel: `[n, height, width]`.
    #[default]
    Usual,
    /// Second: `[n, channels, readings]` and `[n, channels, height, width]`.
    First,
    /// Last, and three axes are series: `[n, readings, channels]`.
    Last,
}

/// Rows of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// This many, drawn by the seed; classes keep their shares.
    Take(usize),
    /// These, by index.
    These(Vec<usize>),
}

/// Kind of data that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Csv,
    Idx,
    Npz,
    Npy,
    Folder,
    Memory,
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

impl Source {
    /// Another file, read in the same way; its labels, if any, are where they are by default.
    pub fn beside(&self, path: &Path) -> Self {
        Self { path: path.to_owned(), labels: None, memory: None, ..self.clone() }
    }

    /// Whether labels are apart from the features, so that no column is named as the target.
    pub fn has_labels_apart(&self) -> bool {
        match &self.memory {
            Some(memory) => memory.is_array(),
            None => self.kind() != Kind::Csv,
        }
    }

    fn kind(&self) -> Kind {
        if self.memory.is_some() {
            return Kind::Memory;
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if self.path.is_dir() {
            return Kind::Folder;
        }
        let idx = name.ends_with(".gz") || name.ends_with("-ubyte") || name.ends_with(".idx");
        match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("npz") => Kind::Npz,
            Some("npy") => Kind::Npy,
            _ if idx => Kind::Idx,
            _ => Kind::Csv,
        }
    }

    /// Reads the file. Labels that are apart from the features become the column `target`.
    pub(super) fn table(&self, target: &str) -> Result<Table, TableError> {
        let kind = self.kind();
        self.check(kind)?;
        let mut hash = Sha256::new();
        let (numbers, labels) = match kind {
            Kind::Csv => return Table::read(&self.path),
            Kind::Folder => {
                let images = folder::read(&self.path, &mut hash)?;
                (images.numbers, images.classes.map(|classes| (self.path.clone(), classes)))
            }
            Kind::Idx => {
                let array = unzipped(&self.path, &mut hash, |file| idx::read(file))?;
                let hint = "expected a file named -labels-idx1-ubyte or the like beside the images, or another as \
                            `labels`";
                let labels = self.labels.clone().or_else(|| labels_beside(&self.path));
                (
                    self.numbers(array, hint)?,
                    labels.map(|path| labels_of(path, &mut hash)).transpose()?,
                )
            }
            Kind::Npy => {
                let file = Hashing::new(open(&self.path)?, &mut hash);
                let array = npy::read(file).map_err(|message| malformed(&self.path, message))?;
                let labels = self.labels.clone().map(|path| labels_of(path, &mut hash));
                (self.numbers(array, LABELS_OPTION)?, labels.transpose()?)
            }
            Kind::Npz => return self.archive(target, hash),
            Kind::Memory => {
                let memory = self.memory.as_ref().expect("it has this kind");
                return memory.table(&self.path, self.channels);
            }
        };
        // The layout is part of what the data are.
        hash.update([self.channels as u8]);
        let column = |(path, fields)| GivenColumn { name: target.to_owned(), path, fields };
        let columns = labels.map(column).into_iter().collect();
        Table::of_columns(&self.path, hexadecimal(hash), columns, Some(numbers))
    }

    /// Refuses options that mean nothing for a file of this kind.
    fn check(&self, kind: Kind) -> Result<(), TableError> {
        let npy = matches!(kind, Kind::Npz | Kind::Npy);
        let held = self.memory.as_ref();
        let array = npy || held.is_some_and(|memory| memory.is_array());
        let table = kind == Kind::Csv || held.is_some_and(|memory| !memory.is_array());
        let needless = [
            (
                self.labels.is_some() && !(npy || kind == Kind::Idx),
                "`labels`",
                "an idx, .npy or .npz file",
            ),
            (!self.arrays.is_empty() && kind != Kind::Npz, "`arrays`", "an .npz file"),
            (
                self.channels == ChannelAxis::First && !array,
                "`channels` first",
                "an .npy or .npz file",
            ),
            (
                self.channels == ChannelAxis::Last && !array,
                "`channels` last",
                "an .npy or .npz file",
            ),
            (self.series.window.is_some() && !table, "`window`", "a CSV file"),
        ];
        match needless.into_iter().find(|(found, ..)| *found) {
            None => Ok(()),
            Some((_, option, expected)) => {
                Err(self.unusable(format!("{option} is for {expected}, which this is not")))
            }
        }
    }

    /// An archive: features, labels, and arrays of groups.
    fn archive(&self, target: &str, mut hash: Sha256) -> Result<Table, TableError> {
        let malformed = |message| malformed(&self.path, message);
        let read = io::copy(&mut Hashing::new(open(&self.path)?, &mut hash), &mut io::sink());
        read.map_err(|error| unreadable(&self.path, error))?;
        let mut archive = numpy::Archive::open(open(&self.path)?).map_err(malformed)?;
        let (features, labels) = archive.pair(&self.arrays).map_err(malformed)?;
        hash.update([self.channels as u8]);
        hash.update(
            [&features, labels.as_ref().unwrap_or(&features)].map(String::as_str).join("\n"),
        );
        let array = archive.array(&features).map_err(malformed)?;
        let hint =
            "expected an array y or labels, arrays named by `arrays`, X,Y, or a file of `labels`";
        let numbers = self.numbers(array, hint)?;
        let mut column = |column: &str, array: &str| {
            let fields = archive.array(array).and_then(Array::into_fields);
            let fields = fields
                .map_err(|message| malformed(format!("array `{}`: {message}", excerpt(array))));
            Ok(GivenColumn { name: column.to_owned(), path: self.path.clone(), fields: fields? })
        };
        let mut columns = Vec::new();
        for group in &self.series.group {
            columns.push(column(group, group)?);
        }
        match (&self.labels, labels) {
            (Some(path), _) => {
                let (path, fields) = labels_of(path.clone(), &mut hash)?;
                columns.push(GivenColumn { name: target.to_owned(), path, fields });
            }
            (None, Some(array)) => columns.push(column(target, &array)?),
            (None, None) => {}
        }
        Table::of_columns(&self.path, hexadecimal(hash), columns, Some(numbers))
    }

    fn numbers(&self, array: Array, labels: &'static str) -> Result<Numbers, TableError> {
        if array.rows() == 0 {
            return Err(self.unusable(format!("found an array {:?}: it has no rows", array.shape)));
        }
        array.into_numbers(self.channels, labels).map_err(|message| malformed(&self.path, message))
    }

    fn unusable(&self, message: String) -> TableError {
        TableError::Unusable { path: self.path.clone(), message }
    }
}

/// The file of labels that lies beside the images, gzipped or not, by the usual names.
fn labels_beside(images: &Path) -> Option<PathBuf> {
    let name = images.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let labels = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let found = [labels.clone(), format!("{labels}.gz")].map(|name| images.with_file_name(name));
    found.into_iter().find(|path| labels != name && path.is_file())
}

/// Labels of a file of their own, with its path.
fn labels_of(path: PathBuf, hash: &mut Sha256) -> Result<(PathBuf, Vec<String>), TableError> {
    let npy = path.extension().is_some_and(|extension| extension == "npy");
    let array = unzipped(&path, hash, |file| if npy { npy::read(file) } else { idx::read(file) })?;
    let fields = array.into_fields().map_err(|message| malformed(&path, message))?;
    Ok((path, fields))
}

fn open(path: &Path) -> Result<BufReader<File>, TableError> {
    files::open(path).map(BufReader::new).map_err(|error| unreadable(path, error))
}

/// Reads the bytes of a file by `read`, without the gzip that may be round them.
fn unzipped<T>(
    path: &Path,
    hash: &mut Sha256,
    read: impl Fn(&mut dyn Read) -> Result<T, String>,
) -> Result<T, TableError> {
    let mut file = open(path)?;
    let found = match file.fill_buf() {
        Ok(start) if start.starts_with(&GZIP) => {
            let unpacked = Unpacked::new(MultiGzDecoder::new(file));
            let mut whole = Whole { file: unpacked, failed: None };
            let found = read(&mut Hashing::new(&mut whole, hash));
            match whole.failed {
                Some(error) => Err(format!("the gzip file cannot be read to its end: {error}")),
                None => found,
            }
        }
        _ => read(&mut Hashing::new(file, hash)),
    };
    found.map_err(|message| malformed(path, message))
}

/// Most bytes of a compressed file once it is unpacked.
const MOST_UNPACKED: u64 = 1 << 34;

/// A reader of what is unpacked, up to a limit: few bytes may be packed of very many.
pub(super) struct Unpacked<R> {
    file: R,
    left: u64,
}

impl<R> Unpacked<R> {
    /// Reads what is unpacked from its start on.
    pub const fn new(file: R) -> Self {
        Self { file, left: MOST_UNPACKED }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let message = format!("more than {MOST_UNPACKED} bytes once unpacked; unpack the file");
            io::Error::new(io::ErrorKind::FileTooLarge, message)
        })?;
        self.left = left;
        Ok(count)
    }
}

/// A reader that remembers why it failed.
struct Whole<R> {
    file: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }
}

fn malformed(path: &Path, message: impl Into<Cow<'static, str>>) -> TableError {
    TableError::Malformed { path: path.to_owned(), message: message.into().into_owned() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use png::ColorType;

    use super::super::folder::folder_of;
    use super::super::{Data, Dataset, Schema, Selection, Shape, Target, Values};
    use super::*;

    /// Rows of the tests' images.
    const ROWS: usize = 40;

    fn pixels() -> Vec<u8> {
        (0..ROWS as u8 * 6).collect()
    }

    fn labels() -> Vec<u8> {
        (0..ROWS as u8).map(|row| 10 * (row % 3)).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("a vector grows");
        encoder.finish().expect("a vector grows")
    }

    fn given(source: &Source, target: &str) -> Data {
        Data { target: Some(target.to_owned()), ..Data::of(source.clone()) }
    }

    fn train(source: &Source) -> Result<Dataset, TableError> {
        Dataset::read(&given(source, "label"), 0)
    }

    fn refused(source: &Source, parts: &[&str]) {
        let message = train(source).err().expect("refused").to_string();
        for part in parts {
            assert!(message.contains(part), "no `{part}` in: {message}");
        }
    }

    /// Checks that these are the images of 2 × 3 pixels with their labels.
    fn expect_images(data: &Dataset) {
        assert_eq!(data.layout.map(), Some(Shape { height: 2, width: 3, channels: 1 }));
        assert_eq!(
            data.table.numbers().map(|numbers| &*numbers.values),
            Some(&Values::Bytes(pixels().into()))
        );
        assert!(data.raw.iter().eq(pixels().into_iter().map(f32::from)));
        let Target::Classes(classes, names) = &data.target else { panic!("classes") };
        assert_eq!(names, &["0", "10", "20"]);
        assert!(classes.iter().copied().eq((0..ROWS as u32).map(|row| row % 3)));
    }

    #[test]
    fn idx_images_find_their_labels() {
        let images = idx::bytes(&[ROWS as u32, 2, 3], &pixels());
        let beside = idx::bytes(&[ROWS as u32], &labels());
        let mut hashes = Vec::new();
        for (suffix, other) in [("", ""), (".gz", ""), ("", ".gz"), (".gz", ".gz")] {
            let packed = |bytes: &[u8], suffix: &str| match suffix {
                "" => bytes.to_vec(),
                _ => gzip(bytes),
            };
            let name = format!("train-images-idx3-ubyte{suffix}");
            let folder = folder_of(&[
                (&name, packed(&images, suffix)),
                (&format!("train-labels-idx1-ubyte{other}"), packed(&beside, other)),
            ]);
            let data = train(&folder.path().join(&name).into()).expect("images");
            expect_images(&data);
            hashes.push(data.table.sha256);
        }
        hashes.dedup();
        assert_eq!(hashes.len(), 1, "the same data, gzipped or not");
        let colour = idx::bytes(&[ROWS as u32, 1, 2, 3], &pixels());
        let folder = folder_of(&[("c.idx", colour), ("l.idx", beside)]);
        let given = Source {
            labels: Some(folder.path().join("l.idx")),
            ..folder.path().join("c.idx").into()
        };
        let shape = train(&given).expect("images").layout.map();
        assert_eq!(shape, Some(Shape { height: 1, width: 2, channels: 3 }));
    }

    #[test]
    fn idx_files_that_do_not_fit_are_refused() {
        let images = idx::bytes(&[ROWS as u32, 2, 3], &pixels());
        let packed = gzip(&images);
        let folder = folder_of(&[
            ("a-images-idx3-ubyte.gz", packed[..packed.len() / 2].to_vec()),
            ("b-images-idx3-ubyte", images.clone()),
            ("b-labels-idx1-ubyte", idx::bytes(&[3], &[0, 1, 2])),
            ("c-images-idx3-ubyte", images),
            ("d-images-idx3-ubyte", b"\x89PNG\r\n".to_vec()),
            ("none.idx", idx::bytes(&[0, 2, 3], &[])),
        ]);
        let at = |name: &str| Source::from(folder.path().join(name));
        refused(&at("a-images-idx3-ubyte.gz"), &["a-images", "cannot be read to its end"]);
        refused(
            &at("b-images-idx3-ubyte"),
            &["b-labels", "found 3 values", "40 rows of", "b-images"],
        );
        refused(&at("c-images-idx3-ubyte"), &["c-images", "no `label`", "another as `labels`"]);
        refused(&at("d-images-idx3-ubyte"), &["d-images", "expected those of an idx file"]);
        refused(&at("none.idx"), &["none.idx", "no rows"]);
        refused(&at("e-images-idx3-ubyte"), &["e-images"]);
        let two = Source {
            labels: Some(folder.path().join("c-images-idx3-ubyte")),
            ..at("c-images-idx3-ubyte")
        };
        refused(&two, &["[40, 2, 3]", "one label a row"]);
    }

    #[test]
    fn arrays_are_images_or_rows() {
        let n = ROWS as u64;
        let npy = npy::npy::<u8>;
        let (images, beside) = (npy(&[n, 2, 3], &pixels()), npy(&[n, 1], &labels()));
        let who: Vec<i64> = (0..ROWS as i64).map(|row| row / 4).collect();
        let folder = folder_of(&[
            ("a.npz", numpy::npz(&[("images", images.clone()), ("labels", beside.clone())])),
            ("b.npy", images),
            ("b-labels.npy", beside.clone()),
            (
                "c.npz",
                numpy::npz(&[
                    ("x", npy(&[n, 6], &pixels())),
                    ("y", beside),
                    ("who", npy::npy(&[n], &who)),
                ]),
            ),
            ("d.npy", npy(&[n, 3, 1, 2], &pixels())),
        ]);
        let at = |name: &str| Source::from(folder.path().join(name));
        let labels = Some(folder.path().join("b-labels.npy"));
        expect_images(&train(&at("a.npz")).expect("an archive"));
        expect_images(&train(&Source { labels: labels.clone(), ..at("b.npy") }).expect("an array"));
        refused(&at("b.npy"), &["b.npy", "no `label`", "their own, `labels`"]);
        let flat = train(&at("c.npz")).expect("rows");
        assert_eq!(
            (flat.layout.map(), &flat.layout.names()[5][..], flat.groups),
            (None, "x5", None)
        );
        let series = Series { group: vec!["who".into()], ..Series::default() };
        let grouped = train(&Source { series, ..at("c.npz") }).expect("groups");
        assert_eq!(grouped.groups.expect("groups")[..6], [0, 0, 0, 0, 1, 1]);
        let first = Source { labels, channels: ChannelAxis::First, ..at("d.npy") };
        let first = train(&first).expect("channels first");
        assert_eq!(first.layout.map(), Some(Shape { height: 1, width: 2, channels: 3 }));
        assert_eq!(first.raw.floats(0..6)[..], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        let other = Source { arrays: vec!["x".into(), "z".into()], ..at("c.npz") };
        refused(&other, &["c.npz", "no array `z`", "`who`"]);
    }

    #[test]
    fn options_of_other_files_are_refused() {
        let folder = folder_of(&[
            ("a.csv", b"x,label\n1,a\n2,b\n".to_vec()),
            ("b.idx", idx::bytes(&[1, 1, 1], &[1])),
        ]);
        let at = |name: &str| Source::from(folder.path().join(name));
        let windows = Series { window: Some(3), ..Series::default() };
        refused(&Source { labels: Some("l".into()), ..at("a.csv") }, &["a.csv", "`labels` is for"]);
        refused(&Source { arrays: vec!["x".into()], ..at("b.idx") }, &["b.idx", "`arrays` is for"]);
        let first = ChannelAxis::First;
        refused(&Source { channels: first, ..at("b.idx") }, &["`channels` first is for"]);
        refused(&Source { series: windows, ..at("b.idx") }, &["`window` is for", "CSV"]);
    }

    #[test]
    fn a_model_reads_images_with_and_without_labels() {
        let png = |value: u8| folder::png(2, 1, ColorType::Grayscale, &[value, 3 * value]);
        let names: Vec<String> =
            (0..ROWS).map(|row| format!("{}/{row:02}.png", ["a", "b"][row % 2])).collect();
        let mut files: Vec<(&str, Vec<u8>)> =
            names.iter().zip(0..).map(|(name, row)| (name.as_str(), png(row))).collect();
        let labelled = folder_of(&files);
        let data = train(&labelled.path().into()).expect("images");
        let schema = Schema::learn(&data, &(0..ROWS).collect::<Vec<_>>(), None).expect("a schema");
        assert_eq!(schema.layout.names(), ["y0x0", "y0x1"]);
        // One channel over both positions.
        assert_eq!(schema.mean, [39.0; 2]);
        assert!(schema.std[0] == schema.std[1] && schema.std[0] > 20.0);
        let (raw, target) = schema.read_labelled(&labelled.path().into(), "label").expect("labels");
        assert_eq!((raw, target.len()), (data.raw, ROWS));
        files = vec![("1.png", png(7)), ("2.png", png(8))];
        let alone = folder_of(&files);
        assert_eq!(
            schema.read(&alone.path().into(), "label").expect("images").to_floats(),
            [7.0, 21.0, 8.0, 24.0]
        );
        let message = schema.read_labelled(&alone.path().into(), "label").expect_err("no labels");
        assert!(message.to_string().contains("one subfolder a class"), "{message}");
        let tall = folder_of(&[("1.png", folder::png(1, 2, ColorType::Grayscale, &[1, 2]))]);
        let message =
            schema.read(&tall.path().into(), "label").expect_err("another shape").to_string();
        assert!(message.contains("found maps of 2 × 1 × 1, expected 1 × 2 × 1"), "{message}");
        let other = folder_of(&[("c/1.png", png(1))]);
        let message = schema.read_labelled(&other.path().into(), "label").expect_err("a new class");
        assert!(message.to_string().contains("row 1, column `label`: found `c`"), "{message}");
    }

    #[test]
    fn windows_are_cut_again_as_the_model_remembers() {
        let mut csv = String::from("who,t,load,class\n");
        for row in 0..120 {
            csv += &format!("{},{row},{},{}\n", row / 20, row % 7, ["idle", "busy"][row / 10 % 2]);
        }
        let files = folder_of(&[
            ("a.csv", csv.into()),
            ("b.csv", b"who,t,load\n1,1,2\n1,3,4\n1,5,6\n".to_vec()),
        ]);
        let series = Series { window: Some(4), stride: Some(3), group: vec!["who".into()] };
        let source = Source { series, ..files.path().join("a.csv").into() };
        let data = Dataset::read(&given(&source, "class"), 0).expect("windows");
        // Twelve runs of ten rows, three windows each.
        assert_eq!((data.table.len(), data.layout.len()), (36, 8));
        assert_eq!(data.layout.map(), Some(Shape { height: 1, width: 4, channels: 2 }));
        assert_eq!(data.groups.as_ref().expect("groups")[5..7], [0, 1]);
        assert!(data.notes[1].starts_with("36 windows of 4 rows every 3"), "{:?}", data.notes);
        let schema = Schema::learn(&data, &(0..36).collect::<Vec<_>>(), None).expect("a schema");
        assert_eq!(schema.mean[..2], schema.mean[2..4]);
        let plain = Source::from(files.path().join("a.csv"));
        let (raw, target) = schema.read_labelled(&plain, "class").expect("windows");
        assert_eq!((raw, target.len()), (data.raw.clone(), 36));
        // Without classes the runs are six, of twenty rows and six windows each.
        assert_eq!(schema.read(&plain, "class").expect("windows").len(), 36 * 8);
        let dense = Series { stride: Some(1), ..Series::default() };
        let dense = Source { series: dense, ..plain.clone() };
        assert_eq!(schema.read(&dense, "class").expect("windows").len(), 6 * 17 * 8);
        let short = Source::from(files.path().join("b.csv"));
        let message = schema.read(&short, "class").expect_err("three rows").to_string();
        assert!(message.contains("longest has 3"), "{message}");
        let forgetful = Schema { series: Series::default(), ..schema };
        let message = forgetful.read(&plain, "class").expect_err("no windows").to_string();
        assert!(message.contains("expected `window` 4"), "{message}");
        // A part of the windows, as `compare` splits them.
        let part = Source { selection: data.selection(&[0, 2, 35, 34]), ..source.clone() };
        let part = Dataset::read(&given(&part, "class"), 0).expect("a part");
        assert_eq!(part.raw.floats(16..24), data.raw.floats(35 * 8..36 * 8));
        assert_ne!(part.table.sha256, data.table.sha256);
    }

    #[test]
    fn a_stratified_part_is_taken() {
        let beside = idx::bytes(&[ROWS as u32], &labels());
        let images = idx::bytes(&[ROWS as u32, 2, 3], &pixels());
        let folder = folder_of(&[("images-idx3-ubyte", images), ("labels-idx1-ubyte", beside)]);
        let taken = |count, seed| {
            let selection = Selection::Take(count);
            let source = Source { selection, ..folder.path().join("images-idx3-ubyte").into() };
            Dataset::read(&given(&source, "label"), seed)
        };
        let data = taken(12, 0).expect("twelve");
        let Target::Classes(classes, _) = &data.target else { panic!("classes") };
        for class in 0..3 {
            let count = classes.iter().filter(|&&label| label == class).count();
            assert!((3..=5).contains(&count), "{count} of class {class}");
        }
        let chosen = data.chosen.expect("a part");
        assert!(
            chosen.is_sorted()
                && data
                    .raw
                    .floats(6..12)
                    .iter()
                    .zip(&pixels()[6 * chosen[1]..])
                    .all(|(x, &p)| *x == f32::from(p))
        );
        assert_ne!(taken(12, 1).expect("twelve").chosen, Some(chosen));
        let message = taken(41, 0).err().expect("too many").to_string();
        assert!(message.contains("`take`: found 41, expected 1 to 40"), "{message}");
    }
}
