//! What more samples gain, and what they cost.

use super::evidence::Evidence;
use super::figure::Figure;
use super::plot::{Axis, Plot, QUIET, Shape};

/// NLL against the number of samples and against the artifact's size.
pub fn cost_curve(evidence: &Evidence) -> Figure {
    let scores = &evidence.samples;
    let most = scores.last().map_or(1, |last| last.samples);
    let nll = || Axis::round("NLL, nats", scores.iter().map(|score| score.nll));
    let samples: Vec<_> = scores.iter().map(|score| (score.samples as f64, score.nll)).collect();
    let bytes: Vec<_> = scores.iter().map(|score| (score.bytes as f64, score.nll)).collect();
    let best = scores.iter().fold(f64::INFINITY, |best, score| best.min(score.nll));
    let axis = Axis::doubling("samples", most as f64);
    let (low, high) = axis.range();
    let by_samples = Plot::new("number of samples", axis, nll())
        .described("NLL of the artifact's first samples; the dashed line is the least.")
        .with(QUIET, Shape::Dashed(vec![(low, best), (high, best)]))
        .with(0, Shape::Line(samples.clone()))
        .with(0, Shape::Dots(samples));
    let size = Axis::round("bytes of the artifact", bytes.iter().map(|point| point.0));
    let by_bytes = Plot::new("size", size, nll())
        .described("The same NLL against the size of an artifact that stores no more codes.")
        .with(0, Shape::Line(bytes.clone()))
        .with(0, Shape::Dots(bytes));
    Figure::new(
        "NLL against samples and bytes",
        "Where the curve turns flat, further samples cost time and memory for nothing: set \
         export.samples there. Calibration is that of all samples.",
    )
    .beside(by_samples)
    .beside(by_bytes)
}
