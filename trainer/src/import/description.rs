//! What the weights of a network do not say: a TOML file beside them.

use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use serde::Deserialize;

use super::layers::Layers;
use crate::config::read_toml;
use crate::network::Activation;

/// The description of a network. Safetensors need `layers`; all else may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// Activation after every layer but the last, `"tanh"` or `"relu"`.
    pub activation: Option<Activation>,
    /// The dense layers in order.
    pub layers: Vec<LayerName>,
    /// What the network was fed.
    pub inputs: Inputs,
    /// What it gives.
    pub outputs: Outputs,
    /// Reference outputs.
    pub check: Option<Check>,
}

/// Where the tensors of a dense layer are.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum LayerName {
    /// `NAME.weight`, `[outputs, inputs]`, and `NAME.bias`, as PyTorch names them.
    Prefix(String),
    /// Any names.
    Tensors(LayerTensors),
}

/// Names of the tensors of a dense layer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTensors {
    /// `[outputs, inputs]`, or the transposed.
    pub weight: String,
    /// `[outputs]`; none where the layer has no bias.
    pub bias: Option<String>,
    /// Whether the weights are `[inputs, outputs]`, as in Keras.
    #[serde(default)]
    pub transposed: bool,
}

/// Units and names of the inputs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Inputs {
    /// Names of the data's columns in the order of the inputs.
    pub names: Option<Vec<String>>,
    /// Subtracted from the features, one for all or one each.
    pub mean: Option<PerFeature>,
    /// Then divided by, one for all or one each.
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
    /// What a regressor's output is multiplied by.
    pub std: Option<f64>,
}

/// Tensors of reference rows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Safetensors file that holds them, beside the description; none where they are beside the weights.
    pub file: Option<PathBuf>,
    /// Features in original units, `[n, features]`.
    pub inputs: String,
    /// The network's outputs, `[n, outputs]`: logits, or the target in original units.
    pub outputs: Option<String>,
    /// Or the probabilities of its classes, `[n, classes]`.
    pub probabilities: Option<String>,
}

/// One value for all features, or one each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PerFeature {
    /// The same for all.
    Same(f64),
    /// One each.
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

    /// Brings inputs and outputs of the layers to original units.
    pub fn normalise(&self, layers: &mut Layers) -> anyhow::Result<()> {
        if let (Some(said), Some(found)) = (self.activation, layers.activation)
            && said != found
        {
            bail!("activation: found {said:?}, but the model has {found:?}");
        }
        let width = layers.dense.first().map_or(0, |layer| layer.inputs());
        let each = |values: &Option<PerFeature>, default: f64, field| match values {
            None => Ok(vec![default; width]),
            Some(PerFeature::Same(value)) => Ok(vec![*value; width]),
            Some(PerFeature::Each(values)) if values.len() == width => Ok(values.clone()),
            Some(PerFeature::Each(values)) => {
                bail!("{field}: found {} values, expected 1 or {width}", values.len())
            }
        };
        let mean = each(&self.inputs.mean, 0.0, "inputs.mean")?;
        let std = each(&self.inputs.std, 1.0, "inputs.std")?;
        let positive = |std: f64| std.is_finite() && std > 0.0;
        let stds = std.iter().copied().chain(self.outputs.std);
        if let Some(std) = stds.into_iter().find(|&std| !positive(std)) {
            bail!("inputs.std or outputs.std: found {std}, expected numbers above 0");
        }
        let factor: Vec<f64> = std.iter().map(|std| 1.0 / std).collect();
        if width > 0 {
            layers.take_raw_inputs(&mean, &factor);
        }
        let (mean, std) = (self.outputs.mean, self.outputs.std);
        if mean.is_some() || std.is_some() {
            layers.rescale_output(mean.unwrap_or(0.0), std.unwrap_or(1.0));
        }
        Ok(())
    }
}
