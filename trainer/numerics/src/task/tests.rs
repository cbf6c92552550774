//! Properties that all tasks have.

use rand_distr::{Distribution, StandardNormal};

use super::*;
use crate::random::{Purpose, stream};

fn check_divergence(classes: usize, likelihood: Likelihood, of: Share) {
    let (rows, matched) = (5, 3);
    let mut rng = stream(3, Purpose::Probes, 0);
    let mut normals = |count: usize, len: usize| -> Vec<Vec<f32>> {
        (0..count).map(|_| (0..len).map(|_| StandardNormal.sample(&mut rng)).collect()).collect()
    };
    let reference = likelihood.mixture(normals(6, matched * classes), matched);
    let weights = [1.0, 1.0, 0.3];
    let mut draws = normals(4, rows * classes);
    let (_, gradient) = likelihood.divergence(&draws, of, rows, &reference, &weights);
    for draw in 0..draws.len() {
        for index in 0..rows * classes {
            let middle = draws[draw][index];
            let mut at = |value: f32| {
                draws[draw][index] = value;
                likelihood.divergence(&draws, of, rows, &reference, &weights).0
            };
            let difference = (at(middle + 1e-2) - at(middle - 1e-2)) / 2e-2;
            at(middle);
            let found = f64::from(gradient[draw][index]);
            assert!((found - difference).abs() < 2e-4, "{found} but {difference}");
            assert_eq!(index % rows >= matched, found == 0.0);
        }
    }
}

#[test]
fn gradients_of_divergences_are_those_of_finite_differences() {
    for of in [Share::Some, Share::All] {
        check_divergence(3, Likelihood::CATEGORICAL, of);
        check_divergence(1, Likelihood::gaussian(0.7), of);
    }
}

#[test]
fn a_calibration_of_another_task_or_out_of_range_is_refused() {
    let task: AnyTask = Regression { mean: 3.0, std: 2.0 }.into();
    let check = |calibration: Calibration| calibration.check(&task);
    assert_eq!(check(NoiseStd(0.3).into()), Ok(()));
    let message = check(Temperature(1.2).into()).expect_err("of classes");
    let expected = "found a temperature of 1.2, expected a standard deviation of noise above 0";
    assert_eq!(message, expected);
    for value in [0.0, -0.3, f64::NAN, f64::INFINITY] {
        check(NoiseStd(value).into()).expect_err("out of range");
    }
    let mut thresholds = Thresholds::open(NoiseStd(0.3).into());
    assert_eq!(thresholds.check(&task), Ok(()));
    thresholds.conformal = f32::NAN;
    thresholds.check(&task).expect_err("no number");
}

/// The records of earlier versions are read.
#[test]
fn records_name_the_parts_as_they_always_did() {
    fn json(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).expect("serialisable")
    }
    assert_eq!(json(&Calibration::from(Temperature(0.5))), r#"{"temperature":0.5}"#);
    assert_eq!(json(&Calibration::from(NoiseStd(0.5))), r#"{"noise_std":0.5}"#);
    let classes = vec!["a".to_owned()];
    let task = AnyTask::from(Classification { classes });
    assert_eq!(json(&task), r#"{"classification":{"classes":["a"]}}"#);
    let task = AnyTask::from(Regression { mean: 0.5, std: 2.0 });
    assert_eq!(json(&task), r#"{"regression":{"mean":0.5,"std":2.0}}"#);
}
