//! All that the stages of a run record of themselves.

use crate::choose::Choices;
use crate::config::Config;
use crate::decoder::LatentLaw;
use crate::export::{self, CalibrationRecord, CostCurve, PrecisionRecord};
use crate::latent::{self, LatentRecord};
use crate::map;
use crate::refine::{self, Refined};
use crate::run_data::{DataRecord, imported_by};
use crate::run_dir::{REQUESTED, RunDir};
use crate::trace::Trace;
use crate::walk::{self, WalkRecord};

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
    /// What came of the refinement; none where particles stay where the walk ended.
    pub refined: Option<Refined>,
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
        let data = DataRecord::read(dir)?;
        let requested = Config::read_from(dir, REQUESTED)?;
        let (network, decoded) =
            (data.architecture(&requested)?, data.decoded_architecture(&requested)?);
        let task = &data.schema.task;
        let particles = requested.walk.particles;
        let latent = LatentRecord::read(dir, &decoded)?;
        let fits_encoder = requested.latent.reconstruction > 0.0
            && matches!(latent.shape.law(), LatentLaw::Normal(_));
        Ok(Self {
            config: export::read_config(dir)?,
            choices: Choices::read(dir, network.depth(), task)?,
            imported: imported_by(dir)?.is_some(),
            traces: Traces {
                map: map::read_trace(dir)?,
                walk: walk::read_trace(dir, particles)?,
                latent: latent::read_trace(dir)?,
            },
            walk: WalkRecord::read(dir, particles)?,
            refined: refine::read_refined(dir)?,
            decoder: latent::read_decoder(dir, &latent.shape)?,
            codes: fits_encoder.then(|| latent::read_codes(dir, &latent.shape)).transpose()?,
            latent,
            precision: PrecisionRecord::read(dir, decoded.depth())?,
            calibration: CalibrationRecord::read(dir, task)?,
            cost_curve: CostCurve::read(dir)?,
            requested,
            data,
        })
    }
}
