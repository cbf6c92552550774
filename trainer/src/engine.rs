//! Ways to predict from a finished run: the runtime on the exported file, or networks in floats.

use rayon::prelude::*;

use fiberwalk_formats::{
    Artifact, CodeSource, INPUT_CLIP, INPUT_UNITS, Normalisation, Output, decode,
};
use fiberwalk_runtime::{Model, ModelCodes, Prediction};

use crate::data::{Layout, Schema, Series, Values};
use crate::network::{Architecture, Batch, Shape, outputs_of_each};
use crate::task::{Classification, Predictions, Regression, Thresholds};

/// Decoder draws of the float engine unless told otherwise.
pub const FLOAT_SAMPLES: usize = 256;

/// Engine that predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum EngineKind {
    /// The runtime crate on the exported file: what the board computes, bit for bit.
    Runtime,
    /// Draws from the decoder, in floats.
    Float,
    /// The walked particles.
    Particles,
    /// The MAP network.
    Map,
}

/// How to draw latent codes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draws {
    /// Number of samples; the artifact's own unless it is given, 256 of the float engine.
    pub samples: Option<usize>,
    /// Source of the runtime's codes; the artifact's own.
    pub source: Option<CodeSource>,
    /// Seed of drawn codes.
    pub seed: u64,
}

/// Something that predicts.
pub enum Engine {
    /// The runtime on an artifact.
    Runtime {
        /// The `.fwk` file.
        bytes: Vec<u8>,
        /// Latent codes.
        draws: Draws,
    },
    /// A mixture of networks in floats.
    Networks {
        /// Network.
        architecture: Architecture,
        /// Parameters, `[N][P]`.
        thetas: Vec<Vec<f32>>,
        /// Calibration of this mixture.
        thresholds: Thresholds,
    },
}

/// An engine with the meaning of its inputs and outputs.
pub struct Predictor {
    /// Columns and classes.
    pub schema: Schema,
    /// Engine that predicts.
    pub engine: Engine,
}

impl Predictor {
    /// The runtime on the bytes of a `.fwk` file.
    ///
    /// # Errors
    /// The bytes are no valid artifact.
    pub fn from_artifact(bytes: Vec<u8>, draws: Draws) -> anyhow::Result<Self> {
        let schema = schema_of(&decode(&bytes)?);
        Ok(Self { schema, engine: Engine::Runtime { bytes, draws } })
    }

    /// Predicts raw rows `[n, features]`, original units.
    ///
    /// # Errors
    /// More samples than stored codes, or drawn codes without a trunk.
    pub fn predict(&self, raw: &[f32]) -> anyhow::Result<Predictions> {
        self.predict_from(0, raw)
    }

    /// Predicts all of `values: [n, features]`, original units, some thousand rows at a time.
    ///
    /// # Errors
    /// The errors of [`Self::predict`].
    pub fn predict_all(&self, values: &Values) -> anyhow::Result<Predictions> {
        let mut all = Predictions::empty(self.schema.task.names().map(<[String]>::len));
        for part in self.predict_in_parts(values) {
            all.append(part?);
        }
        Ok(all)
    }

    /// Predicts as [`Self::predict_all`] does, one part of some thousand rows after another.
    pub fn predict_in_parts(
        &self,
        values: &Values,
    ) -> impl Iterator<Item = anyhow::Result<Predictions>> {
        let features = self.schema.layout.len();
        let rows = values.len() / features;
        let at_once = (AT_ONCE_BYTES / (size_of::<f32>() * features)).clamp(1, AT_ONCE);
        (0..rows).step_by(at_once).map(move |start| {
            let end = (start + at_once).min(rows);
            self.predict_from(start, &values.floats(start * features..end * features))
        })
    }

    /// Predicts rows of which the first has this number.
    fn predict_from(&self, first: usize, raw: &[f32]) -> anyhow::Result<Predictions> {
        match &self.engine {
            Engine::Runtime { bytes, draws } => predict_with_runtime(bytes, *draws, first, raw),
            Engine::Networks { architecture, thetas, thresholds } => {
                let x = self.schema.standardise(raw);
                let batch = Batch::from_rows(&x, architecture.inputs());
                let outputs = outputs_of_each(architecture, thetas, &batch);
                let likelihood = thresholds.calibration.likelihood();
                let predictive = likelihood.mixture(outputs, batch.rows());
                Ok(thresholds.apply(&predictive, &self.schema.task))
            }
        }
    }
}

