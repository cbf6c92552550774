//! A model's graph: the nodes that lead to its outputs, in order, and the values that it holds.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::constants;
use super::evaluate::{Budget, apply};
use super::operator::{ML, ML_VERSIONS, Operator, VERSIONS, operator};
use super::proto;
use super::tensor::Tensor;

/// Most nodes that lead to the outputs: a network of 8 layers has some dozens.
const MAX_NODES: usize = 4096;
/// Steps that computing the model's own values may take: transposing a few layers' weights.
const FOLDING: u64 = 1 << 28;
/// Most characters of a name that are shown.
const SHOWN: usize = 80;

/// Everything that keeps a model from being imported, each with the node that it is about.
#[derive(Clone, Debug, Default)]
pub struct Obstacles(Vec<String>);

impl Obstacles {
    /// Adds one, about what `of` names.
    pub fn add(&mut self, of: impl AsRef<str>, error: &anyhow::Error) {
        let obstacle = format!("{}: {error:#}", of.as_ref());
        if !self.0.contains(&obstacle) {
            self.0.push(obstacle);
        }
    }

    /// All of them as an error, if there is one.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => bail!("{one}"),
            all => bail!("{} obstacles:\n  {}", all.len(), all.join("\n  ")),
        }
    }
}

/// A node, and what it computes if that is supported.
#[derive(Debug)]
pub struct Node<'a> {
    /// Start of its messages.
    pub shown: String,
    /// Its name, or its output's where it has none.
    pub name: &'a str,
    /// The operator's name.
    pub called: &'a str,
    /// The operator; none where it is an obstacle.
    pub operator: Option<Operator>,
    /// Names; empty where one is left out.
    pub inputs: Vec<&'a str>,
    /// Name of its first output.
    pub output: &'a str,
}

/// A graph.
#[derive(Debug)]
pub struct Graph<'a> {
    /// The nodes that compute something of the input, and that lead to an output.
    pub nodes: Vec<Node<'a>>,
    /// Its input.
    pub input: proto::Input<'a>,
    /// Names of its outputs.
    pub outputs: Vec<&'a str>,
    held: HashMap<&'a str, proto::Tensor<'a>>,
    computed: HashMap<&'a str, Tensor>,
    folder: &'a Path,
}

/// A name for the user, without what a terminal would obey, and cut.
pub fn shown(name: &str) -> String {
    let cut: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN).is_some() { format!("{cut}…") } else { cut }
}

/// A node for the user, by its name or that of its output.
fn place(node: &proto::Node<'_>, index: usize) -> String {
    let operator = shown(node.operator);
    match (node.name, node.outputs.first()) {
        ("", None | Some(&"")) => format!("node {index} ({operator})"),
        ("", Some(output)) => format!("the node of `{}` ({operator})", shown(output)),
        (name, _) => format!("node `{}` ({operator})", shown(name)),
    }
}

