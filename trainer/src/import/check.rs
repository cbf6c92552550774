//! The imported network against reference outputs of the original.

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use safetensors::SafeTensors;

use super::ImportedNetwork;
use super::description::Description;
use super::layers::Order;
use super::units::OutputUnits;
use super::weights::tensor;
use crate::files;
use crate::network::{Batch, outputs, softmax};

/// Largest difference of two outputs, relative to the largest reference or to 1, both in the network's own units: what is
/// left of single precision where sums are taken in another order and units are changed.
const TOLERANCE: f64 = 1e-4;
/// Largest difference of two outputs, relative to the mean of a target that an output was rescaled by: what is left
/// where a small number is added to a large one.
const ROUNDING: f64 = 1e-5;

/// Result of a comparison.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Kind of values that the original gave.
    pub given: Given,
    /// Number of rows that were compared.
    pub compared: usize,
    /// The largest difference of an output.
    pub difference: f64,
    /// Number of rows that are kept, the first of those.
    pub rows: usize,
    /// Number of inputs.
    pub inputs: usize,
    /// Features of these rows in original units, channels last, `[rows, inputs]`.
    pub x: Vec<f64>,
    /// Values that the original gave for them, `[rows, outputs]` or `[rows, classes]`.
    pub expected: Vec<f64>,
}

impl Compared {
    /// Keeps the first `rows` of the rows that were compared.
    pub fn keep(mut self, rows: usize) -> Self {
        let columns = self.expected.len() / self.rows;
        self.rows = self.rows.min(rows);
        self.x.truncate(self.rows * self.inputs);
        self.expected.truncate(self.rows * columns);
        self
    }
}

/// Compares the network with the reference rows that the description names, whose maps are in this order or have these
/// sides; none where nothing is to be checked.
pub fn check(
    network: &ImportedNetwork,
    (order, dimensions): (Order, &[usize]),
    about: &Description,
    model: &Path,
    description: Option<&Path>,
) -> anyhow::Result<Option<Compared>> {
    let (Some(check), Some(description)) = (&about.check, description) else { return Ok(None) };
    let beside = |file: &Path| description.with_file_name("").join(file);
    let path = check.file.as_deref().map_or_else(|| model.to_owned(), beside);
    let shown = path.display();
    let bytes =
        files::read(&path, files::MOST_NETWORK).with_context(|| format!("cannot read {shown}"))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{shown}: not a safetensors file; name one by check.file"))?;
    let read = |name: &str| tensor(&file, name).with_context(|| shown.to_string());
    let architecture = network.architecture();
    let (shape, x) = read(&check.inputs)?;
    let (features, width) = (architecture.inputs(), architecture.outputs());
    let map = architecture.input;
    let own = order.dimensions(map);
    // Sides of 1 change no place of a value.
    let long = |sides: &[usize]| sides.iter().copied().filter(|&side| side > 1).collect::<Vec<_>>();
    let same = |a: &[usize], b: &[usize]| long(a) == long(b);
    let rows = match shape.split_first() {
        Some((&rows, rest))
            if rows > 0 && (rest == [features] || same(rest, &own) || same(rest, dimensions)) =>
        {
            rows
        }
        _ => {
            let shapes = match map.positions() {
                1 => format!("[n, {features}]"),
                _ => format!("n maps of {own:?}"),
            };
            bail!("{shown}: {}: found the shape {shape:?}, expected {shapes}", check.inputs)
        }
    };
    let (name, given) = match (&check.outputs, &check.probabilities) {
        (Some(name), _) => (name, Given::Outputs),
        (None, Some(name)) => (name, Given::Probabilities),
        (None, None) => return Ok(None),
    };
    let columns = given.columns(width);
    let (shape, expected) = read(name)?;
    // One output a row may come as a vector.
    let fits = shape == [rows, columns] || (columns == 1 && shape == [rows]);
    ensure!(fits, "{shown}: {name}: found the shape {shape:?}, expected [{rows}, {columns}]");
    let x = order.channels_last(&x, map);
    let difference = difference(network, &x, &expected, given).map_err(|other| {
        anyhow!(
            "{shown}: {name}: {other}; is the order of the layers, the activation or the units of the inputs another?"
        )
    })?;
    Ok(Some(Compared { given, compared: rows, difference, rows, inputs: features, x, expected }))
}

/// Kind of values that a reference holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The network's outputs.
    Outputs,
    /// Probabilities of its classes.
    Probabilities,
}

impl Given {
    /// Values of a row, of a network of so many outputs.
    pub fn columns(self, outputs: usize) -> usize {
        match self {
            Self::Outputs => outputs,
            Self::Probabilities => outputs.max(2),
        }
    }
}

/// An output that differs from the original's.
#[derive(Debug, thiserror::Error)]
#[error("row {row}, output {output}: the imported network gives {found}, expected {expected}")]
pub struct OtherOutput {
    row: usize,
    output: usize,
    found: f64,
    expected: f64,
}

/// The largest difference between what a network gives for `x`, `[n, inputs]` in original units with channels last, and
/// `reference`, `[n, outputs]` or `[n, classes]`.
///
/// # Errors
/// It is larger than single precision explains.
pub fn difference(
    network: &ImportedNetwork,
    x: &[f64],
    reference: &[f64],
    given: Given,
) -> Result<f64, OtherOutput> {
    let architecture = network.architecture();
    // Padding is zeros round what the network reads.
    let zero = network.padding().unwrap_or(&[0.0]).iter().cycle();
    let x: Vec<f32> = x.iter().zip(zero).map(|(&x, &zero)| (x - f64::from(zero)) as f32).collect();
    let batch = Batch::from_rows(&x, architecture.inputs());
    let rows = batch.rows();
    let mut own = outputs(architecture, &network.theta, &batch);
    if given == Given::Probabilities {
        if architecture.outputs() == 1 {
            // The log odds of the second of two classes.
            own = [vec![0.0; rows], own].concat();
        }
        softmax(&mut own, rows);
    }
    let columns = own.len() / rows;
    let units = match given {
        Given::Outputs => network.about.rescaled.unwrap_or(OutputUnits::NONE),
        Given::Probabilities => OutputUnits::NONE,
    };
    let scale = reference.iter().fold(1.0f64, |largest, &y| largest.max(units.normalised(y).abs()));
    let allowed = TOLERANCE * scale * units.std + ROUNDING * units.mean.abs();
    let mut largest = 0.0f64;
    for (index, &expected) in reference.iter().enumerate() {
        let (row, output) = (index / columns, index % columns);
        let found = f64::from(own[output * rows + row]);
        let difference = (found - expected).abs();
        if difference.is_nan() || difference > allowed {
            return Err(OtherOutput { row, output, found, expected });
        }
        largest = largest.max(difference);
    }
    Ok(largest)
}
