//! `SPEC.md`, section 5, written down as plainly as possible: 64-bit integers that must fit into
//! the widths the limits promise, and f64 after them.

use fiberwalk_formats::{Activation, Artifact, Dense, Factors, Output, Rescale};

fn narrow<T: TryFrom<i64>>(value: i64) -> i64 {
    assert!(T::try_from(value).is_ok(), "{value} leaves its type");
    value
}

fn sat16(x: i64) -> i64 {
    x.clamp(-32_768, 32_767)
}

fn round_shift(x: i64, n: u8) -> i64 {
    if n == 0 { x } else { (x + (1 << (n - 1))) >> n }
}

fn dense(dense: &Dense<'_>, x: &[i64]) -> Vec<i64> {
    let rows = dense.weights.as_slice().chunks(usize::from(dense.inputs));
    rows.zip(dense.bias.iter())
        .map(|(row, bias)| {
            let products = row.iter().zip(x).map(|(&w, &x)| i64::from(w) * x);
            narrow::<i32>(i64::from(bias) + products.sum::<i64>())
        })
        .collect()
}

fn rescale(rescale: &Rescale<'_>, sums: &[i64]) -> Vec<i64> {
    let scaled = sums.iter().zip(rescale.multiplier.iter()).map(|(&sum, multiplier)| {
        let half = 1i128 << (rescale.shift - 1);
        let exact = i128::from(sum) * i128::from(multiplier) + half;
        i64::try_from(exact).expect("64 bits") >> rescale.shift
    });
    scaled.collect()
}

fn tanh(r: i64) -> i64 {
    let units = r.abs().min(255);
    r.signum() * libm::round(127.0 * libm::tanh(units as f64 / 64.0)) as i64
}

/// The int8 input.
fn quantise(artifact: &Artifact<'_>, input: &[f32]) -> Vec<i64> {
    let scales = artifact.inputs.mean.iter().zip(artifact.inputs.scale.iter());
    let steps = input
        .iter()
        .zip(scales)
        .map(|(&x, (mean, scale))| libm::roundf((x - mean) * scale).clamp(-127.0, 127.0) as i64);
    steps.collect()
}

/// The trunk's modulation of a latent code.
pub fn modulation(artifact: &Artifact<'_>, code: &[i8]) -> Vec<i64> {
    let trunk = artifact.trunk.expect("a trunk");
    let code: Vec<i64> = code.iter().map(|&z| i64::from(z)).collect();
    let hidden = rescale(&trunk.hidden_rescale, &dense(&trunk.hidden, &code));
    let hidden: Vec<i64> = hidden.into_iter().map(tanh).collect();
    let output = rescale(&trunk.output_rescale, &dense(&trunk.output, &hidden));
    output.into_iter().map(sat16).collect()
}

/// The network's outputs under a modulation; none: the mean weights'.
pub fn outputs(artifact: &Artifact<'_>, input: &[f32], modulation: Option<&[i64]>) -> Vec<f32> {
    let mut q = quantise(artifact, input);
    let mut rest = modulation;
    for layer in &artifact.layers {
        let outputs = usize::from(layer.mean.outputs);
        let mut sums = dense(&layer.mean, &q);
        if let Some(modulation) = rest {
            let (own, later) = modulation.split_at(layer.factors.modulations());
            rest = Some(later);
            let (p, shifts) = match layer.factors.projection() {
                Some((projection, shifts)) => (dense(projection, &q), shifts),
                None => {
                    (Vec::new(), fiberwalk_formats::Shifts { projection: 0, modulation: 0, sum: 0 })
                }
            };
            let p: Vec<i64> = p.iter().map(|&p| sat16(round_shift(p, shifts.projection))).collect();
            let modulated =
                |p: i64, m: i64| sat16(round_shift(narrow::<i32>(p * m), shifts.modulation));
            for (o, sum) in sums.iter_mut().enumerate() {
                let part: i64 = match &layer.factors {
                    Factors::Frozen => continue,
                    Factors::LowRank(factors) => own
                        .iter()
                        .enumerate()
                        .map(|(k, &m)| {
                            i64::from(factors.a.as_slice()[o * own.len() + k]) * modulated(p[k], m)
                        })
                        .sum(),
                    Factors::Dense(_) => {
                        own.iter().enumerate().map(|(j, &m)| modulated(p[j * outputs + o], m)).sum()
                    }
                };
                *sum = narrow::<i32>(*sum + round_shift(narrow::<i32>(part), shifts.sum));
            }
        }
        q = match &layer.activation {
            Activation::Tanh(scale) => rescale(scale, &sums).into_iter().map(tanh).collect(),
            Activation::Relu(scale) => {
                rescale(scale, &sums).into_iter().map(|r| r.clamp(0, 127)).collect()
            }
            Activation::Identity(scale) => {
                return sums.iter().zip(scale.iter()).map(|(&a, s)| a as f32 * s).collect();
            }
        };
    }
    unreachable!("the last layer is the identity");
}

/// What a prediction of class probabilities consists of.
pub struct Classes {
    pub probabilities: Vec<f64>,
    pub expected_entropy: f64,
    pub mutual_information: f64,
}

/// The prediction from the outputs of every sample.
pub fn classify(artifact: &Artifact<'_>, samples: &[Vec<f32>]) -> Classes {
    let Output::Classification { inverse_temperature, .. } = artifact.output else {
        panic!("classification")
    };
    let count = samples.len() as f64;
    let mut mean = vec![0.0; samples[0].len()];
    let mut expected_entropy = 0.0;
    for sample in samples {
        let logits: Vec<f64> = sample.iter().map(|&f| f64::from(f)).collect();
        let p = softmax(&logits);
        expected_entropy += entropy(&p) / count;
        mean.iter_mut().zip(&p).for_each(|(mean, p)| *mean += p / count);
    }
    let tempered: Vec<f64> = mean
        .iter()
        .map(|&p| libm::log(p.max(f64::from(f32::MIN_POSITIVE))) * f64::from(inverse_temperature))
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
