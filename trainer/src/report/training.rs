//! How the run came about: how every stage went, where the particles ended, and what was tried.

use maud::{Markup, html};

use super::evidence::Evidence;
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET, number};
use crate::data::evenly;
use crate::decoder::structure_name;
use crate::latent::DecoderCandidate;

/// Size of a candidate's little plot.
const STRIP_WIDTH: f64 = 160.0;
const STRIP_HEIGHT: f64 = 18.0;

/// Room after the last step, as a share of the steps.
const LABEL_ROOM: f64 = 0.04;

/// Most particles of a kind that are drawn as they walk.
const MOST_THREADS: usize = 48;

/// A curve over the steps of a stage; nothing where a value is not finite.
fn over(steps: &[usize], values: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
    let points = steps.iter().map(|&step| step as f64).zip(values);
    points.filter(|(_, value)| value.is_finite()).collect()
}

/// Axes of curves over the steps of a stage.
fn axes(label: &str, curves: &[Vec<(f64, f64)>]) -> (Axis, Axis) {
    let points = || curves.iter().flatten();
    let steps =
        |pick: fn(f64, f64) -> f64, from: f64| points().map(|point| point.0).fold(from, pick);
    let (first, last) = (steps(f64::min, f64::INFINITY), steps(f64::max, 0.0));
    let first = first.min(last);
    // Room for half of the last tick's label.
    let end = last + LABEL_ROOM * (last - first);
    (Axis::new("steps", first, end), Axis::round(label, points().map(|point| point.1)))
}

/// Loss of MAP over the steps of its training, and over the second half of them, where it is low; none where
/// the network was trained elsewhere.
pub fn map(evidence: &Evidence) -> Option<Figure> {
    let trace = evidence.records.traces.map.as_ref().filter(|_| !evidence.records.imported)?;
    let plot = |name: &str, first: usize| {
        let late = trace.steps.partition_point(|&step| step < first);
        let curve = |curve: &Vec<f32>| {
            over(&trace.steps[late..], curve[late..].iter().copied().map(f64::from))
        };
        let curves: Vec<_> = trace.curves[0].iter().map(curve).collect();
        let (x, y) = axes("loss, nats", &curves);
        let plot = Plot::new(name, x, y)
            .described("Loss over the steps of MAP training, falling to its value at the end.");
        match curves.split_first() {
            Some((best, [])) => plot.with(0, Mark::Line(best.clone())),
            Some((best, others)) => {
                plot.with(QUIET, Mark::Threads(others.to_vec())).with(0, Mark::Line(best.clone()))
            }
            None => plot,
        }
    };
    let figure = Figure::new(
        "Loss of MAP",
        "L(θ) = Σ −log p(y | x, θ) + ½ Σ α θ² over the training rows while MAP is trained. It should be \
         level at the end; where it still falls, more steps help.",
    );
    let figure = match trace.curves[0].len() {
        1 => figure,
        _ => figure.key(0, "best MAP").key(QUIET, "other MAPs"),
    };
    let half = trace.steps.last()? / 2;
    Some(figure.beside(plot("All steps", 0)).beside(plot("Second half", half)))
}

/// Loss and distance of every particle over the steps of its walk.
pub fn paths(evidence: &Evidence) -> Option<Figure> {
    let records = &evidence.records;
    let trace = records.traces.walk.as_ref()?;
    let of = |inside: bool| -> Vec<usize> {
        let ends = records.walk.particles.iter().enumerate();
        let own: Vec<usize> =
            ends.filter(|(_, end)| end.in_valley == inside).map(|(index, _)| index).collect();
        evenly(own.len(), MOST_THREADS).into_iter().map(|index| own[index]).collect()
    };
    let (stayed, left) = (of(true), of(false));
    let plot = |curves: &[Vec<f32>], name: &str, label: &str, described: &str| {
        let each = |particles: &[usize]| -> Vec<Vec<(f64, f64)>> {
            let wide = |curve: &Vec<f32>| over(&trace.steps, curve.iter().copied().map(f64::from));
            particles.iter().map(|&particle| wide(&curves[particle])).collect()
        };
        let (stayed, left) = (each(&stayed), each(&left));
        let (x, y) = axes(label, &[stayed.concat(), left.concat()]);
        let plot = Plot::new(name, x, y).described(described).with(0, Mark::Threads(stayed));
        if left.is_empty() { plot } else { plot.with(1, Mark::Threads(left)) }
    };
    let shown = if stayed.len() + left.len() < records.walk.particles.len() {
        format!(
            " Drawn are {} of {} particles.",
            stayed.len() + left.len(),
            records.walk.particles.len()
        )
    } else {
        String::new()
    };
    let caption = format!(
        "A line a particle. Its drift carries it away from θ* while the gradient holds the loss down: \
         both should be level at the end, or the walk is too short.{shown}"
    );
    Some(
        Figure::new("The walk", caption)
            .key(0, "particle in the valley")
            .key(1, "particle that left it")
            .beside(plot(
                &trace.curves[0],
                "Loss",
                "NLL of training rows, nats",
                "Mean NLL of the training rows over the steps of the walk, a line a particle.",
            ))
            .beside(plot(
                &trace.curves[1],
                "Distance",
                "distance from θ*",
                "Distance from MAP over the steps of the walk, a line a particle.",
            )),
    )
}

