//! Speed of the walk: particle-steps, FLOP and bytes per second against what the device can do.
//!
//! Everything is measured in one run: the peaks (a large matrix product, a large copy), the
//! `gemm` crate alone on the products of a case, and the case itself.

use std::fmt;

use rand_distr::{Distribution, StandardNormal, Uniform};
use rayon::prelude::*;
use serde::Serialize;

use crate::data::Inputs;
use crate::descent::{Schedule, TrainingSet};
use crate::device::{Device, best_time};
use crate::drift::{Drift, Walk};
use crate::network::{
    Activation, Architecture, Base, LayerShape, LayerSpec, Matrix, PlacedBlock, Shape,
    multiply_by_gemm,
};
use crate::random::{Purpose, stream};
use crate::task::{Likelihood, Targets};

/// Size of a `f32`.
const BYTES: f64 = 4.0;

/// Every rate is the best of about so many repetitions: what else runs only ever slows one down.
const REPETITIONS: f64 = 10.0;

/// The length of a repetition is worked out from a run of at least this share of it.
const ENOUGH: f64 = 0.1;

/// A walk to time, on random rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The network.
    pub architecture: Architecture,
    /// Particles that walk.
    pub particles: usize,
    /// Rows of a step.
    pub batch: usize,
    /// Mini-batches that the rows are cut into; 1 for full batches.
    pub batches: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maps = self.architecture.maps();
        let values = maps.iter().map(|map| map.len().to_string()).collect::<Vec<_>>().join("-");
        let kind = if self.architecture.convolves() { " convolutions" } else { "" };
        write!(f, "{values}{kind} x{}, ", self.particles)?;
        match self.batches {
            1 => write!(f, "all {} rows", self.batch),
            batches => write!(f, "{} of {} rows", self.batch, self.batch * batches),
        }
    }
}

impl Case {
    /// The cases that are measured, small to large.
    pub fn all() -> Vec<Self> {
        let case = |widths: &[usize], particles, batch, batches| Self {
            architecture: Architecture::perceptron(widths, Activation::Tanh),
            particles,
            batch,
            batches,
        };
        let small = "conv 5x5x4, max 2, conv 5x5x4, max 2, 16, 10, 10";
        let lenet = "conv 5x5x6 padding 2, max 2, conv 5x5x16, max 2, 120, 84";
        let image = |layers: &str, particles, batch| Self {
            architecture: images(layers),
            particles,
            batch,
            batches: 4,
        };
        vec![
            case(&[18, 50, 4], 64, 592, 1),
            case(&[18, 50, 4], 64, 256, 4),
            case(&[18, 50, 4], 1024, 256, 4),
            case(&[64, 64, 32, 10], 256, 256, 4),
            case(&[784, 128, 64, 10], 256, 512, 4),
            image(small, 32, 512),
            image(lenet, 8, 256),
        ]
    }

    /// Operations of one particle-step, 2 for every multiply-add: a layer's products are the
    /// outputs, the gradient of the weights and, but for the first layer, that of the inputs, each
    /// 2 · positions · inputs · outputs · rows. Activations, likelihood and optimiser are not counted.
    pub fn flops(&self) -> f64 {
        self.products().iter().map(Product::flops).sum()
    }

    /// Bytes that one particle-step names, were no product's operand and no parameter kept between
    /// two uses: every product reads its two matrices and writes one; the optimiser reads θ,
    /// its two moments, gradient, drift and prior precision, and writes the first three.
    pub fn bytes(&self) -> f64 {
        let products: f64 = self.products().iter().map(Product::bytes).sum();
        products + 9.0 * BYTES * self.architecture.parameters() as f64
    }

    /// The matrix products of one particle-step.
    fn products(&self) -> Vec<Product> {
        let blocks = self.architecture.placed_blocks().into_iter();
        let products = blocks.enumerate().flat_map(|(index, PlacedBlock { layer, sums, .. })| {
            let of = |kind| Product { kind, layer, rows: sums.positions() * self.batch };
            let inputs = (index > 0).then(|| of(Kind::Inputs));
            [of(Kind::Outputs), of(Kind::Weights)].into_iter().chain(inputs)
        });
        products.collect()
    }
}

