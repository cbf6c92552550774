//! The end of a graph, after the logits: probabilities, labels, and the names of the classes.

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::graph::{Node, shown};
use super::lower::{Known, Tracer};
use super::operator::Operator;
use super::value::Value;
use crate::import::layers::Layers;

/// Function that a model applies to its network's outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Nothing that is known.
    #[default]
    Sums,
    /// Probabilities of classes.
    Softmax,
    /// The probability of the second of two classes.
    Sigmoid,
}

impl End {
    /// Its name, for the user.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sums => "dense layer",
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
        }
    }
}

/// Probabilities or labels that are made of the logits.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// The logits.
    pub value: Value,
    /// The name of their tensor.
    pub logits: &'a str,
    /// The node that reads them, for the user.
    pub shown: String,
    /// Function that the node computes.
    pub end: End,
    /// Whether these are labels, which are not numbers to compare.
    pub labels: bool,
}

/// Layers, and what a model makes of their outputs.
pub struct Traced<'a> {
    /// The layers, of inputs in their original units.
    pub layers: Layers,
    /// u = (x − offset) · factor of the input, one of each a channel, which is a part of the first layer.
    pub units: [Vec<f64>; 2],
    /// Function that the model applies to their outputs.
    pub end: End,
    /// Name of the tensor of the outputs.
    pub logits: &'a str,
    /// Names of the tensors that should be the probabilities of the classes, or their logarithms.
    pub probabilities: Vec<String>,
    /// Names of the classes.
    pub classes: Option<Vec<String>>,
}

/// Names of classes that a model holds.
#[derive(Debug, Default)]
pub struct Names {
    /// Names in the order of the outputs.
    pub classes: Option<Vec<String>>,
    /// Tensors of probabilities whose columns are in that order, if the model is what it seems.
    pub named: Vec<String>,
}

impl<'a> Tracer<'_, 'a> {
    /// Follows all nodes of a graph, whose input's rows have these sides, to its outputs.
    ///
    /// # Errors
    /// All obstacles.
    pub fn follow(mut self, sides: Vec<usize>) -> anyhow::Result<Traced<'a>> {
        self.run();
        let (mut ends, mut probabilities) = (Vec::new(), std::mem::take(&mut self.names.named));
        for &name in &self.graph.outputs {
            match self.known.get(name) {
                Some(Known::Row(value)) => ends.push((value.clone(), name, name, End::Sums)),
                Some(Known::Head(head)) => {
                    ends.push((head.value.clone(), name, head.logits, head.end));
                    if !head.labels {
                        probabilities.push(name.to_owned());
                    }
                }
                Some(Known::Nothing) => {}
                Some(Known::Lengths(_)) | None => {
                    let error = anyhow::anyhow!("it depends on no value of the input");
                    self.obstacles.add(format!("the output `{}`", shown(name)), &error);
                }
            }
        }
        // A softmax or sigmoid tells more of the same outputs.
        let last = ends.iter().max_by_key(|(value, .., end)| (value.place, *end != End::Sums));
        for (value, name, ..) in &ends {
            if last.is_some_and(|(last, ..)| last.place != value.place) {
                let error = anyhow::anyhow!(
                    "it is not made of the network's last layer, as another output is: export the model with one output"
                );
                self.obstacles.add(format!("the output `{}`", shown(name)), &error);
            }
        }
        self.obstacles.check()?;
        let (value, _, logits, end) = last.cloned().context("its input leads to no output")?;
        let classes = self.names.classes.take();
        let (layers, units) = self.finish(&value, sides)?;
        if let Some(names) = &classes {
            let count = layers.outputs().max(2);
            let found = names.len();
            ensure!(found == count, "it names {found} classes, but its layers give {count}");
        }
        Ok(Traced { layers, units, end, logits, probabilities, classes })
    }

    /// Probabilities, or places of the largest.
    pub fn head(&mut self, node: &Node<'a>, operator: &Operator, value: &Value) -> Head<'a> {
        let checked = check_head(operator, value);
        self.lower(node, checked);
        let end = match operator {
            Operator::Each(_) => End::Sigmoid,
            _ => End::Softmax,
        };
        let labels = matches!(operator, Operator::ArgMax { .. });
        let logits = node.inputs.first().copied().unwrap_or_default();
        Head { value: value.clone(), logits, shown: node.shown.clone(), end, labels }
    }

    /// Follows a node after probabilities or labels: it gives other forms of them, and no layers.
    pub fn after_head(
        &mut self,
        node: &Node<'a>,
        operator: &Operator,
    ) -> anyhow::Result<Known<'a>> {
        let mut heads = (0..node.inputs.len()).filter_map(|index| match self.input(node, index) {
            Some(Known::Head(head)) => Some(head.clone()),
            _ => None,
        });
        let Some(mut head) = heads.next() else { bail!("it is no end") };
        head.labels |= heads.any(|other| other.labels);
        let one = (0..node.inputs.len()).all(|index| {
            matches!(self.input(node, index), None | Some(Known::Head(_) | Known::Lengths(_)))
        });
        match operator {
            Operator::Names => {
                let names = node.inputs.first().and_then(|name| self.graph.names(name));
                if let Some(names) = names {
                    self.names.classes.get_or_insert(names);
                }
                head.labels = true;
            }
            Operator::ZipMap(names) => {
                // These stand for columns that are compared with the network's.
                self.names.classes = Some(names.clone());
                self.names.named.extend(node.inputs.iter().map(|name| (*name).to_owned()));
            }
            Operator::Encode { keys, values } => {
                if let Some(classes) = &mut self.names.classes {
                    for class in classes {
                        if let Some(place) = keys.iter().position(|key| key == class) {
                            class.clone_from(&values[place]);
                        }
                    }
                }
                head.labels = true;
            }
            Operator::ArgMax { .. } => {
                self.names.named.extend(node.inputs.first().map(|name| (*name).to_owned()));
                head.labels = true;
            }
            Operator::Whole => head.labels = true,
            Operator::Identity
            | Operator::Arithmetic(_)
            | Operator::Concat { .. }
            | Operator::Reshape { .. }
            | Operator::Squeeze { .. }
            | Operator::Unsqueeze { .. }
            | Operator::Gather { .. }
            | Operator::Slice
                if one => {}
            _ => {
                let error = anyhow::anyhow!(
                    "found it before `{}` ({}), expected it at the end",
                    shown(node.name),
                    shown(node.called)
                );
                self.obstacles.add(&head.shown, &error);
                return Ok(Known::Nothing);
            }
        }
        Ok(Known::Head(head))
    }
}

