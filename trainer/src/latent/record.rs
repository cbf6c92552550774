//! The files of the latent posterior.

use serde::{Deserialize, Serialize};

use fiberwalk_formats::{MAX_LATENT_DIM, MAX_MODULATIONS};

use super::closeness::Closeness;
use crate::decoder::{DecoderShape, Structure, modulation_len, structure_name};
use crate::network::Architecture;
use crate::run_dir::RunDir;
use crate::trace::Trace;

/// Name of the record.
pub(super) const RECORD: &str = "latent.json";
/// The decoder, and the encoder with its codes where there is one.
pub(super) const LATENT: &str = "latent.safetensors";
/// Names of their parameters and of the particles' codes in that file.
pub(super) const DECODER: &str = "decoder";
pub(super) const ENCODER: &str = "encoder";
pub(super) const CODES: &str = "codes";
/// The decoders that were fitted and not taken, where there are any.
pub(super) const CANDIDATES: &str = "latent-candidates.safetensors";
/// Curves of the fit, a row a structure as in `latent.json`: `energy_score` and `divergence`.
pub(super) const TRACE: &str = "latent-trace.safetensors";

/// `latent.json`: the decoder's shape and what it was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentRecord {
    /// Network, structure and dimension of the latent code.
    pub shape: DecoderShape,
    /// Every structure tried.
    pub candidates: Vec<DecoderCandidate>,
    /// Energy score of one half of the particles against the other, for comparison.
    pub particles: f64,
}

/// A structure that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderCandidate {
    /// Every layer's decoder.
    pub structure: Structure,
    /// How close it comes to the particles round rows that it was not fitted at.
    pub closeness: Closeness,
}

impl LatentRecord {
    /// Reads that of a run whose decoder makes the network `decoded`.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir, decoded: &Architecture) -> anyhow::Result<Self> {
        dir.read_json(RECORD, |record: &Self| record.check(decoded))
    }

    fn check(&self, decoded: &Architecture) -> Result<(), String> {
        let shape = &self.shape;
        if shape.architecture != *decoded {
            return Err("shape.architecture is not the network of the run".to_owned());
        }
        if !(1..=MAX_LATENT_DIM).contains(&shape.latent_dim) {
            let found = shape.latent_dim;
            return Err(format!("latent_dim is {found}, expected 1 to {MAX_LATENT_DIM}"));
        }
        if !self.candidates.iter().any(|tried| tried.structure == shape.structure) {
            return Err("shape.structure is none of the candidates".to_owned());
        }
        for DecoderCandidate { structure, closeness } in &self.candidates {
            if structure.len() != decoded.depth()
                || !(1..=MAX_MODULATIONS).contains(&modulation_len(structure))
            {
                return Err(format!(
                    "found the structure {}, expected one entry for each of {} layers, and one to \
                     {MAX_MODULATIONS} modulations in all",
                    structure_name(structure),
                    decoded.depth()
                ));
            }
            if !closeness.is_finite() {
                return Err(format!("found {closeness:?}, expected numbers"));
            }
        }
        Ok(())
    }

    /// Shape and parameters of every decoder that was fitted, in the order of `candidates`.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn decoders(&self, dir: &RunDir) -> anyhow::Result<Vec<(DecoderShape, Vec<f32>)>> {
        let decoder = |(index, tried): (usize, &DecoderCandidate)| {
            let shape = DecoderShape { structure: tried.structure.clone(), ..self.shape.clone() };
            let count = shape.parameters();
            let parameters = match tried.structure == self.shape.structure {
                true => dir.read_tensor(LATENT, DECODER, count)?,
                false => dir.read_tensor(CANDIDATES, &candidate_name(index), count)?,
            };
            Ok((shape, parameters.concat()))
        };
        self.candidates.iter().enumerate().map(decoder).collect()
    }
}

/// Name of a decoder that was not taken; `index` is its place among `candidates`.
pub(super) fn candidate_name(index: usize) -> String {
    format!("decoder-{index}")
}

/// Parameters of a run's decoder, which is of this shape.
///
/// # Errors
/// The file is missing or damaged.
pub fn read_decoder(dir: &RunDir, shape: &DecoderShape) -> anyhow::Result<Vec<f32>> {
    Ok(dir.read_tensor(LATENT, DECODER, shape.parameters())?.swap_remove(0))
}

/// The encoder's code of every particle, `[N][k]`, of a run that fitted one.
///
/// # Errors
/// The file is missing or damaged, or there was no encoder.
pub fn read_codes(dir: &RunDir, shape: &DecoderShape) -> anyhow::Result<Vec<Vec<f32>>> {
    dir.read_tensor(LATENT, CODES, shape.latent_dim)
}

/// Curves `energy_score` and `divergence` of every structure tried; nothing where a run was made before they
/// were kept.
///
/// # Errors
/// The file is damaged.
pub fn read_trace(dir: &RunDir) -> anyhow::Result<Option<Trace>> {
    Trace::read(dir, TRACE, &["energy_score", "divergence"])
}
