//! Predictions over the whole input where it can be drawn: bands over one feature, maps over two.

use super::evidence::Evidence;
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET};
use crate::engine::{Draws, Predictor};
use crate::task::{AnyTask, Predictions, Targets, classification, regression};

/// Points along one feature.
const POINTS: usize = 240;
/// Squares along each of two features.
const SQUARES: usize = 60;
/// How far beyond the rows the drawn inputs reach, in widths of their range.
const BEYOND: f64 = 0.3;
/// Most classes whose probabilities are drawn.
const MOST_CLASSES: usize = 4;
/// Most rows that are drawn as points.
const MOST_ROWS: usize = 400;

/// Bands or maps; none for more than two features.
///
/// # Errors
/// The artifact cannot predict, which is a defect.
pub fn over_inputs(evidence: &Evidence) -> anyhow::Result<Option<Figure>> {
    match evidence.schema.layout.len() {
        1 => bands(evidence).map(Some),
        2 => maps(evidence).map(Some),
        _ => Ok(None),
    }
}

/// The range to draw of a feature.
fn range(evidence: &Evidence, feature: usize) -> (f64, f64) {
    let width = evidence.schema.layout.len();
    let column = evidence.held_out.raw.iter().skip(feature).step_by(width);
    let (low, high) = column.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
        (low.min(x.into()), high.max(x.into()))
    });
    let room = BEYOND * (high - low).max(1e-6);
    (low - room, high + room)
}

fn predict(evidence: &Evidence, raw: &[f32]) -> anyhow::Result<Predictions> {
    Predictor::from_artifact(evidence.artifact.clone(), Draws::default())?.predict(raw)
}

fn bands(evidence: &Evidence) -> anyhow::Result<Figure> {
    let (low, high) = range(evidence, 0);
    let step = (high - low) / (POINTS - 1) as f64;
    let xs: Vec<f64> = (0..POINTS).map(|index| low + step * index as f64).collect();
    let predictions = predict(evidence, &xs.iter().map(|&x| x as f32).collect::<Vec<_>>())?;
    let feature = evidence.schema.layout.names().concat();
    let x = || Axis::new(feature.clone(), low, high);
    let along = |values: &[f32]| -> Vec<(f64, f64)> {
        xs.iter().copied().zip(values.iter().map(|&value| value.into())).collect()
    };
    Ok(match &predictions {
        Predictions::Regression(regression::Predictions {
            mean,
            epistemic_std,
            lower,
            upper,
            ..
        }) => {
            let interval = xs.iter().zip(lower.iter().zip(upper));
            let interval = interval.map(|(&x, (&l, &u))| (x, l.into(), u.into())).collect();
            let spread = xs
                .iter()
                .zip(mean.iter().zip(epistemic_std))
                .map(|(&x, (&m, &e))| (x, f64::from(m - 2.0 * e), f64::from(m + 2.0 * e)));
            let rows = observed(evidence);
            let seen = rows.iter().map(|row| row.1);
            let ends = lower.iter().chain(upper).map(|&end| end.into());
            let plot = Plot::new(
                "Predictive",
                x(),
                Axis::round(&evidence.schema.target, seen.chain(ends)),
            )
            .described("Mean, epistemic band and interval over the feature, with the rows.")
            .high(340.0)
            .with(0, Mark::Band(interval))
            .with(1, Mark::Band(spread.collect()))
            .with(QUIET, Mark::Dust(rows))
            .with(0, Mark::Line(along(mean)));
            Figure::new(
                "Predictive over the input",
                "The inner band, two epistemic standard deviations of the mean, should widen where \
                 there are no rows; the interval should hold the share of rows it promises.",
            )
            .key(0, "mean and interval")
            .key(1, "± 2 epistemic deviations")
            .key(QUIET, "held-out rows")
            .beside(plot)
        }
        Predictions::Classification(classification::Predictions {
            classes,
            probabilities,
            entropy,
            mutual_information,
            ..
        }) => {
            let mut plot = Plot::new("probability", x(), Axis::new("probability", 0.0, 1.0))
                .described("Probability of each class over the feature.");
            for class in 0..(*classes).min(MOST_CLASSES) {
                let own: Vec<f32> =
                    probabilities.iter().skip(class).step_by(*classes).copied().collect();
                plot = plot.with(class, Mark::Line(along(&own)));
            }
            let most = entropy.iter().fold(0.0f32, |most, &value| most.max(value));
            let doubt = Plot::new("doubt", x(), Axis::new("nats", 0.0, 1.05 * f64::from(most)))
                .described("Entropy and mutual information over the feature.")
                .with(QUIET, Mark::Line(along(entropy)))
                .with(QUIET, Mark::Dashed(along(mutual_information)));
            let first = if *classes > MOST_CLASSES { "The first four classes. " } else { "" };
            Figure::new(
                "Predictive over the input",
                format!(
                    "{first}Entropy (full line) should be high between the classes, mutual \
                     information (dashed) where there are no rows."
                ),
            )
            .beside(plot)
            .beside(doubt)
        }
    })
}

