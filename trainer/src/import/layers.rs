//! The layers of a network on its way in, in double precision: every step of the way is a change of units.

use anyhow::{anyhow, bail, ensure};

use super::description::Description;
use super::onnx::End;
use super::weights::transposed;
use super::{About, ImportedNetwork};
use crate::network::{Activation, Architecture, Block, Shape};

/// A layer with its weights, and what follows it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name in the source.
    pub name: String,
    /// Its shape.
    pub block: Block,
    /// W, `[outputs, fan-in]`, the fan-in of a convolution (ky, kx, channel of the group).
    pub weights: Vec<f64>,
    /// b, `[outputs]`.
    pub biases: Vec<f64>,
}

/// A network.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Shape of the input.
    pub input: Shape,
    /// Order of the source's maps, for whoever gives it rows.
    pub order: Order,
    /// Sides of a row of the source's input, as it has them.
    pub dimensions: Vec<usize>,
    /// Layers from the input to the output.
    pub layers: Vec<Layer>,
    /// The input, one value a channel, that the padding of the first layer stands for: the layer reads
    /// x − zero. All 0 where it has no padding, since then any shift is a part of the biases.
    pub zero: Vec<f64>,
}

/// Which dimension of a map comes first in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// (channel, y, x), as in PyTorch and ONNX.
    #[default]
    ChannelsFirst,
    /// (y, x, channel), as in Keras and here.
    ChannelsLast,
}

impl Order {
    /// `values`, whole maps of this order one after another, with their channels last.
    pub fn channels_last(self, values: &[f64], map: Shape) -> Vec<f64> {
        match self {
            Self::ChannelsLast => values.to_vec(),
            Self::ChannelsFirst => {
                let maps = values.chunks_exact(map.len());
                maps.flat_map(|values| transposed(values, map.positions())).collect()
            }
        }
    }

    /// `values`, whole maps with their channels last one after another, in this order.
    pub fn of_channels_last(self, values: &[f64], map: Shape) -> Vec<f64> {
        match self {
            Self::ChannelsLast => values.to_vec(),
            Self::ChannelsFirst => {
                let maps = values.chunks_exact(map.len());
                maps.flat_map(|values| transposed(values, map.channels)).collect()
            }
        }
    }

    /// The dimensions of a map, without the height of a series.
    pub fn dimensions(self, map: Shape) -> Vec<usize> {
        let (along, channels) = ([map.height, map.width], [map.channels]);
        let along = if map.height == 1 { &along[1..] } else { &along[..] };
        match self {
            Self::ChannelsLast => [along, &channels].concat(),
            Self::ChannelsFirst => [&channels, along].concat(),
        }
    }
}

impl Layer {
    /// Number of weights of an output.
    pub fn fan_in(&self) -> usize {
        self.weights.len() / self.biases.len()
    }

    fn rows_mut(&mut self) -> impl Iterator<Item = (&mut [f64], &mut f64)> {
        let fan_in = self.fan_in();
        self.weights.chunks_exact_mut(fan_in).zip(&mut self.biases)
    }

    /// Makes a layer of y that of scale · y + shift; a scale and shift for each output, or one for all.
    pub fn rescale(&mut self, scale: &[f64], shift: &[f64]) {
        let units = scale.iter().cycle().zip(shift.iter().cycle());
        for ((row, bias), (scale, shift)) in self.rows_mut().zip(units) {
            row.iter_mut().for_each(|weight| *weight *= scale);
            *bias = *bias * scale + shift;
        }
    }

    /// Whether zeros stand round the map that it reads.
    fn pads(&self) -> bool {
        let sides = |window: crate::network::Window| [window.before, window.after].concat();
        self.block.window.is_some_and(|window| sides(window).iter().any(|&side| side > 0))
    }
}

impl Layers {
    /// A network of features, as long as no layer says otherwise.
    pub fn new(input: Shape, order: Order, layers: Vec<Layer>) -> Self {
        let dimensions = order.dimensions(input);
        Self { zero: vec![0.0; input.channels], input, order, dimensions, layers }
    }

