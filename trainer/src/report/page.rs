//! The page: header, sections, tables.

use fiberwalk_formats::decode;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::evidence::{Evidence, Judged};
use super::figure::Figure;
use super::{classification, decisions, inputs, latent, regression, samples, training};
use crate::costs::footprint::{Flash, Work};
use crate::costs::instructions::{self, Core, Row};
use crate::task::{self, AnyTask, Classification, Scores};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn page(evidence: &Evidence) -> anyhow::Result<String> {
    let artifact = decode(&evidence.artifact)?;
    let title = format!("{} · fiberwalk", evidence.schema.target);
    let mut figures: Vec<Figure> = inputs::over_inputs(evidence)?.into_iter().collect();
    figures.extend(predictions(evidence));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(evidence))
                main {
                    section {
                        h2 { "Scores" }
                        (engines(evidence))
                    }
                    section {
                        h2 { "Predictions" }
                        @for (index, figure) in figures.iter().enumerate() {
                            (figure.html(&format!("predictions-{index}")))
                        }
                    }
                    section {
                        h2 { "Size and work" }
                        (samples::cost_curve(evidence).html("cost"))
                        (footprint(evidence, &Flash::of(&artifact, evidence.artifact.len()), &Work::of(&artifact)))
                        (executed(&instructions::table(&artifact), artifact.maps().is_some()))
                    }
                    section {
                        h2 { "Training" }
                        (decisions::decisions(evidence))
                        @if let Some(map) = training::map(evidence) { (map.html("map")) }
                        @if let Some(paths) = training::paths(evidence) { (paths.html("paths")) }
                        (training::walk(evidence).html("walk"))
                        @if let Some(fit) = training::fit(evidence) { (fit.html("fit")) }
                        @if let Some(codes) = latent::codes(evidence) { (codes.html("codes")) }
                        @if let Some(axes) = latent::axes(evidence) { (axes.html("axes")) }
                        (training::hyper_parameters(evidence))
                        (training::structures(evidence))
                        (training::precisions(evidence))
                    }
                    section {
                        h2 { "Configuration" }
                        details {
                            summary { "All settings, with what was chosen filled in" }
                            pre { (evidence.records.config.to_toml()) }
                        }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn header(evidence: &Evidence) -> Markup {
    let (schema, record) = (evidence.schema, &evidence.records.data);
    let task = match &schema.task {
        AnyTask::Classification(Classification { classes }) => {
            format!("one of {} classes", classes.len())
        }
        AnyTask::Regression(_) => "a number".to_owned(),
    };
    let rows = evidence.exported.own.len();
    let tiles = [
        ("NLL, nats", format!("{:.3}", evidence.exported.scores.nll())),
        quality(&evidence.exported.scores),
        ("bytes of flash", thousands(evidence.artifact.len())),
        ("samples a prediction", evidence.records.config.export.samples.to_string()),
    ];
    html! {
        header {
            p.eyebrow { "fiberwalk report" }
            h1 { (schema.target) }
            p.lead {
                "Predicts " strong { (schema.target) } ", " (task) ", from "
                (schema.layout.len()) " features. " (thousands(record.split.training.len()))
                " rows to train on, " (thousands(record.split.calibration.len()))
                " to calibrate with. "
                @match &evidence.held_out.file {
                    Some(file) => { "Judged on the " (thousands(rows)) " rows of " code { (file) } "." }
                    None => {
                        "Judged on " (thousands(rows)) " of the rows that it was calibrated with, \
                         which flatters coverage a little: give a test file to "
                        code { "fiberwalk report" } " for figures of new rows."
                    }
                }
            }
            dl.tiles {
                @for (name, value) in &tiles { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn quality(scores: &Scores) -> (&'static str, String) {
    match scores {
        Scores::Classification(task::classification::Scores { accuracy, .. }) => {
            ("accuracy", format!("{:.1} %", 100.0 * accuracy))
        }
        Scores::Regression(task::regression::Scores { rmse, .. }) => ("RMSE", format!("{rmse:.3}")),
    }
}

/// Digits in groups of three.
fn thousands(value: usize) -> String {
    let digits = value.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (!head.is_empty()).then(|| head.to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join("\u{202f}")
}

fn predictions(evidence: &Evidence) -> Vec<Figure> {
    if evidence.schema.task.classifies() {
        vec![
            classification::calibration(evidence),
            classification::risk_coverage(evidence),
            classification::doubt(evidence),
        ]
    } else {
        vec![
            regression::predicted_against_observed(evidence),
            regression::pit_histogram(evidence),
            regression::coverage_by_decile(evidence),
            classification::doubt(evidence),
        ]
    }
}

/// The scores of every engine.
fn engines(evidence: &Evidence) -> Markup {
    let columns = columns(&evidence.exported.scores);
    html! {
        figure {
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "engine" }
                        @for (name, _) in &columns { th.number scope="col" { (name) } }
                    } }
                    tbody {
                        @for judged in evidence.engines() {
                            tr.chosen[judged.name == evidence.exported.name] { (scores(judged)) }
                        }
                    }
                }
            }
            figcaption {
                "What each step costs: from the plain network to the walked particles, to the decoder \
                 that stands for them, to the integers that the board computes."
            }
        }
    }
}

fn scores(judged: &Judged) -> Markup {
    // Before calibration there are no thresholds for sets or intervals.
    let open = judged.name.ends_with("uncalibrated");
    html! {
        th scope="row" { (judged.name) }
        @for (name, value) in columns(&judged.scores) {
            td.number { @if open && THRESHOLDED.contains(&name) { "–" } @else { (value) } }
        }
    }
}

/// Columns that depend on thresholds.
const THRESHOLDED: [&str; 7] =
    ["set coverage", "set size", "empty sets", "coverage", "width", "flagged", "OOD flagged"];

fn columns(scores: &Scores) -> Vec<(&'static str, String)> {
    let show = |value: f64| format!("{value:.4}");
    let foreign = |value: &Option<f64>| value.map_or("–".to_owned(), show);
    match scores {
        Scores::Classification(task::classification::Scores {
            nll,
            accuracy,
            ece,
            brier,
            ood_auroc,
            ood_auroc_mi,
            set_coverage,
            set_size,
            empty_sets,
            flagged,
            ood_flagged,
        }) => vec![
            ("NLL", show(*nll)),
            ("accuracy", show(*accuracy)),
            ("ECE", show(*ece)),
            ("Brier", show(*brier)),
            ("OOD AUROC", foreign(ood_auroc)),
            ("by mutual information", foreign(ood_auroc_mi)),
            ("set coverage", show(*set_coverage)),
            ("set size", show(*set_size)),
            ("empty sets", show(*empty_sets)),
            ("flagged", show(*flagged)),
            ("OOD flagged", foreign(ood_flagged)),
        ],
        Scores::Regression(task::regression::Scores {
            nll,
            rmse,
            crps,
            ood_auroc,
            coverage,
            mean_width,
            flagged,
            ood_flagged,
        }) => vec![
            ("NLL", show(*nll)),
            ("RMSE", show(*rmse)),
            ("CRPS", show(*crps)),
            ("OOD AUROC", foreign(ood_auroc)),
            ("coverage", show(*coverage)),
            ("width", show(*mean_width)),
            ("flagged", show(*flagged)),
            ("OOD flagged", foreign(ood_flagged)),
        ],
    }
}

/// Bytes and products of the artifact.
fn footprint(evidence: &Evidence, flash: &Flash, work: &Work) -> Markup {
    let samples = evidence.records.config.export.samples;
    let rest = flash.total - flash.mean_weights - flash.factors - flash.trunk - flash.codes;
    let all = work.shared_by_samples + samples * work.each_sample;
    let rows = [
        ("flash, bytes", thousands(flash.total)),
        ("– mean weights", thousands(flash.mean_weights)),
        ("– factors of the decoder", thousands(flash.factors)),
        ("– trunk", thousands(flash.trunk)),
        ("– latent codes", thousands(flash.codes)),
        ("– the rest", thousands(rest)),
        ("scratch memory, bytes", thousands(flash.scratch)),
        ("multiply-accumulates, one pass of the mean network", thousands(work.deterministic_pass)),
        ("multiply-accumulates, a prediction of all samples", thousands(all)),
    ];
    html! {
        figure {
            h3 { "What a board needs" }
            div.scroll {
                table {
                    tbody {
                        @for (name, value) in rows {
                            tr { th scope="row" { (name) } td.number { (value) } }
                        }
                    }
                }
            }
        }
    }
}

/// Instructions of predictions on every kind of core, by a network with convolutions or without.
fn executed(rows: &[Row], convolves: bool) -> Markup {
    html! {
        figure {
            h3 { "What a prediction takes" }
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "prediction" }
                        @for core in Core::ALL { th.number scope="col" { (core) } }
                    } }
                    tbody {
                        @for Row { prediction, instructions } in rows {
                            tr {
                                th scope="row" { (prediction) }
                                @for &count in instructions.values() {
                                    td.number { (thousands(count as usize)) }
                                }
                            }
                        }
                    }
                }
            }
            figcaption {
                (instructions::title(convolves)) "."
            }
        }
    }
}
