//! Executed instructions of a prediction on every kind of core, by a model: what the runtime does,
//! counted by kind, times prices fitted to what emulated boards executed. They are **not cycles** of a
//! chip, which also waits for its flash and its bus.

mod operations;
mod prices;

use std::collections::BTreeMap;
use std::fmt;

use fiberwalk_formats::{Artifact, CodeSource};
use serde::Serialize;

use crate::decoder::LayerDecoder;
use crate::network::Architecture;
use crate::quantise::Precision;
pub use operations::{Counts, Operation, Operations};
use prices::{PRICES, WORST_ERRORS};

/// A kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    /// Cortex-M0 and M0+.
    M0,
    /// Cortex-M3.
    M3,
    /// Cortex-M4F and M7.
    M4f,
    /// Cortex-M33 and M55.
    M33,
    /// RISC-V, rv32imac.
    Rv32imac,
}

impl Core {
    /// All of them, in the order of the prices.
    pub const ALL: [Self; 5] = [Self::M0, Self::M3, Self::M4f, Self::M33, Self::Rv32imac];

    /// Instructions of the operations that were counted.
    pub fn instructions(self, counts: &Counts) -> f64 {
        let priced = counts.iter().zip(PRICES);
        priced.map(|(&count, prices)| count as f64 * prices[self as usize]).sum()
    }

    /// Instructions of a prediction by one deterministic pass of a network of int8 weights, fed with
    /// floats.
    pub fn of_pass(self, architecture: &Architecture) -> f64 {
        let frozen = vec![LayerDecoder::Frozen; architecture.depth()];
        let precision = Precision::eight(architecture.depth());
        self.instructions(&Operations::planned(architecture, &frozen, &precision, false).pass)
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::M0 => "M0",
            Self::M3 => "M3",
            Self::M4f => "M4F, M7",
            Self::M33 => "M33, M55",
            Self::Rv32imac => "rv32imac",
        })
    }
}

/// Returns the heading of a table of instructions, of networks with convolutions or without.
pub fn title(convolves: bool) -> String {
    format!(
        "executed instructions, by a model fitted to emulated boards, within {:.0} % there; not cycles",
        (100.0 * worst_error(convolves)).ceil()
    )
}

/// Largest relative error of a predicted figure, of all cores, over the predictions that the prices were
/// fitted to: those of networks with convolutions, or of those without.
pub fn worst_error(convolves: bool) -> f64 {
    WORST_ERRORS[usize::from(convolves)].into_iter().fold(0.0, f64::max)
}

/// Instructions of one kind of prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Kind of the prediction, for the user.
    pub prediction: String,
    /// Number of instructions on every kind of core.
    pub instructions: BTreeMap<Core, u64>,
}

/// Instructions of a pass and of predictions by 4, by 16 and by as many samples as the artifact
/// recommends, with codes from its source: as far as it has stored codes for.
pub fn table(artifact: &Artifact<'_>) -> Vec<Row> {
    let source = artifact.codes.source;
    let operations = Operations::of(artifact, source);
    let row = |prediction: String, counts: Counts| {
        let priced = Core::ALL.map(|core| (core, core.instructions(&counts).round() as u64));
        Row { prediction, instructions: priced.into() }
    };
    let limit = match source {
        CodeSource::Stored if artifact.modulations() > 0 => artifact.stored_codes(),
        _ => usize::MAX,
    };
    let mut numbers = vec![4, 16, usize::from(artifact.codes.samples)];
    numbers.sort_unstable();
    numbers.dedup();
    let samples = numbers.into_iter().filter(|&samples| samples <= limit);
    let samples =
        samples.map(|samples| row(format!("{samples} samples"), operations.of_samples(samples)));
    [row("one deterministic pass".to_owned(), operations.pass)].into_iter().chain(samples).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;

    /// Share of a measured figure that the model may be off.
    const ALLOWED: f64 = 0.1;

    const COSTS: &str = include_str!("../../../../docs/boards.md");
    const MODELS: [(&str, &[u8]); 3] = [
        ("digits", include_bytes!("../../../../examples/firmware/models/digits.fwk")),
        ("A", include_bytes!("../../../../tests/compare/models/a.fwk")),
        ("D", include_bytes!("../../../../tests/compare/models/d.fwk")),
    ];

    /// Operations of a row of the table, where it is about a prediction.
    fn counts(model: &str, figure: &str) -> Option<Counts> {
        let (_, file) = MODELS.iter().find(|(name, _)| *name == model)?;
        let artifact = fiberwalk_formats::decode(file).expect("a committed model");
        if figure == "prediction of a pass" {
            return Some(Operations::of(&artifact, CodeSource::Stored).pass);
        }
        let (samples, source) = match figure.split_once(' ')? {
            (samples, "samples") => (samples, CodeSource::Stored),
            (samples, "drawn samples") => (samples, CodeSource::Normal),
            _ => return None,
        };
        Some(Operations::of(&artifact, source).of_samples(samples.parse().ok()?))
    }

    #[test]
    fn a_plan_counts_what_its_artifact_does() {
        let artifact = fiberwalk_formats::decode(MODELS[0].1).expect("the committed digits");
        let widths = vec![64, 64, 32, 10];
        let architecture = Architecture::perceptron(&widths, Activation::Tanh);
        let structure: Vec<LayerDecoder> = artifact
            .layers
            .iter()
            .map(|layer| match layer.factors.modulations() {
                0 => LayerDecoder::Frozen,
                rank => LayerDecoder::LowRank(rank),
            })
            .collect();
        let mut projections = artifact.layers.iter().filter_map(|layer| layer.factors.projection());
        let (projection, _) = projections.next().expect("a stochastic layer");
        let precision = Precision {
            layers: artifact.layers.iter().map(|layer| layer.mean.bits).collect(),
            factors: projection.bits,
        };
        let planned = Operations::planned(&architecture, &structure, &precision, true);
        assert_eq!(planned, Operations::of(&artifact, CodeSource::Stored));
    }

    #[test]
    fn the_model_agrees_with_what_the_boards_executed() {
        assert_eq!(PRICES.len(), Operation::ALL.len(), "tests/prices --write");
        let mut compared = 0;
        let mut wrong = Vec::new();
        for line in COSTS.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, model, figure, measured @ .., _] = cells.as_slice() else { continue };
            let Some(counts) = counts(model, figure) else { continue };
            assert_eq!(measured.len(), Core::ALL.len(), "{line}");
            for (core, measured) in Core::ALL.into_iter().zip(measured) {
                let measured: f64 = measured.parse().expect("instructions");
                let predicted = core.instructions(&counts);
                compared += 1;
                println!("{core}: {model}, {figure}: {:.3}", predicted / measured);
                if (predicted / measured - 1.0).abs() > ALLOWED {
                    wrong.push(format!(
                        "{core}: {model}, {figure}: {predicted:.0}, executed {measured}"
                    ));
                }
            }
        }
        assert!(compared >= 40, "{compared} figures of predictions in the page's table");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
