//! Every kernel against its CPU reference, on whatever GPU there is, a software one included.

use std::sync::OnceLock;

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::context::{Dispatch, Gpu};
use super::fused::FusedStep;
use super::gpus::Gpus;
use super::measure::Measure;
use super::network::{Activations, Parameters, Pass};
use super::product::{Epilogue, Tile, View};
use super::{adapters, hardware};
use crate::checkpoints::Checkpoints;
use crate::decoder::fit::PROBES;
use crate::decoder::{DecoderShape, Fit, FitObjective, Fitted, LayerDecoder, ProbePool, Refresh};
use crate::descent::{
    ControlVariate, Descended, Descent, Measured, Particle, Schedule, TrainingSet,
};
use crate::device::Device;
use crate::drift::{Drift, Walk};
use crate::metrics::mean;
use crate::network::{
    Activation, Architecture, Batch, Block, LayerSpec, Pool, PoolKind, Shape, Tape, Window,
};
use crate::random::{Purpose, stream};
use crate::task::{self, Calibration, Classes, Likelihood, Predictive, Targets, Temperature};

/// The GPU that tests run on.
pub(super) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        assert!(
            !adapters().unwrap_or_default().is_empty(),
            "no GPU adapter; ./tests/setup installs a software one"
        );
        let hardware = hardware().ok().and_then(|mut gpus| gpus.pop());
        hardware.unwrap_or_else(|| Gpu::numbered(0).expect("the first adapter opens"))
    })
}

pub(super) fn random(index: u64) -> Xoshiro256PlusPlus {
    stream(17, Purpose::Probes, index)
}

pub(super) fn normals(rng: &mut Xoshiro256PlusPlus, count: usize) -> Vec<f32> {
    (0..count).map(|_| StandardNormal.sample(rng)).collect()
}

pub(super) fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / (1.0 + e.abs());
        assert!(error < tolerance, "{what}, value {index}: {f} but {e}");
    }
}

fn run(program: Vec<Dispatch>) {
    gpu().run(&program).expect("the GPU runs");
}

#[test]
fn products_are_those_of_f64() {
    let shapes = [
        [1, 1, 1, 1],
        [3, 5, 7, 2],
        [10, 64, 33, 3],
        [64, 65, 16, 1],
        [31, 129, 17, 2],
        [100, 40, 1, 2],
    ];
    for (case, [rows, columns, depth, count]) in shapes.into_iter().enumerate() {
        let mut rng = random(case as u64);
        let left = normals(&mut rng, count * rows * depth);
        let right = normals(&mut rng, count * columns * depth);
        let start = normals(&mut rng, count * rows * columns);
        let biases = normals(&mut rng, count * rows);
        for transposed in [false, true] {
            for kind in 0..6 {
                let accumulate = kind % 2 == 1;
                let [left_buffer, right_buffer, out, bias_buffer] =
                    [&left, &right, &start, &biases].map(|values| gpu().upload(values));
                let other = gpu().upload(&start);
                let view = |buffer, [rows, columns]: [usize; 2]| {
                    if transposed {
                        View::new(buffer, [columns, rows], 0, rows * columns).transposed()
                    } else {
                        View::new(buffer, [rows, columns], 0, rows * columns)
                    }
                };
                let bias = View::strided(&bias_buffer, [rows, columns], 0, rows, [1, 0]);
                let at = View::new(&other, [rows, columns], 0, rows * columns);
                let epilogue = match kind {
                    0 | 1 => Epilogue::None,
                    2 => Epilogue::Bias(bias, Activation::Identity),
                    3 => Epilogue::Bias(bias, Activation::Tanh),
                    4 => Epilogue::Derivative(at, Activation::Tanh),
                    _ => Epilogue::Derivative(at, Activation::Relu),
                };
                run(vec![gpu().product(
                    count,
                    view(&left_buffer, [rows, depth]),
                    view(&right_buffer, [depth, columns]),
                    View::new(&out, [rows, columns], 0, rows * columns),
                    accumulate,
                    epilogue,
                )]);
                let index = |[rows, columns]: [usize; 2], row: usize, column: usize| {
                    if transposed { column * rows + row } else { row * columns + column }
                };
                let mut expected = Vec::new();
                for n in 0..count {
                    for row in 0..rows {
                        for column in 0..columns {
                            let place = (n * rows + row) * columns + column;
                            let products = (0..depth).map(|step| {
                                let l = n * rows * depth + index([rows, depth], row, step);
                                let r = n * columns * depth + index([depth, columns], step, column);
                                f64::from(left[l]) * f64::from(right[r])
                            });
                            let sum: f64 = products.sum();
                            let old = f64::from(start[place]);
                            let sum = sum + if accumulate { old } else { 0.0 };
                            let bias = f64::from(biases[n * rows + row]);
                            let value = match kind {
                                0 | 1 => sum,
                                2 => sum + bias,
                                3 => (sum + bias).tanh(),
                                4 => sum * (1.0 - old * old),
                                _ => {
                                    if old > 0.0 {
                                        sum
                                    } else {
                                        0.0
                                    }
                                }
                            };
                            expected.push(value as f32);
                        }
                    }
                }
                let found = gpu().read(&out, 0..start.len()).expect("readable");
                let what = format!("{rows} x {columns} x {depth}, {count}, epilogue {kind}");
                assert_close(&found, &expected, 2e-5, &what);
            }
        }
    }
}

