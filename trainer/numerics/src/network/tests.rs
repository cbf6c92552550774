//! Gradients against finite differences of an independent evaluation in f64.

use rand_distr::{Distribution, StandardNormal, Uniform};

use super::batch::TILE_ROWS;
use super::*;
use crate::random::{Purpose, stream};
use crate::task::{Classes, Gaussian, Likelihood, Objective, Targets};

/// Row-major inputs `[rows, features]`.
fn inputs(rows: usize, features: usize) -> Vec<f32> {
    let mut rng = stream(1, Purpose::Probes, 0);
    (0..rows * features).map(|_| StandardNormal.sample(&mut rng)).collect()
}

/// Outputs for one row by plain loops in f64.
fn reference_outputs(architecture: &Architecture, theta: &[f64], x: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mut kept: Vec<Vec<f64>> = Vec::new();
    let shapes = architecture.maps();
    for ((block, layer), input) in architecture.blocks.iter().zip(architecture.layers()).zip(shapes)
    {
        let (weights, biases) = (&theta[layer.weights()], &theta[layer.biases()]);
        let shape = block.affine_shape(input);
        let mut sums = vec![0.0; shape.len()];
        for (index, sum) in sums.iter_mut().enumerate() {
            let (position, output) = (index / shape.channels, index % shape.channels);
            let row = &weights[output * layer.inputs..(output + 1) * layer.inputs];
            *sum = biases[output];
            match block.window {
                None => *sum += row.iter().zip(&values).map(|(w, v)| w * v).sum::<f64>(),
                Some(window) => {
                    let own = input.channels / window.groups;
                    let group = output / (shape.channels / window.groups);
                    for (tap, &w) in row.iter().enumerate() {
                        let (ky, kx) = (tap / own / window.size[1], tap / own % window.size[1]);
                        let y = position / shape.width * window.stride[0] + ky;
                        let x = position % shape.width * window.stride[1] + kx;
                        let y = y.checked_sub(window.before[0]).filter(|&y| y < input.height);
                        let x = x.checked_sub(window.before[1]).filter(|&x| x < input.width);
                        if let (Some(y), Some(x)) = (y, x) {
                            let channel = group * own + tap % own;
                            *sum += w * values[(y * input.width + x) * input.channels + channel];
                        }
                    }
                }
            }
        }
        if let Some(skip) = block.skip {
            sums.iter_mut().zip(&kept[skip]).for_each(|(sum, value)| *sum += value);
        }
        for value in &mut sums {
            *value = match block.activation {
                Activation::Identity => *value,
                Activation::Tanh => value.tanh(),
                Activation::Relu => value.max(0.0),
                Activation::Relu6 => value.clamp(0.0, 6.0),
                Activation::HardSwish => *value * (*value + 3.0).clamp(0.0, 6.0) / 6.0,
            };
        }
        if let Some(pool) = block.pool {
            let pooled = pool.over(shape);
            let window = |index: usize| {
                let (position, channel) = (index / pooled.channels, index % pooled.channels);
                let places =
                    (0..pool.size[0]).flat_map(|ky| (0..pool.size[1]).map(move |kx| (ky, kx)));
                let values: Vec<f64> = places
                    .map(|(ky, kx)| {
                        let y = position / pooled.width * pool.stride[0] + ky;
                        let x = position % pooled.width * pool.stride[1] + kx;
                        sums[(y * shape.width + x) * shape.channels + channel]
                    })
                    .collect();
                match pool.kind {
                    PoolKind::Max => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
                    PoolKind::Average => values.iter().sum::<f64>() / values.len() as f64,
                }
            };
            sums = (0..pooled.len()).map(window).collect();
        }
        kept.push(sums.clone());
        values = sums;
    }
    values
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
        let values = reference_outputs(architecture, theta, x);
        total += match (likelihood, targets) {
            (Likelihood::Classification(_), Targets::Classification(Classes { labels, .. })) => {
                let sum: f64 = values.iter().map(|f| f.exp()).sum();
                sum.ln() - values[labels[row] as usize]
            }
            (Likelihood::Regression(Gaussian { noise_std }), Targets::Regression(targets)) => {
                let std = f64::from(noise_std);
                let z = (f64::from(targets[row]) - values[0]) / std;
                0.5 * z * z + std.ln() + 0.5 * std::f64::consts::TAU.ln()
            }
            _ => panic!("likelihood and targets are of one task"),
        };
    }
    total
}

