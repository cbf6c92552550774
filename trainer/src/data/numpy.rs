//! Arrays of NumPy: `.npy`, and `.npz`, a zip archive of them.

use std::io::{self, BufReader, Read, Seek};

use npyz::{DType, Deserialize, NpyFile, Order, TypeChar, npz};
use zip::ZipArchive;

use super::array::{Array, CHUNK, Elements};
use crate::store::{Store, Writer};

/// Names that an archive's features go by, and those of its labels.
const FEATURES: [&str; 5] = ["x", "X", "images", "data", "features"];
const LABELS: [&str; 6] = ["y", "Y", "labels", "label", "target", "targets"];

/// An archive of arrays.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    names: Vec<String>,
}

/// Reads an array from an `.npy` file, to its end.
pub(super) fn read(file: impl Read) -> Result<Array, String> {
    // Elements are read one at a time.
    let mut file = BufReader::new(file);
    let npy = NpyFile::new(&mut file).map_err(|error| format!("no array of NumPy: {error}"))?;
    let length = |&length: &u64| usize::try_from(length).map_err(|error| error.to_string());
    let shape = npy.shape().iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let fortran = npy.order() == Order::Fortran;
    let expected = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    let elements = elements(npy)?;
    if expected != Some(elements.len()) {
        return Err(format!("found {} elements of an array {shape:?}", elements.len()));
    }
    io::copy(&mut file, &mut io::sink()).map_err(|error| error.to_string())?;
    Ok(Array { shape, elements, fortran })
}

