//! Laplace's approximation and the sampler beside public libraries: `tests/reference/figures.json`, which
//! `make.py` beside it made with laplace-torch and numpyro.

use serde::Deserialize;

use super::laplace::{Curvature, Laplace, Linearised};
use super::{Baseline, Fitted, Hmc, Problem};
use crate::descent::{Schedule, TrainingSet};
use crate::device::Device;
use crate::network::{Activation, Architecture, Batch, outputs};
use crate::posterior::mixing;
use crate::task::{Likelihood, Targets};

/// Relative error of sums of f32, which Jacobians and outputs are.
const ROUNDING: f64 = 2e-5;

#[derive(Deserialize)]
struct Figures {
    /// Inputs and hidden units.
    widths: Vec<usize>,
    noise_std: f32,
    precision: [f64; 2],
    precisions: Vec<[f64; 2]>,
    regression: OfTask,
    classification: OfTask,
}

#[derive(Deserialize)]
struct OfTask {
    x: Vec<f32>,
    y: Vec<f32>,
    tests: Vec<f32>,
    theta: Vec<f32>,
    laplace: OfLaplace,
    laplace_last_layer: OfLaplace,
    nuts: Sampled,
}

#[derive(Deserialize)]
struct OfLaplace {
    /// Nats, of every precision.
    log_marginal_likelihood: Vec<f64>,
    /// `[tests][C]`.
    mean: Vec<Vec<f64>>,
    /// `[tests][C][C]`.
    covariance: Vec<Vec<Vec<f64>>>,
}

/// Posterior means with Monte Carlo errors, `[tests][quantities]`: the output and its square, or the
/// classes' probabilities.
#[derive(Deserialize)]
struct Sampled {
    mean: Vec<Vec<f64>>,
    standard_error: Vec<Vec<f64>>,
}

fn figures() -> Figures {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/figures.json");
    let text = std::fs::read_to_string(path).expect("the committed figures");
    serde_json::from_str(&text).expect("the committed figures")
}

/// Calls `check` with either task's problem and figures.
fn for_each_task(check: impl Fn(&Figures, &OfTask, &Problem<'_>)) {
    let figures = figures();
    for (task, classes) in [(&figures.regression, None), (&figures.classification, Some(3))] {
        let (targets, likelihood) = match classes {
            None => (Targets::Regression(task.y.clone()), Likelihood::gaussian(figures.noise_std)),
            Some(classes) => {
                let labels = task.y.iter().map(|&y| y as u32).collect();
                (Targets::classes(labels, classes), Likelihood::CATEGORICAL)
            }
        };
        let mut widths = figures.widths.clone();
        widths.push(classes.unwrap_or(1));
        let problem = Problem {
            architecture: &Architecture::perceptron(&widths, Activation::Tanh),
            set: &TrainingSet::of(&task.x, 2, &targets, task.y.len(), 0),
            likelihood,
            prior_precision: &figures.precision.map(|alpha| alpha as f32),
            schedule: Schedule { steps: 500, learning_rate: 0.02 },
            seed: 3,
            device: &Device::Cpu,
        };
        check(&figures, task, &problem);
    }
}

fn close(found: f64, expected: f64, scale: f64, what: &str) {
    assert!((found - expected).abs() < ROUNDING * scale, "{what}: {found} but {expected}");
}

#[test]
fn laplace_is_that_of_laplace_torch() {
    for_each_task(|figures, task, problem| {
        let batch = Batch::from_rows(&task.tests, 2);
        for (laplace, expected) in
            [(Laplace::Full, &task.laplace), (Laplace::LastLayer, &task.laplace_last_layer)]
        {
            let range = laplace.range(problem.architecture);
            let curvature = Curvature::at(task.theta.clone(), range, problem);
            for (precision, &exact) in
                figures.precisions.iter().zip(&expected.log_marginal_likelihood)
            {
                let found = curvature.log_marginal_likelihood(precision);
                let found = found.expect("positive definite");
                close(found, exact, exact.abs(), &format!("evidence, {laplace:?} {precision:?}"));
            }
            let linearised = Linearised {
                factor: curvature.factor(&figures.precision).expect("positive definite"),
                theta: curvature.theta,
                range: curvature.range,
                seed: 0,
            };
            let means = outputs(problem.architecture, &task.theta, &batch);
            let covariances = linearised.covariances(problem.architecture, &batch);
            for (row, covariance) in covariances.iter().enumerate() {
                for (class, exact) in expected.mean[row].iter().enumerate() {
                    let found = f64::from(means[class * batch.rows() + row]);
                    close(found, *exact, 1.0 + exact.abs(), "mean");
                }
                let largest = covariance.abs().max();
                for (i, exact) in expected.covariance[row].iter().enumerate() {
                    for (j, exact) in exact.iter().enumerate() {
                        let what = format!("covariance at row {row}, {laplace:?}");
                        close(covariance[(i, j)], *exact, largest, &what);
                    }
                }
            }
        }
    });
}

/// Within the Monte Carlo errors of both.
#[test]
fn the_posterior_predictive_is_that_of_numpyro() {
    for_each_task(|_, task, problem| {
        let sampler = Hmc { chains: 4, warm_up: 500, draws: 4000 };
        let fitted = sampler.fit(problem).expect("the processor");
        let Fitted::Sampled { thetas, convergence } = fitted else { panic!("draws") };
        assert!(convergence.r_hat < 1.02, "{convergence}");
        let batch = Batch::from_rows(&task.tests, 2);
        let rows = batch.rows();
        let classes = problem.architecture.outputs();
        // [draws][tests][quantities]
        let quantities: Vec<Vec<Vec<f64>>> = thetas
            .iter()
            .map(|theta| {
                let outputs = outputs(problem.architecture, theta, &batch);
                let of_row = |row: usize| -> Vec<f64> {
                    let own = (0..classes).map(|class| f64::from(outputs[class * rows + row]));
                    let own: Vec<f64> = own.collect();
                    if classes == 1 {
                        return vec![own[0], own[0] * own[0]];
                    }
                    let exp: Vec<f64> = own.iter().map(|f| f.exp()).collect();
                    exp.iter().map(|e| e / exp.iter().sum::<f64>()).collect()
                };
                (0..rows).map(of_row).collect()
            })
            .collect();
        for (row, (means, errors)) in
            task.nuts.mean.iter().zip(&task.nuts.standard_error).enumerate()
        {
            for (index, (expected, error)) in means.iter().zip(errors).enumerate() {
                let values = || quantities.iter().map(|draw| draw[row][index]);
                let mean = values().sum::<f64>() / thetas.len() as f64;
                let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
                let chains: Vec<Vec<f64>> = values()
                    .collect::<Vec<_>>()
                    .chunks(sampler.draws)
                    .map(<[f64]>::to_vec)
                    .collect();
                let own = squares / thetas.len() as f64 / mixing(&chains).1;
                let error = (own + error * error).sqrt();
                println!("row {row}, {index}: {mean} but {expected}, ± {error}");
                assert!(
                    (mean - expected).abs() < 4.0 * error,
                    "row {row}, {index}: {mean} but {expected}, ± {error}"
                );
            }
        }
    });
}
