//! Networks trained elsewhere: from ONNX or safetensors to the θ* that a walk starts from.
//!
//! Whatever the source, the imported network maps features in their original units to logits, or to
//! the target in its original units: what the source normalised by is part of its first and last layers.

mod check;
mod description;
mod elsewhere;
mod layers;
mod misfit;
mod onnx;
mod reference;
#[cfg(test)]
mod tests;
mod units;
mod weights;

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::config::{Choice, Config};
use crate::data::Schema;
use crate::files;
use crate::network::{Architecture, LayerSpec};
use crate::run_dir::write_atomically;
use crate::task::{AnyTask, Classification, Regression};
use crate::tensors::{TensorFile, header};
use check::Compared;
use description::Description;
use elsewhere::way_from;
pub(crate) use layers::{Layers, Order};
pub(crate) use misfit::misfit;
use onnx::{End, Original};
use reference::Reference;
use units::OutputUnits;

/// Name of the parameters, `[1, P]`, in the file of an imported network.
const THETA: &str = "theta";
/// Name of the text that describes them.
const NOTE: &str = "network";

/// A network trained elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedNetwork {
    about: About,
    /// `[P]`, from features in original units (less [`About::zero`]) to logits, or to the target in original
    /// units.
    theta: Vec<f32>,
    /// Rows with the outputs that the original gave for them.
    references: Vec<Reference>,
}

/// Facts of a network that its parameters do not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    architecture: Architecture,
    /// Names of features, or of a map's channels, in the order of the inputs; none where the order is that of
    /// the data.
    features: Option<Vec<String>>,
    /// Class names in the order of the outputs; none where the order is that of the data's classes.
    classes: Option<Vec<String>>,
    /// Whether these names are those that the source holds, and not the user's.
    #[serde(default)]
    classes_held: bool,
    /// Names of the layers in the source.
    layers: Vec<String>,
    /// Values that zeros in the padding of a first layer stand for, original units, one a channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zero: Option<Vec<f32>>,
    /// Last operation of the source on the outputs.
    #[serde(default)]
    end: End,
    /// Units that a description added to a regressor's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rescaled: Option<OutputUnits>,
}

/// An imported network, and how far its outputs are from those of the original.
pub struct Import {
    /// The network.
    pub network: ImportedNetwork,
    /// Rows that were drawn and computed by the original's graph, and the largest difference; none of a source that
    /// holds weights alone, or of a graph that takes too long.
    pub computed: Option<(usize, f64)>,
    /// Rows that the description names, and the largest difference.
    pub checked: Option<(usize, f64)>,
}

/// Layers of a source, and what it says of them.
struct Source<'a> {
    layers: Layers,
    /// Names of the classes that it holds.
    classes: Option<Vec<String>>,
    /// Its graph, if it has one.
    original: Option<Original<'a>>,
}

/// Reads an `.onnx` model, or the `.safetensors` weights that `description` says how to join, and compares
/// the network with the model's graph, and with the reference outputs that the description names. Some of the rows that
/// were compared become a part of the network.
///
/// # Errors
/// A file that cannot be read or is something else, an operator or a layer that is not supported, shapes
/// that do not fit together, or outputs that are not those of the original.
pub fn import(model: &Path, description: Option<&Path>) -> anyhow::Result<Import> {
    let about = description.map(Description::read).transpose()?.unwrap_or_default();
    let shown = model.display();
    let extension = model.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if let Some(way) = way_from(&extension) {
        bail!("{shown}: {way}");
    }
    let bytes =
        files::read(model, files::MOST_NETWORK).with_context(|| format!("cannot read {shown}"))?;
    let folder = model.with_file_name("");
    let source = match extension.as_str() {
        "onnx" => graph(&bytes, &folder, &about),
        "safetensors" => weights::read(&bytes, &about).map(|layers| Source {
            layers,
            classes: None,
            original: None,
        }),
        _ => bail!("{shown}: found the extension `{extension}`, expected `onnx` or `safetensors`"),
    };
    let Source { mut layers, classes, original } = source.with_context(|| shown.to_string())?;
    let source = description.unwrap_or(model).display();
    let told = || source.to_string();
    layers.check().with_context(told)?;
    let inputs = about.inputs.units(layers.input.channels).with_context(told)?;
    inputs.add_to(&mut layers);
    layers.check().with_context(told)?;
    let mut computed = match &original {
        Some(original) => original.compare(&layers, &inputs).with_context(|| shown.to_string())?,
        None => None,
    };
    if let Some(outputs) = about.outputs.units().with_context(told)? {
        outputs.add_to(&mut layers);
        let expected = computed.iter_mut().flat_map(|computed| &mut computed.expected);
        expected.for_each(|value| *value = outputs.original(*value));
    }
    layers.check().with_context(told)?;
    let end = original.as_ref().map_or(End::Sums, |original| original.end);
    let mut network = layers.network(&about, end, classes).with_context(told)?;
    let sides = (layers.order, layers.dimensions.as_slice());
    let checked = check::check(&network, sides, &about, model, description)?;
    network.references = Reference::of(computed.iter().chain(&checked));
    network.check_references().with_context(told)?;
    let figures = |compared: Compared| (compared.compared, compared.difference);
    Ok(Import { network, computed: computed.map(figures), checked: checked.map(figures) })
}

