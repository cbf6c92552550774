//! Networks of a run for other frameworks: parameters stacked over networks, in a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use crate::engine::{Engine, Predictor};
use crate::import::{Layers, Order};
use crate::network::{Activation, Architecture, LayerSpec, PlacedBlock};
use crate::run_dir::write_atomically;
use crate::task::{Calibration, NoiseStd, Temperature};

/// Name of the text in the file that describes the networks.
const NOTE: &str = "fiberwalk";

/// Description of the networks, beside their tensors.
#[derive(Serialize)]
struct About<'a> {
    /// Names of the inputs, of a series those of its channels; none of images.
    features: &'a [String],
    /// Channels, height and width of an image, channels and length of a series; none of features.
    #[serde(skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<usize>>,
    /// Values subtracted from the channels of the input before the first layer: where that has padding,
    /// they are no part of the biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean: Option<&'a [f64]>,
    /// Name of what is predicted.
    target: &'a str,
    /// Names of the outputs' classes; none for a number.
    classes: Option<&'a [String]>,
    /// The hidden layers, as a configuration has them, each with its activation.
    hidden: Vec<LayerSpec>,
    /// T of p ∝ p̄^(1/T), p̄ the mean of the networks' probabilities; none for a number.
    temperature: Option<f64>,
    /// Standard deviation of the noise, the target's units; none for classes.
    noise_std: Option<f64>,
}

/// Writes the networks of `predictor` to `path`: for every layer the tensors `NAME.weight` and `NAME.bias`, as
/// PyTorch names and shapes those of a `Sequential` of layers, activations, pooling and one `Flatten`, stacked
/// over networks; a single network without that dimension. They map features in original units to logits, or
/// to the target in original units; a column that is read less an offset is fed less it, as its name says.
///
/// # Errors
/// A predictor of the runtime, which has no networks, or a file that cannot be written.
pub fn write(predictor: &Predictor, path: &Path) -> anyhow::Result<()> {
    let Engine::Networks { architecture, thetas, thresholds } = &predictor.engine else {
        bail!("the runtime has no networks to write: take the `engine` particles, float or map");
    };
    let schema = &predictor.schema;
    let (mean, unit) = (f64::from(schema.task.origin()), f64::from(schema.task.unit()));
    let offset: Vec<f64> = schema.mean.iter().map(|&mean| mean.into()).collect();
    let factor: Vec<f64> = schema.std.iter().map(|&std| 1.0 / f64::from(std)).collect();
    let blocks = architecture.placed_blocks();
    let mut tensors = vec![Vec::new(); 2 * blocks.len()];
    let mut padding = None;
    for theta in thetas {
        let mut layers = Layers::of(architecture, theta, None);
        layers.take_raw_inputs(&offset, &factor);
        layers.rescale_output(mean, unit);
        padding = layers.padding().map(<[f64]>::to_vec);
        let each = layers.layers.iter().zip(&blocks).zip(tensors.chunks_exact_mut(2));
        for ((layer, placed), tensors) in each {
            let weights = Order::ChannelsFirst.of_channels_last(&layer.weights, placed.reads());
            for (values, tensor) in [&weights, &layer.biases].into_iter().zip(tensors) {
                tensor.extend(values.iter().flat_map(|&value| (value as f32).to_le_bytes()));
            }
        }
    }
    let stacked = if thetas.len() == 1 { vec![] } else { vec![thetas.len()] };
    let mut views = Vec::with_capacity(2 * blocks.len());
    for ((placed, name), bytes) in
        blocks.iter().zip(names(architecture)).zip(tensors.chunks_exact(2))
    {
        let outputs = placed.layer.outputs;
        let reads = match placed.block.window {
            None => vec![placed.layer.inputs],
            Some(_) => Order::ChannelsFirst.dimensions(placed.reads()),
        };
        let weights = [stacked.as_slice(), &[outputs], &reads].concat();
        let biases = [stacked.as_slice(), &[outputs]].concat();
        for ((kind, shape), bytes) in [("weight", weights), ("bias", biases)].into_iter().zip(bytes)
        {
            views.push((format!("{name}.{kind}"), TensorView::new(Dtype::F32, shape, bytes)?));
        }
    }
    let (temperature, noise_std) = match thresholds.calibration {
        Calibration::Classification(Temperature(temperature)) => (Some(temperature), None),
        Calibration::Regression(NoiseStd(noise_std)) => (None, Some(noise_std * unit)),
    };
    let (names, channels) = (schema.layout.names(), schema.layout.channel_names());
    let about = About {
        features: if schema.layout.map().is_none() { &names } else { &channels },
        shape: schema.layout.map().map(|shape| Order::ChannelsFirst.dimensions(shape)),
        mean: padding.as_deref(),
        target: &schema.target,
        classes: schema.task.names(),
        // No hidden layer has it, so all are named.
        hidden: architecture.hidden(Activation::Identity),
        temperature,
        noise_std,
    };
    let note = HashMap::from([(NOTE.to_owned(), serde_json::to_string(&about)?)]);
    let bytes = safetensors::serialize(views, Some(note)).context("cannot write the tensors")?;
    write_atomically(path, &bytes)
}

/// The layers' indices in a `Sequential` where activations, pooling and the flattening count too.
fn names(architecture: &Architecture) -> Vec<usize> {
    let mut next = 0;
    let name = |placed: &PlacedBlock<'_>| {
        let flattens = placed.block.window.is_none() && placed.input.positions() > 1;
        let name = next + usize::from(flattens);
        let activated = placed.block.activation != Activation::Identity;
        next = name + 1 + usize::from(activated) + usize::from(placed.block.pool.is_some());
        name
    };
    architecture.placed_blocks().iter().map(name).collect()
}
