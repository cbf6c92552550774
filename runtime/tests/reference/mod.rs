//! `SPEC.md`, section 5, written down as plainly as possible: 64-bit integers that must fit into
//! the widths that the limits promise, and f64 after them.

use fiberwalk_formats::{
    Activation, Artifact, Bits, Dense, Factors, Layer, Normalisation, Output, Pool, PoolKind,
    Rescale, Shape, Window,
};

fn narrow<T: TryFrom<i64>>(value: i64) -> i64 {
    assert!(T::try_from(value).is_ok(), "{value} leaves its type");
    value
}

fn saturate(x: i64, bits: u32) -> i64 {
    x.clamp(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
}

fn round_shift(x: i64, n: u8) -> i64 {
    narrow::<i32>(narrow::<i32>(x) + (1 << (n - 1))) >> n
}

fn dense(dense: &Dense<'_>, x: &[i64]) -> Vec<i64> {
    let outputs = (0..usize::from(dense.outputs)).zip(dense.bias.iter());
    outputs
        .map(|(output, bias)| {
            let products = x.iter().enumerate().map(|(input, &x)| {
                assert!((0..256).contains(&x), "{x} is no byte");
                i64::from(dense.weight(output, input)) * x
            });
            narrow::<i32>((i64::from(bias) << dense.bias_shift) + products.sum::<i64>())
        })
        .collect()
}

fn rescale(rescale: &Rescale<'_>, sums: &[i64]) -> Vec<i64> {
    let scaled = sums.iter().zip(rescale.multiplier.iter()).map(|(&sum, multiplier)| {
        let product = saturate(sum >> rescale.before, 16) * i64::from(multiplier);
        round_shift(product, rescale.after)
    });
    scaled.collect()
}

fn tanh(r: i64) -> i64 {
    let units = r.abs().min(255);
    128 + r.signum() * libm::round(127.0 * libm::tanh(units as f64 / 64.0)) as i64
}

/// The bytes of the input.
fn quantise(artifact: &Artifact<'_>, input: &[f32]) -> Vec<i64> {
    let steps: Vec<i64> = match artifact.inputs.normalisation {
        Normalisation::Float { mean, scale } => {
            let scales = mean.iter().zip(scale.iter()).cycle();
            let q = input.iter().zip(scales).map(|(&x, (mean, scale))| (x - mean) * scale);
            q.map(|q| libm::roundf(q) as i64).collect()
        }
        Normalisation::Whole { multiplier, offset, offset_shift, shift, .. } => {
            let numbers = multiplier.iter().zip(offset.iter()).cycle();
            let q = input.iter().zip(numbers).map(|(&x, (multiplier, offset))| {
                let x = saturate(libm::roundf(x) as i64, 16);
                let product = narrow::<i32>(x * i64::from(multiplier));
                narrow::<i32>(product + (i64::from(offset) << offset_shift))
            });
            return q.map(|q| 128 + saturate(q >> shift, 8)).collect();
        }
    };
    steps.into_iter().map(|q| 128 + q.clamp(-127, 127)).collect()
}

/// The trunk's modulation of a latent code.
pub fn modulation(artifact: &Artifact<'_>, code: &[i8]) -> Vec<i64> {
    let trunk = artifact.trunk.expect("a trunk");
    let code: Vec<i64> = code.iter().map(|&z| 128 + i64::from(z)).collect();
    let hidden = rescale(&trunk.hidden_rescale, &dense(&trunk.hidden, &code));
    let hidden: Vec<i64> = hidden.into_iter().map(tanh).collect();
    let output = rescale(&trunk.output_rescale, &dense(&trunk.output, &hidden));
    output.into_iter().map(|m| saturate(m, 8)).collect()
}

/// A map in the order of its values, and its zero point.
struct Map {
    shape: Shape,
    values: Vec<i64>,
    zero: i64,
}

impl Map {
    /// The values under a window at a position, those beside the map at the zero point.
    fn under(&self, window: &Window, y: u16, x: u16) -> Vec<i64> {
        let mut values = Vec::new();
        for ky in 0..i64::from(window.height) {
            for kx in 0..i64::from(window.width) {
                let y = i64::from(y) * i64::from(window.stride.0) - i64::from(window.padding.top);
                let x = i64::from(x) * i64::from(window.stride.1) - i64::from(window.padding.left);
                for c in 0..self.shape.channels {
                    values.push(self.at(y + ky, x + kx, c).unwrap_or(self.zero));
                }
            }
        }
        values
    }

    fn at(&self, y: i64, x: i64, c: u16) -> Option<i64> {
        let Shape { height, width, channels } = self.shape;
        let inside = (0..height.into()).contains(&y) && (0..width.into()).contains(&x);
        let index = (y * i64::from(width) + x) * i64::from(channels) + i64::from(c);
        inside.then(|| self.values[index as usize])
    }

    fn pooled(self, pool: &Pool) -> Self {
        let shape = pool.output(self.shape).expect("a pooling window that fits");
        let mut values = Vec::new();
        for y in 0..i64::from(shape.height) {
            for x in 0..i64::from(shape.width) {
                for c in 0..shape.channels {
                    let (top, left) = (y * i64::from(pool.stride.0), x * i64::from(pool.stride.1));
                    let under = (0..i64::from(pool.height)).flat_map(|ky| {
                        (0..i64::from(pool.width)).map(move |kx| (top + ky, left + kx))
                    });
                    let under = under.map(|(y, x)| self.at(y, x, c).expect("within the map"));
                    values.push(match pool.kind {
                        PoolKind::Max => under.max().expect("not empty"),
                        PoolKind::Average => {
                            let area = pool.area() as f64;
                            libm::floor(under.sum::<i64>() as f64 / area + 0.5) as i64
                        }
                    });
                }
            }
        }
        Self { shape, values, ..self }
    }
}

/// The last layer's accumulators under a modulation; none: the mean weights'.
pub fn outputs(artifact: &Artifact<'_>, input: &[f32], modulation: Option<&[i64]>) -> Vec<i64> {
    let values = quantise(artifact, input);
    let vector = |channels: usize| Shape { height: 1, width: 1, channels: channels as u16 };
    let shape = artifact.geometry.as_ref().map_or(vector(values.len()), |maps| maps.input);
    let mut maps = vec![Map { shape, values, zero: 128 }];
    let mut rest = modulation;
    for (index, layer) in artifact.layers.iter().enumerate() {
        let own = rest.map(|modulation| {
            let (own, later) = modulation.split_at(layer.factors.modulations());
            rest = Some(later);
            own
        });
        let block = artifact.geometry.and_then(|maps| maps.layers.get(index)).unwrap_or_default();
        let input = &maps[index];
        let outputs = usize::from(layer.mean.outputs);
        let (shape, mut sums) = match &block.window {
            None => (vector(outputs), affine(layer, &input.values, own)),
            Some(window) => {
                let shape = window.map(input.shape, layer.mean.outputs).expect("it fits");
                let positions =
                    (0..shape.height).flat_map(|y| (0..shape.width).map(move |x| (y, x)));
                let sums = positions.flat_map(|(y, x)| {
                    let x = input.under(window, y, x);
                    if window.groups == 1 {
                        affine(layer, &x, own)
                    } else {
                        grouped(layer, window, &x)
                    }
                });
                (shape, sums.collect())
            }
        };
        if let Some(skip) = &block.skip {
            let added = &maps[usize::from(skip.layer) + 1];
            for (at, sum) in sums.iter_mut().enumerate() {
                let multiplier = skip.multiplier.get(at % outputs).expect("one an output");
                let part = (added.values[at] - added.zero) * i64::from(multiplier);
                *sum += match skip.shift {
                    0 => part,
                    shift => round_shift(part, shift),
                };
            }
        }
        let Some(values) = activated(&layer.activation, &sums) else { return sums };
        let map = Map { shape, values, zero: layer.activation.zero_point().into() };
        maps.push(block.pool.iter().fold(map, Map::pooled));
    }
    unreachable!("the last layer gives the outputs");
}

/// Bytes of accumulators, position by position; none of the last layer's.
fn activated(activation: &Activation<'_>, sums: &[i64]) -> Option<Vec<i64>> {
    let each = |scale: &Rescale<'_>, byte: &dyn Fn(i64) -> i64| {
        let positions = sums.chunks(scale.multiplier.len());
        Some(positions.flat_map(|sums| rescale(scale, sums)).map(byte).collect())
    };
    match activation {
        Activation::Tanh(scale) => each(scale, &tanh),
        Activation::Relu(scale) => each(scale, &|r| r.clamp(0, 255)),
        Activation::Linear(scale) => each(scale, &|r| (128 + r).clamp(0, 255)),
        Activation::HardSwish(swish) => each(&swish.rescale, &|r| {
            let r = saturate(r, 16);
            let h = narrow::<i32>(r * (r + 768).clamp(0, 1536));
            let product = saturate(h >> swish.before, 16) * i64::from(swish.multiplier);
            (i64::from(swish.zero) + round_shift(product, swish.after)).clamp(0, 255)
        }),
        Activation::Logits(_) | Activation::Value(_) => None,
    }
}

