//! The layers that were made of a graph, against the graph itself on rows that are drawn.

use anyhow::{Context, ensure};
use rand::RngExt;

use super::end::End;
use super::graph::shown;
use super::{Original, Outputs};
use crate::import::check::{Compared, Given, difference};
use crate::import::description::Description;
use crate::import::layers::Layers;
use crate::import::units::InputUnits;
use crate::random::{Purpose, stream};

/// Rows that are drawn: a few for each branch of the activations to be taken.
const ROWS: usize = 32;
/// Steps that computing the graph may take, a few seconds at the slowest. A network of a million products a row has
/// all its rows computed.
const STEPS: u64 = 1 << 27;
/// Features lie within so many units of the network's own, where it normalises them.
const SPREAD: f64 = 2.5;
/// Features that lie so many of these units from 0 lose digits to a bias in single precision.
const FAR: f64 = 500.0;

impl Original<'_> {
    /// Draws rows in original units of the features, which `layers` take, and compares these with the graph, which takes
    /// the rows in `units`: what the graph gave; none where that takes too many steps.
    ///
    /// # Errors
    /// They differ, or an operator does not fit its inputs.
    pub fn compare(&self, layers: &Layers, units: &InputUnits) -> anyhow::Result<Option<Compared>> {
        let (inputs, outputs) = (layers.inputs(), layers.outputs());
        let mut x = self.draw(inputs, units);
        let normalised = units.normalised(&x);
        let found =
            self.evaluate(&layers.order.of_channels_last(&normalised, layers.input), STEPS)?;
        if found.rows == 0 {
            return Ok(None);
        }
        x.truncate(found.rows * inputs);
        ensure!(
            found.logits.len() == found.rows * outputs,
            "`{}` has {} values, expected {} rows of {outputs}",
            shown(self.logits),
            found.logits.len(),
            found.rows
        );
        let network = layers.network(&Description::default(), self.end, None)?;
        let told = match self.distance(units) > FAR {
            true => {
                "its inputs lie so far from 0, beside how much they vary, that layers in 32-bit floats give other \
                 numbers than the graph: take a number near them off the columns, and train the network on that"
            }
            false => {
                "the layers that import makes of this graph give other numbers than the graph, which is a fault \
                 of import"
            }
        };
        let mut largest = difference(&network, &x, &found.logits, Given::Outputs).context(told)?;
        for (name, values) in &found.probabilities {
            let expected = self.probabilities(&found, name, values, outputs.max(2))?;
            let one = difference(&network, &x, &expected, Given::Probabilities);
            let one = one.with_context(|| {
                format!("the output `{}`: expected the probabilities of the classes", shown(name))
            })?;
            largest = largest.max(one);
        }
        let compared = Compared {
            given: Given::Outputs,
            compared: found.rows,
            difference: largest,
            rows: found.rows,
            inputs,
            x,
            expected: found.logits,
        };
        Ok(Some(compared.keep(ROWS)))
    }

    /// Probabilities of all classes, `[rows, classes]`, of what should be those, their logarithms, or that of the
    /// second of two alone.
    fn probabilities(
        &self,
        found: &Outputs,
        name: &str,
        values: &[f64],
        classes: usize,
    ) -> anyhow::Result<Vec<f64>> {
        if self.end == End::Sigmoid && values.len() == found.rows {
            return Ok(values.iter().flat_map(|&second| [1.0 - second, second]).collect());
        }
        ensure!(
            values.len() == found.rows * classes,
            "the output `{}` has {} values for {} rows, expected probabilities of {classes} classes",
            shown(name),
            values.len(),
            found.rows
        );
        // Probabilities are above 0, and their logarithms below.
        let logarithms = values.iter().all(|&value| value <= 0.0);
        Ok(values.iter().map(|&value| if logarithms { value.exp() } else { value }).collect())
    }

    /// Rows round what the network normalises by, `[rows, inputs]`, channels last: single-precision numbers in original
    /// units.
    fn draw(&self, inputs: usize, units: &InputUnits) -> Vec<f64> {
        let [offset, factor] = &self.units;
        let passes = ROWS.div_ceil(self.rows);
        let count = passes * self.rows * inputs;
        let mut random = stream(0, Purpose::Import, 0);
        (0..count)
            .map(|index| {
                let channel = index % offset.len();
                let unit = random.random_range(-SPREAD..SPREAD);
                let x = units.original(channel, offset[channel] + unit / factor[channel]);
                f64::from(x as f32)
            })
            .collect()
    }

    /// Largest distance from 0 of the values that the network normalises by, in their units.
    fn distance(&self, units: &InputUnits) -> f64 {
        let [offset, factor] = &self.units;
        let of_channel = |channel: usize| {
            let unit = 1.0 / (units.factor[channel] * factor[channel]);
            (units.original(channel, offset[channel]) / unit).abs()
        };
        (0..offset.len()).map(of_channel).fold(0.0, f64::max)
    }
}
