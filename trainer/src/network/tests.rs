//! Gradients against finite differences of an independent evaluation in f64.

use rand_distr::{Distribution, StandardNormal, Uniform};

use super::*;
use crate::data::Targets;
use crate::random::{Purpose, stream};

/// Row-major inputs `[rows, features]`.
fn inputs(rows: usize, features: usize) -> Vec<f32> {
    let mut rng = stream(1, Purpose::Probes, 0);
    (0..rows * features).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Σ −log p(y | x, θ) by plain loops in f64.
fn reference_nll(
    architecture: &Architecture,
    theta: &[f64],
    x: &[f32],
    targets: &Targets,
    likelihood: Likelihood,
) -> f64 {
    let mut total = 0.0;
    for (row, x) in x.chunks_exact(architecture.inputs()).enumerate() {
        let mut values: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        for (index, layer) in architecture.layers().enumerate() {
            let (weights, biases) = (&theta[layer.weights()], &theta[layer.biases()]);
            values = weights
                .chunks_exact(layer.inputs)
                .zip(biases)
                .map(|(row, bias)| bias + row.iter().zip(&values).map(|(w, v)| w * v).sum::<f64>())
                .collect();
            if index + 1 < architecture.depth() {
                for value in &mut values {
                    *value = match architecture.activation {
                        Activation::Tanh => value.tanh(),
                        Activation::Relu => value.max(0.0),
                    };
                }
            }
        }
        total += match (likelihood, targets) {
            (Likelihood::Categorical, Targets::Classes { labels, .. }) => {
                let sum: f64 = values.iter().map(|f| f.exp()).sum();
                sum.ln() - values[labels[row] as usize]
            }
            (Likelihood::Gaussian { noise_std }, Targets::Values(targets)) => {
                let std = f64::from(noise_std);
                let z = (f64::from(targets[row]) - values[0]) / std;
                0.5 * z * z + std.ln() + 0.5 * std::f64::consts::TAU.ln()
            }
            _ => panic!("likelihood and targets are of one task"),
        };
    }
    total
}

fn check_gradient(widths: &[usize], activation: Activation, rows: usize) {
    let architecture = Architecture { widths: widths.to_vec(), activation };
    let x = inputs(rows, architecture.inputs());
    let mut rng = stream(2, Purpose::Initialisation, 0);
    let (targets, likelihood) = if architecture.outputs() == 1 {
        let values = (0..rows).map(|_| StandardNormal.sample(&mut rng)).collect();
        (Targets::Values(values), Likelihood::Gaussian { noise_std: 0.4 })
    } else {
        let classes = architecture.outputs();
        let class = Uniform::new(0, classes as u32).expect("there are classes");
        let labels = (0..rows).map(|_| class.sample(&mut rng)).collect();
        (Targets::Classes { labels, classes }, Likelihood::Categorical)
    };
    let mut theta = architecture.initialise(&mut rng);
    // Biases away from 0, where a wrong bias gradient could hide.
    theta.iter_mut().for_each(|value| {
        let normal: f32 = StandardNormal.sample(&mut rng);
        *value += 0.1 * normal;
    });
    let batch = Batch::from_rows(&x, architecture.inputs());
    let objective =
        Objective { architecture: &architecture, batch: &batch, targets: &targets, likelihood };
    let mut gradient = vec![0.0; theta.len()];
    let nll = objective.nll_gradient(&theta, &mut Tape::default(), &mut gradient);

    let exact: Vec<f64> = theta.iter().map(|&value| f64::from(value)).collect();
    let at = |theta: &[f64]| reference_nll(&architecture, theta, &x, &targets, likelihood);
    assert!((nll - at(&exact)).abs() < 1e-4 * at(&exact).abs().max(1.0), "{nll}");
    let largest = gradient.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
    const STEP: f64 = 1e-5;
    for index in (0..theta.len()).step_by(1 + theta.len() / 150) {
        let mut moved = exact.clone();
        moved[index] += STEP;
        let above = at(&moved);
        moved[index] -= 2.0 * STEP;
        let difference = (above - at(&moved)) / (2.0 * STEP);
        let error = (f64::from(gradient[index]) - difference).abs();
        assert!(
            error < 1e-4 * f64::from(largest),
            "{widths:?} {activation:?} parameter {index}: {} but {difference}",
            gradient[index]
        );
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for activation in [Activation::Tanh, Activation::Relu] {
        check_gradient(&[3, 5, 4], activation, 7);
        check_gradient(&[2, 6, 3, 1], activation, 1);
        check_gradient(&[1, 2], activation, 33);
        // More rows than a tile, not a multiple of one.
        check_gradient(&[4, 9, 3], activation, TILE_ROWS + 37);
    }
}

#[test]
fn input_gradients_are_those_of_finite_differences() {
    let architecture = Architecture { widths: vec![3, 8, 2], activation: Activation::Tanh };
    let theta = architecture.initialise(&mut stream(3, Purpose::Initialisation, 0));
    let x = inputs(5, 3);
    let value = |x: &[f32]| {
        outputs(&architecture, &theta, &Batch::from_rows(x, 3)).iter().map(|f| f * f).sum::<f32>()
    };
    let batch = Batch::from_rows(&x, 3);
    let mut tape = Tape::default();
    let d_outputs: Vec<f32> =
        tape.forward(&architecture, &theta, &batch, 0..5).iter().map(|f| 2.0 * f).collect();
    let (mut gradient, mut d_inputs) = (vec![0.0; theta.len()], Vec::new());
    tape.backward(&architecture, &theta, &batch, &d_outputs, &mut gradient, Some(&mut d_inputs));
    for row in 0..5 {
        for feature in 0..3 {
            let mut moved = x.clone();
            moved[row * 3 + feature] += 1e-2;
            let above = value(&moved);
            moved[row * 3 + feature] -= 2e-2;
            let difference = (above - value(&moved)) / 2e-2;
            assert!((d_inputs[feature * 5 + row] - difference).abs() < 2e-3);
        }
    }
}