/// Objective of every decoder structure over the steps of its fit.
pub fn fit(evidence: &Evidence) -> Option<Figure> {
    let records = &evidence.records;
    let trace = records.traces.latent.as_ref()?;
    let weight = f64::from(records.config.latent.predictive);
    let pairs = trace.curves[0].iter().zip(&trace.curves[1]);
    let curves = pairs.map(|(energy, divergence)| {
        let sums = energy
            .iter()
            .zip(divergence)
            .map(|(&energy, &divergence)| f64::from(energy) + weight * f64::from(divergence));
        over(&trace.steps, sums)
    });
    let curves: Vec<_> = curves.collect();
    let (x, y) = axes("objective", &curves);
    let structures = records.latent.candidates.iter().map(|tried| &tried.structure);
    let (own, others): (Vec<_>, Vec<_>) = structures
        .zip(&curves)
        .partition(|(structure, _)| **structure == records.latent.shape.structure);
    let lines = |curves: &[(_, &Vec<(f64, f64)>)]| -> Vec<Vec<(f64, f64)>> {
        curves.iter().map(|(_, curve)| (*curve).clone()).collect()
    };
    let name = "Objective of the fit";
    let mut figure = Figure::new(
        name,
        format!(
            "Energy score of the decoder's draws against the particles, plus {weight} times the divergence \
             of its predictive from theirs, at inputs and codes that stay the same."
        ),
    );
    let mut plot = Plot::new(name, x, y).described(
        "Objective over the steps of the decoder's fit, falling to its value at the end.",
    );
    if !others.is_empty() {
        plot = plot.with(QUIET, Mark::Threads(lines(&others)));
        figure = figure.key(0, "structure that was taken").key(QUIET, "other structures");
    }
    for line in lines(&own) {
        plot = plot.with(0, Mark::Line(line));
    }
    Some(figure.beside(plot))
}

/// Loss and distance of every particle's end.
pub fn walk(evidence: &Evidence) -> Figure {
    let walk = &evidence.records.walk;
    let ends = |inside: bool| -> Vec<(f64, f64)> {
        let own = walk.particles.iter().filter(|particle| particle.in_valley == inside);
        own.map(|particle| (particle.distance, particle.nll)).collect()
    };
    let maps: Vec<(f64, f64)> = walk.map_nll.iter().map(|&nll| (0.0, nll)).collect();
    let distances = walk.particles.iter().map(|particle| particle.distance);
    let losses = walk.particles.iter().map(|particle| particle.nll);
    let x = Axis::round("distance from θ*", distances.chain([0.0]));
    let y = Axis::round("NLL of training rows, nats", losses.chain(walk.map_nll.clone()));
    let left = ends(false);
    let caption = format!(
        "Far from θ* at little more loss is what a walk along the valley looks like. {} of {} \
         particles left the valley: their loss is more than half way to that of a model that \
         ignores the inputs.",
        left.len(),
        walk.particles.len()
    );
    let plot = Plot::new("Ends of the walk", x, y)
        .described("Mean NLL of the training rows against distance from MAP, a point a particle.")
        .with(0, Mark::Dots(ends(true)))
        .with(1, Mark::Crosses(left))
        .with(QUIET, Mark::Dots(maps));
    Figure::new("Ends of the walk", caption)
        .key(0, "particle in the valley")
        .key(1, "particle that left it")
        .key(QUIET, "MAP")
        .beside(plot)
}

/// One thing that was tried.
struct Candidate {
    cells: Vec<String>,
    score: f64,
    /// Standard error of the score; 0 where there is none.
    error: f64,
    chosen: bool,
}

