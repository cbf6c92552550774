//! The `.fwk` file and the Rust module beside it.

use std::fmt::Write;

use anyhow::Context;

use fiberwalk_formats::{
    Artifact, CodeSource, Codes, EncodeError, F32s, I32s, INPUT_CLIP, INPUT_UNITS, Inputs,
    MAX_INVERSE_TEMPERATURE, MAX_OFFSET, Names, Normalisation, Output, Provenance, Reading,
    TEMPERATURE_BITS, encode,
};

use crate::calibrate::Thresholds;
use crate::data::{Schema, Task};
use crate::predictive::Calibration;
use crate::quantise::Quantised;

/// Everything that goes into an artifact.
pub struct Export<'a> {
    /// Network and decoder in integers.
    pub quantised: &'a Quantised,
    /// Columns and normalisation.
    pub schema: &'a Schema,
    /// Calibration of the runtime.
    pub thresholds: Thresholds,
    /// Coverage of sets and intervals.
    pub coverage: f64,
    /// Dimension of the latent code.
    pub latent_dim: usize,
    /// Default source of codes.
    pub source: CodeSource,
    /// Default number of samples.
    pub samples: usize,
    /// Type of raw readings that the board feeds; none for floats.
    pub reading: Option<Reading>,
    /// Whether the trunk is exported, so that codes can be drawn.
    pub trunk: bool,
    /// Seed of the run.
    pub seed: u64,
    /// Date, if one is recorded.
    pub date: Option<&'a str>,
}

impl Export<'_> {
    /// The bytes of the `.fwk` file.
    ///
    /// # Errors
    /// A shape or number outside the format's limits.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let names = self.schema.features.0.join("\n");
        let normalisation = NormalisationBytes::new(self.schema, self.reading);
        let classes = match &self.schema.task {
            Task::Classification { classes } => classes.join("\n"),
            Task::Regression { .. } => String::new(),
        };
        let mut artifact = Artifact {
            provenance: Provenance {
                fiberwalk: env!("CARGO_PKG_VERSION"),
                seed: self.seed,
                date: self.date,
            },
            inputs: Inputs { names: Names::new(&names), normalisation: normalisation.view() },
            layers: self.quantised.layers().collect(),
            trunk: self.trunk.then(|| self.quantised.trunk()),
            codes: Codes {
                latent_dim: self.latent_dim as u8,
                source: self.source,
                samples: self.samples as u16,
                stored: self.quantised.stored(),
            },
            output: self.output(&classes),
            scratch_len: 0,
        };
        artifact.scratch_len = artifact.required_scratch() as u32;
        let mut buffer = vec![0; FIRST_BUFFER];
        loop {
            match encode(&artifact, &mut buffer) {
                Err(EncodeError::BufferTooSmall { found }) => buffer.resize(4 * found, 0),
                result => {
                    buffer.truncate(result.context("cannot encode the artifact")?);
                    return Ok(buffer);
                }
            }
        }
    }

    fn output<'s>(&'s self, classes: &'s str) -> Output<'s> {
        let (coverage, target) = (self.coverage as f32, self.schema.target.as_str());
        let Thresholds { calibration, conformal, epistemic } = self.thresholds;
        match (&self.schema.task, calibration) {
            (Task::Classification { .. }, Calibration::Temperature(temperature)) => {
                Output::Classification {
                    target,
                    classes: Names::new(classes),
                    inverse_temperature: inverse_temperature(temperature),
                    set_threshold: conformal,
                    coverage,
                    epistemic_threshold: epistemic,
                }
            }
            (Task::Regression { mean, std }, Calibration::NoiseStd(noise)) => Output::Regression {
                target,
                mean: *mean,
                std: *std,
                noise_variance: (noise * noise) as f32,
                interval: conformal.max(f32::MIN_POSITIVE),
                coverage,
                epistemic_threshold: epistemic,
            },
            _ => unreachable!("the calibration is of the schema's task"),
        }
    }
}

/// Bytes that most artifacts fit into.
const FIRST_BUFFER: usize = 1 << 16;

/// 1 / T in the artifact's units.
fn inverse_temperature(temperature: f64) -> u32 {
    let units = f64::from(1u32 << TEMPERATURE_BITS) / temperature;
    units.round().clamp(1.0, f64::from(MAX_INVERSE_TEMPERATURE)) as u32
}