fn problem(
    widths: &[usize],
    activation: Activation,
    rows: usize,
    index: u64,
) -> (Architecture, Vec<f32>, Targets, Likelihood) {
    problem_of(Architecture::perceptron(widths, activation), rows, index)
}

fn problem_of(
    architecture: Architecture,
    rows: usize,
    index: u64,
) -> (Architecture, Vec<f32>, Targets, Likelihood) {
    let mut rng = random(index);
    let x = normals(&mut rng, rows * architecture.inputs());
    let classes = architecture.outputs();
    let noise = normals(&mut rng, rows);
    let sums = x.chunks_exact(architecture.inputs()).map(|x| x.iter().sum::<f32>());
    if classes == 1 {
        let values = sums.zip(&noise).map(|(sum, noise)| sum.sin() + 0.2 * noise).collect();
        return (architecture, x, Targets::Regression(values), Likelihood::gaussian(0.3));
    }
    let labels = sums
        .zip(&noise)
        .map(|(sum, noise)| ((2.0 * sum + noise).abs() as u32) % classes as u32)
        .collect();
    (architecture, x, Targets::classes(labels, classes), Likelihood::CATEGORICAL)
}

/// A network over images or series.
fn convolutional(
    [height, width, channels]: [usize; 3],
    hidden: &[&str],
    activation: Activation,
    outputs: usize,
) -> Architecture {
    let hidden: Vec<LayerSpec> = hidden.iter().map(|text| text.parse().expect(text)).collect();
    Architecture::of(Shape { height, width, channels }, &hidden, activation, outputs)
        .expect("the layers fit")
}

#[test]
fn gradients_are_those_of_the_processor() {
    let cases: [(&[usize], Activation, usize, usize); 5] = [
        (&[3, 4, 2], Activation::Tanh, 1, 1),
        (&[5, 1], Activation::Relu, 7, 3),
        (&[18, 50, 4], Activation::Tanh, 131, 4),
        (&[7, 33, 70, 1], Activation::Relu, 90, 2),
        (&[64, 64, 32, 10], Activation::Tanh, 65, 2),
    ];
    for (case, (widths, activation, rows, count)) in cases.into_iter().enumerate() {
        let problem = problem(widths, activation, rows, case as u64);
        assert_gradients(problem, rows, count, case as u64, &format!("{widths:?}"));
    }
}

/// Outputs' gradients with respect to parameters and inputs are the processor's.
fn assert_gradients(
    (architecture, x, targets, likelihood): (Architecture, Vec<f32>, Targets, Likelihood),
    rows: usize,
    count: usize,
    case: u64,
    what: &str,
) {
    let features = architecture.inputs();
    let batch = Batch::from_rows(&x, features);
    let mut rng = random(100 + case);
    // Biases away from 0, where a wrong one could hide.
    let mut start = || -> Vec<f32> {
        let theta = architecture.initialise(&mut rng);
        let moved = normals(&mut rng, theta.len());
        theta.iter().zip(moved).map(|(value, by)| value + 0.1 * by).collect()
    };
    let thetas: Vec<_> = (0..count).map(|_| start()).collect();
    let size = architecture.parameters();
    let gpu = gpu();
    let (theta, inputs) = (gpu.upload(&thetas.concat()), gpu.upload(batch.values()));
    let (gradient, d_inputs) = (gpu.zeros(count * size), gpu.zeros(count * rows * features));
    let words: Vec<u32> = match &targets {
        Targets::Classification(Classes { labels, .. }) => labels.clone(),
        Targets::Regression(values) => values.iter().map(|value| value.to_bits()).collect(),
    };
    let activations = Activations::new(gpu, &architecture, count, rows);
    let pass = Pass {
        architecture: &architecture,
        theta: Parameters { buffer: &theta, offset: 0, stride: size },
        input: View::new(&inputs, [features, rows], 0, 0),
        activations: &activations,
    };
    let mut program = Vec::new();
    gpu.record_forward(&pass, &mut program);
    program.push(gpu.likelihood_gradient(
        count,
        architecture.outputs(),
        rows,
        likelihood,
        &gpu.upload(&words),
        activations.outputs(),
    ));
    let into = Parameters { buffer: &gradient, offset: 0, stride: size };
    let of_inputs = View::new(&d_inputs, [features, rows], 0, rows * features);
    gpu.record_backward(&pass, into, false, Some(of_inputs), &mut program);
    run(program);
    let found = gpu.read(&gradient, 0..count * size).expect("readable");
    let found_inputs = gpu.read(&d_inputs, 0..count * rows * features).expect("readable");
    let mut expected_inputs = Vec::new();
    for (theta, found) in thetas.iter().zip(found.chunks_exact(size)) {
        let objective = task::Objective {
            architecture: &architecture,
            batch: &batch,
            targets: &targets,
            likelihood,
        };
        let (mut tape, mut expected) = (Tape::default(), vec![0.0; size]);
        objective.nll_gradient(theta, &mut tape, &mut expected);
        assert_close(found, &expected, 5e-5, what);
        let mut d_outputs = tape.forward(&architecture, theta, &batch, 0..rows).to_vec();
        likelihood.nll_gradient(&targets, 0..rows, &mut d_outputs);
        let mut of_inputs = Vec::new();
        tape.backward(
            &architecture,
            theta,
            &batch,
            &d_outputs,
            &mut vec![0.0; size],
            Some(&mut of_inputs),
        );
        expected_inputs.extend(of_inputs);
    }
    assert_close(&found_inputs, &expected_inputs, 5e-5, &format!("gradient of the inputs, {what}"));
}

