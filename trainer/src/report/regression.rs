//! Figures of a regressor: predicted against observed, PIT, coverage.

use super::evidence::{Evidence, Judged};
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET, histogram};
use crate::data::evenly;
use crate::task::{Predictions, Targets, regression};

/// Most rows in a scatter plot.
const SCATTER_ROWS: usize = 400;
/// Bins of the PIT histogram.
const PIT_BINS: usize = 10;
/// Groups of rows whose coverage is compared.
const GROUPS: usize = 10;

/// One row's prediction and target.
#[derive(Clone, Copy)]
struct Row {
    mean: f64,
    std: f64,
    low: f64,
    high: f64,
    observed: f64,
}

fn rows(judged: &Judged, targets: &Targets) -> Vec<Row> {
    let (
        Predictions::Regression(regression::Predictions { mean, std, lower, upper, .. }),
        Targets::Regression(values),
    ) = (&judged.own, targets)
    else {
        return Vec::new();
    };
    (0..values.len())
        .map(|row| Row {
            mean: mean[row].into(),
            std: std[row].into(),
            low: lower[row].into(),
            high: upper[row].into(),
            observed: values[row].into(),
        })
        .collect()
}

/// Predicted against observed, with the conformal intervals.
pub fn predicted_against_observed(evidence: &Evidence) -> Figure {
    let target = &evidence.schema.target;
    let all = rows(&evidence.exported, &evidence.held_out.targets);
    let shown: Vec<Row> = evenly(all.len(), SCATTER_ROWS).into_iter().map(|row| all[row]).collect();
    let ends = shown.iter().flat_map(|row| [row.low, row.high]);
    let x = Axis::round(format!("observed {target}"), shown.iter().map(|row| row.observed));
    let y = Axis::round(
        format!("predicted {target}"),
        ends.chain(shown.iter().map(|row| row.observed)),
    );
    let (low, high) = x.range();
    let inside = |row: &&Row| (row.low..=row.high).contains(&row.observed);
    let spans = |rows: &mut dyn Iterator<Item = &Row>| {
        Mark::Spans(rows.map(|row| (row.observed, row.low, row.high)).collect())
    };
    let points = |rows: &mut dyn Iterator<Item = &Row>| {
        Mark::Dust(rows.map(|row| (row.observed, row.mean)).collect())
    };
    let outside = |row: &&Row| !inside(row);
    let plot = Plot::new("Predicted against observed", x, y)
        .described("Predictive means with intervals against observed values, and the diagonal.")
        .high(360.0)
        .with(0, spans(&mut shown.iter().filter(inside)))
        .with(1, spans(&mut shown.iter().filter(outside)))
        .with(QUIET, Mark::Dashed(vec![(low, low), (high, high)]))
        .with(0, points(&mut shown.iter().filter(inside)))
        .with(1, points(&mut shown.iter().filter(outside)));
    Figure::new(
        "Predicted against observed",
        "Means near the diagonal are accurate; intervals that reach it hold what was observed.",
    )
    .key(0, "interval holds the observed value")
    .key(1, "interval misses it")
    .beside(plot)
}

/// Share of the predictive below what was observed.
fn pit(rows: &[Row]) -> Vec<f32> {
    let below = |row: &Row| {
        let z = (row.observed - row.mean) / row.std;
        (0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)) as f32
    };
    rows.iter().map(below).collect()
}

/// Histograms of the probability integral transform, before and after calibration.
pub fn pit_histogram(evidence: &Evidence) -> Figure {
    let plot = |name: &str, judged: &Judged| {
        let bars = histogram(&pit(&rows(judged, &evidence.held_out.targets)), 0.0, 1.0, PIT_BINS);
        let tallest = bars.iter().fold(0.0, |most: f64, bar| most.max(bar.2));
        let even = 1.0 / PIT_BINS as f64;
        let bars = bars.into_iter().map(|(l, r, share)| (l + 0.006, r - 0.006, share)).collect();
        Plot::new(
            name,
            Axis::new("probability integral transform", 0.0, 1.0),
            Axis::new("share of rows", 0.0, 1.1 * tallest.max(2.0 * even)),
        )
        .described("A histogram in ten bins; the dashed line is what perfect calibration gives.")
        .high(240.0)
        .with(0, Mark::Bars(bars))
        .with(QUIET, Mark::Dashed(vec![(0.0, even), (1.0, even)]))
    };
    Figure::new(
        "PIT histogram",
        "Flat along the dashed line is calibrated; a hump means predictives too wide, a trough too \
         narrow, a slope a bias.",
    )
    .beside(plot("before calibration", &evidence.exported_before))
    .beside(plot("after calibration", &evidence.exported))
}

/// Coverage of the interval in groups of rows of growing predictive deviation.
pub fn coverage_by_decile(evidence: &Evidence) -> Figure {
    let mut all = rows(&evidence.exported, &evidence.held_out.targets);
    all.sort_by(|a, b| a.std.total_cmp(&b.std));
    let groups = GROUPS.min(all.len());
    let points: Vec<(f64, f64)> = (0..groups)
        .map(|group| {
            let own = &all[group * all.len() / groups..(group + 1) * all.len() / groups];
            let held = own.iter().filter(|row| (row.low..=row.high).contains(&row.observed));
            ((group + 1) as f64, held.count() as f64 / own.len() as f64)
        })
        .collect();
    let asked = evidence.records.config.calibration.coverage;
    let least = points.iter().fold(asked, |least, point| least.min(point.1));
    let x = Axis::new("decile of predictive standard deviation", 0.5, 10.5);
    let plot = Plot::new("Coverage", x, Axis::new("coverage", (least - 0.05).max(0.0), 1.02))
        .described("Share of observed values within the interval for each decile.")
        .high(240.0)
        .with(QUIET, Mark::Dashed(vec![(0.5, asked), (10.5, asked)]))
        .with(0, Mark::Line(points.clone()))
        .with(0, Mark::Dots(points));
    Figure::new(
        "Interval coverage by decile",
        format!(
            "Every decile near the dashed line, {asked}, means that intervals are as wide as they \
             must be where the model is sure and where it is not."
        ),
    )
    .beside(plot)
}
