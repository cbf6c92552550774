//! The layers that were made of a graph, against the graph itself on rows that are drawn.

use anyhow::{Context, ensure};
use rand::RngExt;

use super::end::End;
use super::graph::shown;
use super::{Network, Outputs};
use crate::import::check::{Given, difference};
use crate::import::description::Description;
use crate::random::{Purpose, stream};

/// Rows that are drawn: a few for each branch of the activations to be taken.
const ROWS: usize = 32;
/// Steps that computing the graph may take, a few seconds at the slowest. A network of a million products a row has
/// all its rows computed.
const STEPS: u64 = 1 << 27;
/// Features lie within so many units of the network's own, where it normalises them.
const SPREAD: f64 = 2.5;

impl Network<'_> {
    /// Draws rows and compares the layers with the graph: the number of rows and the largest difference; none where
    /// the graph takes too many steps.
    ///
    /// # Errors
    /// They differ, or an operator does not fit its inputs.
    pub fn compare(&self) -> anyhow::Result<Option<(usize, f64)>> {
        let layers = &self.traced.layers;
        let (inputs, outputs) = (layers.inputs(), layers.outputs());
        let x = self.draw();
        let found = self.evaluate(&layers.order.of_channels_last(&x, layers.input), STEPS)?;
        if found.rows == 0 {
            return Ok(None);
        }
        let x = &x[..found.rows * inputs];
        ensure!(
            found.logits.len() == found.rows * outputs,
            "`{}` has {} values, expected {} rows of {outputs}",
            shown(self.traced.logits),
            found.logits.len(),
            found.rows
        );
        let network = layers.network(&Description::default(), self.traced.end, None)?;
        let told = "the layers that import makes of this graph give other numbers than the graph, which is a fault \
                    of import";
        let mut largest = difference(&network, x, &found.logits, Given::Outputs).context(told)?;
        for (name, values) in &found.probabilities {
            let expected = self.probabilities(&found, name, values)?;
            let one = difference(&network, x, &expected, Given::Probabilities);
            let one = one.with_context(|| {
                format!("the output `{}`: expected the probabilities of the classes", shown(name))
            })?;
            largest = largest.max(one);
        }
        Ok(Some((found.rows, largest)))
    }

    /// Probabilities of all classes, `[rows, classes]`, of what should be those, their logarithms, or that of the
    /// second of two alone.
    fn probabilities(
        &self,
        found: &Outputs,
        name: &str,
        values: &[f64],
    ) -> anyhow::Result<Vec<f64>> {
        let classes = self.traced.layers.outputs().max(2);
        if self.traced.end == End::Sigmoid && values.len() == found.rows {
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

    /// Rows round what the network normalises by, `[rows, inputs]`, channels last: single-precision numbers.
    fn draw(&self) -> Vec<f64> {
        let [offset, factor] = &self.traced.units;
        let passes = ROWS.div_ceil(self.rows);
        let count = passes * self.rows * self.traced.layers.inputs();
        let mut random = stream(0, Purpose::Import, 0);
        (0..count)
            .map(|index| {
                let channel = index % offset.len();
                let unit = random.random_range(-SPREAD..SPREAD);
                f64::from((offset[channel] + unit / factor[channel]) as f32)
            })
            .collect()
    }
}