/// Reads an ONNX model, whose weights may be in files of `folder`.
fn graph<'a>(bytes: &'a [u8], folder: &'a Path, about: &Description) -> anyhow::Result<Source<'a>> {
    let said = [
        ("layers", !about.layers.is_empty()),
        ("hidden", about.hidden.is_some()),
        ("activation", about.activation.is_some()),
    ];
    if let Some((field, _)) = said.iter().find(|(_, said)| *said) {
        bail!("the model says itself what its layers are: remove `{field}` from the description");
    }
    let onnx::Network { layers, classes, original } = onnx::read(bytes, folder, about.shape()?)?;
    Ok(Source { layers, classes, original: Some(original) })
}

impl About {
    /// Checks that it is as import writes it, so that nothing behind it meets a number out of range.
    fn check(&self) -> anyhow::Result<()> {
        self.architecture.check().map_err(|message| anyhow!(message))?;
        let channels = self.architecture.input.channels;
        if let Some(zero) = &self.zero {
            let fits = zero.len() == channels && zero.iter().all(|value| value.is_finite());
            ensure!(fits, "found zeros of {zero:?}, expected {channels} numbers");
        }
        if let Some(OutputUnits { mean, std }) = self.rescaled {
            let fits = mean.is_finite() && std.is_finite() && std > 0.0;
            ensure!(
                fits,
                "found outputs of {mean} + {std} f, expected numbers, the second above 0"
            );
        }
        Ok(())
    }
}