/// Hyper-parameters that were tried; nothing where all were given.
pub fn hyper_parameters(evidence: &Evidence) -> Markup {
    let choices = &evidence.records.choices;
    let mut candidates: Vec<Candidate> = choices
        .candidates
        .iter()
        .map(|candidate| {
            let precisions: Vec<_> = candidate.prior_precision.iter().map(f32::to_string).collect();
            Candidate {
                cells: vec![
                    precisions.join(", "),
                    candidate.drift.to_string(),
                    candidate.temperature.to_string(),
                    format!("{:.4} ± {:.4}", candidate.nll, candidate.standard_error),
                ],
                score: candidate.nll,
                error: candidate.standard_error,
                chosen: *candidate == choices.chosen,
            }
        })
        .collect();
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score));
    table(
        "Hyper-parameters tried",
        &["prior precision", "drift", "temperature", "NLL"],
        &candidates,
        "Cross-validated NLL of small walks with its standard error, best first; candidates whose \
         bars overlap the best one's cannot be told apart on these rows. The row in bold was taken.",
    )
}

/// Decoder structures that were tried.
pub fn structures(evidence: &Evidence) -> Markup {
    let record = &evidence.records.latent;
    let mut candidates: Vec<Candidate> = record
        .candidates
        .iter()
        .map(|DecoderCandidate { structure, closeness }| Candidate {
            cells: vec![
                structure_name(structure),
                number(closeness.energy_score, 4),
                number(closeness.divergence, 4),
            ],
            score: closeness.divergence,
            error: 0.0,
            chosen: *structure == record.shape.structure,
        })
        .collect();
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score));
    let caption = format!(
        "Closeness to the particles round the rows set aside: energy score of functions, near and far, where one half of \
         the particles against the other scores {}; divergence of the predictive near the rows, nats. Taken is what \
         makes the former and {} times the latter least together.",
        number(record.particles, 4),
        evidence.records.config.latent.predictive
    );
    table(
        "Decoder structures tried",
        &["layers", "energy score", "divergence"],
        &candidates,
        &caption,
    )
}

/// Precisions that were tried.
pub fn precisions(evidence: &Evidence) -> Markup {
    let record = &evidence.records.precision;
    let candidates: Vec<Candidate> = record
        .candidates
        .iter()
        .map(|candidate| {
            let bits: Vec<_> = candidate.weight_bits.iter().map(u8::to_string).collect();
            Candidate {
                cells: vec![
                    bits.join(", "),
                    candidate.factor_bits.to_string(),
                    number(candidate.loss, 5),
                ],
                score: candidate.loss,
                error: 0.0,
                chosen: (&candidate.weight_bits, candidate.factor_bits)
                    == (&record.weight_bits, record.factor_bits),
            }
        })
        .collect();
    let caption = format!(
        "What fewer bits cost against int8, nats a row, in the order tried; {} are allowed. The row \
         in bold was taken; where none is, int8 stayed.",
        evidence.records.config.export.loss
    );
    table("Precisions tried", &["weight bits", "factor bits", "loss"], &candidates, &caption)
}

/// The candidates with a little plot of their scores.
fn table(title: &str, columns: &[&str], candidates: &[Candidate], caption: &str) -> Markup {
    if candidates.is_empty() {
        return html! {};
    }
    let ends = |sign: f64| candidates.iter().map(move |one| one.score + sign * one.error);
    let low = ends(-1.0).fold(f64::INFINITY, f64::min);
    let high = ends(1.0).fold(f64::NEG_INFINITY, f64::max);
    let place = |value: f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        (10.0 * (6.0 + share * (STRIP_WIDTH - 12.0))).round() / 10.0
    };
    let middle = 0.5 * STRIP_HEIGHT;
    html! {
        figure {
            h3 { (title) }
            div.scroll {
                table.candidates {
                    thead { tr {
                        @for column in columns { th scope="col" { (column) } }
                        th { span.hidden { "score" } }
                    } }
                    tbody {
                        @for one in candidates {
                            tr.chosen[one.chosen] {
                                @for cell in &one.cells { td { (cell) } }
                                td {
                                    svg.strip viewBox=(format!("0 0 {STRIP_WIDTH} {STRIP_HEIGHT}"))
                                        width=(STRIP_WIDTH) height=(STRIP_HEIGHT) aria-hidden="true" {
                                        line class="grid" x1="0" x2=(STRIP_WIDTH) y1=(middle) y2=(middle) {}
                                        g.s0 {
                                            line class="line" y1=(middle) y2=(middle)
                                                x1=(place(one.score - one.error))
                                                x2=(place(one.score + one.error)) {}
                                            path class="dot" stroke-width="8"
                                                d=(format!("M{} {middle}h0", place(one.score))) {}
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            figcaption { (caption) }
        }
    }
}
