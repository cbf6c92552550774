//! Probe inputs and the particles' functions at them.

use rayon::prelude::*;

use super::columns;
use crate::network::Batch;
use crate::task::{Gaussian, Likelihood, Predictive};

/// Added to the particles' spread at a probe, in units of logits or of the noise: where all
/// particles agree, differences below this do not change a prediction.
const SCALE_FLOOR: f32 = 0.3;

/// Probe inputs with the scale that outputs are compared at.
#[derive(Clone)]
pub struct Probes {
    /// Inputs, `[features, n]`.
    pub batch: Batch,
    /// Scale of the outputs at each probe: the particles' standard deviation plus a floor, `[n]`.
    pub scale: Vec<f32>,
}

impl Probes {
    /// Brings `outputs: [C, n]` of these probes into the units that functions are compared in:
    /// logits are centred over classes, everything is divided by the scale.
    pub fn standardise(&self, outputs: &mut [f32]) {
        centre(outputs, self.scale.len());
        self.divide(outputs);
    }

    /// Turns the gradient with respect to standardised outputs into that with respect to outputs.
    pub fn pull_back(&self, gradient: &mut [f32]) {
        self.divide(gradient);
        centre(gradient, self.scale.len());
    }

    fn divide(&self, values: &mut [f32]) {
        for row in values.chunks_exact_mut(self.scale.len()) {
            row.iter_mut().zip(&self.scale).for_each(|(value, &scale)| *value /= scale);
        }
    }
}

/// Probes together with every particle's standardised outputs at them.
pub struct ProbePool {
    /// The probes; the first half are training inputs and near them, the second half farther away.
    pub probes: Probes,
    /// The particles' predictive at the probes.
    pub predictive: Predictive,
    /// How outputs become a prediction.
    pub likelihood: Likelihood,
    /// Standardised outputs of every particle, `[N][n, C]`: a step reads a few probes, each in one
    /// place.
    functions: Vec<Vec<f32>>,
    outputs: usize,
}

impl ProbePool {
    /// A pool of the probes `batch`, where the particles' outputs are `values: [N][C, rows]`.
    pub fn new(likelihood: Likelihood, batch: Batch, mut values: Vec<Vec<f32>>) -> Self {
        let rows = batch.rows();
        let outputs = values[0].len() / rows;
        let predictive = likelihood.mixture(values.clone(), rows);
        values.iter_mut().for_each(|outputs| centre(outputs, rows));
        let floor = match likelihood {
            Likelihood::Classification(_) => SCALE_FLOOR,
            Likelihood::Regression(Gaussian { noise_std }) => SCALE_FLOOR * noise_std,
        };
        let scale = spread(&values, rows).iter().map(|&std| std + floor).collect();
        let probes = Probes { batch, scale };
        let functions = values
            .into_par_iter()
            .map(|mut values| {
                probes.divide(&mut values);
                columns(&values, outputs, rows).concat()
            })
            .collect();
        Self { probes, predictive, likelihood, functions, outputs }
    }

    /// Number of probes.
    pub fn len(&self) -> usize {
        self.probes.scale.len()
    }

    /// The probes of the named indices.
    pub fn select(&self, indices: &[usize]) -> Probes {
        Probes {
            batch: self.probes.batch.select(indices),
            scale: indices.iter().map(|&index| self.probes.scale[index]).collect(),
        }
    }

    /// Number of particles N.
    pub fn particles(&self) -> usize {
        self.functions.len()
    }

    /// Standardised outputs of the named particles at the named probes,
    /// `[particles][C, indices]`.
    pub fn functions_at(&self, particles: &[usize], indices: &[usize]) -> Vec<Vec<f32>> {
        let gather = |&particle: &usize| {
            let function = &self.functions[particle];
            let mut values = vec![0.0; self.outputs * indices.len()];
            for (column, &index) in indices.iter().enumerate() {
                let outputs = &function[index * self.outputs..(index + 1) * self.outputs];
                for (output, &value) in outputs.iter().enumerate() {
                    values[output * indices.len() + column] = value;
                }
            }
            values
        };
        particles.par_iter().map(gather).collect()
    }
}

/// Subtracts the mean over classes from `[C, rows]`; a single output stays as it is.
fn centre(values: &mut [f32], rows: usize) {
    let classes = values.len() / rows.max(1);
    if classes < 2 {
        return;
    }
    let mut mean = vec![0.0; rows];
    for row in values.chunks_exact(rows) {
        mean.iter_mut().zip(row).for_each(|(mean, &value)| *mean += value / classes as f32);
    }
    for row in values.chunks_exact_mut(rows) {
        row.iter_mut().zip(&mean).for_each(|(value, &mean)| *value -= mean);
    }
}

/// Root mean square over classes of the standard deviation over particles, `[rows]`.
fn spread(values: &[Vec<f32>], rows: usize) -> Vec<f32> {
    let count = values.len() as f32;
    let classes = values[0].len() / rows;
    let mut variance = vec![0.0f32; rows];
    for index in 0..values[0].len() {
        let mean = values.iter().map(|outputs| outputs[index]).sum::<f32>() / count;
        let squares: f32 = values.iter().map(|outputs| (outputs[index] - mean).powi(2)).sum();
        variance[index % rows] += squares / (count * classes as f32);
    }
    variance.iter().map(|&variance| variance.sqrt()).collect()
}