/// Strides, padding, groups, skips, both kinds of pooling, windows that overlap or leave values out, every
/// activation, series; odd numbers of rows.
#[test]
fn gradients_of_convolutions_are_those_of_the_processor() {
    use Activation::{HardSwish, Identity, Relu, Relu6, Tanh};
    let image: &[&str] = &["conv 3x3x4", "max 2", "conv 2x2x3", "average 2x1 stride 1", "5"];
    let padded: &[&str] = &[
        "conv 3x2x4 stride 2x1 padding same",
        "conv 3x3x4 padding 1 groups 4 relu6",
        "conv 1x1x4 skip 0 identity",
        "conv 3x4x6 padding 0x1x2x3 groups 2",
        "average",
    ];
    let twice: &[&str] = &[
        "conv 3x3x8 padding 1",
        "conv 3x3x8 padding 1 skip 0",
        "conv 1x1x8 skip 0",
        "max 3 stride 2",
    ];
    let wide: &[&str] = &["conv 3x3x40 stride 2", "conv 2x2x70", "max 2 stride 3", "9"];
    let series: &[&str] =
        &["conv 5x4 stride 2", "max 3 stride 2", "conv 3x4 padding 1 skip 0", "max 2"];
    let cases = [
        ([8, 7, 1], image, &[HardSwish, Tanh][..], 19, 3, 3),
        ([5, 6, 2], padded, &[Relu], 70, 2, 3),
        ([9, 8, 3], twice, &[Relu6, HardSwish], 17, 2, 2),
        ([11, 11, 2], wide, &[Identity], 33, 1, 4),
        ([1, 24, 3], series, &[Relu], 9, 4, 1),
    ];
    for (case, (input, layers, activations, rows, count, outputs)) in cases.into_iter().enumerate()
    {
        for &activation in activations {
            let architecture = convolutional(input, layers, activation, outputs);
            let problem = problem_of(architecture, rows, 60 + case as u64);
            let what = format!("{layers:?}, {activation}");
            assert_gradients(problem, rows, count, 60 + case as u64, &what);
        }
    }
}

/// Dense layers with skips and other activations than a perceptron's; one last layer with an activation.
#[test]
fn gradients_of_other_dense_networks_are_those_of_the_processor() {
    use Activation::{HardSwish, Identity, Relu6, Tanh};
    for last in [Identity, Tanh, HardSwish] {
        let layer = Block::dense;
        let blocks = vec![
            layer(33, Relu6),
            Block { skip: Some(0), ..layer(33, HardSwish) },
            Block { skip: Some(0), ..layer(33, Tanh) },
            layer(3, last),
        ];
        let architecture = Architecture { input: Shape::flat(7), blocks };
        assert_gradients(problem_of(architecture, 45, 70), 45, 3, 70, &format!("last {last}"));
    }
}

