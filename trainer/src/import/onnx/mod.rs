//! Networks out of ONNX models: a file is read within limits ([`wire`], [`proto`]), its graph and operators are
//! understood or refused ([`graph`], [`operator`]), the shape and layout of every tensor is followed ([`value`]), and
//! nodes become layers ([`lower`], [`blocks`], [`end`]). [`evaluate`] computes the graph itself, and [`compare`]
//! compares the layers with it.

mod blocks;
mod compare;
mod constants;
mod end;
mod evaluate;
mod graph;
mod lower;
mod operator;
mod proto;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod wire;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::import::layers::Layers;
use crate::network::Shape;
pub use end::End;
use end::Traced;
use evaluate::{Budget, TooManySteps, apply};
use graph::{Graph, Node, Obstacles, shown};
use lower::Tracer;
use tensor::Tensor;
use value::Value;

/// Rows that a graph is evaluated for where it does not fix their number: two, so that rows cannot mix unseen.
const ROWS: usize = 2;

/// A network that was read, and the graph that it came from.
pub struct Network<'a> {
    /// The layers, of what the graph takes.
    pub layers: Layers,
    /// Names of the classes in the order of the outputs, where the model holds them.
    pub classes: Option<Vec<String>>,
    /// The graph itself.
    pub original: Original<'a>,
}

/// A graph, to be computed by itself.
pub struct Original<'a> {
    graph: Graph<'a>,
    /// Sides of the input's rows.
    sides: Vec<usize>,
    /// Rows of a pass.
    rows: usize,
    /// u = (x − offset) · factor of its input, one of each a channel, which its first layer takes.
    units: [Vec<f64>; 2],
    /// What is made of the layers' outputs.
    pub end: End,
    /// Name of the tensor of these outputs.
    logits: &'a str,
    /// Names of the tensors that should be the probabilities of the classes, or their logarithms.
    probabilities: Vec<String>,
}

/// Outputs of a graph.
struct Outputs {
    /// Number of rows.
    rows: usize,
    /// Outputs of the layers, `[rows, outputs]`.
    logits: Vec<f64>,
    /// Names and values of what are probabilities, as many a row as there are columns.
    probabilities: Vec<(String, Vec<f64>)>,
}

/// Reads the layers of a model, whose weights may be in files of `folder`; `said` is the map that it reads, where it
/// does not say itself.
///
/// # Errors
/// No model, or one that is not supported: all obstacles that were found, each with its node.
pub fn read<'a>(
    bytes: &'a [u8],
    folder: &'a Path,
    said: Option<Shape>,
) -> anyhow::Result<Network<'a>> {
    let mut model = proto::read(bytes).context("not an ONNX model")?;
    let notes = std::mem::take(&mut model.notes);
    let mut obstacles = Obstacles::default();
    let graph = Graph::new(model, folder, &mut obstacles)?;
    let rows = graph.input.shape.as_ref().and_then(|shape| *shape.first()?);
    let most = fiberwalk_formats::MAX_WIDTH;
    ensure!(
        rows.is_none_or(|rows| rows <= most),
        "its input has {rows:?} rows, expected up to {most}"
    );
    let mut refused = None;
    for sides in inputs(&graph, said)? {
        let first = Value::of_sides(sides.clone(), rows);
        let tracer = Tracer::new(&graph, first, said, obstacles.clone());
        match tracer.follow(sides.clone()) {
            Ok(traced) => {
                let Traced { layers, units, end, logits, probabilities, classes } = traced;
                let outputs = layers.outputs();
                let count = if outputs == 1 { 2 } else { outputs };
                let classes = classes.or_else(|| end::noted_names(&notes, count));
                let rows = rows.unwrap_or(ROWS);
                let original = Original { graph, sides, rows, units, end, logits, probabilities };
                return Ok(Network { layers, classes, original });
            }
            // What the likeliest reading of its input meets.
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.context("its input has no shape")?)
}

