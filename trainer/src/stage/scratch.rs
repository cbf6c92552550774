//! Files of a stage that is under way, with what it has done so far.

use std::fs;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::run_dir::RunDir;

/// A folder of a run's directory where a stage keeps what it has done until it is whole: an interrupted one goes
/// on from there.
#[derive(Clone, Debug)]
pub struct Scratch {
    dir: RunDir,
    folder: &'static str,
}

impl Scratch {
    /// Scratch of a stage with this `folder`.
    pub(crate) fn new(dir: &RunDir, folder: &'static str) -> Self {
        Self { dir: dir.clone(), folder }
    }

    /// Name of a file in the run's directory.
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Reads a record with named fields, where it is there.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn record<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let file = self.file(&format!("{name}.json"));
        self.dir.has(&file).then(|| self.dir.read_json(&file, |_| Ok(()))).transpose()
    }

    /// Keeps a record with named fields.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_record<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        record: &T,
    ) -> anyhow::Result<()> {
        self.dir.write_json(&self.file(&format!("{name}.json")), record)
    }

    /// Reads vectors of these lengths, where they are there.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn vectors<const N: usize>(
        &self,
        name: &str,
        lengths: [usize; N],
    ) -> anyhow::Result<Option<[Vec<f32>; N]>> {
        let file = self.file(&format!("{name}.safetensors"));
        if !self.dir.has(&file) {
            return Ok(None);
        }
        let mut vectors = [const { Vec::new() }; N];
        for (index, (vector, length)) in vectors.iter_mut().zip(lengths).enumerate() {
            *vector = self.dir.read_tensor(&file, &index.to_string(), length)?.concat();
        }
        Ok(Some(vectors))
    }

    /// Keeps vectors.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_vectors(&self, name: &str, vectors: &[&[f32]]) -> anyhow::Result<()> {
        let rows: Vec<(String, [Vec<f32>; 1])> = (0..)
            .zip(vectors)
            .map(|(index, vector): (usize, _)| (index.to_string(), [vector.to_vec()]))
            .collect();
        let views: Vec<(&str, &[Vec<f32>])> =
            rows.iter().map(|(name, rows)| (name.as_str(), rows.as_slice())).collect();
        self.dir.write_tensors(&self.file(&format!("{name}.safetensors")), &views)
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        let path = self.dir.path(self.folder);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
