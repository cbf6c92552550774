//! Archives of NumPy, `.npz`: zip files of arrays.

use std::io::{Read, Seek};

use zip::ZipArchive;

use super::array::Array;
use super::npy;
use super::source::Unpacked;
use crate::excerpt::{excerpt, list};

/// How the name of an array goes on in that of its file.
const ENDING: &str = ".npy";
/// Names that an archive's features go by, and those of its labels.
const FEATURES: [&str; 5] = ["x", "X", "images", "data", "features"];
const LABELS: [&str; 6] = ["y", "Y", "labels", "label", "target", "targets"];

/// An archive of arrays.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    names: Vec<String>,
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive.
    pub fn open(file: R) -> Result<Self, String> {
        let zip =
            ZipArchive::new(file).map_err(|error| format!("cannot read the archive: {error}"))?;
        let mut names = Vec::new();
        for file in zip.file_names() {
            let file = file.map_err(|error| format!("cannot read the archive: {error}"))?;
            names.extend(file.strip_suffix(ENDING).map(str::to_owned));
        }
        Ok(Self { zip, names })
    }

    /// Reads one array.
    pub fn array(&mut self, name: &str) -> Result<Array, String> {
        if !self.names.iter().any(|other| other == name) {
            return Err(format!("there is no array `{}`; {}", excerpt(name), self.held()));
        }
        let file = self.zip.by_name(&format!("{name}{ENDING}")).map_err(|error| error.to_string());
        let array = file.and_then(|file| npy::read(Unpacked::new(file)));
        array.map_err(|error| format!("array `{}`: {error}", excerpt(name)))
    }

    /// Names of the arrays of features and, where there is one, of labels: as given, or the only ones that
    /// go by a usual name.
    pub fn pair(&self, given: &[String]) -> Result<(String, Option<String>), String> {
        match given {
            [features] => return Ok((features.clone(), None)),
            [features, labels] => return Ok((features.clone(), Some(labels.clone()))),
            [] => {}
            more => return Err(format!("`arrays`: found {} names, expected X or X,Y", more.len())),
        }
        let among = |usual: &[&str]| -> Vec<&String> {
            self.names.iter().filter(|name| usual.contains(&name.as_str())).collect()
        };
        match (&among(&FEATURES)[..], &among(&LABELS)[..], &self.names[..]) {
            (&[features], &[labels], _) => Ok((features.clone(), Some(labels.clone()))),
            (&[features], &[], _) | (&[], &[], [features]) => Ok((features.clone(), None)),
            _ => Err(format!(
                "which arrays hold features and labels? {}; name them by `arrays`, X,Y",
                self.held()
            )),
        }
    }

    /// The arrays there are, for a message.
    fn held(&self) -> String {
        match &self.names[..] {
            [] => "the archive holds no array".to_owned(),
            names => format!("the archive holds {}", list(names)),
        }
    }
}

/// The bytes of an `.npz` file, compressed as `np.savez_compressed` does.
#[cfg(test)]
pub(super) fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::{Cursor, Write};
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}.npy"), options).expect("a vector grows");
        zip.write_all(bytes).expect("a vector grows");
    }
    zip.finish().expect("a vector grows").into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::npy::npy;
    use super::*;

    #[test]
    fn a_damaged_archive_is_refused() {
        let archive = npz(&[("x", npy(&[4], &[1.0f32; 4]))]);
        assert!(Archive::open(Cursor::new(&archive[..archive.len() / 2])).is_err());
        let mut array = npy(&[4], &[1u8; 4]);
        array.truncate(array.len() - 1);
        let mut archive = Archive::open(Cursor::new(npz(&[("x", array)]))).expect("an archive");
        let message = archive.array("x").expect_err("cut");
        assert!(message.contains("array `x`: the file ends after 3 of 4"), "{message}");
    }

    #[test]
    fn the_pair_is_found_or_asked_for() {
        let pair = |names: &[&str], given: &[&str]| {
            let arrays: Vec<_> = names.iter().map(|&name| (name, npy(&[1], &[0u8]))).collect();
            let bytes = npz(&arrays);
            let given: Vec<_> = given.iter().map(|&name| name.to_owned()).collect();
            Archive::open(Cursor::new(bytes)).expect("an archive").pair(&given)
        };
        let found = |x: &str, y: Option<&str>| Ok((x.to_owned(), y.map(str::to_owned)));
        assert_eq!(pair(&["x", "y"], &[]), found("x", Some("y")));
        assert_eq!(pair(&["subject", "labels", "images"], &[]), found("images", Some("labels")));
        assert_eq!(pair(&["frames"], &[]), found("frames", None));
        let keras = ["x_train", "y_train", "x_test", "y_test"];
        assert_eq!(pair(&keras, &["x_test", "y_test"]), found("x_test", Some("y_test")));
        let message = pair(&keras, &[]).expect_err("four arrays");
        assert!(message.contains("`x_train`") && message.contains("by `arrays`"), "{message}");
        assert!(pair(&["x", "X", "y"], &[]).is_err());
        let bytes = npz(&[("x", npy(&[1], &[0u8]))]);
        let message =
            Archive::open(Cursor::new(bytes)).expect("an archive").array("z").expect_err("no z");
        assert!(message.contains("no array `z`") && message.contains("`x`"), "{message}");
    }
}
