//! Gain and cost of more codes, for every decoder that was fitted.

use super::evidence::Evidence;
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET};
use crate::decoder::structure_name;
use crate::export::{CostCurve, CostPoint};

/// Series that have a colour of their own; the lines of further decoders are dashed.
const COLOURS: usize = 4;

/// NLL against the artifact's size and against the work of a prediction.
pub fn cost_curve(evidence: &Evidence) -> Figure {
    let curve = &evidence.records.cost_curve;
    let all = || curve.decoders.iter().flat_map(|decoder| &decoder.points);
    let size = |point: &CostPoint| point.bytes as f64;
    let bytes = plot(curve, "size", Axis::round("bytes of the artifact", all().map(size)), size)
        .described("NLL against the size of the artifact, a line a decoder.");
    let most = all().fold(1.0, |most, point| point.passes.max(most));
    let work = Axis::doubling("deterministic passes", most);
    let passes = plot(curve, "work", work, |point| point.passes)
        .described("NLL against the predicted cost of a prediction, a line a decoder.");
    let mut counts: Vec<usize> = all().map(|point| point.samples).collect();
    counts.sort_unstable();
    counts.dedup();
    let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
    let mut figure = Figure::new(
        "NLL against bytes and cost",
        format!(
            "Every decoder that was fitted, with {} codes from left to right, all with weights of the \
             exported bits and calibrated alike; the ring is the exported artifact. Where a line turns \
             flat, further codes cost time and memory for nothing: set export.samples there; \
             latent.decoder takes another line. Measured on {} of the calibration rows: the fewer \
             they are, the less small differences mean. Nothing was chosen by it.",
            counts.join(", "),
            curve.rows
        ),
    );
    for (index, decoder) in curve.decoders.iter().enumerate() {
        let dashed = if index < COLOURS { "" } else { ", dashed" };
        let name = format!("{}{dashed}", structure_name(&decoder.structure));
        figure = figure.key(index % COLOURS, name);
    }
    figure.beside(bytes).beside(passes)
}

/// A line a decoder, against one of the two costs.
fn plot(curve: &CostCurve, name: &str, x: Axis, cost: impl Fn(&CostPoint) -> f64) -> Plot {
    let all = curve.decoders.iter().flat_map(|decoder| &decoder.points);
    let y = Axis::round("NLL, nats", all.map(|point| point.nll));
    let mut plot = Plot::new(name, x, y);
    for (index, decoder) in curve.decoders.iter().enumerate() {
        let points: Vec<_> = decoder.points.iter().map(|point| (cost(point), point.nll)).collect();
        let line = if index < COLOURS { Mark::Line } else { Mark::Dashed };
        let series = index % COLOURS;
        plot = plot.with(series, line(points.clone())).with(series, Mark::Dots(points));
    }
    let exported = curve.exported().map(|point| (cost(point), point.nll));
    plot.with(QUIET, Mark::Rings(exported.into_iter().collect()))
}