/// Images as those of MNIST, through `layers`, to ten classes.
fn images(layers: &str) -> Architecture {
    let hidden: Vec<LayerSpec> =
        layers.split(", ").map(|layer| layer.parse().expect("a layer")).collect();
    let shape = Shape { height: 28, width: 28, channels: 1 };
    Architecture::of(shape, &hidden, Activation::Tanh, 10).expect("the layers fit")
}

/// Result of a product of a layer.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Outputs from weights and inputs.
    Outputs,
    /// Gradient of the weights from that of the outputs and the inputs.
    Weights,
    /// Gradient of the inputs from the weights and that of the outputs.
    Inputs,
}

/// One matrix product of a particle-step.
#[derive(Clone, Copy, Debug)]
struct Product {
    kind: Kind,
    layer: LayerShape,
    /// Rows times the positions of a convolution, whose windows stand side by side.
    rows: usize,
}

impl Product {
    fn flops(&self) -> f64 {
        2.0 * (self.layer.inputs * self.layer.outputs * self.rows) as f64
    }

    fn bytes(&self) -> f64 {
        let LayerShape { inputs, outputs, .. } = self.layer;
        BYTES * (inputs * outputs + (inputs + outputs) * self.rows) as f64
    }

    /// Computes it as the network does, feature-major, from and to what `operands` holds.
    fn multiply(&self, operands: &mut Operands) {
        let (LayerShape { inputs, outputs, .. }, rows) = (self.layer, self.rows);
        let weights = Matrix::new(&operands.weights, outputs, inputs, inputs);
        let x = Matrix::new(&operands.inputs, inputs, rows, rows);
        let delta = Matrix::new(&operands.outputs, outputs, rows, rows);
        match self.kind {
            Kind::Outputs => {
                multiply_by_gemm(&mut operands.out[..outputs * rows], Base::Out, weights, x)
            }
            Kind::Weights => {
                multiply_by_gemm(
                    &mut operands.out[..outputs * inputs],
                    Base::Out,
                    delta,
                    x.transposed(),
                );
            }
            Kind::Inputs => {
                multiply_by_gemm(
                    &mut operands.out[..inputs * rows],
                    Base::Zero,
                    weights.transposed(),
                    delta,
                );
            }
        }
    }
}

/// Memory of one thread for the products of a case, as large as the largest of each.
struct Operands {
    weights: Vec<f32>,
    inputs: Vec<f32>,
    outputs: Vec<f32>,
    out: Vec<f32>,
}

impl Operands {
    fn new(case: &Case) -> Self {
        let blocks = case.architecture.placed_blocks();
        let weights = blocks.iter().map(|placed| placed.layer.weights().len()).max().unwrap_or(0);
        let wide = |PlacedBlock { layer, sums, .. }: &PlacedBlock<'_>| {
            layer.inputs.max(layer.outputs) * sums.positions() * case.batch
        };
        let values = blocks.iter().map(wide).max().unwrap_or(0);
        let half = |length| vec![0.5; length];
        Self {
            weights: half(weights),
            inputs: half(values),
            outputs: half(values),
            out: half(weights.max(values)),
        }
    }
}

/// How fast a case ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Name of what was walked.
    pub name: String,
    /// Case that was walked.
    pub case: Case,
    /// Particles times steps per second.
    pub particle_steps: f64,
    /// FLOP/s, see [`Case::flops`].
    pub flops: f64,
    /// Bytes/s, see [`Case::bytes`].
    pub bytes: f64,
    /// FLOP/s of the `gemm` crate on the case's products and nothing else, where that is
    /// what the device computes with.
    pub gemm_flops: Option<f64>,
}

