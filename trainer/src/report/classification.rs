//! Figures of a classifier: reliability, risk against coverage, doubt.

use super::evidence::{Evidence, Judged};
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET, histogram};
use crate::task::{Classes, Predictions, Targets, classification};

/// Bins of the reliability diagram.
const BINS: usize = 10;
/// Bins of a histogram of doubt.
const DOUBT_BINS: usize = 24;
/// Points of a risk-coverage curve.
const COVERAGES: usize = 100;
/// Height of the counts below a reliability diagram.
const COUNTS_HEIGHT: f64 = 130.0;

/// Top probability, and whether that class is right, of every row.
fn tops(predictions: &Predictions, targets: &Targets) -> Vec<(f32, bool)> {
    let (
        Predictions::Classification(classification::Predictions { classes, probabilities, .. }),
        Targets::Classification(Classes { labels, .. }),
    ) = (predictions, targets)
    else {
        return Vec::new();
    };
    let top = |(p, &label): (&[f32], &u32)| {
        let best = p.iter().copied().fold(f32::MIN, f32::max);
        (best, p.iter().position(|&p| p == best) == Some(label as usize))
    };
    probabilities.chunks_exact(*classes).zip(labels).map(top).collect()
}

/// Mean confidence and accuracy of every bin that holds a row.
fn reliability(tops: &[(f32, bool)]) -> Vec<(f64, f64)> {
    let mut bins = [(0.0f64, 0.0f64, 0.0f64); BINS];
    for &(confidence, right) in tops {
        let bin = &mut bins[((confidence * BINS as f32) as usize).min(BINS - 1)];
        *bin = (bin.0 + f64::from(confidence), bin.1 + f64::from(right), bin.2 + 1.0);
    }
    let held = bins.into_iter().filter(|bin| bin.2 > 0.0);
    held.map(|(confidence, right, count)| (confidence / count, right / count)).collect()
}

fn reliability_plots(
    name: &str,
    float: &Judged,
    exported: &Judged,
    targets: &Targets,
) -> [Plot; 2] {
    let axis = |label: &str| Axis::new(label, 0.0, 1.0);
    let [float, exported] = [float, exported].map(|judged| tops(&judged.own, targets));
    let mut plot = Plot::new(name, axis("confidence"), axis("share that is right"))
        .described("Accuracy against confidence; the dashed diagonal is perfect calibration.")
        .with(QUIET, Mark::Dashed(vec![(0.0, 0.0), (1.0, 1.0)]));
    for (series, tops) in [(1, &float), (0, &exported)] {
        let points = reliability(tops);
        plot = plot.with(series, Mark::Line(points.clone())).with(series, Mark::Dots(points));
    }
    let confidences: Vec<f32> = exported.iter().map(|top| top.0).collect();
    let bars = histogram(&confidences, 0.0, 1.0, BINS);
    let counts: Vec<_> = bars
        .into_iter()
        .map(|(left, right, share)| (left + 0.006, right - 0.006, share * exported.len() as f64))
        .collect();
    let most = counts.iter().fold(0.0, |most: f64, bar| most.max(bar.2));
    let counts =
        Plot::new(format!("{name}: rows"), axis("confidence"), Axis::new("rows", 0.0, 1.08 * most))
            .described("Number of rows of each confidence, exported artifact.")
            .high(COUNTS_HEIGHT)
            .with(0, Mark::Bars(counts));
    [plot, counts]
}

/// Whether confidence is the share of right answers, before and after calibration.
pub fn calibration(evidence: &Evidence) -> Figure {
    let targets = &evidence.held_out.targets;
    let [before, before_counts] = reliability_plots(
        "before calibration",
        &evidence.float_before,
        &evidence.exported_before,
        targets,
    );
    let [after, after_counts] =
        reliability_plots("after calibration", &evidence.float, &evidence.exported, targets);
    Figure::new(
        "Reliability",
        "Points on the diagonal mean that confidence can be taken at its word; below it the model \
         is too sure. Bins with few rows, see the counts, wander by chance.",
    )
    .key(0, "exported artifact (integers)")
    .key(1, "float decoder")
    .beside(before)
    .below(before_counts)
    .beside(after)
    .below(after_counts)
}