fn elements<R: Read>(npy: NpyFile<R>) -> Result<Elements, String> {
    fn all<T: Deserialize, R: Read>(npy: NpyFile<R>) -> Result<Vec<T>, String> {
        npy.into_vec().map_err(|error| format!("cannot read the elements: {error}"))
    }
    fn stored<T: Deserialize, U: bytemuck::Pod, R: Read>(
        npy: NpyFile<R>,
        element: impl Fn(T) -> U,
    ) -> Result<Store<U>, String> {
        let cannot = |error: io::Error| format!("cannot read the elements: {error}");
        let mut elements = Writer::default();
        let mut data = npy.data::<T>().map_err(|error| format!("found other elements: {error}"))?;
        loop {
            let chunk = data.by_ref().take(CHUNK).map(|read| read.map(&element));
            let chunk = chunk.collect::<io::Result<Vec<U>>>().map_err(cannot)?;
            if chunk.is_empty() {
                return elements.finish().map_err(cannot);
            }
            elements.extend(&chunk).map_err(cannot)?;
        }
    }
    fn whole<T: Deserialize + Into<i64>, R: Read>(npy: NpyFile<R>) -> Result<Elements, String> {
        Ok(Elements::Whole(stored(npy, T::into)?))
    }
    let kind = match npy.dtype() {
        DType::Plain(kind) => (kind.type_char(), kind.size_field()),
        other => return Err(format!("found elements of type {}", other.descr())),
    };
    match kind {
        (TypeChar::Uint, 1) => Ok(Elements::Bytes(stored(npy, |x: u8| x)?)),
        (TypeChar::Bool, _) => whole::<bool, R>(npy),
        (TypeChar::Int, 1) => whole::<i8, R>(npy),
        (TypeChar::Int, 2) => whole::<i16, R>(npy),
        (TypeChar::Uint, 2) => whole::<u16, R>(npy),
        (TypeChar::Int, 4) => whole::<i32, R>(npy),
        (TypeChar::Uint, 4) => whole::<u32, R>(npy),
        (TypeChar::Int, 8) => whole::<i64, R>(npy),
        (TypeChar::Float, 4) => Ok(Elements::Single(stored(npy, |x: f32| x)?)),
        (TypeChar::Float, 8) => Ok(Elements::Double(stored(npy, |x: f64| x)?)),
        (TypeChar::UnicodeStr, _) => Ok(Elements::Text(all(npy)?)),
        _ => Err(format!(
            "found elements of type {}, expected whole numbers, float32, float64 or text; convert them \
             with astype",
            npy.dtype().descr()
        )),
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive.
    pub fn open(file: R) -> Result<Self, String> {
        let zip =
            ZipArchive::new(file).map_err(|error| format!("cannot read the archive: {error}"))?;
        let mut names = Vec::new();
        for file in zip.file_names() {
            let file = file.map_err(|error| format!("cannot read the archive: {error}"))?;
            names.extend(npz::array_name_from_file_name(&file).map(str::to_owned));
        }
        Ok(Self { zip, names })
    }

    /// Reads one array.
    pub fn array(&mut self, name: &str) -> Result<Array, String> {
        if !self.names.iter().any(|other| other == name) {
            return Err(format!("there is no array `{name}`; {}", self.held()));
        }
        // To the end, where the checksum is compared.
        let file = self.zip.by_name(&npz::file_name_from_array_name(name));
        let array = file.map_err(|error| error.to_string()).and_then(read);
        array.map_err(|error| format!("array `{name}`: {error}"))
    }

    /// Names of the arrays of features and, where there is one, of labels: as given, or the only ones that
    /// go by a usual name.
    pub fn pair(&self, given: &[String]) -> Result<(String, Option<String>), String> {
        match given {
            [features] => return Ok((features.clone(), None)),
            [features, labels] => return Ok((features.clone(), Some(labels.clone()))),
            [] => {}
            more => return Err(format!("--arrays: found {} names, expected X or X,Y", more.len())),
        }
        let among = |usual: &[&str]| -> Vec<&String> {
            self.names.iter().filter(|name| usual.contains(&name.as_str())).collect()
        };
        match (&among(&FEATURES)[..], &among(&LABELS)[..], &self.names[..]) {
            (&[features], &[labels], _) => Ok((features.clone(), Some(labels.clone()))),
            (&[features], &[], _) | (&[], &[], [features]) => Ok((features.clone(), None)),
            _ => Err(format!(
                "which arrays hold features and labels? {}; name them by --arrays X,Y",
                self.held()
            )),
        }
    }

    /// The arrays there are, for a message.
    fn held(&self) -> String {
        match &self.names[..] {
            [] => "the archive holds no array".to_owned(),
            names => format!("the archive holds {}", super::table::list(names)),
        }
    }
}

/// The bytes of an `.npy` file.
#[cfg(test)]
pub(super) fn npy<T: npyz::AutoSerialize + Copy>(shape: &[u64], elements: &[T]) -> Vec<u8> {
    use npyz::WriterBuilder;
    let mut bytes = Vec::new();
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(&mut bytes).begin_nd().expect("a vector grows");
    writer.extend(elements.iter().copied()).expect("a vector grows");
    writer.finish().expect("as many as the shape says");
    bytes
}

/// The bytes of an `.npz` file, compressed as `np.savez_compressed` does.
#[cfg(test)]
pub(super) fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}.npy"), options).expect("a vector grows");
        zip.write_all(bytes).expect("a vector grows");
    }
    zip.finish().expect("a vector grows").into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_values() {
        let read = |bytes: Vec<u8>| read(&bytes[..]).expect("npy").elements;
        assert_eq!(read(npy(&[2], &[1u8, 255])), Elements::Bytes(vec![1, 255].into()));
        assert_eq!(read(npy(&[2], &[-1i8, 1])), Elements::Whole(vec![-1, 1].into()));
        assert_eq!(read(npy(&[1], &[-300i16])), Elements::Whole(vec![-300].into()));
        assert_eq!(read(npy(&[1], &[-70_000i32])), Elements::Whole(vec![-70_000].into()));
        assert_eq!(read(npy(&[1], &[1i64 << 40])), Elements::Whole(vec![1 << 40].into()));
        assert_eq!(read(npy(&[1], &[0.1f32])), Elements::Single(vec![0.1].into()));
        assert_eq!(read(npy(&[1], &[0.1f64])), Elements::Double(vec![0.1].into()));
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let good = npy(&[4], &[1.0f32; 4]);
        for bad in [&good[..good.len() - 1], &good[..20], b"x,y\n1,2\n"] {
            read(bad).expect_err("damaged");
        }
        let archive = npz(&[("x", good)]);
        assert!(Archive::open(io::Cursor::new(&archive[..archive.len() / 2])).is_err());
    }

    #[test]
    fn the_pair_is_found_or_asked_for() {
        let pair = |names: &[&str], given: &[&str]| {
            let arrays: Vec<_> = names.iter().map(|&name| (name, npy(&[1], &[0u8]))).collect();
            let bytes = npz(&arrays);
            let given: Vec<_> = given.iter().map(|&name| name.to_owned()).collect();
            Archive::open(io::Cursor::new(bytes)).expect("an archive").pair(&given)
        };
        let found = |x: &str, y: Option<&str>| Ok((x.to_owned(), y.map(str::to_owned)));
        assert_eq!(pair(&["x", "y"], &[]), found("x", Some("y")));
        assert_eq!(pair(&["subject", "labels", "images"], &[]), found("images", Some("labels")));
        assert_eq!(pair(&["frames"], &[]), found("frames", None));
        let keras = ["x_train", "y_train", "x_test", "y_test"];
        assert_eq!(pair(&keras, &["x_test", "y_test"]), found("x_test", Some("y_test")));
        let message = pair(&keras, &[]).expect_err("four arrays");
        assert!(message.contains("`x_train`") && message.contains("--arrays"), "{message}");
        assert!(pair(&["x", "X", "y"], &[]).is_err());
        let bytes = npz(&[("x", npy(&[1], &[0u8]))]);
        let message = Archive::open(io::Cursor::new(bytes))
            .expect("an archive")
            .array("z")
            .expect_err("no z");
        assert!(message.contains("no array `z`") && message.contains("`x`"), "{message}");
    }
}