    /// The layers of a parameter vector, of x − `zero` where that is given.
    pub fn of(architecture: &Architecture, theta: &[f32], zero: Option<&[f32]>) -> Self {
        let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect();
        let layers =
            architecture.placed_blocks().into_iter().enumerate().map(|(index, placed)| Layer {
                name: format!("layer {index}"),
                block: *placed.block,
                weights: wide(&theta[placed.layer.weights()]),
                biases: wide(&theta[placed.layer.biases()]),
            });
        let mut own = Self::new(architecture.input, Order::ChannelsLast, layers.collect());
        own.zero = zero.map_or(own.zero, wide);
        own
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.input.len()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].biases.len()
    }

    /// Input that the padding of the first layer stands for; none without padding.
    pub fn padding(&self) -> Option<&[f64]> {
        self.layers[0].pads().then_some(&self.zero)
    }

    fn architecture(&self) -> Architecture {
        Architecture {
            input: self.input,
            blocks: self.layers.iter().map(|layer| layer.block).collect(),
        }
    }

    /// Whether the layers fit together, hold finite numbers, and are what a configuration can say.
    pub fn check(&self) -> anyhow::Result<()> {
        let most = fiberwalk_formats::MAX_LAYERS;
        let count = self.layers.len();
        ensure!((1..=most).contains(&count), "found {count} layers, expected 1 to {most}");
        let last = &self.layers[count - 1];
        ensure!(
            last.block == Block::dense(last.biases.len(), Activation::Identity),
            "{}: the model ends with an activation or a convolution, expected a dense layer",
            last.name
        );
        for layer in &self.layers {
            let values = layer.weights.iter().chain(&layer.biases);
            if let Some(value) = values.into_iter().find(|value| !value.is_finite()) {
                bail!("{}: found {value} among its weights, expected finite numbers", layer.name);
            }
        }
        let own = self.architecture();
        let before = [None].into_iter().chain(self.layers.iter().map(Some));
        for ((placed, layer), before) in
            own.placed_blocks().into_iter().zip(&self.layers).zip(before)
        {
            let (found, expected) = (layer.fan_in(), placed.layer.inputs);
            if found != expected {
                let before = before.map_or("the input", |layer| &layer.name);
                let takes = match layer.block.window {
                    None => format!("{found}"),
                    Some(_) => format!("{found} under its window, not {expected}"),
                };
                bail!(
                    "{before} gives {} values, but {} takes {takes}",
                    placed.input.len(),
                    layer.name
                );
            }
        }
        let hidden = own.hidden(Activation::Identity);
        let said = Architecture::of(own.input, &hidden, Activation::Identity, self.outputs())
            .map_err(|message| anyhow!("{message}"))?;
        ensure!(
            said == own,
            "a dense layer adds the output of another, which only convolutions do here"
        );
        Ok(())
    }

    /// The network, once the layers are checked, that gives what is turned into `end`; `held` are the classes' names
    /// that its source holds.
    pub fn network(
        &self,
        about: &Description,
        end: End,
        held: Option<Vec<String>>,
    ) -> anyhow::Result<ImportedNetwork> {
        let features = about.inputs.names.clone();
        let said = about.outputs.classes.clone();
        let classes_held = said.is_none() && held.is_some();
        let classes = said.or(held);
        let count = |names: &Option<Vec<String>>, width: usize, field| match names {
            Some(names) if names.len() != width => {
                bail!("{field}: found {} names, expected {width}", names.len())
            }
            _ => Ok(()),
        };
        count(&features, self.input.channels, "inputs.names")?;
        // One logit tells two classes apart.
        let outputs = if self.outputs() == 1 { 2 } else { self.outputs() };
        count(&classes, outputs, "outputs.classes")?;
        let zero = self.padding().map(|zero| zero.iter().map(|&value| value as f32).collect());
        let layers = self.layers.iter().map(|layer| layer.name.clone()).collect();
        let architecture = self.architecture();
        let rescaled = about.outputs.units()?;
        let about =
            About { architecture, features, classes, classes_held, layers, zero, end, rescaled };
        Ok(ImportedNetwork { theta: self.theta(), about, references: Vec::new() })
    }

    /// The parameters in the order of [`Architecture`].
    pub fn theta(&self) -> Vec<f32> {
        let values = self.layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.biases));
        values.map(|&value| value as f32).collect()
    }

    /// Changes each weight of the first layer, given the channel that it reads, with the bias of its output.
    fn first_weights(&mut self, mut change: impl FnMut(usize, &mut f64, &mut f64)) {
        let channels = self.input.channels;
        let first = &mut self.layers[0];
        let outputs = first.biases.len();
        let groups = first.block.window.map_or(1, |window| window.groups);
        let own = channels / groups;
        for (output, (row, bias)) in first.rows_mut().enumerate() {
            let group = output * groups / outputs;
            for (index, weight) in row.iter_mut().enumerate() {
                change(group * own + index % own, weight, bias);
            }
        }
    }

    /// Makes a network of u = shift + factor · x that of x; a shift and factor for each channel.
    fn substitute(&mut self, units: &[(f64, f64)]) {
        let pads = self.layers[0].pads();
        self.first_weights(|channel, weight, bias| {
            let (shift, factor) = units[channel];
            if !pads {
                *bias += *weight * shift;
            }
            *weight *= factor;
        });
        if pads {
            for (zero, (shift, factor)) in self.zero.iter_mut().zip(units) {
                *zero = (*zero - shift) / factor;
            }
        }
    }

    /// Makes a network of u = mean + std · x that of x; a mean and deviation for each channel.
    pub fn scale_inputs(&mut self, mean: &[f32], std: &[f32]) {
        let units = mean.iter().zip(std).map(|(&mean, &std)| (mean.into(), std.into()));
        self.substitute(&units.collect::<Vec<_>>());
    }

    /// Makes a network of u = (x − offset) · factor that of x.
    pub fn take_raw_inputs(&mut self, offset: &[f64], factor: &[f64]) {
        let units = offset.iter().zip(factor).map(|(o, &factor)| (-factor * o, factor));
        self.substitute(&units.collect::<Vec<_>>());
    }

    /// Cuts the inputs that `cut` names, which are 0.
    pub fn cut_inputs(&mut self, cut: impl Fn(usize) -> bool) {
        self.first_weights(|input, weight, _| {
            if cut(input) {
                *weight = 0.0;
            }
        });
    }

    /// Makes a network of f that of mean + std · f.
    pub fn rescale_output(&mut self, mean: f64, std: f64) {
        if let Some(last) = self.layers.last_mut() {
            last.rescale(&[std], &[mean]);
        }
    }

    /// Makes a network of y that of (y − mean) / std.
    pub fn standardise_output(&mut self, mean: f32, std: f32) {
        let (mean, std) = (f64::from(mean), f64::from(std));
        self.rescale_output(-mean / std, 1.0 / std);
    }

    /// Makes channel `i` of the input what `places[i]` was.
    ///
    /// # Errors
    /// The first layer has groups of channels.
    pub fn reorder_inputs(&mut self, places: &[usize]) -> anyhow::Result<()> {
        let first = &mut self.layers[0];
        ensure!(
            !first.block.is_grouped() || places.is_sorted(),
            "the first layer has groups of channels, which keep their order"
        );
        for (row, _) in first.rows_mut() {
            let before = row.to_vec();
            for (row, before) in
                row.chunks_exact_mut(places.len()).zip(before.chunks_exact(places.len()))
            {
                row.iter_mut().zip(places).for_each(|(weight, &place)| *weight = before[place]);
            }
        }
        self.zero = places.iter().map(|&place| self.zero[place]).collect();
        Ok(())
    }

    /// Makes output `i` what `places[i]` was.
    pub fn reorder_outputs(&mut self, places: &[usize]) {
        if let Some(last) = self.layers.last_mut() {
            let inputs = last.fan_in();
            let (weights, biases) = (last.weights.clone(), last.biases.clone());
            let row = |&place: &usize| weights[place * inputs..(place + 1) * inputs].to_vec();
            last.weights = places.iter().flat_map(row).collect();
            last.biases = places.iter().map(|&place| biases[place]).collect();
        }
    }

    /// Makes logits of two classes of the log odds of the second.
    pub fn split_logit(&mut self) {
        if let Some(last) = self.layers.last_mut() {
            let half = |values: &[f64], sign: f64| {
                values.iter().map(|v| 0.5 * sign * v).collect::<Vec<_>>()
            };
            last.weights = [half(&last.weights, -1.0), half(&last.weights, 1.0)].concat();
            last.biases = [half(&last.biases, -1.0), half(&last.biases, 1.0)].concat();
            last.block.outputs = 2;
        }
    }
}