impl ImportedNetwork {
    /// Reads what [`Self::write`] wrote, and compares it again with what the original gave.
    ///
    /// # Errors
    /// The file cannot be read or is something else, or its parameters give other outputs than the original.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = TensorFile::open(path)?;
        let shown = path.display();
        let wrong = || format!("{shown} is not what fiberwalk import wrote");
        let about: About =
            serde_json::from_str(file.note(NOTE).with_context(wrong)?).with_context(wrong)?;
        about.check().with_context(wrong)?;
        let theta = file.rows(THETA, 0..1)?.concat();
        let expected = about.architecture.parameters();
        ensure!(
            theta.len() == expected,
            "{}: {} parameters, expected {expected}",
            wrong(),
            theta.len()
        );
        let references = Reference::read(&file, &about.architecture).with_context(wrong)?;
        let network = Self { about, theta, references };
        network.check_references().with_context(|| {
            format!(
                "{shown}: its parameters give other outputs than the original gave, which the file holds for some rows: \
                 it was written, or is read, in another way; import the network again"
            )
        })?;
        Ok(network)
    }

    /// Writes the network to a file, for `train --network`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let about = serde_json::to_string(&self.about)?;
        let mut matrices = vec![(THETA, [1, self.theta.len()], self.theta.as_slice())];
        matrices.extend(self.references.iter().flat_map(Reference::matrices));
        let shapes: Vec<_> = matrices.iter().map(|&(name, shape, _)| (name, shape)).collect();
        let mut bytes = header(&shapes, Some((NOTE, about)))?;
        let values = matrices.iter().flat_map(|(.., values)| *values);
        bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        write_atomically(path, &bytes)
    }

    /// Checks that its parameters give what the original gave.
    fn check_references(&self) -> anyhow::Result<()> {
        self.references.iter().try_for_each(|reference| reference.check(self))
    }

    /// Number of rows that its file holds with what the original gave for them.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "the command says it"))]
    pub fn reference_rows(&self) -> usize {
        self.references.iter().map(Reference::rows).sum()
    }

    /// Its shape; the last layer has 1 output for a regressor and for a binary classifier of one logit.
    pub const fn architecture(&self) -> &Architecture {
        &self.about.architecture
    }

    /// Returns the names of the layers in the source.
    pub fn layers(&self) -> &[String] {
        &self.about.layers
    }

    /// `config` for this network: its hidden layers, its activation, and particles that start from it
    /// alone.
    ///
    /// # Errors
    /// The configuration says otherwise.
    pub fn settings(&self, config: &Config) -> anyhow::Result<Config> {
        let own = &self.about.architecture;
        let mut config = config.clone();
        let hidden = own.hidden(config.network.activation);
        if let Some(other) = config.network.hidden.fixed() {
            let said = Architecture::of(own.input, other, config.network.activation, own.outputs());
            if said.as_ref() != Ok(own) {
                bail!(
                    "network.hidden, network.activation: found [{}], but the imported network has [{}]",
                    listed(other),
                    listed(&hidden)
                );
            }
        }
        if let Some(maps) = config.walk.starts.fixed().filter(|maps| **maps != 1) {
            bail!("walk.starts: found {maps}, expected 1 with an imported network");
        }
        config.network.hidden = Choice::Fixed(hidden);
        config.walk.starts = Choice::Fixed(1);
        Ok(config)
    }

    /// Returns what a zero beside the map stands for, original units, one a channel, where the first layer has
    /// padding: the data have to be standardised round it for the same function.
    pub fn padding(&self) -> Option<&[f32]> {
        self.about.zero.as_deref()
    }

    /// The parameters of the same function of standardised features, to logits of the data's classes or
    /// to the standardised target: `[P]` of the architecture for these data. Inputs that are `constant`
    /// in the training rows become part of the biases: the data do not say what their weights are, which
    /// can be huge, and would cost the others their resolution in integers.
    ///
    /// # Errors
    /// Other features, classes or outputs than the data's.
    pub fn fitted_to(&self, schema: &Schema, constant: &[usize]) -> anyhow::Result<Vec<f32>> {
        let zero = self.about.zero.as_deref();
        let mut layers = Layers::of(&self.about.architecture, &self.theta, zero);
        let features = schema.layout.len();
        let (inputs, map) = (layers.inputs(), layers.input);
        ensure!(
            inputs == features,
            "the imported network has {inputs} inputs, the data have {features} features"
        );
        if let Some(column) = schema.layout.shifted() {
            bail!(
                "the values of `{column}` lie so close together that 32-bit floats hold little of them: take a \
                 number near them off the column, and train the network on that"
            );
        }
        if map.positions() > 1 && schema.layout.map() != Some(map) {
            let found = schema
                .layout
                .map()
                .map_or("columns".to_owned(), |shape| format!("maps of {shape}"));
            bail!("the imported network reads maps of {map}, the data have {found}");
        }
        if let Some(own) = &self.about.features {
            let channels = schema.layout.channel_names();
            let (names, what) = match map.positions() > 1 && !channels.is_empty() {
                true => (channels, "channels"),
                false => (schema.layout.names(), "features"),
            };
            layers.reorder_inputs(&places(&names, own, what)?)?;
        }
        layers.scale_inputs(&schema.mean, &schema.std);
        layers.cut_inputs(|input| constant.contains(&input));
        match &schema.task {
            AnyTask::Classification(Classification { classes }) => {
                if layers.outputs() == 1 && classes.len() == 2 {
                    layers.split_logit();
                }
                let outputs = layers.outputs();
                ensure!(
                    outputs == classes.len(),
                    "the imported network has {outputs} outputs, the data have {} classes",
                    classes.len()
                );
                if let Some(own) = &self.about.classes
                    && !self.numbers_classes(own, classes)
                {
                    let places = places(classes, own, "classes").map_err(|error| {
                        anyhow!(
                            "{error}; outputs.classes of its `description` names the classes in the order of the \
                             outputs"
                        )
                    })?;
                    layers.reorder_outputs(&places);
                }
            }
            AnyTask::Regression(Regression { mean, std }) => {
                let outputs = layers.outputs();
                ensure!(
                    self.about.end == End::Sums,
                    "the imported network ends with a {}, which gives probabilities of classes, but the target is a \
                     number: a network for numbers ends with a dense layer",
                    self.about.end.name()
                );
                ensure!(
                    outputs == 1,
                    "the imported network has {outputs} outputs, expected 1 for a number"
                );
                layers.standardise_output(*mean, *std);
            }
        }
        Ok(layers.theta())
    }

    /// Whether a model that holds 0, 1, … for its classes has no names for them: other data have other names.
    fn numbers_classes(&self, own: &[String], classes: &[String]) -> bool {
        let numbered = own.iter().enumerate().all(|(place, name)| *name == place.to_string());
        self.about.classes_held && numbered && !classes.iter().all(|class| own.contains(class))
    }
}

/// Layers as a configuration lists them.
pub fn listed(layers: &[LayerSpec]) -> String {
    layers.iter().map(LayerSpec::to_string).collect::<Vec<_>>().join(", ")
}

/// For each of the data's `names` its place among the network's `own`.
fn places(names: &[String], own: &[String], what: &str) -> anyhow::Result<Vec<usize>> {
    let place = |name: &String| {
        own.iter().position(|other| other == name).with_context(|| {
            format!("the data's {what} have {name:?}, which the imported network does not: {own:?}")
        })
    };
    let places = names.iter().map(place).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        names.len() == own.len(),
        "the imported network has {} {what}, the data have {}",
        own.len(),
        names.len()
    );
    Ok(places)
}
