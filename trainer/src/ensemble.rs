//! Networks of a run for other frameworks: parameters stacked over networks, in a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::data::Task;
use crate::engine::{Engine, Predictor};
use crate::import::Layers;
use crate::network::Activation;
use crate::predictive::Calibration;
use crate::run_dir::write_atomically;

/// Name of the text in the file that describes the networks.
const NOTE: &str = "fiberwalk";

/// What the tensors do not say.
#[derive(Serialize)]
struct About<'a> {
    /// Names of the inputs.
    features: &'a [String],
    /// Name of what is predicted.
    target: &'a str,
    /// Names of the outputs' classes; none for a number.
    classes: Option<&'a [String]>,
    /// After every layer but the last.
    activation: Activation,
    /// T of p ∝ p̄^(1/T), p̄ the mean of the networks' probabilities; none for a number.
    temperature: Option<f64>,
    /// Standard deviation of the noise, the target's units; none for classes.
    noise_std: Option<f64>,
}

/// Writes the networks of `predictor` to `path`: for the layer of index i the tensors `{2i}.weight`,
/// `[N, outputs, inputs]`, and `{2i}.bias`, `[N, outputs]`, as PyTorch names those of a `Sequential` of
/// linear layers and activations; a single network without N. They map features in original units to logits,
/// or to the target in original units.
///
/// # Errors
/// A predictor of the runtime, which has no networks, or a file that cannot be written.
pub fn write(predictor: &Predictor, path: &Path) -> anyhow::Result<()> {
    let Engine::Networks { architecture, thetas, thresholds } = &predictor.engine else {
        bail!("the runtime has no networks to write: --engine particles, float or map");
    };
    let schema = &predictor.schema;
    let (mean, unit) = match schema.task {
        Task::Regression { mean, std } => (f64::from(mean), f64::from(std)),
        Task::Classification { .. } => (0.0, 1.0),
    };
    let offset: Vec<f64> = schema.mean.iter().map(|&mean| mean.into()).collect();
    let factor: Vec<f64> = schema.std.iter().map(|&std| 1.0 / f64::from(std)).collect();
    let Some(activation) = architecture.as_perceptron() else {
        bail!("export is of networks of dense layers with one activation, not of convolutions");
    };
    let depth = architecture.depth();
    let mut tensors = vec![Vec::new(); 2 * depth];
    for theta in thetas {
        let mut layers = Layers::of(architecture, theta);
        layers.take_raw_inputs(&offset, &factor);
        layers.rescale_output(mean, unit);
        for (layer, tensors) in layers.dense.iter().zip(tensors.chunks_exact_mut(2)) {
            for (values, tensor) in [&layer.weights, &layer.biases].into_iter().zip(tensors) {
                tensor.extend(values.iter().flat_map(|&value| (value as f32).to_le_bytes()));
            }
        }
    }
    let stacked = if thetas.len() == 1 { vec![] } else { vec![thetas.len()] };
    let mut views = Vec::with_capacity(2 * depth);
    for (index, (layer, bytes)) in architecture.layers().zip(tensors.chunks_exact(2)).enumerate() {
        let weights = [stacked.as_slice(), &[layer.outputs, layer.inputs]].concat();
        let biases = [stacked.as_slice(), &[layer.outputs]].concat();
        for ((name, shape), bytes) in [("weight", weights), ("bias", biases)].into_iter().zip(bytes)
        {
            views.push((
                format!("{}.{name}", 2 * index),
                TensorView::new(Dtype::F32, shape, bytes)?,
            ));
        }
    }
    let (temperature, noise_std) = match thresholds.calibration {
        Calibration::Temperature(temperature) => (Some(temperature), None),
        Calibration::NoiseStd(noise_std) => (None, Some(noise_std * unit)),
    };
    let about = About {
        features: &schema.features.0,
        target: &schema.target,
        classes: match &schema.task {
            Task::Classification { classes } => Some(classes),
            Task::Regression { .. } => None,
        },
        activation,
        temperature,
        noise_std,
    };
    let note = HashMap::from([(NOTE.to_owned(), serde_json::to_string(&about)?)]);
    let bytes = safetensors::serialize(views, Some(note)).context("cannot write the tensors")?;
    write_atomically(path, &bytes)
}