/// The arrays of a normalisation.
enum NormalisationBytes {
    Float { mean: Vec<u8>, scale: Vec<u8> },
    Whole { reading: Reading, multiplier: Vec<u8>, offset: Vec<u8>, shift: u8 },
}

impl NormalisationBytes {
    fn new(schema: &Schema, reading: Option<Reading>) -> Self {
        let scales = schema.std.iter().map(|std| INPUT_UNITS / (INPUT_CLIP * std));
        let Some(reading) = reading else {
            let float_bytes =
                |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect();
            let mut means = schema.mean.iter().copied();
            let (mut scales, mean) = (scales, float_bytes(&mut means));
            return Self::Float { mean, scale: float_bytes(&mut scales) };
        };
        let scales: Vec<f64> = scales.map(f64::from).collect();
        // The finest step with which every product and offset stays within its range.
        let limits = scales.iter().zip(&schema.mean).map(|(scale, mean)| {
            let by_offset = f64::from(MAX_OFFSET / 2) / (scale * f64::from(mean.abs()).max(1.0));
            by_offset.min(f64::from(reading.max_multiplier()) / scale)
        });
        let shift = limits.fold(f64::INFINITY, f64::min).log2().floor().clamp(0.0, 31.0);
        let step = shift.exp2();
        let int_bytes = |values: Vec<f64>| {
            values.into_iter().flat_map(|value| (value.round() as i32).to_le_bytes()).collect()
        };
        let most = f64::from(reading.max_multiplier());
        let multipliers: Vec<f64> = scales.iter().map(|s| (s * step).round().min(most)).collect();
        let offsets = multipliers.iter().zip(&schema.mean).map(|(multiplier, &mean)| {
            // Half a step rounds the shift.
            let half = if shift > 0.0 { 0.5 * step } else { 0.0 };
            let offset = half - multiplier * f64::from(mean);
            offset.clamp(-f64::from(MAX_OFFSET), f64::from(MAX_OFFSET))
        });
        let offset = int_bytes(offsets.collect());
        Self::Whole { reading, multiplier: int_bytes(multipliers), offset, shift: shift as u8 }
    }

    fn view(&self) -> Normalisation<'_> {
        match self {
            Self::Float { mean, scale } => {
                Normalisation::Float { mean: F32s::new(mean), scale: F32s::new(scale) }
            }
            Self::Whole { reading, multiplier, offset, shift } => Normalisation::Whole {
                reading: *reading,
                multiplier: I32s::new(multiplier),
                offset: I32s::new(offset),
                shift: *shift,
            },
        }
    }
}

/// The Rust module for `include!` in firmware; `file` is the `.fwk` file beside it.
///
/// # Errors
/// The bytes are no valid artifact.
pub fn rust_module(bytes: &[u8], file: &str) -> anyhow::Result<String> {
    let artifact = fiberwalk_formats::decode(bytes)?;
    let mut text = format!(
        "// Generated by fiberwalk {}; the model is in {file:?} beside this file.\n\n\
         /// The model, to be read with `fiberwalk_runtime::Model::from_bytes`.\n\
         pub static MODEL: &[u8] = include_bytes!({file:?});\n\
         /// Length of the scratch buffer, 32-bit words.\n\
         pub const SCRATCH_LEN: usize = {};\n\
         /// Samples of a prediction.\n\
         pub const SAMPLES: usize = {};\n",
        artifact.provenance.fiberwalk, artifact.scratch_len, artifact.codes.samples
    );
    let mut list = |doc: &str, name: &str, items: Vec<&str>| {
        writeln!(text, "/// {doc}\npub static {name}: [&str; {}] = {items:?};", items.len())
    };
    list(
        "Features, in the order of the input.",
        "FEATURES",
        artifact.inputs.names.iter().collect(),
    )?;
    match artifact.output {
        Output::Classification { classes, .. } => {
            let doc = "Classes, in the order of the probabilities.";
            list(doc, "CLASSES", classes.iter().collect())?;
        }
        Output::Regression { target, .. } => {
            writeln!(text, "/// What is predicted.\npub const TARGET: &str = {target:?};")?;
        }
    }
    Ok(text)
}