impl<'a> Graph<'a> {
    /// The graph of a model, and what of it is not supported whatever the shapes are.
    ///
    /// # Errors
    /// It is no graph: no input or several, no output, a name twice or not at all.
    pub fn new(
        model: proto::Model<'a>,
        folder: &'a Path,
        obstacles: &mut Obstacles,
    ) -> anyhow::Result<Self> {
        let graph = model.graph.context("not an ONNX model: it has no graph")?;
        let version = check_versions(&model.operator_sets, &graph.nodes, obstacles);
        if graph.sparse > 0 {
            obstacles.add("the model", &anyhow::anyhow!("it has sparse weights"));
        }
        let held: HashMap<&str, proto::Tensor<'_>> =
            graph.initializers.into_iter().map(|tensor| (tensor.name, tensor)).collect();
        let is_input = |input: &proto::Input<'_>| !held.contains_key(input.name);
        let inputs: Vec<_> = graph.inputs.into_iter().filter(is_input).collect();
        let input = match <[_; 1]>::try_from(inputs) {
            Ok([input]) => input,
            Err(inputs) => {
                let names: Vec<String> = inputs.iter().map(|input| shown(input.name)).collect();
                bail!("found {} inputs ({}), expected one", names.len(), names.join(", "))
            }
        };
        ensure!(!graph.outputs.is_empty(), "it has no output");
        let needed = needed(&graph.nodes, &graph.outputs);
        let mut own = Self {
            nodes: Vec::new(),
            input,
            outputs: graph.outputs,
            held,
            computed: HashMap::new(),
            folder,
        };
        let budget = Budget::new(FOLDING);
        let mut known: HashSet<&str> = own.held.keys().copied().chain([own.input.name]).collect();
        for (index, node) in graph.nodes.iter().enumerate() {
            let wanted = |name: &&str| !name.is_empty() && needed.contains(name);
            let wanted: Vec<&str> = node.outputs.iter().copied().filter(wanted).collect();
            let Some(&output) = wanted.first() else { continue };
            let shown = place(node, index);
            for name in node.inputs.iter().filter(|name| !name.is_empty()) {
                let unknown =
                    || format!("{shown}: nothing before it gives `{}`", self::shown(name));
                known.get(name).with_context(unknown)?;
            }
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                let again = || format!("{shown}: `{}` is given twice", self::shown(name));
                ensure!(known.insert(name), "{}", again());
            }
            if node.outputs.first() != Some(&output) || wanted.len() > 1 {
                let error = anyhow::anyhow!("its further outputs are used, supported is the first");
                obstacles.add(&shown, &error);
            }
            let operator = match model.functions.contains(&(node.domain, node.operator)) {
                true => {
                    Err(anyhow::anyhow!("it is a function of the model, which is not supported"))
                }
                false => operator(node, version),
            };
            let operator =
                operator.and_then(|operator| own.check_training(node).map(|()| operator));
            let operator = operator.map_err(|error| obstacles.add(&shown, &error)).ok();
            let name = if node.name.is_empty() { output } else { node.name };
            let (inputs, called) = (node.inputs.clone(), node.operator);
            let node = Node { shown, name, called, operator, inputs, output };
            match own.fold(&node, &budget) {
                Some(Ok(value)) => {
                    own.computed.insert(output, value);
                }
                Some(Err(error)) => obstacles.add(&node.shown, &error),
                None => own.nodes.push(node),
            }
            ensure!(own.nodes.len() <= MAX_NODES, "it has more than {MAX_NODES} nodes");
        }
        Ok(own)
    }

    /// Whether the model holds a value, or computes it from others that it holds.
    pub fn is_constant(&self, name: &str) -> bool {
        self.held.contains_key(name) || self.computed.contains_key(name)
    }

    /// A value that the model holds.
    ///
    /// # Errors
    /// It computes the value from its input, or the value is none of numbers.
    pub fn constant(&self, name: &str) -> anyhow::Result<Tensor> {
        if let Some(value) = self.computed.get(name) {
            return Ok(value.clone());
        }
        let shown = || format!("`{}`", shown(name));
        let held = self.held.get(name).with_context(|| {
            format!("{} is computed, expected values that the model holds", shown())
        })?;
        constants::tensor(held, self.folder).with_context(shown)
    }

    /// Number of features that the first matrix or scaler takes, if there is one.
    ///
    /// # Errors
    /// Its weights cannot be read.
    pub fn first_width(&self) -> anyhow::Result<Option<usize>> {
        for node in &self.nodes {
            let side = |axis: usize| {
                let weights = node.inputs.get(1).context("it has no weights")?;
                anyhow::Ok(self.constant(weights)?.shape.get(axis).copied())
            };
            let width = match &node.operator {
                Some(Operator::Scaler { offset, scale }) => {
                    Ok(Some(offset.len().max(scale.len())).filter(|&width| width > 1))
                }
                Some(Operator::MatMul) => side(0),
                Some(Operator::Gemm { across: [_, across], .. }) => side(usize::from(*across)),
                _ => Ok(None),
            };
            if let Some(width) = width.with_context(|| node.shown.clone())? {
                return Ok(Some(width));
            }
        }
        Ok(None)
    }

    /// Names of classes that the model holds.
    pub fn names(&self, name: &str) -> Option<Vec<String>> {
        constants::names(self.held.get(name)?)
    }

    /// Whether a Dropout drops nothing.
    fn check_training(&self, node: &proto::Node<'_>) -> anyhow::Result<()> {
        let mode = node.inputs.get(2).filter(|name| !name.is_empty());
        let Some(mode) = mode.filter(|_| node.operator == "Dropout") else { return Ok(()) };
        let off = self.constant(mode)?.values.iter().all(|&value| value == 0.0);
        ensure!(off, "it is in training mode: export the model for evaluation");
        Ok(())
    }

    /// The value of a node that reads nothing but values of the model.
    fn fold(&self, node: &Node<'_>, budget: &Budget) -> Option<anyhow::Result<Tensor>> {
        let operator = node.operator.as_ref()?;
        let given = || node.inputs.iter().filter(|name| !name.is_empty());
        if !given().all(|name| self.is_constant(name)) {
            return None;
        }
        let value = || {
            let inputs = node.inputs.iter().map(|name| match name.is_empty() {
                true => Ok(None),
                false => self.constant(name).map(Some),
            });
            let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
            apply(operator, &inputs.iter().map(Option::as_ref).collect::<Vec<_>>(), budget)
        };
        Some(value())
    }
}

/// Names of all values that lead to the outputs.
fn needed<'a>(nodes: &[proto::Node<'a>], outputs: &[&'a str]) -> HashSet<&'a str> {
    let mut needed: HashSet<&str> = outputs.iter().copied().collect();
    for node in nodes.iter().rev() {
        if node.outputs.iter().any(|name| !name.is_empty() && needed.contains(name)) {
            needed.extend(node.inputs.iter().filter(|name| !name.is_empty()));
        }
    }
    needed
}

/// The version of the default operator set; that and the other's have to be known.
fn check_versions(
    sets: &[(&str, i64)],
    nodes: &[proto::Node<'_>],
    obstacles: &mut Obstacles,
) -> i64 {
    let default = |domain: &str| ["", "ai.onnx"].contains(&domain);
    let mut version = *VERSIONS.end();
    let machine_learning = nodes.iter().any(|node| node.domain == ML);
    for (is_set, known, used, name) in [
        (&default as &dyn Fn(&str) -> bool, VERSIONS, true, "ai.onnx"),
        (&|domain: &str| domain == ML, ML_VERSIONS, machine_learning, ML),
    ] {
        let said: Vec<i64> =
            sets.iter().filter(|(domain, _)| is_set(domain)).map(|(_, version)| *version).collect();
        match said.as_slice() {
            [] if !used => {}
            [one] if known.contains(one) => {
                if name != ML {
                    version = *one;
                }
            }
            found => {
                let (least, most) = (known.start(), known.end());
                obstacles.add(
                    "the model",
                    &anyhow::anyhow!(
                        "found the version {found:?} of its operators {name}, expected one from {least} to {most}"
                    ),
                );
            }
        }
    }
    version
}