/// Cross-entropy of a network with one tanh layer, summed over the rows, in f64.
fn cross_entropy(widths: [usize; 3], theta: &[f64], x: &[f32], labels: &[u32]) -> f64 {
    let [inputs, hidden, classes] = widths;
    let (first, second) = theta.split_at(hidden * (inputs + 1));
    let layer = |theta: &[f64], input: &[f64], outputs: usize| -> Vec<f64> {
        let (weights, biases) = theta.split_at(outputs * input.len());
        let rows = weights.chunks_exact(input.len()).zip(biases);
        rows.map(|(w, b)| b + w.iter().zip(input).map(|(w, x)| w * x).sum::<f64>()).collect()
    };
    let of_row = |(x, &label): (&[f32], &u32)| {
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let hidden: Vec<f64> = layer(first, &x, hidden).iter().map(|h| h.tanh()).collect();
        let logits = layer(second, &hidden, classes);
        logits.iter().map(|f| f.exp()).sum::<f64>().ln() - logits[label as usize]
    };
    x.chunks_exact(inputs).zip(labels).map(of_row).sum()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let widths = [3, 5, 4];
    let (architecture, x, targets, likelihood) = problem(&widths, Activation::Tanh, 9, 40);
    let Targets::Classification(Classes { labels, .. }) = &targets else {
        unreachable!("several classes")
    };
    let theta = architecture.initialise(&mut random(41));
    let found = gradient(&architecture, &x, labels, likelihood, &theta);
    let theta: Vec<f64> = theta.iter().map(|&value| f64::from(value)).collect();
    for (index, found) in found.iter().enumerate() {
        let at = |step: f64| {
            let mut theta = theta.clone();
            theta[index] += step;
            cross_entropy(widths, &theta, &x, labels)
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!((f64::from(*found) - difference).abs() < 1e-4, "{index}: {found}, {difference}");
    }
}

/// The gradient of one particle, from the GPU.
fn gradient(
    architecture: &Architecture,
    x: &[f32],
    labels: &[u32],
    likelihood: Likelihood,
    theta: &[f32],
) -> Vec<f32> {
    let (gpu, size) = (gpu(), theta.len());
    let batch = Batch::from_rows(x, architecture.inputs());
    let [parameters, inputs] = [theta, batch.values()].map(|values| gpu.upload(values));
    let gradient = gpu.zeros(size);
    let activations = Activations::new(gpu, architecture, 1, labels.len());
    let pass = Pass {
        architecture,
        theta: Parameters { buffer: &parameters, offset: 0, stride: size },
        input: View::new(&inputs, [batch.features(), labels.len()], 0, 0),
        activations: &activations,
    };
    let mut program = Vec::new();
    gpu.record_forward(&pass, &mut program);
    let (classes, outputs) = (architecture.outputs(), activations.outputs());
    let targets = gpu.upload(labels);
    program.push(gpu.likelihood_gradient(1, classes, labels.len(), likelihood, &targets, outputs));
    let into = Parameters { buffer: &gradient, offset: 0, stride: size };
    gpu.record_backward(&pass, into, false, None, &mut program);
    run(program);
    gpu.read(&gradient, 0..size).expect("readable")
}

#[test]
fn a_lost_device_is_an_error_that_says_how_to_go_on() {
    let gpu = Gpu::numbered(0).expect("the first adapter opens");
    let (architecture, x, ..) = problem(&[3, 4, 2], Activation::Tanh, 5, 1);
    let theta = vec![architecture.initialise(&mut random(1))];
    let batch = Batch::from_rows(&x, 3);
    gpu.outputs(&architecture, &theta, &batch).expect("the GPU runs");
    gpu.lose();
    let error = gpu.outputs(&architecture, &theta, &batch).expect_err("lost").to_string();
    assert!(error.contains("`resume` the run"), "{error}");
}

#[test]
fn a_buffer_beyond_the_limits_is_an_error_that_names_them() {
    let gpu = Gpu::numbered(0).expect("the first adapter opens");
    let limit = gpu.largest_buffer();
    gpu.zeros(limit as usize / 4 + 1);
    let error = gpu.check().expect_err("too large").to_string();
    assert!(error.contains(&limit.to_string()), "{error}");
    gpu.check().expect("reported once");
}

#[test]
fn a_network_whose_fit_exceeds_the_limits_is_an_error_before_it_descends() {
    let window = Window { size: [1, 1], stride: [1, 1], before: [0, 0], after: [0, 0], groups: 1 };
    let blocks = vec![
        Block { window: Some(window), ..Block::dense(8, Activation::Relu) },
        Block {
            pool: Some(Pool { kind: PoolKind::Average, size: [4096; 2], stride: [1, 1] }),
            window: Some(window),
            ..Block::dense(1, Activation::Identity)
        },
    ];
    let input = Shape { height: 4096, width: 4096, channels: 1 };
    let architecture = Architecture { input, blocks };
    let descent = Descent {
        architecture: &architecture,
        set: &TrainingSet::of(&[], architecture.inputs(), &Targets::Regression(Vec::new()), 1, 5),
        likelihood: Likelihood::gaussian(0.3),
        prior_precision: &architecture.per_parameter(&[1.0, 1.0]),
        held: None,
        schedule: Schedule { steps: 1, learning_rate: 0.01 },
    };
    let start = vec![0.0; architecture.parameters()];
    let particle = Particle { start: &start, drift: None, control: None, watch: None };
    let error = gpu().descend(&descent, &[particle], &Checkpoints::none(), &|_| {});
    let error = error.expect_err("too large").to_string();
    assert!(error.contains("the `device` cpu"), "{error}");
}

/// Starts, noise and prior are no part of a kernel: a driver may keep megabytes for every pipeline, and a search
/// descends some hundred times.
#[test]
fn descents_of_one_network_share_their_pipelines() {
    let gpu = Gpu::numbered(0).expect("the first adapter opens");
    let (architecture, x, targets, _) = problem(&[3, 4, 1], Activation::Tanh, 40, 60);
    let mut rng = random(61);
    let mut descend = |precision: f32| {
        let start = architecture.initialise(&mut rng);
        let descent = Descent {
            architecture: &architecture,
            set: &TrainingSet::of(&x, 3, &targets, 20, 5),
            likelihood: Likelihood::gaussian(0.1 * precision),
            prior_precision: &architecture.per_parameter(&[precision, 1.0]),
            held: None,
            schedule: Schedule { steps: 2, learning_rate: 0.01 },
        };
        let fused = FusedStep::new(&gpu, &descent);
        for kernels in [fused.as_ref(), None] {
            let particle = Particle { start: &start, drift: None, control: None, watch: None };
            let checkpoints = Checkpoints::of(2);
            gpu.descend_by(kernels, &descent, &[particle], &checkpoints, &|_| {})
                .expect("the GPU runs");
        }
        gpu.outputs(&architecture, &[start], &Batch::from_rows(&x, 3)).expect("the GPU runs");
        gpu.pipelines()
    };
    let first = descend(1.0);
    assert!(first > 0);
    assert_eq!([descend(2.0), descend(3.0)], [first; 2]);
}

/// Few channels take flat tiles, whose threads all have something to compute.
#[test]
fn tiles_are_as_flat_as_their_product() {
    let tiles = [(4, 4), (8, 8), (16, 16), (64, 64)]
        .map(|(rows, expected)| (Tile::of(rows, 100_000, 1).rows(), expected));
    tiles.iter().for_each(|(found, expected)| assert_eq!(found, expected, "{tiles:?}"));
}

#[test]
fn outputs_are_those_of_the_processor() {
    let (architecture, x, ..) = problem(&[5, 9, 3], Activation::Relu, 700, 2);
    let batch = Batch::from_rows(&x, 5);
    let mut rng = random(3);
    let thetas: Vec<_> = (0..4).map(|_| architecture.initialise(&mut rng)).collect();
    let found = gpu().outputs(&architecture, &thetas, &batch).expect("the GPU runs");
    let expected = Device::Cpu.outputs(&architecture, &thetas, &batch).expect("the processor");
    assert_close(&found.concat(), &expected.concat(), 2e-5, "outputs");
}

/// A few steps of particles with drift, prior, mini-batches and control variates: the first steps
/// follow the processor's closely; later ones may part by rounding.
#[test]
fn the_first_steps_are_those_of_the_processor() {
    let (architecture, x, targets, likelihood) = problem(&[6, 20, 3], Activation::Tanh, 1200, 3);
    let schedule = Schedule { steps: 12, learning_rate: 0.01 };
    let mut rng = random(4);
    let maps: Vec<_> = (0..2).map(|_| architecture.initialise(&mut rng)).collect();
    let prior = architecture.per_parameter(&[1.0, 0.3]);
    // The first layer stays once.
    let first: Vec<bool> = (0..prior.len()).map(|index| index < 6 * 20 + 20).collect();
    for (batch_rows, held) in [(100, None), (500, Some(first.as_slice())), (2000, None)] {
        let set = TrainingSet::of(&x, 6, &targets, batch_rows, 5);
        let control = |map: &Vec<f32>| {
            ControlVariate::at(map, &set, &architecture, likelihood).expect("few rows")
        };
        let controls: Vec<_> = maps.iter().map(control).collect();
        let particles: Vec<_> = (0..5)
            .map(|index| Particle {
                start: &maps[index % 2],
                drift: Some(normals(&mut random(10 + index as u64), prior.len())),
                control: controls[index % 2].as_ref(),
                watch: None,
            })
            .collect();
        let descent = Descent {
            architecture: &architecture,
            set: &set,
            likelihood,
            prior_precision: &prior,
            held,
            schedule,
        };
        let checkpoints = Checkpoints::of(schedule.steps);
        let expected = descent.run_traced(&Device::Cpu, &particles, &checkpoints, &|_| {});
        let expected = expected.expect("the processor");
        let fused = FusedStep::new(gpu(), &descent);
        for kernels in [fused.as_ref(), None] {
            let run = |checkpoints| {
                let found = gpu().descend_by(kernels, &descent, &particles, checkpoints, &|_| {});
                found.expect("the GPU runs")
            };
            let (found, untraced) = (run(&checkpoints), run(&Checkpoints::none()));
            assert_close(&thetas(&found).concat(), &thetas(&expected).concat(), 2e-3, "ends");
            assert_eq!(thetas(&found), thetas(&untraced), "measuring changes where they end");
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(&measured(&found.trace), &measured(&expected.trace), 2e-3, "trace");
            }
        }
        // More particles than pass at once, two by two.
        let starts: Vec<&[f32]> = particles.iter().map(|particle| particle.start).collect();
        let theta = gpu().upload_rows(&starts).expect("it fits");
        let activations =
            Activations::new(gpu(), &architecture, 2, set.largest_tile(&architecture));
        let measure = Measure::new(gpu(), &descent, &particles, &theta, &activations);
        let found = measure.and_then(|measure| measure.read(gpu())).expect("the GPU runs");
        let expected: Vec<Measured> = expected.iter().map(|end| end.trace[0]).collect();
        assert_close(&measured(&found), &measured(&expected), 1e-5, "starts");
    }
}