/// Held-out rows as points of feature and target.
fn observed(evidence: &Evidence) -> Vec<(f64, f64)> {
    let Targets::Regression(values) = &evidence.held_out.targets else {
        return Vec::new();
    };
    let both = evidence.held_out.raw.iter().zip(values);
    both.take(MOST_ROWS).map(|(&x, &y)| (x.into(), y.into())).collect()
}

fn maps(evidence: &Evidence) -> anyhow::Result<Figure> {
    let ranges = [range(evidence, 0), range(evidence, 1)];
    let steps = ranges.map(|(low, high)| (high - low) / SQUARES as f64);
    let corner = |axis: usize, index: usize| ranges[axis].0 + steps[axis] * index as f64;
    let squares: Vec<(usize, usize)> =
        (0..SQUARES).flat_map(|y| (0..SQUARES).map(move |x| (x, y))).collect();
    let centers = squares.iter().flat_map(|&(x, y)| {
        [corner(0, x) + 0.5 * steps[0], corner(1, y) + 0.5 * steps[1]].map(|center| center as f32)
    });
    let predictions = predict(evidence, &centers.collect::<Vec<_>>())?;
    let rows = evidence.held_out.raw.chunks_exact(2).take(MOST_ROWS);
    let rows: Vec<(f64, f64)> = rows.map(|row| (row[0].into(), row[1].into())).collect();
    let names = evidence.schema.layout.names();
    let map = |name: &str, values: &[f32]| {
        let (least, most) = values
            .iter()
            .fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
        let cells = squares.iter().zip(values).map(|(&(x, y), value)| {
            let shade = f64::from((value - least) / (most - least).max(f32::MIN_POSITIVE));
            let [left, right] = [x, x + 1].map(|x| corner(0, x));
            let [bottom, top] = [y, y + 1].map(|y| corner(1, y));
            (left, right, bottom, top, shade)
        });
        let [x, y] = [0, 1].map(|axis| Axis::new(&names[axis], ranges[axis].0, ranges[axis].1));
        let name = format!("{name}, from {least:.3} to {most:.3}");
        Plot::new(name, x, y)
            .described("A map over both features; a stronger colour is a larger value.")
            .high(390.0)
            .with(0, Mark::Cells(cells.collect()))
            .with(1, Mark::Dust(rows.clone()))
    };
    let figure = Figure::new(
        "Predictive over the inputs",
        match evidence.schema.task {
            AnyTask::Classification(_) => {
                "A stronger colour is more doubt. Entropy should be high between the classes, \
                 mutual information where there are no rows."
            }
            AnyTask::Regression(_) => {
                "A stronger colour is a larger value. The epistemic deviation should grow where \
                 there are no rows."
            }
        },
    )
    .key(1, "held-out rows");
    Ok(match &predictions {
        Predictions::Classification(classification::Predictions {
            entropy,
            mutual_information,
            ..
        }) => figure
            .beside(map("entropy, nats", entropy))
            .beside(map("mutual information, nats", mutual_information)),
        Predictions::Regression(regression::Predictions { mean, epistemic_std, .. }) => {
            figure.beside(map("mean", mean)).beside(map("epistemic deviation", epistemic_std))
        }
    })
}
