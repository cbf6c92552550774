//! What the stages of a run record of themselves, as JSON in its directory.

use serde::{Deserialize, Serialize};

use crate::calibrate::Thresholds;
use crate::choose::Choices;
use crate::config::Config;
use crate::cost_curve::{COST_CURVE, CostCurve};
use crate::costs::PrecisionCandidate;
use crate::latent::{DecoderShape, Structure};
use crate::particles::{CHOICES, WalkRecord, read_trace};
use crate::run_data::{DATA, DataRecord, IMPORTED};
use crate::run_dir::{REQUESTED, RunDir};
use crate::trace::Trace;

/// `latent.json`: the decoder's shape and what it was chosen from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatentRecord {
    /// Network, structure and dimension of the latent code.
    pub shape: DecoderShape,
    /// Energy score of every structure tried, at fresh probes.
    pub candidates: Vec<(Structure, f64)>,
    /// Energy score of one half of the particles against the other, for comparison.
    pub particles: f64,
}

impl LatentRecord {
    /// Shape and parameters of every decoder that was fitted, in the order of `candidates`.
    ///
    /// # Errors
    /// A file cannot be read or is damaged.
    pub fn decoders(&self, dir: &RunDir) -> anyhow::Result<Vec<(DecoderShape, Vec<f32>)>> {
        let decoder = |(index, (structure, _)): (usize, &(Structure, f64))| {
            let shape = DecoderShape { structure: structure.clone(), ..self.shape.clone() };
            let parameters = match *structure == self.shape.structure {
                true => dir.read_tensor(LATENT, "decoder")?,
                false => dir.read_tensor(LATENT_CANDIDATES, &candidate_name(index))?,
            };
            Ok((shape, parameters.concat()))
        };
        self.candidates.iter().enumerate().map(decoder).collect()
    }
}

/// `precision.json`: the precisions tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecord {
    /// Bits of every layer's weights.
    pub weight_bits: Vec<u8>,
    /// Bits of the decoder's factors.
    pub factor_bits: u8,
    /// Whether the trunk was exported.
    pub trunk: bool,
    /// Bytes of the file with the trunk.
    pub bytes_with_trunk: usize,
    /// Bytes of the file of the network alone in int8.
    pub network_bytes: usize,
    /// Everything that was tried.
    pub candidates: Vec<PrecisionCandidate>,
}

/// `calibration.json`: every engine's thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// The MAP network.
    pub map: Thresholds,
    /// The walked particles.
    pub particles: Thresholds,
    /// Draws from the decoder.
    pub float: Thresholds,
    /// The exported artifact.
    pub runtime: Thresholds,
}

/// The decoder, and the encoder with its codes where there is one.
pub const LATENT: &str = "latent.safetensors";
/// The decoders that were fitted and not taken, where there are any.
pub const LATENT_CANDIDATES: &str = "latent-candidates.safetensors";

/// Name of a decoder that was not taken; `index` is its place among `candidates`.
pub fn candidate_name(index: usize) -> String {
    format!("decoder-{index}")
}

/// Curves of MAP training, a row a MAP, the best one first: `nll`, mean NLL of the training rows, and
/// `loss`, L(θ).
pub const MAP_TRACE: &str = "map-trace.safetensors";
/// Curves of the fit, a row a structure as in `latent.json`: `energy_score` and `divergence`.
pub const LATENT_TRACE: &str = "latent-trace.safetensors";

/// All records of a finished run.
#[derive(Clone, Debug)]
pub struct RunRecords {
    /// `requested.toml`: settings as they were given.
    pub requested: Config,
    /// `config.toml`: settings with what was chosen filled in.
    pub config: Config,
    /// `data.json`.
    pub data: DataRecord,
    /// `choices.json`.
    pub choices: Choices,
    /// Whether θ* is that of a network trained elsewhere.
    pub imported: bool,
    /// `walk.json`.
    pub walk: WalkRecord,
    /// `latent.json`.
    pub latent: LatentRecord,
    /// The decoder's parameters.
    pub decoder: Vec<f32>,
    /// The encoder's code of every particle, `[N][k]`; none where no encoder was fitted.
    pub codes: Option<Vec<Vec<f32>>>,
    /// `precision.json`.
    pub precision: PrecisionRecord,
    /// `calibration.json`.
    pub calibration: CalibrationRecord,
    /// `cost-curve.json`.
    pub cost_curve: CostCurve,
    /// How MAP training, walk and fit went; none of a run made before that was kept.
    pub traces: Traces,
}

/// How the stages of a run went, each over its steps.
#[derive(Clone, Debug)]
pub struct Traces {
    /// `loss` of every MAP, the best one first.
    pub map: Option<Trace>,
    /// `nll` and `distance` of every particle.
    pub walk: Option<Trace>,
    /// `energy_score` and `divergence` of every structure tried.
    pub latent: Option<Trace>,
}

impl RunRecords {
    /// Reads them.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        let config = Config::read(&dir.path("config.toml"))?;
        let walk: WalkRecord = dir.read_json("walk.json")?;
        Ok(Self {
            requested: Config::read(&dir.path(REQUESTED))?,
            data: dir.read_json(DATA)?,
            choices: dir.read_json(CHOICES)?,
            imported: dir.has(IMPORTED),
            traces: Traces {
                map: Trace::read(dir, MAP_TRACE, &["loss"])?,
                walk: read_trace(dir, walk.particles.len())?,
                latent: Trace::read(dir, LATENT_TRACE, &["energy_score", "divergence"])?,
            },
            walk,
            latent: dir.read_json("latent.json")?,
            decoder: dir.read_tensor(LATENT, "decoder")?.concat(),
            codes: match config.latent.reconstruction > 0.0 {
                true => Some(dir.read_tensor(LATENT, "codes")?),
                false => None,
            },
            precision: dir.read_json("precision.json")?,
            calibration: dir.read_json("calibration.json")?,
            cost_curve: dir.read_json(COST_CURVE)?,
            config,
        })
    }
}