/// Error rate among the rows of least doubt, for every share of rows that are answered.
fn risk(judged: &Judged, targets: &Targets) -> Vec<(f64, f64)> {
    let tops = tops(&judged.own, targets);
    let doubt = judged.own.doubt();
    let mut order: Vec<usize> = (0..doubt.len()).collect();
    order.sort_by(|&a, &b| doubt[a].total_cmp(&doubt[b]));
    let mut wrong = 0.0;
    let risks: Vec<f64> = order
        .iter()
        .enumerate()
        .map(|(index, &row)| {
            wrong += f64::from(!tops[row].1);
            wrong / (index + 1) as f64
        })
        .collect();
    let rows = risks.len();
    let at = |step: usize| (step * rows).div_ceil(COVERAGES).clamp(1, rows);
    (1..=COVERAGES).map(at).map(|count| (count as f64 / rows as f64, risks[count - 1])).collect()
}

/// Error rate that is left where the rows in most doubt are refused.
pub fn risk_coverage(evidence: &Evidence) -> Figure {
    let targets = &evidence.held_out.targets;
    let curves = [(2, &evidence.map), (1, &evidence.particles), (0, &evidence.exported)]
        .map(|(series, judged)| (series, risk(judged, targets)));
    let most =
        curves.iter().flat_map(|(_, curve)| curve).fold(0.0, |most: f64, point| most.max(point.1));
    let y = Axis::new("share that is wrong", 0.0, 1.08 * most.max(0.01));
    let mut plot =
        Plot::new("Risk against coverage", Axis::new("share of rows answered", 0.0, 1.0), y)
            .described("Error rate among the rows of least entropy, against the share of them.");
    for (series, curve) in curves {
        plot = plot.with(series, Mark::Line(curve));
    }
    Figure::new(
        "Risk against coverage",
        "Read from right to left: how the error rate falls as the rows of highest entropy are \
         handed on instead of answered. Lower is better.",
    )
    .key(0, "exported artifact")
    .key(1, "walked particles")
    .key(2, "MAP")
    .beside(plot)
}

/// Doubt of held-out and of foreign rows.
pub fn doubt(evidence: &Evidence) -> Figure {
    let plot = |name: &str, label: &str, own: &[f32], foreign: &[f32]| {
        let most = own.iter().chain(foreign).fold(0.0f32, |most, &value| most.max(value));
        let high = f64::from(most).max(1e-6);
        let [own, foreign] = [own, foreign].map(|values| histogram(values, 0.0, high, DOUBT_BINS));
        let tallest = own.iter().chain(&foreign).fold(0.0, |most: f64, bar| most.max(bar.2));
        Plot::new(
            name,
            Axis::new(label, 0.0, high),
            Axis::new("share of rows", 0.0, 1.05 * tallest),
        )
        .described("Two histograms: held-out rows and foreign rows.")
        .with(0, Mark::Bars(own))
        .with(1, Mark::Bars(foreign))
    };
    let (own, foreign) = (&evidence.exported.own, &evidence.exported.foreign);
    let figure = Figure::new("Doubt of held-out and of foreign rows", foreign_caption(evidence))
        .key(0, "held-out rows")
        .key(1, "foreign rows");
    match (own, foreign) {
        (
            Predictions::Classification(classification::Predictions {
                entropy,
                mutual_information,
                ..
            }),
            Predictions::Classification(classification::Predictions {
                entropy: far,
                mutual_information: far_information,
                ..
            }),
        ) => figure.beside(plot("entropy", "entropy, nats", entropy, far)).beside(plot(
            "mutual information",
            "mutual information, nats",
            mutual_information,
            far_information,
        )),
        _ => figure.beside(plot(
            "epistemic deviation",
            "epistemic standard deviation",
            own.doubt(),
            foreign.doubt(),
        )),
    }
}

fn foreign_caption(evidence: &Evidence) -> String {
    let rows = evidence.exported.foreign.len();
    let origin = evidence.foreign_file.map_or_else(
        || format!("The {rows} foreign rows are uniform in a box of ± 5 standard deviations"),
        |file| format!("The {rows} foreign rows are from {file}"),
    );
    format!("{origin}. The less the two overlap, the more surely the artifact tells foreign rows.")
}