/// A walk with mini-batches and control variates, more rows than a tile: the processor's ends; the same bits
/// for a part of the particles.
#[test]
fn the_first_steps_of_convolutions_are_those_of_the_processor() {
    let layers = ["conv 5x5x6 padding 2", "max 2", "conv 3x3x8 relu", "average 2", "12"];
    let architecture = convolutional([12, 12, 1], &layers, Activation::Tanh, 4);
    let (architecture, x, targets, likelihood) = problem_of(architecture, 500, 30);
    let set = TrainingSet::of(&x, architecture.inputs(), &targets, 250, 5);
    let mut rng = random(31);
    let maps: Vec<_> = (0..2).map(|_| architecture.initialise(&mut rng)).collect();
    let control = |map: &Vec<f32>| {
        ControlVariate::at(map, &set, &architecture, likelihood).expect("few rows")
    };
    let controls: Vec<_> = maps.iter().map(control).collect();
    let particles: Vec<_> = (0..3)
        .map(|index| Particle {
            start: &maps[index % 2],
            drift: Some(normals(&mut rng, maps[0].len())),
            control: controls[index % 2].as_ref(),
            watch: None,
        })
        .collect();
    assert!(controls[0].is_some() && set.largest_tile(&architecture) < 250);
    let schedule = Schedule { steps: 6, learning_rate: 0.01 };
    let descent = Descent {
        architecture: &architecture,
        set: &set,
        likelihood,
        prior_precision: &architecture.per_parameter(&[1.0, 0.3, 2.0, 0.5]),
        held: None,
        schedule,
    };
    let checkpoints = Checkpoints::of(schedule.steps);
    let expected = descent.run_traced(&Device::Cpu, &particles, &checkpoints, &|_| {});
    let expected = expected.expect("the processor");
    let run = |particles: &[Particle<'_>]| {
        gpu().descend(&descent, particles, &checkpoints, &|_| {}).expect("the GPU runs")
    };
    let found = run(&particles);
    assert_close(&thetas(&found).concat(), &thetas(&expected).concat(), 2e-3, "ends");
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(&measured(&found.trace), &measured(&expected.trace), 2e-3, "trace");
    }
    let tail = run(&particles[1..]);
    assert_eq!(thetas(&found)[1..], thetas(&tail), "a part gives the bits of the whole");
    let batch = Batch::from_rows(&x, architecture.inputs());
    let expected = Device::Cpu.outputs(&architecture, &maps, &batch).expect("the processor");
    let found = gpu().outputs(&architecture, &maps, &batch).expect("the GPU runs");
    assert_close(&found.concat(), &expected.concat(), 2e-5, "outputs");
}

