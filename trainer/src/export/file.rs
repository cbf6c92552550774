//! The `.fwk` file and the Rust module beside it.

use std::fmt::Write;

use anyhow::{Context, bail};

use fiberwalk_formats::{
    Artifact, CodeSource, Codes, EncodeError, F32s, I16s, INPUT_CLIP, INPUT_UNITS, Inputs,
    MAX_BIAS_SHIFT, Names, Normalisation, Output, Provenance, Reading, Shape, encode,
};

use crate::data::Schema;
use crate::decoder::{DecoderShape, LayerDecoder};
use crate::network::{Architecture, Batch};
use crate::quantise::{Precision, Quantised, Ranges, Unquantised};
use crate::task::{Calibration, Thresholds};

/// Everything that goes into an artifact.
pub struct DecoderExport<'a> {
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

impl DecoderExport<'_> {
    /// The bytes of the `.fwk` file.
    ///
    /// # Errors
    /// A shape or number outside the format's limits.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let geometry = self.quantised.geometry();
        // Of a map one normalisation a channel, and names of the channels where they have some.
        let (names, normalised) = match &geometry {
            None => (self.schema.layout.names(), self.schema.layout.len()),
            Some(geometry) => (self.schema.layout.channel_names(), geometry.input.channels.into()),
        };
        let names = names.join("\n");
        let normalisation = NormalisationBytes::new(self.schema, normalised, self.reading)?;
        let classes = self.schema.task.names().unwrap_or_default().join("\n");
        let mut artifact = Artifact {
            provenance: Provenance {
                fiberwalk: env!("CARGO_PKG_VERSION"),
                seed: self.seed,
                date: self.date,
            },
            inputs: Inputs { names: Names::new(&names), normalisation: normalisation.view() },
            layers: self.quantised.layers().collect(),
            trunk: self.quantised.trunk().filter(|_| self.trunk),
            codes: Codes {
                latent_dim: self.latent_dim as u8,
                source: self.source,
                samples: self.samples as u16,
                stored: self.quantised.stored(),
            },
            output: self.output(&classes),
            scratch_len: 0,
            geometry,
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
        let (task, target) = (&self.schema.task, self.schema.target.as_str());
        task.output(target, classes, self.thresholds, self.coverage as f32)
    }
}

/// The format wants a latent code, though no layer of a network alone reads it.
const LATENT_DIM: usize = 1;

/// A network alone in int8, without doubt about its weights: an artifact whose layers are all frozen.
pub struct NetworkExport<'a> {
    /// Its shape.
    pub architecture: &'a Architecture,
    /// Its parameters, `[P]`.
    pub theta: &'a [f32],
    /// Inputs that ranges are measured on, standardised.
    pub inputs: &'a Batch,
    /// Columns and normalisation.
    pub schema: &'a Schema,
    /// Temperature or noise.
    pub calibration: Calibration,
    /// Coverage that the file names.
    pub coverage: f64,
    /// Type of raw readings that the board feeds; none for floats.
    pub reading: Option<Reading>,
    /// Seed of the run.
    pub seed: u64,
}

impl NetworkExport<'_> {
    /// The bytes of its `.fwk` file.
    ///
    /// # Errors
    /// It is beyond the format's limits.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let depth = self.architecture.depth();
        let shape = DecoderShape {
            architecture: self.architecture.clone(),
            structure: vec![LayerDecoder::Frozen; depth],
            latent_dim: LATENT_DIM,
        };
        let mut decoder = self.theta.to_vec();
        decoder.resize(shape.parameters(), 0.0);
        let source = Unquantised {
            shape: &shape,
            decoder: &decoder,
            logits: self.schema.task.classifies(),
            stored: &[],
            sampled: &[Vec::new()],
            batch: self.inputs,
        };
        let precision = Precision::eight(depth);
        let export = DecoderExport {
            quantised: &Quantised::new(&source, &Ranges::measure(&source), &precision),
            schema: self.schema,
            thresholds: Thresholds::open(self.calibration),
            coverage: self.coverage,
            latent_dim: LATENT_DIM,
            source: CodeSource::Stored,
            samples: 1,
            reading: self.reading,
            trunk: false,
            seed: self.seed,
            date: None,
        };
        export.to_bytes()
    }
}

/// Bytes that most artifacts fit into.
const FIRST_BUFFER: usize = 1 << 16;

/// The arrays of a normalisation.
enum NormalisationBytes {
    Float { mean: Vec<u8>, scale: Vec<u8> },
    Whole { reading: Reading, multiplier: Vec<u8>, offset: Vec<u8>, offset_shift: u8, shift: u8 },
}