/// The accumulators of a convolution with groups at one position.
fn grouped(layer: &Layer<'_>, window: &Window, x: &[i64]) -> Vec<i64> {
    let (outputs, groups) = (usize::from(layer.mean.outputs), usize::from(window.groups));
    let positions = usize::from(window.height) * usize::from(window.width);
    let each = x.len() / positions / groups;
    let sums = (0..outputs).zip(layer.mean.bias.iter()).map(|(output, bias)| {
        let group = output / (outputs / groups);
        let own = x.iter().enumerate().filter(|(at, _)| at / each % groups == group);
        let products = own
            .enumerate()
            .map(|(input, (_, &x))| i64::from(layer.mean.grouped_weight(output, input)) * x);
        narrow::<i32>((i64::from(bias) << layer.mean.bias_shift) + products.sum::<i64>())
    });
    sums.collect()
}

/// The accumulators of a matrix under its modulations.
fn affine(layer: &Layer<'_>, x: &[i64], own: Option<&[i64]>) -> Vec<i64> {
    let outputs = usize::from(layer.mean.outputs);
    let mut sums = dense(&layer.mean, x);
    let Some((own, (projection, shifts))) = own.zip(layer.factors.projection()) else {
        return sums;
    };
    let p: Vec<i64> =
        dense(projection, x).iter().map(|&p| saturate(p >> shifts.projection, 16)).collect();
    let modulated = |p: i64, m: i64| round_shift(p * m, shifts.modulation);
    let parts: Vec<i64> = match &layer.factors {
        Factors::LowRank(factors) => {
            let v: Vec<i64> =
                p.iter().zip(own).map(|(&p, &m)| saturate(modulated(p, m), 8)).collect();
            let a = Dense {
                inputs: own.len() as u16,
                outputs: outputs as u16,
                bits: Bits::Eight,
                weights: factors.a,
                ..layer.mean
            };
            let row = |o| (0..v.len()).map(move |k| i64::from(a.weight(o, k)));
            (0..outputs).map(|o| row(o).zip(&v).map(|(a, v)| a * v).sum()).collect()
        }
        Factors::Dense(_) => (0..outputs)
            .map(|o| {
                let column = own.iter().enumerate();
                let values = column.map(|(j, &m)| modulated(p[j * outputs + o], m));
                values.map(|v| saturate(v, 16)).sum()
            })
            .collect(),
        _ => unreachable!("it has a projection"),
    };
    for (sum, part) in sums.iter_mut().zip(parts) {
        let rounds = matches!(layer.factors, Factors::LowRank(_));
        let part = match shifts.sum {
            right @ 1.. if rounds => round_shift(part, right as u8),
            right @ 0.. => narrow::<i32>(part) >> right,
            left => narrow::<i32>(part << -left),
        };
        *sum = narrow::<i32>(*sum + part);
    }
    sums
}

