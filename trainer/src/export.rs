//! The `.fwk` file and the Rust module beside it.

use std::fmt::Write;

use anyhow::Context;

use fiberwalk_formats::{
    Artifact, CodeSource, Codes, F32s, INPUT_CLIP, INPUT_UNITS, Inputs, Names, Output, Provenance,
    encode,
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
        let mean = float_bytes(self.schema.mean.iter().copied());
        let scale = self.schema.std.iter().map(|std| INPUT_UNITS / (INPUT_CLIP * std));
        let scale = float_bytes(scale);
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
            inputs: Inputs {
                names: Names::new(&names),
                mean: F32s::new(&mean),
                scale: F32s::new(&scale),
            },
            layers: self.quantised.layers().collect(),
            trunk: Some(self.quantised.trunk()),
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
        let mut buffer = vec![0; 4096 + 2 * self.size_hint(&artifact)];
        let length = encode(&artifact, &mut buffer).context("cannot encode the artifact")?;
        buffer.truncate(length);
        Ok(buffer)
    }

    fn output<'s>(&'s self, classes: &'s str) -> Output<'s> {
        let (coverage, target) = (self.coverage as f32, self.schema.target.as_str());
        let Thresholds { calibration, conformal, epistemic } = self.thresholds;
        match (&self.schema.task, calibration) {
            (Task::Classification { .. }, Calibration::Temperature(temperature)) => {
                Output::Classification {
                    target,
                    classes: Names::new(classes),
                    inverse_temperature: (1.0 / temperature) as f32,
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

    /// Rough size of the arrays, bytes.
    fn size_hint(&self, artifact: &Artifact<'_>) -> usize {
        let dense = |dense: &fiberwalk_formats::Dense<'_>| {
            dense.weights.bytes().len() + 3 * dense.bias.bytes().len()
        };
        let layers = artifact.layers.iter().map(|layer| {
            let factors = layer.factors.projection().map_or(0, |(projection, _)| dense(projection));
            let outputs = usize::from(layer.mean.outputs);
            dense(&layer.mean) + factors + outputs * layer.factors.modulations()
        });
        let trunk = artifact.trunk.iter().map(|trunk| dense(&trunk.hidden) + dense(&trunk.output));
        let names: usize = self.schema.features.0.iter().map(String::len).sum();
        layers.chain(trunk).sum::<usize>()
            + artifact.codes.stored.bytes().len()
            + names
            + 9 * self.schema.features.0.len()
            + 64 * self.schema.outputs()
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

fn float_bytes(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}