fn thetas(ends: &[Descended]) -> Vec<Vec<f32>> {
    ends.iter().map(|end| end.theta.clone()).collect()
}

fn measured(trace: &[Measured]) -> Vec<f32> {
    trace
        .iter()
        .flat_map(|now| [now.nll, now.prior, now.distance].map(|value| value as f32))
        .collect()
}

/// The fused step at its edges: odd widths, mini-batches of a row, shorter last tiles, one particle, no
/// hidden layer and several.
#[test]
fn fused_steps_are_those_of_the_processor_and_of_products() {
    use Activation::{Relu, Tanh};
    let cases: [(&[usize], Activation, usize, usize, usize); 7] = [
        (&[18, 50, 4], Tanh, 131, 1000, 3),
        (&[18, 50, 4], Tanh, 131, 50, 3),
        (&[7, 33, 1], Relu, 90, 1000, 2),
        (&[5, 1], Tanh, 30, 10, 2),
        (&[3, 4, 5, 2], Relu, 1, 1000, 1),
        (&[3, 8, 1], Tanh, 3, 1, 1),
        (&[6, 33, 18, 9, 3], Relu, 61, 30, 5),
    ];
    for (case, (widths, activation, rows, batch_rows, count)) in cases.into_iter().enumerate() {
        let (architecture, x, targets, likelihood) = problem(widths, activation, rows, case as u64);
        let set = TrainingSet::of(&x, widths[0], &targets, batch_rows, 5);
        let mut rng = random(50 + case as u64);
        let starts: Vec<_> = (0..2).map(|_| architecture.initialise(&mut rng)).collect();
        let control = |start: &Vec<f32>| {
            ControlVariate::at(start, &set, &architecture, likelihood).expect("few rows")
        };
        let controls: Vec<_> = starts.iter().map(control).collect();
        // Every second case is a MAP descent.
        let walks = case % 2 == 0;
        let particles: Vec<_> = (0..count)
            .map(|index| Particle {
                start: &starts[index % 2],
                drift: walks.then(|| normals(&mut rng, starts[0].len())),
                control: controls[index % 2].as_ref().filter(|_| walks || widths.len() == 2),
                watch: None,
            })
            .collect();
        let descent = Descent {
            architecture: &architecture,
            set: &set,
            likelihood,
            prior_precision: &architecture.per_parameter(&[1.0, 0.3, 2.0, 0.7][..widths.len() - 1]),
            held: None,
            schedule: Schedule { steps: 8, learning_rate: 0.01 },
        };
        let what = format!("ends of {widths:?}, {rows} rows");
        let step = FusedStep::new(gpu(), &descent).expect("a small network's step fits");
        let run = |fused, particles: &[_]| {
            let none = Checkpoints::none();
            let ends = gpu().descend_by(fused, &descent, particles, &none, &|_| {});
            thetas(&ends.expect("the GPU runs"))
        };
        let found = run(Some(&step), &particles);
        let expected = descent.run(&Device::Cpu, &particles, &|_| {}).expect("the processor");
        assert_close(&found.concat(), &expected.concat(), 1e-4, &what);
        assert_close(&found.concat(), &run(None, &particles).concat(), 1e-4, &what);
        let tail = run(Some(&step), &particles[count / 2..]);
        assert_eq!(found[count / 2..], tail, "a part gives the bits of the whole: {what}");
    }
}

