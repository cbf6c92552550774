//! fiberwalk's stages beside other ways to a posterior predictive, on all sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use fiberwalk::TaskKind;
use fiberwalk::internals::compare::{Column, Comparison, Mean, Method};
use fiberwalk::internals::run_dir::write_atomically;

use crate::Places;
use crate::markdown::table;
use crate::record::{provenance, recorded, write_json};
use crate::sets::{MEMBERS, Set};

/// Total variation to HMC that the artifact is to keep within on classification sets.
const TOTAL_VARIATION: f64 = 0.08;
/// Flash that it is to keep within, in networks in int8.
const NETWORKS: f64 = 2.0;

/// Methods of the tables over all sets, with their short names.
const COLUMNS: [(Method, &str); 12] = [
    (Method::Map, "MAP"),
    (Method::MapCalibrated, "MAP, calibrated"),
    (Method::Ensemble, "deep ensemble"),
    (Method::EnsembleArtifact, "ensemble, int8"),
    (Method::Dropout, "MC dropout"),
    (Method::Swag, "SWAG"),
    (Method::Laplace, "Laplace"),
    (Method::LaplaceLastLayer, "Laplace, last layer"),
    (Method::Hmc, "HMC"),
    (Method::Particles, "particles"),
    (Method::Decoder, "float decoder"),
    (Method::Artifact, "**artifact, int8**"),
];

