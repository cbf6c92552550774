//! Dense layers out of a safetensors file, joined as the description says.

use anyhow::{Context, bail, ensure};
use safetensors::{Dtype, SafeTensors};

use super::description::{Description, LayerName, LayerTensors};
use super::layers::{DenseLayer, Layers};

/// Reads the layers that `about` names.
pub fn read(bytes: &[u8], about: &Description) -> anyhow::Result<Layers> {
    let file = SafeTensors::deserialize(bytes).context("not a safetensors file")?;
    ensure!(
        !about.layers.is_empty(),
        "which tensors are the layers? Name them in a description (--arch): layers = [\"0\", \"2\"]; found {}",
        names(&file)
    );
    let activation = about.activation;
    if about.layers.len() > 1 && activation.is_none() {
        bail!("the description (--arch) names no activation: activation = \"tanh\" or \"relu\"");
    }
    let dense =
        about.layers.iter().map(|name| layer(&file, name)).collect::<anyhow::Result<_>>()?;
    Ok(Layers { dense, activation })
}

fn layer(file: &SafeTensors<'_>, name: &LayerName) -> anyhow::Result<DenseLayer> {
    let tensors = match name {
        LayerName::Tensors(tensors) => tensors.clone(),
        LayerName::Prefix(prefix) => {
            let bias = format!("{prefix}.bias");
            LayerTensors {
                weight: format!("{prefix}.weight"),
                bias: file.tensor(&bias).is_ok().then_some(bias),
                transposed: false,
            }
        }
    };
    let name = &tensors.weight;
    let (shape, values) = tensor(file, name)?;
    let &[rows, columns] = shape.as_slice() else {
        bail!("{name}: found the shape {shape:?}, expected [outputs, inputs] of a dense layer");
    };
    ensure!(
        rows > 0 && columns > 0,
        "{name}: found the shape {shape:?}, expected a layer that is not empty"
    );
    let (outputs, weights) = match tensors.transposed {
        false => (rows, values),
        true => (columns, transposed(&values, columns)),
    };
    let biases = match &tensors.bias {
        None => vec![0.0; outputs],
        Some(bias) => {
            let (shape, biases) = tensor(file, bias)?;
            ensure!(shape == [outputs], "{bias}: found the shape {shape:?}, expected [{outputs}]");
            biases
        }
    };
    Ok(DenseLayer { name: name.clone(), weights, biases })
}

/// The transposed of a row-major matrix of so many columns.
pub fn transposed(values: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// Shape and values of a tensor of floats.
pub fn tensor(file: &SafeTensors<'_>, name: &str) -> anyhow::Result<(Vec<usize>, Vec<f64>)> {
    let view = file
        .tensor(name)
        .map_err(|_| anyhow::anyhow!("there is no tensor `{name}`; found {}", names(file)))?;
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F32 => singles(data),
        Dtype::F64 => doubles(data),
        other => bail!("{name}: found values of {other:?}, expected F32 or F64"),
    };
    Ok((view.shape().to_vec(), values))
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