/// A regressor's output in standard deviations of the target.
pub fn value(artifact: &Artifact<'_>, outputs: &[i64]) -> f64 {
    match artifact.layers.last().expect("a layer").activation {
        Activation::Value(unit) => outputs[0] as f64 * f64::from(unit),
        _ => panic!("regression"),
    }
}

/// A probability of 0 counts as the last bit of a sample's, in a mean over one sample.
const SMALLEST: f64 = 1.0 / 1_048_576.0;

/// What a prediction of class probabilities consists of.
pub struct Classes {
    pub probabilities: Vec<f64>,
    pub expected_entropy: f64,
    pub mutual_information: f64,
}

/// The prediction from the outputs of every sample.
pub fn classify(artifact: &Artifact<'_>, samples: &[Vec<i64>]) -> Classes {
    let Output::Classification { inverse_temperature, .. } = artifact.output else {
        panic!("classification")
    };
    let Activation::Logits(scale) = artifact.layers.last().expect("a layer").activation else {
        panic!("classification")
    };
    let count = samples.len() as f64;
    let mut mean = vec![0.0; samples[0].len()];
    let mut expected_entropy = 0.0;
    for sample in samples {
        let unit = core::f64::consts::LN_2 / 16_384.0;
        let logits: Vec<f64> = rescale(&scale, sample).iter().map(|&f| f as f64 * unit).collect();
        let p = softmax(&logits);
        expected_entropy += entropy(&p) / count;
        mean.iter_mut().zip(&p).for_each(|(mean, p)| *mean += p / count);
    }
    let tempered: Vec<f64> = mean
        .iter()
        .map(|&p| libm::log(p.max(SMALLEST / count)) * f64::from(inverse_temperature) / 65_536.0)
        .collect();
    Classes {
        probabilities: softmax(&tempered),
        expected_entropy,
        mutual_information: (entropy(&mean) - expected_entropy).max(0.0),
    }
}

pub fn entropy(p: &[f64]) -> f64 {
    p.iter().filter(|&&p| p > 0.0).map(|&p| -p * libm::log(p)).sum()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = logits.iter().map(|&f| libm::exp(f - max)).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}