/// A set, its splits joined, and the commits that they were measured at.
type Measured = (&'static Set, Comparison, BTreeSet<String>);

/// Measures every split that was not measured before, and writes the page.
pub fn run(places: &Places) -> anyhow::Result<()> {
    let mut measured: Vec<Measured> = Vec::new();
    for set in places.sets() {
        let (mut splits, mut commits) = (Vec::new(), BTreeSet::new());
        for seed in 0..set.splits {
            eprintln!("{}, split {seed}", set.name);
            let path = set.folder(&places.work).join(format!("benchmark-{seed}.json"));
            let methods = Method::ALL.to_vec();
            let record = recorded(&path, || set.compare(places, seed, methods))?;
            commits.insert(record.commit);
            splits.push(record.result);
        }
        measured.extend(Comparison::joined(splits).map(|comparison| (set, comparison, commits)));
        // After every set, so that a run that was stopped leaves what it has.
        write(places, &measured)?;
    }
    Ok(())
}

fn write(places: &Places, measured: &[Measured]) -> anyhow::Result<()> {
    std::fs::create_dir_all(&places.out)?;
    let figures: BTreeMap<&str, &Comparison> =
        measured.iter().map(|(set, comparison, _)| (set.name, comparison)).collect();
    write_json(&places.out.join("benchmark.json"), &figures)?;
    let page = page(measured);
    write_atomically(&places.out.join("benchmark.md"), page.as_bytes())
}

fn page(measured: &[Measured]) -> String {
    let device = measured.first().map_or("", |(_, comparison, _)| &comparison.device);
    let commits = measured.iter().flat_map(|(.., commits)| commits.clone()).collect();
    let mut page = String::from("# Benchmark\n\n");
    page += &provenance(
        "cargo run --release -p fiberwalk-evaluate -- benchmark DATA WORK",
        &commits,
        device,
    );
    page += &format!(
        "
Public data sets, split 70 to 30 by seeds; one hidden layer of 50 tanh units, every other setting at its
default. All methods have the same training rows, network, prior precision and noise, and are calibrated on what
the same folds of the training rows held out; no figure had a part in any choice. Means over the splits with
standard errors. The deep ensemble has {MEMBERS} members; Laplace is linearised, with the full generalised
Gauss-Newton matrix; the artifact predicts with 16 stored codes through the runtime. Other details:
[comparing.md](comparing.md). [benchmark.json](benchmark.json) has every split.

"
    );
    let sets = measured.iter().map(|(set, comparison, commits)| {
        let commits: Vec<&str> = commits.iter().map(String::as_str).collect();
        let splits = comparison.repeats.to_string();
        vec![set.name.to_owned(), set.source.to_owned(), splits, commits.join(", ")]
    });
    page += &table(&strings(&["set", "source", "splits", "commit"]), &sets.collect::<Vec<_>>());
    page += "\n## NLL of test rows\n\nNats; regression in the target's units. Lower is better.\n\n";
    page += &by_method(measured, Column::Nll, 4);
    page += "\n## Against the targets\n\n";
    page += &targets(measured);
    page += "\n## Doubt about foreign rows\n\nAUROC of telling test rows from rows uniform in a box of ± 5 \
             standard deviations, by entropy, or for regression by the epistemic deviation. 0.5 is chance.\n\n";
    page += &by_method(measured, Column::OodAuroc, 3);
    page += "\n## Expected calibration error\n\n";
    page += &by_method(measured, Column::Ece, 4);
    page +=
        "\n## Total variation to HMC\n\nMean over the test rows; 0 is HMC's own predictive.\n\n";
    page += &by_method(measured, Column::TotalVariation, 3);
    page += "\n## Seconds to fit\n\nFrom the chosen hyper-parameters, whose choice all share.\n\n";
    page += &by_method(measured, Column::FitSeconds, 1);
    page += "\n## Every set\n";
    for (set, comparison, _) in measured {
        let _ = write!(page, "\n### {}\n\n{comparison}\n", set.name);
    }
    page
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// One figure of every method on every set.
fn by_method(measured: &[Measured], column: Column, decimals: usize) -> String {
    let mean = |comparison: &Comparison, method| {
        let own = comparison.methods.iter().find(|summary| summary.method == method)?;
        own.figures.get(&column).copied()
    };
    let has = |method| measured.iter().any(|(_, comparison, _)| mean(comparison, method).is_some());
    let columns: Vec<_> = COLUMNS.into_iter().filter(|&(method, _)| has(method)).collect();
    let header: Vec<String> = ["set"]
        .into_iter()
        .chain(columns.iter().map(|column| column.1))
        .map(str::to_owned)
        .collect();
    let rows: Vec<Vec<String>> = measured
        .iter()
        .filter(|(_, comparison, _)| {
            columns.iter().any(|column| mean(comparison, column.0).is_some())
        })
        .map(|(set, comparison, _)| {
            let cells = columns.iter().map(|&(method, _)| {
                mean(comparison, method).map_or("–".to_owned(), |mean| mean.show(decimals))
            });
            [set.name.to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    table(&header, &rows)
}

/// Mean difference of the artifact's NLL from a method's on the same splits.
fn lead(comparison: &Comparison, method: Method) -> Option<Mean> {
    let artifact = comparison.of_splits(Method::Artifact, Column::Nll);
    let other = comparison.of_splits(method, Column::Nll);
    let apart: Vec<f64> =
        artifact.iter().filter_map(|(seed, own)| Some(own - other.get(seed)?)).collect();
    (!apart.is_empty()).then(|| Mean::of(&apart))
}

/// A figure of the artifact, and of a method, averaged over splits.
fn average(comparison: &Comparison, method: Method, column: Column) -> Option<f64> {
    let values: Vec<f64> = comparison.of_splits(method, column).into_values().collect();
    (!values.is_empty()).then(|| Mean::of(&values).mean)
}

fn targets(measured: &[Measured]) -> String {
    let mut page = String::from(
        "The artifact's NLL less the other method's on the same splits: below 0 the artifact is better.\n\n",
    );
    let rivals = [(Method::Ensemble, "deep ensemble"), (Method::Laplace, "Laplace")];
    let ratio = |comparison: &Comparison| {
        let bytes = |method| average(comparison, method, Column::FlashBytes);
        let network = bytes(Method::EnsembleArtifact)? / MEMBERS as f64;
        Some((bytes(Method::Artifact)?, network, bytes(Method::Artifact)? / network))
    };
    let header = strings(&[
        "set",
        "less the ensemble's NLL",
        "less Laplace's NLL",
        "TV to HMC",
        "flash bytes",
        "one network, bytes",
        "in networks",
    ]);
    let rows: Vec<Vec<String>> = measured
        .iter()
        .map(|(set, comparison, _)| {
            let leads = rivals.iter().map(|&(rival, _)| {
                lead(comparison, rival).map_or("–".to_owned(), |lead| lead.signed())
            });
            let variation = average(comparison, Method::Artifact, Column::TotalVariation);
            let variation = variation.map_or("–".to_owned(), |tv| format!("{tv:.3}"));
            let sizes = ratio(comparison).map_or(strings(&["–"; 3]), |(own, one, ratio)| {
                vec![format!("{own:.0}"), format!("{one:.0}"), format!("{ratio:.2}")]
            });
            let name = [set.name.to_owned()].into_iter();
            name.chain(leads).chain([variation]).chain(sizes).collect()
        })
        .collect();
    page += &table(&header, &rows);
    page.push('\n');
    for (rival, name) in rivals {
        let leads: Vec<f64> =
            measured.iter().filter_map(|(_, c, _)| lead(c, rival)).map(|lead| lead.mean).collect();
        if !leads.is_empty() {
            let better = leads.iter().filter(|&&lead| lead < 0.0).count();
            let _ = writeln!(
                page,
                "- Against the {name}: better on {better} of {} sets, by {:.4} nats on average (target: at least \
                 6 of 8, and better on average).",
                leads.len(),
                -Mean::of(&leads).mean
            );
        }
    }
    let classification = measured.iter().filter(|(set, ..)| set.task == TaskKind::Classification);
    let variations: Vec<f64> = classification
        .filter_map(|(_, c, _)| average(c, Method::Artifact, Column::TotalVariation))
        .collect();
    let within = variations.iter().filter(|&&tv| tv <= TOTAL_VARIATION).count();
    let _ = writeln!(
        page,
        "- Total variation to HMC at most {TOTAL_VARIATION} on {within} of {} classification sets (target: all).",
        variations.len()
    );
    let ratios: Vec<f64> = measured.iter().filter_map(|(_, c, _)| ratio(c)).map(|r| r.2).collect();
    let within = ratios.iter().filter(|&&ratio| ratio <= NETWORKS).count();
    let _ = writeln!(
        page,
        "- At most the flash of {NETWORKS} networks in int8, each a file for the runtime, on {within} of {} sets \
         (target: all).",
        ratios.len()
    );
    page
}