/// Schema of an artifact's columns, as far as it knows them.
fn schema_of(artifact: &Artifact<'_>) -> Schema {
    let (target, task) = match artifact.output {
        Output::Classification { target, classes, .. } => {
            let classes = classes.iter().map(str::to_owned).collect();
            (target, Classification { classes }.into())
        }
        Output::Regression { target, mean, std, .. } => (target, Regression { mean, std }.into()),
    };
    let std = |scale: f32| INPUT_UNITS / (INPUT_CLIP * scale);
    let (mean, std) = match artifact.inputs.normalisation {
        Normalisation::Float { mean, scale } => {
            (mean.iter().collect(), scale.iter().map(std).collect())
        }
        Normalisation::Whole { multiplier, offset, offset_shift, shift, .. } => {
            let step = f32::from(shift).exp2();
            let half = if shift > 0 { 0.5 * step } else { 0.0 };
            let unit = f32::from(offset_shift).exp2();
            let means = offset.iter().zip(multiplier.iter());
            (
                means
                    .map(|(offset, m)| (half - f32::from(offset) * unit) / f32::from(m.max(1)))
                    .collect(),
                multiplier.iter().map(|m| std(f32::from(m.max(1)) / step)).collect(),
            )
        }
    };
    let shape = artifact.geometry.as_ref().map(|geometry| {
        let [height, width, channels] =
            [geometry.input.height, geometry.input.width, geometry.input.channels].map(usize::from);
        Shape { height, width, channels }
    });
    // A lone feature may go without a name.
    let unnamed = (shape.is_none() && artifact.inputs.names.is_empty()).then_some("");
    let names = artifact.inputs.names.iter().chain(unnamed).map(str::to_owned).collect();
    let layout = Layout::of_artifact(names, shape);
    // Of a map there is one a channel.
    let each = |values: Vec<f32>| values.into_iter().cycle().take(layout.len()).collect();
    Schema {
        mean: each(mean),
        std: each(std),
        layout,
        target: target.to_owned(),
        task,
        series: Series::default(),
    }
}

/// Rows that an engine predicts at a time, and most bytes of their features.
const AT_ONCE: usize = 16_384;
const AT_ONCE_BYTES: usize = 64 << 20;

/// Rows that one task of the thread pool predicts.
const CHUNK_ROWS: usize = 64;

fn predict_with_runtime(
    bytes: &[u8],
    draws: Draws,
    first: usize,
    raw: &[f32],
) -> anyhow::Result<Predictions> {
    let model = Model::from_bytes(bytes)?;
    let features = model.input_len();
    let none = || Predictions::empty(model.classes().map(|classes| classes.len()));
    let chunks: Vec<anyhow::Result<Predictions>> = raw
        .par_chunks(CHUNK_ROWS * features)
        .enumerate()
        .map(|(chunk, rows)| {
            let (mut scratch, mut predictions) = (vec![0; model.scratch_len()], none());
            for (index, x) in rows.chunks_exact(features).enumerate() {
                let row = (first + chunk * CHUNK_ROWS + index) as u64;
                let prediction = predict_row(&model, draws, row, x, &mut scratch)?;
                predictions.append(Predictions::of_row(&prediction));
            }
            Ok(predictions)
        })
        .collect();
    let mut predictions = none();
    for chunk in chunks {
        predictions.append(chunk?);
    }
    Ok(predictions)
}

fn predict_row<'s>(
    model: &'s Model<'_>,
    draws: Draws,
    row: u64,
    x: &[f32],
    scratch: &'s mut [u32],
) -> anyhow::Result<Prediction<'s>> {
    let samples = draws.samples.unwrap_or(model.samples());
    let seed = draws.seed.wrapping_add(row);
    let source = draws.source.unwrap_or(model.artifact().codes.source);
    let mut codes = ModelCodes::new(source, model.latent_dim(), seed);
    Ok(model.predict(x, &mut codes, samples, scratch)?)
}