/// Whether a node makes probabilities of exclusive classes, or the likeliest of them, of all values of a row.
fn check_head(operator: &Operator, value: &Value) -> anyhow::Result<()> {
    let count = value.row_len();
    match operator {
        Operator::Softmax { axis, .. } | Operator::ArgMax { axis, .. } => {
            let axis = super::tensor::axis(*axis, value.axes.len())?;
            let all = value.length(&value.axes[axis]) == Some(count);
            ensure!(all, "found the axis {axis} of {value}, expected that of the classes");
            ensure!(count > 1, "found one value a row, expected one for each class");
        }
        _ => ensure!(
            count == 1,
            "found {count} sigmoids, each for a class of its own (several can be true): supported are classes of which \
             one is true, by softmax, or two by one sigmoid"
        ),
    }
    Ok(())
}

/// Names of classes among the notes of an exporter, for so many: a list or a dictionary of them, as JSON or as
/// Python writes it, or names with commas between them.
pub fn noted_names(notes: &[(&str, &str)], count: usize) -> Option<Vec<String>> {
    let keys = ["names", "classes", "class_names", "labels"];
    let texts = keys.iter().filter_map(|key| notes.iter().find(|(other, _)| other == key));
    let mut lists = texts.filter_map(|(_, text)| listed_names(text));
    lists.find(|names| names.len() == count)
}

/// The names of one text.
fn listed_names(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let Some(inside) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .or_else(|| text.strip_prefix('{').and_then(|text| text.strip_suffix('}')))
    else {
        return Some(text.split(',').map(|name| name.trim().to_owned()).collect());
    };
    let mut names = Vec::new();
    let mut rest = inside.trim_start();
    while !rest.is_empty() {
        let (mut name, mut after) = token(rest)?;
        if let Some(value) = after.strip_prefix(':') {
            // Keys count from 0.
            if text.starts_with('{') && name.parse() != Ok(names.len()) {
                return None;
            }
            (name, after) = token(value.trim_start())?;
        }
        names.push(name);
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(names)
}

/// A text in quotation marks or a bare word, and what follows it.
fn token(text: &str) -> Option<(String, &str)> {
    let mark = text.chars().next().filter(|mark| ['"', '\''].contains(mark));
    let Some(mark) = mark else {
        let end = text.find([',', ':']).unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut escaped = false;
    for (place, char) in text.char_indices().skip(1) {
        match char {
            _ if escaped => {
                name.push(char);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if char == mark => return Some((name, text[place + 1..].trim_start())),
            _ => name.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporters_notes_name_classes() {
        for text in [
            "{0: 'cat', 1: \"a dog\"}",
            "[\"cat\", \"a dog\"]",
            "['cat','a dog']",
            "cat, a dog",
            "{\"0\": \"cat\", \"1\": \"a dog\"}",
        ] {
            let names = noted_names(&[("other", "x,y"), ("names", text)], 2).expect(text);
            assert_eq!(names, ["cat", "a dog"], "{text}");
        }
        for text in ["{1: 'cat', 0: 'dog'}", "['cat', 'dog', 'cow']", "['cat' 'dog']", "[\"cat", ""]
        {
            assert_eq!(noted_names(&[("names", text)], 2), None, "{text}");
        }
    }
}
