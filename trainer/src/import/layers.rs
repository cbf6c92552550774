//! The layers of a network on its way in, in double precision: every step of the way is a change of units.

use anyhow::{bail, ensure};

use super::description::Description;
use super::{About, ImportedNetwork};
use crate::network::{Activation, Architecture};

/// y = W x + b.
#[derive(Clone, Debug)]
pub struct DenseLayer {
    /// Where it was found, for errors.
    pub name: String,
    /// W, `[outputs, inputs]`.
    pub weights: Vec<f64>,
    /// b, `[outputs]`.
    pub biases: Vec<f64>,
}

/// A multilayer perceptron.
#[derive(Clone, Debug)]
pub struct Layers {
    /// From the input to the output.
    pub dense: Vec<DenseLayer>,
    /// After every layer but the last; none where there is only one layer.
    pub activation: Option<Activation>,
}

impl DenseLayer {
    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.biases.len()
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.weights.len() / self.biases.len()
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [f64], &mut f64)> {
        let inputs = self.inputs();
        self.weights.chunks_exact_mut(inputs).zip(&mut self.biases)
    }
}

impl Layers {
    /// The layers of a parameter vector.
    pub fn of(architecture: &Architecture, theta: &[f32]) -> Self {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect();
        let dense = architecture.layers().enumerate().map(|(index, layer)| DenseLayer {
            name: format!("layer {index}"),
            weights: wide(&theta[layer.weights()]),
            biases: wide(&theta[layer.biases()]),
        });
        Self { dense: dense.collect(), activation: architecture.as_perceptron() }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.dense[0].inputs()
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.dense[self.dense.len() - 1].outputs()
    }

    /// Whether the layers fit together and hold finite numbers.
    pub fn check(&self) -> anyhow::Result<()> {
        let most = fiberwalk_formats::MAX_LAYERS;
        ensure!(
            (1..=most).contains(&self.dense.len()),
            "found {} layers, expected 1 to {most}",
            self.dense.len()
        );
        for pair in self.dense.windows(2) {
            let [before, after] = pair else { continue };
            ensure!(
                before.outputs() == after.inputs(),
                "{} gives {} values, but {} takes {}",
                before.name,
                before.outputs(),
                after.name,
                after.inputs()
            );
        }
        for layer in &self.dense {
            let widest = fiberwalk_formats::MAX_WIDTH;
            let width = layer.inputs().max(layer.outputs());
            ensure!(
                width <= widest,
                "{}: found a width of {width}, expected at most {widest}",
                layer.name
            );
            let values = layer.weights.iter().chain(&layer.biases);
            if let Some(value) = values.into_iter().find(|value| !value.is_finite()) {
                bail!("{}: found {value} among its weights, expected finite numbers", layer.name);
            }
        }
        Ok(())
    }

    /// The network, once the layers are checked.
    pub fn network(&self, about: &Description) -> anyhow::Result<ImportedNetwork> {
        let (features, classes) = (about.inputs.names.clone(), about.outputs.classes.clone());
        let count = |names: &Option<Vec<String>>, width: usize, field| match names {
            Some(names) if names.len() != width => {
                bail!("{field}: found {} names, expected {width}", names.len())
            }
            _ => Ok(()),
        };
        count(&features, self.inputs(), "inputs.names")?;
        // One logit tells two classes apart.
        let outputs = if self.outputs() == 1 { 2 } else { self.outputs() };
        count(&classes, outputs, "outputs.classes")?;
        let mut widths = vec![self.inputs()];
        widths.extend(self.dense.iter().map(DenseLayer::outputs));
        let activation = self.activation.unwrap_or(Activation::Tanh);
        let architecture = Architecture::perceptron(&widths, activation);
        Ok(ImportedNetwork {
            theta: self.theta(),
            about: About { architecture, features, classes },
        })
    }

    /// The parameters in the order of [`Architecture`].
    pub fn theta(&self) -> Vec<f32> {
        let values = self.dense.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases));
        values.map(|&value| value as f32).collect()
    }

    /// For a network of u = shift + factor · x, that of x; a shift and factor for each input.
    fn substitute(&mut self, units: impl Iterator<Item = (f64, f64)> + Clone) {
        for (row, bias) in self.dense[0].rows_mut() {
            for (weight, (shift, factor)) in row.iter_mut().zip(units.clone()) {
                *bias += *weight * shift;
                *weight *= factor;
            }
        }
    }

    /// For a network of u = mean + std · x, that of x.
    pub fn scale_inputs(&mut self, mean: &[f32], std: &[f32]) {
        self.substitute(mean.iter().zip(std).map(|(&mean, &std)| (mean.into(), std.into())));
    }

    /// The network without the inputs that `cut` names, which are 0.
    pub fn cut_inputs(&mut self, cut: impl Fn(usize) -> bool) {
        for (row, _) in self.dense[0].rows_mut() {
            row.iter_mut()
                .enumerate()
                .filter(|(input, _)| cut(*input))
                .for_each(|(_, weight)| *weight = 0.0);
        }
    }

    /// For a network of u = (x − offset) · factor, that of x.
    pub fn take_raw_inputs(&mut self, offset: &[f64], factor: &[f64]) {
        self.substitute(offset.iter().zip(factor).map(|(o, &factor)| (-factor * o, factor)));
    }

    /// For a network of f, that of mean + std · f.
    pub fn rescale_output(&mut self, mean: f64, std: f64) {
        if let Some(last) = self.dense.last_mut() {
            for (row, bias) in last.rows_mut() {
                row.iter_mut().for_each(|weight| *weight *= std);
                *bias = *bias * std + mean;
            }
        }
    }

    /// For a network of y, that of (y − mean) / std.
    pub fn standardise_output(&mut self, mean: f32, std: f32) {
        let (mean, std) = (f64::from(mean), f64::from(std));
        self.rescale_output(-mean / std, 1.0 / std);
    }

    /// Input `i` becomes what `places[i]` was.
    pub fn reorder_inputs(&mut self, places: &[usize]) {
        for (row, _) in self.dense[0].rows_mut() {
            let before = row.to_vec();
            row.iter_mut().zip(places).for_each(|(weight, &place)| *weight = before[place]);
        }
    }

    /// Output `i` becomes what `places[i]` was.
    pub fn reorder_outputs(&mut self, places: &[usize]) {
        if let Some(last) = self.dense.last_mut() {
            let inputs = last.inputs();
            let (weights, biases) = (last.weights.clone(), last.biases.clone());
            let row = |&place: &usize| weights[place * inputs..(place + 1) * inputs].to_vec();
            last.weights = places.iter().flat_map(row).collect();
            last.biases = places.iter().map(|&place| biases[place]).collect();
        }
    }

    /// From the log odds of the second of two classes to logits of both.
    pub fn split_logit(&mut self) {
        if let Some(last) = self.dense.last_mut() {
            let half = |values: &[f64], sign: f64| {
                values.iter().map(|v| 0.5 * sign * v).collect::<Vec<_>>()
            };
            last.weights = [half(&last.weights, -1.0), half(&last.weights, 1.0)].concat();
            last.biases = [half(&last.biases, -1.0), half(&last.biases, 1.0)].concat();
        }
    }
}
