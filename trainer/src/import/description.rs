//! Description of a network beside its weights: a TOML file.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use serde::Deserialize;

use super::units::{InputUnits, OutputUnits};
use crate::config::read_toml;
use crate::network::{Activation, LayerSpec, Shape};

/// The description of a network. Safetensors need `layers`; all else may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// Activation after every layer but the last, where `hidden` says no other.
    pub activation: Option<Activation>,
    /// The hidden layers, as `network.hidden` of a configuration has them; none where all are dense.
    pub hidden: Option<Vec<LayerSpec>>,
    /// The layers with weights, in order.
    pub layers: Vec<LayerName>,
    /// Units and names of the inputs.
    pub inputs: Inputs,
    /// Names or units of the outputs.
    pub outputs: Outputs,
    /// Reference outputs.
    pub check: Option<Check>,
}

/// Where the tensors of a layer are.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum LayerName {
    /// `NAME.weight` and `NAME.bias`, as PyTorch names them.
    Prefix(String),
    /// Any names.
    Tensors(LayerTensors),
}

/// Names of the tensors of a layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTensors {
    /// `[outputs, inputs]` of a dense layer, `[outputs, inputs / groups, height, width]` of a convolution.
    pub weight: String,
    /// `[outputs]`; none where the layer has no bias.
    pub bias: Option<String>,
    /// Whether the weights are as in Keras: `[inputs, outputs]`, `[height, width, inputs / groups, outputs]`.
    #[serde(default)]
    pub transposed: bool,
    /// Batch normalisation between the layer and its activation.
    pub norm: Option<NormName>,
}

/// Where the tensors of a batch normalisation are, each `[outputs]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum NormName {
    /// `NAME.weight`, `NAME.bias`, `NAME.running_mean` and `NAME.running_var`, as PyTorch names them.
    Prefix(String),
    /// Any names.
    Tensors(NormTensors),
}

/// Names of the tensors of a batch normalisation (Ioffe and Szegedy 2015):
/// y = weight · (x − mean) / √(variance + epsilon) + bias.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormTensors {
    /// Scale γ; none for 1.
    pub weight: Option<String>,
    /// Shift β; none for 0.
    pub bias: Option<String>,
    /// Running mean.
    pub mean: String,
    /// Running variance.
    pub variance: String,
    /// ε: 1e-5 in PyTorch, which is the default, 1e-3 in Keras.
    #[serde(default = "NormTensors::epsilon")]
    pub epsilon: f64,
}

impl NormTensors {
    /// ε where none is named.
    pub const fn epsilon() -> f64 {
        1e-5
    }
}

/// Units and names of the inputs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// Height, width and channels of an image or a series (of height 1); none for features.
    pub shape: Option<[usize; 3]>,
    /// Names of the data's columns, or of a series' channels, in the order of the inputs.
    pub names: Option<Vec<String>>,
    /// Subtracted from the features, one for all, or one for each or for each channel.
    pub mean: Option<PerFeature>,
    /// Divisor of the features less `mean`, one for all, or one for each or for each channel.
    pub std: Option<PerFeature>,
}

/// Names of the classes, or units of the number.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outputs {
    /// Classes in the order of the outputs.
    pub classes: Option<Vec<String>>,
    /// Added to a regressor's output times `std`.
    pub mean: Option<f64>,
    /// Factor of a regressor's output.
    pub std: Option<f64>,
}

/// Tensors of reference rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Safetensors file that holds them, beside the description; none where they are beside the weights.
    pub file: Option<PathBuf>,
    /// Features in original units, `[n, features]`, or maps in the order of the source.
    pub inputs: String,
    /// The network's outputs, `[n, outputs]`: logits, or the target in original units.
    pub outputs: Option<String>,
    /// Probabilities of its classes, `[n, classes]`, in place of `outputs`.
    pub probabilities: Option<String>,
}

/// One value for all features, or one each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PerFeature {
    /// One value for all features.
    Same(f64),
    /// One value a feature.
    Each(Vec<f64>),
}

impl Description {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let about: Self = read_toml(path)?;
        if let Some(check) = &about.check {
            let one = check.outputs.is_some() != check.probabilities.is_some();
            let shown = path.display();
            ensure!(one, "{shown}: [check] needs either `outputs` or `probabilities`");
        }
        Ok(about)
    }

    /// The map that the network reads, if it was said.
    pub fn shape(&self) -> anyhow::Result<Option<Shape>> {
        let [height, width, channels] = match self.inputs.shape {
            None => return Ok(None),
            Some(sides) => sides,
        };
        let shape = Shape { height, width, channels };
        let most = fiberwalk_formats::MAX_MAP;
        let sides = [height, width, channels];
        ensure!(
            sides.iter().all(|side| (1..=most).contains(side)) && shape.len() <= most,
            "inputs.shape: found {sides:?}, expected height, width and channels of at most {most} values"
        );
        Ok(Some(shape))
    }
}

impl Inputs {
    /// Units of what the network was fed, of so many channels.
    ///
    /// # Errors
    /// Neither one value nor one a channel, or a deviation that is not above 0.
    pub fn units(&self, channels: usize) -> anyhow::Result<InputUnits> {
        let each = |values: &Option<PerFeature>, default: f64, field| match values {
            None => Ok(vec![default; channels]),
            Some(PerFeature::Same(value)) => Ok(vec![*value; channels]),
            Some(PerFeature::Each(values)) if values.len() == channels => Ok(values.clone()),
            Some(PerFeature::Each(values)) => {
                bail!("{field}: found {} values, expected 1 or {channels}", values.len())
            }
        };
        let mean = each(&self.mean, 0.0, "inputs.mean")?;
        let std = each(&self.std, 1.0, "inputs.std")?;
        for &std in &std {
            ensure!(positive(std), "inputs.std: found {std}, expected numbers above 0");
        }
        Ok(InputUnits { mean, factor: std.iter().map(|std| 1.0 / std).collect() })
    }
}

impl Outputs {
    /// Units of a regressor's target, if they are said.
    ///
    /// # Errors
    /// A deviation that is not above 0.
    pub fn units(&self) -> anyhow::Result<Option<OutputUnits>> {
        if self.mean.is_none() && self.std.is_none() {
            return Ok(None);
        }
        let (mean, std) = (self.mean.unwrap_or(0.0), self.std.unwrap_or(1.0));
        ensure!(positive(std), "outputs.std: found {std}, expected a number above 0");
        Ok(Some(OutputUnits { mean, std }))
    }
}

fn positive(std: f64) -> bool {
    std.is_finite() && std > 0.0
}