#[test]
fn large_networks_have_no_fused_step() {
    let (architecture, x, targets, likelihood) = problem(&[100, 200, 3], Activation::Tanh, 10, 1);
    let descent = Descent {
        architecture: &architecture,
        set: &TrainingSet::of(&x, 100, &targets, 1000, 5),
        likelihood,
        prior_precision: &architecture.per_parameter(&[1.0, 1.0]),
        held: None,
        schedule: Schedule { steps: 1, learning_rate: 0.01 },
    };
    assert!(FusedStep::new(gpu(), &descent).is_none());
}

#[test]
fn a_walk_ends_where_the_processors_does_however_it_is_split() {
    let (architecture, x, targets, likelihood) = problem(&[4, 12, 3], Activation::Tanh, 150, 6);
    let set = TrainingSet::of(&x, 4, &targets, 1000, 1);
    let prior = architecture.per_parameter(&[1.0, 0.3]);
    let walk = Walk {
        architecture: &architecture,
        set: &set,
        likelihood,
        prior_precision: &prior,
        drift: Drift::DataNoise,
        temperature: 0.3,
        schedule: Schedule { steps: 80, learning_rate: 0.04 },
        second_order: false,
        walked: &vec![true; architecture.depth()],
        seed: 8,
    };
    let map = vec![architecture.initialise(&mut random(9))];
    let device = || Device::from(Gpus(vec![Gpu::numbered(0).expect("the first adapter opens")]));
    let several = Device::from(Gpus(
        (0..3).map(|_| Gpu::numbered(0).expect("the first adapter opens")).collect(),
    ));
    let expected = walk.run(&Device::Cpu, &map, 0..8, &|_| {}).expect("the processor");
    let found = walk.run(&device(), &map, 0..8, &|_| {}).expect("the GPU runs");
    let split = walk.run(&several, &map, 0..8, &|_| {}).expect("the GPUs run");
    assert_eq!(found, split, "three GPUs give the bits of one");
    let tail = walk.run(&device(), &map, 5..8, &|_| {}).expect("the GPU runs");
    assert_eq!(found[5..], tail, "a part gives the bits of the whole");
    let held_out = problem(&[4, 12, 3], Activation::Tanh, 400, 7);
    let batch = Batch::from_rows(&held_out.1, 4);
    let nll = |thetas: &[Vec<f32>]| {
        let predictive = Predictive::of(&architecture, &held_out.2, thetas, &batch);
        let neutral = Calibration::Classification(Temperature(1.0));
        mean(&predictive.nll(&held_out.2, neutral))
    };
    let (found, expected) = (nll(&found), nll(&expected));
    assert!((found - expected).abs() < 0.005, "held-out NLL {found} but {expected}");
}