/// Measures `case` on `device` for about `seconds`.
///
/// # Errors
/// The device fails.
pub fn measure(case: &Case, device: &Device, seconds: f64) -> anyhow::Result<Measurement> {
    let architecture = &case.architecture;
    let set = random_rows(case);
    let map = architecture.initialise(&mut stream(0, Purpose::Benchmark, 1));
    let prior_precision = vec![1.0; map.len()];
    let walk = |steps: usize| {
        let walk = Walk {
            architecture,
            set: &set,
            likelihood: Likelihood::CATEGORICAL,
            prior_precision: &prior_precision,
            drift: Drift::Isotropic,
            temperature: 1.0,
            schedule: Schedule { steps, learning_rate: 0.01 },
            second_order: false,
            walked: &vec![true; architecture.depth()],
            seed: 0,
        };
        walk.run(device, std::slice::from_ref(&map), 0..case.particles, &|_| {}).map(drop)
    };
    let steps = case.particles as f64 * rate(&walk, seconds)?;
    Ok(Measurement {
        name: case.to_string(),
        case: case.clone(),
        particle_steps: steps,
        flops: steps * case.flops(),
        bytes: steps * case.bytes(),
        gemm_flops: None,
    })
}

/// FLOP/s of the `gemm` crate on the products of `case`, one thread a particle.
pub fn gemm_alone(case: &Case, seconds: f64) -> f64 {
    let (products, threads) = (case.products(), rayon::current_num_threads());
    let run = |times: usize| {
        (0..threads).into_par_iter().for_each(|_| {
            let mut operands = Operands::new(case);
            for _ in 0..times {
                products.iter().for_each(|product| product.multiply(&mut operands));
            }
        });
        Ok(())
    };
    threads as f64 * case.flops() * rate(&run, seconds).expect("the processor does not fail")
}

/// Classes drawn at random for normal inputs.
fn random_rows(case: &Case) -> TrainingSet {
    let mut rng = stream(0, Purpose::Benchmark, 0);
    let (rows, features) = (case.batch * case.batches, case.architecture.inputs());
    let x: Vec<f32> = (0..rows * features).map(|_| StandardNormal.sample(&mut rng)).collect();
    let classes = case.architecture.outputs();
    let class = Uniform::new(0, classes as u32).expect("a case has classes");
    let labels = (0..rows).map(|_| class.sample(&mut rng)).collect();
    let x = Inputs::standardised(x, features);
    TrainingSet::new(&x, &Targets::classes(labels, classes), case.batch, 0)
}

/// Times per second that `run` does what it is told to do so often, without what it needs to
/// start: a run of no times is taken off. Lasts about `seconds`, and a run at least.
fn rate(run: &dyn Fn(usize) -> anyhow::Result<()>, seconds: f64) -> anyhow::Result<f64> {
    let goal = seconds / REPETITIONS;
    let set_up = best_time(goal, || run(0))?;
    let mut times = 1;
    let taken = loop {
        let taken = best_time(0.0, || run(times))? - set_up;
        if taken >= ENOUGH * goal {
            break taken;
        }
        times *= 2;
    };
    let mut times = ((times as f64 * goal / taken).round() as usize).max(1);
    loop {
        let taken = best_time(seconds, || run(times))? - set_up;
        if taken > 0.0 {
            return Ok(times as f64 / taken);
        }
        // Other work on the machine made `times` seem enough, or the start longer than it is.
        times *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_products_and_bytes() {
        let case = Case {
            architecture: Architecture::perceptron(&[3, 5, 2], Activation::Tanh),
            particles: 1,
            batch: 7,
            batches: 1,
        };
        // Forward 15 + 10, weights 15 + 10, inputs of the second layer 10.
        assert_eq!(case.flops(), 2.0 * 7.0 * 60.0);
        let (first, second) = (15 + 8 * 7, 10 + 7 * 7);
        assert_eq!(case.bytes(), 4.0 * f64::from(2 * first + 3 * second + 9 * 32));
        assert_eq!(case.to_string(), "3-5-2 x1, all 7 rows");
    }

    #[test]
    fn measures_a_walk() {
        let case = Case {
            architecture: Architecture::perceptron(&[3, 5, 2], Activation::Tanh),
            particles: 2,
            batch: 7,
            batches: 2,
        };
        let measured = measure(&case, &Device::Cpu, 0.01).expect("the processor");
        assert!(measured.particle_steps.is_finite() && measured.particle_steps > 0.0);
        assert_eq!(measured.flops, measured.particle_steps * case.flops());
        assert!(gemm_alone(&case, 0.01) > 0.0);
    }
}