/// The sides that a row of the input may have, the likeliest first.
fn inputs(graph: &Graph<'_>, said: Option<Shape>) -> anyhow::Result<Vec<Vec<usize>>> {
    let input = &graph.input;
    let name = shown(input.name);
    let floats = [0, constants::FLOAT, constants::DOUBLE].contains(&input.kind);
    ensure!(floats, "`{name}` holds values of type {}, expected floats", input.kind);
    let missing = || {
        anyhow::anyhow!(
            "the model does not say the size of its input: name it in a `description`, inputs.shape = \
             [height, width, channels]"
        )
    };
    let said_sides = |count: usize| match (said, count) {
        (None, _) => Vec::new(),
        (Some(said), 1) => vec![vec![said.len()]],
        (Some(Shape { width, channels, height: 1 }), 2) => {
            vec![vec![channels, width], vec![width, channels]]
        }
        (Some(Shape { height, width, channels }), 3) => {
            vec![vec![channels, height, width], vec![height, width, channels]]
        }
        _ => Vec::new(),
    };
    let candidates = match &input.shape {
        None => match said {
            Some(said) if said.positions() == 1 => said_sides(1),
            Some(said) if said.height == 1 => said_sides(2),
            Some(_) => said_sides(3),
            None => vec![vec![graph.first_width()?.with_context(|| missing().to_string())?]],
        },
        Some(axes) => {
            let own = axes.get(1..).unwrap_or_default();
            let count = own.len();
            ensure!(
                (1..=3).contains(&count),
                "`{name}` has {} axes, expected 2 to 4, the first that of rows",
                axes.len()
            );
            match own.iter().copied().collect::<Option<Vec<usize>>>() {
                Some(sides) => vec![sides],
                None => {
                    let mut sides = said_sides(count);
                    if sides.is_empty() && count == 1 {
                        sides.extend(graph.first_width()?.map(|width| vec![width]));
                    }
                    let fits = |sides: &Vec<usize>| {
                        own.iter().zip(sides).all(|(own, side)| own.is_none_or(|own| own == *side))
                    };
                    sides.retain(fits);
                    sides
                }
            }
        }
    };
    let most = fiberwalk_formats::MAX_MAP;
    for sides in &candidates {
        let values = sides.iter().try_fold(1usize, |all, &side| all.checked_mul(side));
        let fits = values.is_some_and(|values| (1..=most).contains(&values));
        ensure!(fits, "`{name}` has rows of {sides:?}, expected at most {most} values");
    }
    if candidates.is_empty() { Err(missing()) } else { Ok(candidates) }
}

impl Original<'_> {
    /// Computes the graph for rows of its input, in its own order and units: for the first of `x`, whole passes,
    /// that `steps` suffice for.
    ///
    /// # Errors
    /// An operator that does not fit its inputs.
    fn evaluate(&self, x: &[f64], steps: u64) -> anyhow::Result<Outputs> {
        let budget = Budget::new(steps);
        let Self { logits, probabilities, .. } = self;
        let mut needed: HashSet<&str> = probabilities.iter().map(String::as_str).collect();
        needed.insert(logits);
        for node in self.graph.nodes.iter().rev() {
            if needed.contains(node.output) {
                needed.extend(&node.inputs);
            }
        }
        let nodes: Vec<_> =
            self.graph.nodes.iter().filter(|node| needed.contains(node.output)).collect();
        let mut held = HashMap::new();
        for name in nodes.iter().flat_map(|node| &node.inputs) {
            if self.graph.is_constant(name) && !held.contains_key(name) {
                held.insert(*name, self.graph.constant(name)?);
            }
        }
        let mut outputs = Outputs {
            rows: 0,
            logits: Vec::new(),
            probabilities: probabilities.iter().map(|name| (name.clone(), Vec::new())).collect(),
        };
        let length: usize = self.sides.iter().product();
        for x in x.chunks_exact(self.rows * length) {
            let values = match self.pass(x, &nodes, &held, &budget) {
                Err(error) if error.is::<TooManySteps>() => break,
                values => values?,
            };
            let of = |name: &str| {
                let value = values.get(name).or_else(|| held.get(name));
                value.with_context(|| format!("`{}` is missing", shown(name)))
            };
            outputs.logits.extend(&of(logits)?.values);
            for (name, all) in &mut outputs.probabilities {
                all.extend(&of(name)?.values);
            }
            outputs.rows += self.rows;
        }
        Ok(outputs)
    }

    /// All values of one pass through these nodes.
    fn pass<'g>(
        &'g self,
        x: &[f64],
        nodes: &[&'g Node<'_>],
        held: &HashMap<&str, Tensor>,
        budget: &Budget,
    ) -> anyhow::Result<HashMap<&'g str, Tensor>> {
        let shape = [&[self.rows][..], &self.sides].concat();
        let first = Tensor { shape, values: x.to_vec() };
        let mut values = HashMap::from([(self.graph.input.name, first)]);
        for node in nodes {
            let operator = node.operator.as_ref().context("it is not supported")?;
            let inputs: Vec<Option<&Tensor>> =
                node.inputs.iter().map(|name| values.get(name).or(held.get(name))).collect();
            let value = apply(operator, &inputs, budget).with_context(|| node.shown.clone())?;
            values.insert(node.output, value);
        }
        Ok(values)
    }
}