/// Inputs, a MAP and particles round it.
fn walked(
    architecture: Architecture,
) -> (Architecture, Vec<f32>, Likelihood, Vec<f32>, Vec<Vec<f32>>) {
    let (architecture, x, _, likelihood) = problem_of(architecture, 60, 20);
    let mut rng = random(21);
    let map = architecture.initialise(&mut rng);
    let particles: Vec<Vec<f32>> = (0..40)
        .map(|_| map.iter().zip(normals(&mut rng, map.len())).map(|(m, e)| m + 0.2 * e).collect())
        .collect();
    (architecture, x, likelihood, map, particles)
}

/// Probes: the first half are rows of `x`, the second half rows with noise added.
fn probes(x: &[f32], features: usize, size: usize, number: usize) -> Batch {
    let mut rng = stream(22, Purpose::Probes, number as u64);
    let row = |probe: usize| {
        let start = probe % (x.len() / features) * features;
        let noise = normals(&mut rng, features);
        let spread = if probe < size / 2 { 0.0 } else { 1.0 };
        let noisy = x[start..start + features].iter().zip(noise).map(move |(x, e)| x + spread * e);
        noisy.collect::<Vec<_>>()
    };
    Batch::from_rows(&(0..size).flat_map(row).collect::<Vec<_>>(), features)
}

/// The decoder and the encoder after a few steps, for every kind of layer and both likelihoods.
#[test]
fn the_first_steps_of_a_fit_are_those_of_the_processor() {
    use LayerDecoder::{Dense, Frozen, LowRank};
    let perceptron = |widths: &[usize]| Architecture::perceptron(widths, Activation::Tanh);
    let image = ["conv 3x3x4 stride 2", "conv 2x2x4 padding same skip 0", "max 2", "6"];
    let image = convolutional([7, 8, 2], &image, Activation::Tanh, 3);
    let cases = [
        (perceptron(&[5, 9, 3]), vec![LowRank(2), LowRank(3)], 0.0),
        (perceptron(&[5, 9, 8, 3]), vec![Frozen, Dense(2), LowRank(4)], 0.5),
        (perceptron(&[5, 9, 1]), vec![Dense(3), LowRank(2)], 0.5),
        (perceptron(&[5, 9, 1]), vec![Frozen, LowRank(1)], 0.0),
        (image, vec![LowRank(2), Dense(2), Frozen, LowRank(3)], 0.5),
    ];
    for (architecture, structure, reconstruction) in cases {
        let (architecture, x, likelihood, map, particles) = walked(architecture);
        let map = [map];
        let draw = |size, number| {
            let batch = probes(&x, architecture.inputs(), size, number);
            let values = Device::Cpu.outputs(&architecture, &particles, &batch)?;
            Ok(ProbePool::new(likelihood, batch, values))
        };
        let pool = draw(2 * PROBES, 0).expect("the processor");
        let shape = DecoderShape { architecture: architecture.clone(), structure, latent_dim: 3 };
        let fit = Fit {
            shape: &shape,
            pool: &pool,
            refresh: Some(Refresh { draw: &draw, meetings: 1 }),
            predictive: 10.0,
            foreign: if architecture.input.positions() > 1 { 0.4 } else { 0.0 },
            reconstruction,
            schedule: Schedule { steps: 5, learning_rate: 0.01 },
            seed: 3,
            keeper: None,
        };
        let checkpoints = Checkpoints::of(5);
        let expected =
            fit.run(&Device::Cpu, &map, &checkpoints, &mut |_| {}, &|_| {}).expect("the processor");
        let device = Device::from(Gpus(vec![Gpu::numbered(0).expect("the first adapter opens")]));
        let found =
            fit.run(&device, &map, &checkpoints, &mut |_| {}, &|_| {}).expect("the GPU runs");
        let what = format!("{:?}", shape.structure);
        assert_close(&found.decoder, &expected.decoder, 2e-3, &what);
        assert_eq!(found.encoder.is_some(), reconstruction > 0.0);
        let objective = |fitted: &Fitted| -> Vec<f32> {
            let both = |now: &FitObjective| [now.energy_score as f32, now.divergence as f32];
            fitted.trace.iter().flat_map(both).collect()
        };
        assert_eq!(found.trace.len(), 6);
        assert_close(&objective(&found), &objective(&expected), 2e-3, "objective");
        if let (Some((_, found)), Some((_, expected))) = (&found.encoder, &expected.encoder) {
            assert_close(found, expected, 2e-3, "encoder");
        }
        assert_close(&found.codes.concat(), &expected.codes.concat(), 2e-3, "codes");
    }
}