impl NormalisationBytes {
    /// Normalisation of the first `count` features.
    ///
    /// # Errors
    /// The features' scales differ too much for raw readings.
    fn new(schema: &Schema, count: usize, reading: Option<Reading>) -> anyhow::Result<Self> {
        let (means, stds) = (&schema.mean[..count], &schema.std[..count]);
        let scales = stds.iter().map(|std| INPUT_UNITS / (INPUT_CLIP * std));
        let Some(reading) = reading else {
            let mean = means.iter().flat_map(|mean| mean.to_le_bytes()).collect();
            return Ok(Self::Float { mean, scale: scales.flat_map(f32::to_le_bytes).collect() });
        };
        const LARGEST: f64 = i16::MAX as f64;
        let scales: Vec<f64> = scales.map(|scale| f64::from(scale).min(LARGEST_SCALE)).collect();
        let largest = scales.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let shift = (LARGEST / largest).log2().floor().clamp(0.0, f64::from(MAX_INPUT_SHIFT));
        let step = shift.exp2();
        let multipliers: Vec<f64> =
            scales.iter().map(|scale| (scale * step).round().min(LARGEST)).collect();
        if let Some(feature) = multipliers.iter().position(|&m| m < SMALLEST_MULTIPLIER) {
            bail!(
                "feature {}: its standard deviation {} is too far from the smallest one, {}: \
                 set export.input = \"float\"",
                schema.layout.names()[feature],
                stds[feature],
                stds.iter().copied().fold(f32::INFINITY, f32::min)
            );
        }
        // Half a step rounds the shift.
        let half = if shift > 0.0 { 0.5 * step } else { 0.0 };
        let offsets: Vec<f64> = multipliers
            .iter()
            .zip(means)
            .map(|(multiplier, &mean)| half - multiplier * f64::from(mean))
            .collect();
        let farthest = offsets.iter().fold(1.0f64, |farthest, offset| farthest.max(offset.abs()));
        let offset_shift = (farthest / LARGEST).log2().ceil().clamp(0.0, MAX_BIAS_SHIFT as f64);
        let halves = |values: &[f64], unit: f64| {
            let whole = values.iter().map(|value| {
                ((value / unit).round().clamp(-LARGEST, LARGEST) as i16).to_le_bytes()
            });
            whole.flatten().collect()
        };
        Ok(Self::Whole {
            reading,
            multiplier: halves(&multipliers, 1.0),
            offset: halves(&offsets, offset_shift.exp2()),
            offset_shift: offset_shift as u8,
            shift: shift as u8,
        })
    }

    fn view(&self) -> Normalisation<'_> {
        match self {
            Self::Float { mean, scale } => {
                Normalisation::Float { mean: F32s::new(mean), scale: F32s::new(scale) }
            }
            Self::Whole { reading, multiplier, offset, offset_shift, shift } => {
                Normalisation::Whole {
                    reading: *reading,
                    multiplier: I16s::new(multiplier),
                    offset: I16s::new(offset),
                    offset_shift: *offset_shift,
                    shift: *shift,
                }
            }
        }
    }
}

/// Scale with which a step of one reading goes beyond the clip either way.
const LARGEST_SCALE: f64 = 2.0 * INPUT_UNITS as f64;
/// A multiplier this small is precise to 0.4%.
const SMALLEST_MULTIPLIER: f64 = 128.0;
/// Half a step must fit into the offset.
const MAX_INPUT_SHIFT: u8 = 29;

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
    let list = |text: &mut String, doc: &str, name: &str, items: Vec<&str>| {
        writeln!(text, "/// {doc}\npub static {name}: [&str; {}] = {items:?};", items.len())
    };
    let names = artifact.inputs.names.iter().collect();
    match artifact.maps() {
        None => list(&mut text, "Features, in the order of the input.", "FEATURES", names)?,
        Some(maps) => {
            if !artifact.inputs.names.is_empty() {
                list(&mut text, "Channels, in the order of the input.", "CHANNELS", names)?;
            }
            let Shape { height, width, channels } = maps.input;
            writeln!(
                text,
                "/// Height, width and channels of the input: its index is (y · width + x) · channels + c.\n\
                 pub const INPUT: [usize; 3] = [{height}, {width}, {channels}];"
            )?;
        }
    }
    match artifact.output {
        Output::Classification { classes, .. } => {
            let doc = "Classes, in the order of the probabilities.";
            list(&mut text, doc, "CLASSES", classes.iter().collect())?;
        }
        Output::Regression { target, .. } => {
            writeln!(text, "/// What is predicted.\npub const TARGET: &str = {target:?};")?;
        }
    }
    Ok(text)
}
