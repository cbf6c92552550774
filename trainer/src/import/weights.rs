//! Layers out of a safetensors file, joined as the description says.

use anyhow::{Context, bail, ensure};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::description::{Description, LayerName, LayerTensors, NormName, NormTensors};
use super::layers::{Layer, Layers, Order};
use crate::network::{Activation, Architecture, Block, PlacedBlock, Shape};

/// Reads the layers that `about` names.
pub fn read(bytes: &[u8], about: &Description) -> anyhow::Result<Layers> {
    let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
    ensure!(
        !about.layers.is_empty(),
        "which tensors are the layers? Name them in a `description`: layers = [\"0\", \"2\"]; found {}",
        names(&file)
    );
    let tensors: Vec<LayerTensors> = about.layers.iter().map(|name| tensors(&file, name)).collect();
    let transposed = tensors.iter().any(|tensors| tensors.transposed);
    let order = if transposed { Order::ChannelsLast } else { Order::ChannelsFirst };
    let architecture = architecture(&file, about, &tensors)?;
    let blocks = architecture.placed_blocks();
    ensure!(
        blocks.len() == tensors.len(),
        "layers: found {} names, but `hidden` and the output are {} layers",
        tensors.len(),
        blocks.len()
    );
    let layer =
        |(placed, tensors): (PlacedBlock<'_>, &LayerTensors)| layer(&file, order, &placed, tensors);
    let layers = blocks.into_iter().zip(&tensors).map(layer).collect::<anyhow::Result<_>>()?;
    Ok(Layers::new(architecture.input, order, layers))
}

/// The names of a layer's tensors.
fn tensors(file: &SafeTensors<'_>, name: &LayerName) -> LayerTensors {
    match name {
        LayerName::Tensors(tensors) => tensors.clone(),
        LayerName::Prefix(prefix) => {
            let bias = format!("{prefix}.bias");
            LayerTensors {
                weight: format!("{prefix}.weight"),
                bias: file.tensor(&bias).is_ok().then_some(bias),
                transposed: false,
                norm: None,
            }
        }
    }
}

/// The network that the description says, or that of dense layers with these weights.
fn architecture(
    file: &SafeTensors<'_>,
    about: &Description,
    tensors: &[LayerTensors],
) -> anyhow::Result<Architecture> {
    let matrix = |tensors: &LayerTensors| {
        let view = view(file, &tensors.weight)?;
        let shape = view.shape();
        let &[rows, columns] = shape else {
            bail!(
                "{}: found the shape {shape:?}, expected [outputs, inputs] of a dense layer; a network of \
                 others is said by `hidden` and inputs.shape",
                tensors.weight
            );
        };
        ensure!(
            rows > 0 && columns > 0,
            "{}: found the shape {shape:?}, expected a layer that is not empty",
            tensors.weight
        );
        Ok(if tensors.transposed { [columns, rows] } else { [rows, columns] })
    };
    let (last, before) = tensors.split_last().context("there is a layer")?;
    let [outputs, _] = matrix(last)?;
    let activation = match about.activation {
        Some(activation) => activation,
        None if about.hidden.is_some() || before.is_empty() => Activation::Tanh,
        None => {
            bail!("the `description` names no activation: activation = \"tanh\" or another")
        }
    };
    let shape = about.shape()?;
    if let Some(hidden) = &about.hidden {
        let input =
            shape.context("inputs.shape = [height, width, channels] is missing beside `hidden`")?;
        return Architecture::of(input, hidden, activation, outputs)
            .map_err(|message| anyhow::anyhow!("hidden: {message}"));
    }
    let mut blocks = Vec::with_capacity(tensors.len());
    for tensors in before {
        blocks.push(Block::dense(matrix(tensors)?[0], activation));
    }
    blocks.push(Block::dense(outputs, Activation::Identity));
    let [_, inputs] = matrix(&tensors[0])?;
    Ok(Architecture { input: shape.unwrap_or(Shape::flat(inputs)), blocks })
}

/// The layer at `placed`, of a source that has its maps in this `order`.
fn layer(
    file: &SafeTensors<'_>,
    order: Order,
    placed: &PlacedBlock<'_>,
    tensors: &LayerTensors,
) -> anyhow::Result<Layer> {
    let name = &tensors.weight;
    let (shape, values) = tensor(file, name)?;
    let outputs = placed.block.outputs;
    let (window, reads) = (placed.block.window, placed.reads());
    let dimensions = match window {
        None => vec![reads.len()],
        Some(_) => order.dimensions(reads),
    };
    let expected = match tensors.transposed {
        false => [vec![outputs], dimensions].concat(),
        true => [dimensions, vec![outputs]].concat(),
    };
    // Keras has the outputs of a depthwise convolution by the channel that they read.
    let depthwise = |groups: usize| {
        let map = Shape { channels: groups, ..reads };
        [Order::ChannelsLast.dimensions(map), vec![outputs / groups]].concat()
    };
    let grouped =
        window.filter(|window| tensors.transposed && window.groups == placed.input.channels);
    ensure!(
        shape == expected || grouped.is_some_and(|window| shape == depthwise(window.groups)),
        "{name}: found the shape {shape:?}, expected {expected:?}"
    );
    let weights = match tensors.transposed {
        true => transposed(&values, outputs),
        false => order.channels_last(&values, reads),
    };
    let vector = |name: &String| {
        let (shape, values) = tensor(file, name)?;
        ensure!(shape == [outputs], "{name}: found the shape {shape:?}, expected [{outputs}]");
        Ok(values)
    };
    let biases = tensors.bias.as_ref().map_or(Ok(vec![0.0; outputs]), vector)?;
    let short = [".weight", ".kernel"].iter().find_map(|end| name.strip_suffix(end));
    let short = short.unwrap_or(name).to_owned();
    let mut layer = Layer { name: short, block: *placed.block, weights, biases };
    if let Some(norm) = &tensors.norm {
        let norm = norm.tensors();
        let or = |name: &Option<String>, value: f64| {
            name.as_ref().map_or_else(|| Ok(vec![value; outputs]), vector)
        };
        let norm = Norm {
            weight: or(&norm.weight, 1.0)?,
            bias: or(&norm.bias, 0.0)?,
            mean: vector(&norm.mean)?,
            variance: vector(&norm.variance)?,
            epsilon: norm.epsilon,
        };
        let (scale, shift) = norm.units();
        layer.rescale(&scale, &shift);
    }
    Ok(layer)
}

impl NormName {
    fn tensors(&self) -> NormTensors {
        match self {
            Self::Tensors(tensors) => tensors.clone(),
            Self::Prefix(prefix) => NormTensors {
                weight: Some(format!("{prefix}.weight")),
                bias: Some(format!("{prefix}.bias")),
                mean: format!("{prefix}.running_mean"),
                variance: format!("{prefix}.running_var"),
                epsilon: NormTensors::epsilon(),
            },
        }
    }
}

/// Values of a batch normalisation, one an output.
pub struct Norm {
    /// Scale.
    pub weight: Vec<f64>,
    /// Shift.
    pub bias: Vec<f64>,
    /// Running mean.
    pub mean: Vec<f64>,
    /// Running variance.
    pub variance: Vec<f64>,
    /// Number that is added to the variance.
    pub epsilon: f64,
}

impl Norm {
    /// y = scale · x + shift.
    pub fn units(&self) -> (Vec<f64>, Vec<f64>) {
        let std = self.variance.iter().map(|variance| (variance + self.epsilon).sqrt());
        let scale: Vec<f64> =
            self.weight.iter().zip(std).map(|(weight, std)| weight / std).collect();
        let shift = self.bias.iter().zip(&self.mean).zip(&scale);
        let shift = shift.map(|((bias, mean), scale)| bias - scale * mean).collect();
        (scale, shift)
    }
}

/// The transposed of a row-major matrix of so many columns.
pub fn transposed(values: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// Shape and values of a tensor of floats.
pub fn tensor(file: &SafeTensors<'_>, name: &str) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let view = view(file, name)?;
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F32 => singles(data),
        Dtype::F64 => doubles(data),
        other => bail!("{name}: found values of {other:?}, expected F32 or F64"),
    };
    Ok((view.shape().to_vec(), values))
}

fn view<'f>(file: &SafeTensors<'f>, name: &str) -> anyhow::Result<TensorView<'f>> {
    file.tensor(name)
        .map_err(|_| anyhow::anyhow!("there is no tensor `{name}`; found {}", names(file)))
}

/// Little-endian single-precision values.
pub fn singles(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect()
}

/// Little-endian double-precision values.
pub fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
}

/// The names of all tensors, sorted.
fn names(file: &SafeTensors<'_>) -> String {
    let mut names = file.names();
    names.sort_unstable();
    names.join(", ")
}
