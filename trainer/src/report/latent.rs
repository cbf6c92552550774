//! The latent space: codes of the particles, and what each axis does to predictions.

use super::evidence::Evidence;
use super::figure::Figure;
use super::plot::{Axis, Mark, Plot, QUIET};
use crate::decoder::LatentLaw;
use crate::network::{Batch, outputs_of_each, softmax};
use crate::task::{AnyTask, Classes, Predictions, Targets, classification, regression};

/// Most axes that are drawn.
const MOST_AXES: usize = 4;
/// Rows whose prediction is followed along an axis.
const FOLLOWED: usize = 4;
/// Codes along an axis, and how far they reach in standard deviations.
const CODES: usize = 41;
const REACH: f64 = 2.5;

/// Codes of the particles in the first two dimensions; none where no encoder was fitted.
pub fn codes(evidence: &Evidence) -> Option<Figure> {
    let codes = evidence.records.codes.as_ref()?;
    if evidence.records.latent.shape.law().dimension() < 2 {
        return None;
    }
    let (particles, refined) =
        (&evidence.records.walk.particles, evidence.records.refined.is_some());
    let points = |inside: bool| -> Vec<(f64, f64)> {
        // Refined states are all of the posterior, wherever the walk of their particle ended.
        let is_inside = |index: usize| refined || particles[index].in_valley;
        let own = codes.iter().enumerate().filter(|(index, _)| is_inside(*index) == inside);
        own.map(|(_, code)| (code[0].into(), code[1].into())).collect()
    };
    let axis = |dimension: usize| {
        let values = codes.iter().map(|code| f64::from(code[dimension]));
        Axis::round(format!("z{}", subscript(dimension)), values.chain([-REACH, REACH]))
    };
    let circle = |radius: f64| -> Mark {
        let angle = |step: i32| std::f64::consts::TAU * f64::from(step) / 90.0;
        let point = |step| (radius * libm::cos(angle(step)), radius * libm::sin(angle(step)));
        Mark::Dashed((0..=90).map(point).collect())
    };
    let plot = Plot::new("Latent codes", axis(0), axis(1))
        .described("The encoder's code of every particle, with circles of one and two deviations.")
        .high(390.0)
        .with(QUIET, circle(1.0))
        .with(QUIET, circle(2.0))
        .with(0, Mark::Dots(points(true)))
        .with(1, Mark::Crosses(points(false)));
    Some(
        Figure::new(
            "Latent codes of the particles",
            "Codes that fill the circles, one and two standard deviations of the prior, mean that \
             random draws decode to networks like the particles; clusters or outliers mean gaps.",
        )
        .key(0, "particle in the valley")
        .key(1, "particle that left it")
        .beside(plot),
    )
}

/// The prediction of the rows in most doubt as one coordinate of the code moves and the others stay
/// zero; none of a mixture.
pub fn axes(evidence: &Evidence) -> Option<Figure> {
    let shape = &evidence.records.latent.shape;
    let LatentLaw::Normal(_) = shape.law() else { return None };
    let rows = most_doubtful(evidence);
    let curves: Vec<Vec<Vec<(f64, f64)>>> =
        (0..shape.latent_dim.min(MOST_AXES)).map(|axis| follow(evidence, axis, &rows)).collect();
    let label = match evidence.schema.task {
        AnyTask::Classification(_) => "probability of its class".to_owned(),
        AnyTask::Regression(_) => evidence.schema.target.clone(),
    };
    let mut figure = Figure::new(
        "Predictive along each latent axis",
        format!(
            "The {} held-out rows in most epistemic doubt, a line each: steep lines are what the \
             posterior disagrees about; an axis on which all are flat carries nothing for them.",
            rows.len()
        ),
    );
    for (axis, lines) in curves.iter().enumerate() {
        let y = match evidence.schema.task {
            AnyTask::Classification(_) => Axis::new(&label, 0.0, 1.0),
            AnyTask::Regression(_) => {
                Axis::round(&label, curves.iter().flatten().flatten().map(|point| point.1))
            }
        };
        let name = format!("z{}", subscript(axis));
        let mut plot = Plot::new(&name, Axis::new(&name, -REACH, REACH), y)
            .described("The prediction of each row against one coordinate of the latent code.")
            .high(230.0);
        for (series, line) in lines.iter().enumerate() {
            plot = plot.with(series, Mark::Line(line.clone()));
        }
        figure = figure.beside(plot);
    }
    Some(figure)
}

/// Indices of the rows that the networks disagree about most.
fn most_doubtful(evidence: &Evidence) -> Vec<usize> {
    let doubt = match &evidence.float.own {
        Predictions::Classification(classification::Predictions { mutual_information, .. }) => {
            mutual_information
        }
        Predictions::Regression(regression::Predictions { epistemic_std, .. }) => epistemic_std,
    };
    let mut order: Vec<usize> = (0..doubt.len()).collect();
    order.sort_by(|&a, &b| doubt[b].total_cmp(&doubt[a]));
    order.truncate(FOLLOWED);
    order
}

/// Every row's line along one axis.
fn follow(evidence: &Evidence, axis: usize, rows: &[usize]) -> Vec<Vec<(f64, f64)>> {
    let (shape, decoder) = (&evidence.records.latent.shape, &evidence.records.decoder);
    let step = 2.0 * REACH / (CODES - 1) as f64;
    let places: Vec<f64> = (0..CODES).map(|index| -REACH + step * index as f64).collect();
    let mut codes = vec![0.0f32; shape.latent_dim * CODES];
    for (value, &place) in codes[axis * CODES..].iter_mut().zip(&places) {
        *value = place as f32;
    }
    let modulations = shape.modulations(decoder, &Batch::from_features(codes, shape.latent_dim));
    let thetas: Vec<_> = modulations.iter().map(|s| shape.decode(decoder, s)).collect();
    let held_out = evidence.rows().subset(rows);
    let batch = held_out.x.to_batch();
    let outputs = outputs_of_each(&shape.architecture, &thetas, &batch);
    let task = &evidence.schema.task;
    let value = |mut outputs: Vec<f32>, row: usize| -> f64 {
        match &held_out.targets {
            Targets::Classification(Classes { labels, .. }) => {
                softmax(&mut outputs, rows.len());
                outputs[labels[row] as usize * rows.len() + row].into()
            }
            Targets::Regression(_) => (task.origin() + task.unit() * outputs[row]).into(),
        }
    };
    (0..rows.len())
        .map(|row| {
            let along = places.iter().zip(&outputs);
            along.map(|(&place, outputs)| (place, value(outputs.clone(), row))).collect()
        })
        .collect()
}

/// The number of a coordinate, from 1, as a subscript.
fn subscript(axis: usize) -> String {
    let digit = |digit: u8| char::from_u32(0x2080 + u32::from(digit - b'0')).unwrap_or('_');
    (axis + 1).to_string().bytes().map(digit).collect()
}