fn check_gradient(architecture: &Architecture, rows: usize) {
    let x = inputs(rows, architecture.inputs());
    let mut rng = stream(2, Purpose::Initialisation, 0);
    let (targets, likelihood) = if architecture.outputs() == 1 {
        let values = (0..rows).map(|_| StandardNormal.sample(&mut rng)).collect();
        (Targets::Regression(values), Likelihood::gaussian(0.4))
    } else {
        let classes = architecture.outputs();
        let class = Uniform::new(0, classes as u32).expect("there are classes");
        let labels = (0..rows).map(|_| class.sample(&mut rng)).collect();
        (Targets::classes(labels, classes), Likelihood::CATEGORICAL)
    };
    let mut theta = architecture.initialise(&mut rng);
    // Biases away from 0, where a wrong bias gradient could hide.
    theta.iter_mut().for_each(|value| {
        let normal: f32 = StandardNormal.sample(&mut rng);
        *value += 0.1 * normal;
    });
    let batch = Batch::from_rows(&x, architecture.inputs());
    let objective = Objective { architecture, batch: &batch, targets: &targets, likelihood };
    let mut gradient = vec![0.0; theta.len()];
    let nll = objective.nll_gradient(&theta, &mut Tape::default(), &mut gradient);

    let exact: Vec<f64> = theta.iter().map(|&value| f64::from(value)).collect();
    let at = |theta: &[f64]| reference_nll(architecture, theta, &x, &targets, likelihood);
    assert!((nll - at(&exact)).abs() < 1e-4 * at(&exact).abs().max(1.0), "{nll}");
    let largest = gradient.iter().fold(0.0f32, |largest, g| largest.max(g.abs()));
    // Small: no sum may cross the kink of a rectifier, nor one maximum become another.
    const STEP: f64 = 1e-7;
    for index in (0..theta.len()).step_by(1 + theta.len() / 150) {
        let mut moved = exact.clone();
        moved[index] += STEP;
        let above = at(&moved);
        moved[index] -= 2.0 * STEP;
        let difference = (above - at(&moved)) / (2.0 * STEP);
        let error = (f64::from(gradient[index]) - difference).abs();
        assert!(
            error < 1e-4 * f64::from(largest),
            "{architecture:?}, parameter {index}: {} but {difference}",
            gradient[index]
        );
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for activation in [Activation::Tanh, Activation::Relu] {
        let check = |widths: &[usize], rows| {
            check_gradient(&Architecture::perceptron(widths, activation), rows);
        };
        check(&[3, 5, 4], 7);
        check(&[2, 6, 3, 1], 1);
        check(&[1, 2], 33);
        // More rows than a tile, not a multiple of one.
        check(&[4, 9, 3], TILE_ROWS + 37);
    }
}

/// A network over images or series.
fn network(
    input: [usize; 3],
    hidden: &[&str],
    activation: Activation,
    outputs: usize,
) -> Architecture {
    let [height, width, channels] = input;
    let hidden: Vec<LayerSpec> = hidden.iter().map(|text| text.parse().expect(text)).collect();
    Architecture::of(Shape { height, width, channels }, &hidden, activation, outputs)
        .expect("the layers fit")
}

#[test]
fn gradients_of_convolutions_are_those_of_finite_differences() {
    use Activation::{HardSwish, Relu, Relu6, Tanh};
    let image = ["conv 3x3x4", "max 2", "conv 2x2x3", "average 2x1 stride 1", "5"];
    let padded = [
        "conv 3x2x4 stride 2x1 padding same",
        "conv 3x3x4 padding 1 groups 4 relu6",
        "conv 1x1x4 skip 0 identity",
        "conv 3x4x6 padding 0x1x2x3 groups 2",
        "average",
    ];
    for activation in [Tanh, Relu, Relu6, HardSwish] {
        for rows in [1, 19, 70] {
            check_gradient(&network([8, 7, 1], &image, activation, 3), rows);
            check_gradient(&network([5, 6, 2], &padded, activation, 3), rows);
        }
        let series = ["conv 5x4 stride 2", "max 3 stride 2", "conv 3x4 padding 1 skip 0", "max 2"];
        check_gradient(&network([1, 24, 3], &series, activation, 1), 9);
    }
}

#[test]
fn input_gradients_are_those_of_finite_differences() {
    let architecture = network([1, 3, 1], &["conv 2x4 padding same", "8"], Activation::Tanh, 2);
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
