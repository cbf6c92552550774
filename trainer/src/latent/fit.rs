//! Fits decoder and encoder to the particles' functions.

use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::{DecoderShape, ProbePool, Probes, columns, energy_score};
use crate::descent::{Adam, Schedule};
use crate::network::{Activation, Architecture, Batch, Tape};
use crate::random::{Purpose, stream};

/// Probes whose standardised particle outputs are a particle's fingerprint, the encoder's input.
const FINGERPRINT_PROBES: usize = 32;
/// Width of the encoder's hidden layer.
const ENCODER_WIDTH: usize = 32;
/// Decoder draws compared with the particles in a step.
const DRAWS: usize = 16;
/// Particles compared with the draws in a step.
const PARTICLES: usize = 32;
/// Probes in a step, half of them training inputs.
const PROBES: usize = 192;
/// Particles encoded and decoded again in a step where λ > 0.
const RECONSTRUCTIONS: usize = 4;

/// What the latent posterior is fitted to, and how.
pub struct Fit<'a> {
    /// Decoder to fit.
    pub shape: &'a DecoderShape,
    /// Probes and the particles' functions there.
    pub pool: &'a ProbePool,
    /// Weight λ of reconstruction and of the codes' distance to N(0, I); 0 leaves the encoder out.
    pub reconstruction: f32,
    /// Number of steps and learning rate.
    pub schedule: Schedule,
    /// Seed of initial values and draws.
    pub seed: u64,
}

/// Fitted parameters.
pub struct Fitted {
    /// Decoder parameters in the layout of [`DecoderShape`].
    pub decoder: Vec<f32>,
    /// Encoder network and its parameters; none where λ = 0.
    pub encoder: Option<(Architecture, Vec<f32>)>,
    /// Latent codes of the particles, `[N][k]`; empty where λ = 0.
    pub codes: Vec<Vec<f32>>,
}

/// Decoded samples at some probes, ready for the backward pass.
struct Evaluated {
    thetas: Vec<Vec<f32>>,
    tapes: Vec<Tape>,
    outputs: Vec<Vec<f32>>,
}

impl Fit<'_> {
    /// Fits from the MAP `theta: [P]`. `report` is called once a step.
    pub fn run(&self, theta: &[f32], report: &(dyn Fn(usize) + Sync)) -> Fitted {
        let mut rng = stream(self.seed, Purpose::Decoder, 0);
        let mut decoder = self.shape.initialise(theta, &mut rng);
        let mut encoder = (self.reconstruction > 0.0).then(|| {
            let architecture = self.encoder_architecture();
            let parameters = architecture.initialise(&mut rng);
            let adam = Adam::new(parameters.len());
            Encoder { fingerprints: self.fingerprints(), architecture, parameters, adam }
        });
        let mut adam = Adam::new(decoder.len());
        let mut rng = stream(self.seed, Purpose::LatentFit, 0);
        for step in 0..self.schedule.steps {
            let rate = self.schedule.rate(step);
            let mut gradient = vec![0.0; decoder.len()];
            let indices = self.draw_probes(&mut rng);
            let probes = self.pool.select(&indices);
            self.score_gradient(&decoder, &indices, &probes, &mut rng, &mut gradient);
            if let Some(encoder) = &mut encoder {
                let d_encoder = self.reconstruction_gradient(
                    &decoder,
                    encoder,
                    &indices,
                    &probes,
                    &mut rng,
                    &mut gradient,
                );
                encoder.adam.step(&mut encoder.parameters, &d_encoder, rate);
            }
            adam.step(&mut decoder, &gradient, rate);
            report(1);
        }
        let codes = encoder.as_ref().map_or_else(Vec::new, |encoder| {
            let batch = &encoder.fingerprints;
            let mut tape = Tape::default();
            let codes =
                tape.forward(&encoder.architecture, &encoder.parameters, batch, 0..batch.rows());
            columns(codes, self.shape.latent_dim, batch.rows())
        });
        let encoder = encoder.map(|encoder| (encoder.architecture, encoder.parameters));
        Fitted { decoder, encoder, codes }
    }

    /// The encoder's network: fingerprint → k.
    fn encoder_architecture(&self) -> Architecture {
        let inputs = self.shape.architecture.outputs() * FINGERPRINT_PROBES.min(self.pool.len());
        Architecture {
            widths: vec![inputs, ENCODER_WIDTH, self.shape.latent_dim],
            activation: Activation::Tanh,
        }
    }

    /// Every particle's fingerprint, a batch `[C · probes, N]`.
    fn fingerprints(&self) -> Batch {
        let count = FINGERPRINT_PROBES.min(self.pool.len());
        let spacing = self.pool.len() / count;
        let indices: Vec<usize> = (0..count).map(|probe| probe * spacing).collect();
        let rows: Vec<f32> = (0..self.pool.particles.len())
            .flat_map(|particle| self.pool.particle_at(particle, &indices))
            .collect();
        Batch::from_rows(&rows, self.shape.architecture.outputs() * count)
    }

    /// Indices of a step's probes: half training inputs, half perturbed ones.
    fn draw_probes(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
        let half = self.pool.len() / 2;
        let index = Uniform::new(0, half.max(1)).expect("the pool holds at least two probes");
        (0..PROBES)
            .map(|probe| index.sample(rng) + if probe < PROBES / 2 { 0 } else { half })
            .collect()
    }

    /// Adds the gradient of the energy score of random draws against the particles.
    fn score_gradient(
        &self,
        decoder: &[f32],
        indices: &[usize],
        probes: &Probes,
        rng: &mut Xoshiro256PlusPlus,
        gradient: &mut [f32],
    ) {
        let codes = standard_normal(self.shape.latent_dim, DRAWS, rng);
        let count = self.pool.particles.len();
        let chosen = rand::seq::index::sample(rng, count, PARTICLES.min(count));
        let particles: Vec<_> =
            chosen.iter().map(|particle| self.pool.particle_at(particle, indices)).collect();
        let mut trunk = TrunkPass::new(self.shape, decoder, codes);
        let evaluated = self.evaluate(decoder, &trunk.modulations, probes);
        let (_, d_outputs) = energy_score(&evaluated.outputs, &particles, indices.len());
        let d_modulations =
            self.backward(decoder, &trunk.modulations, evaluated, d_outputs, probes, gradient);
        trunk.backward(self.shape, decoder, &d_modulations, gradient);
    }

    /// Adds λ times the gradient of the reconstruction error of a few particles to the decoder's,
    /// and returns the encoder's, which also has that of the energy distance of all codes to
    /// N(0, I).
    fn reconstruction_gradient(
        &self,
        decoder: &[f32],
        encoder: &Encoder,
        indices: &[usize],
        probes: &Probes,
        rng: &mut Xoshiro256PlusPlus,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let (k, count) = (self.shape.latent_dim, self.pool.particles.len());
        let batch = &encoder.fingerprints;
        let mut tape = Tape::default();
        let codes =
            tape.forward(&encoder.architecture, &encoder.parameters, batch, 0..count).to_vec();
        let each = columns(&codes, k, count);

        let normals = columns(standard_normal(k, count, rng).values(), k, count);
        let (_, mut d_codes) = energy_score(&each, &normals, 1);

        let chosen: Vec<usize> =
            rand::seq::index::sample(rng, count, RECONSTRUCTIONS.min(count)).into_vec();
        let chosen_codes: Vec<f32> =
            chosen.iter().flat_map(|&particle| each[particle].iter().copied()).collect();
        let mut trunk = TrunkPass::new(self.shape, decoder, Batch::from_rows(&chosen_codes, k));
        let evaluated = self.evaluate(decoder, &trunk.modulations, probes);
        let weight = 2.0 * self.reconstruction / (chosen.len() * indices.len()) as f32;
        let d_outputs = chosen
            .iter()
            .zip(&evaluated.outputs)
            .map(|(&particle, outputs)| {
                let target = self.pool.particle_at(particle, indices);
                outputs.iter().zip(target).map(|(&f, target)| weight * (f - target)).collect()
            })
            .collect();
        let d_modulations =
            self.backward(decoder, &trunk.modulations, evaluated, d_outputs, probes, gradient);
        let d_chosen = trunk.backward(self.shape, decoder, &d_modulations, gradient);
        for d_code in &mut d_codes {
            d_code.iter_mut().for_each(|d| *d *= self.reconstruction);
        }
        for (row, &particle) in chosen.iter().enumerate() {
            for (axis, d) in d_codes[particle].iter_mut().enumerate() {
                *d += d_chosen[axis * chosen.len() + row];
            }
        }
        let mut d_encoder = vec![0.0; encoder.parameters.len()];
        let d_codes = Batch::from_rows(&d_codes.concat(), k);
        tape.backward(
            &encoder.architecture,
            &encoder.parameters,
            batch,
            d_codes.values(),
            &mut d_encoder,
            None,
        );
        d_encoder
    }

    /// Decodes every modulation and evaluates it at the probes.
    fn evaluate(&self, decoder: &[f32], modulations: &[Vec<f32>], probes: &Probes) -> Evaluated {
        let architecture = &self.shape.architecture;
        let (mut thetas, mut tapes, mut outputs) = (Vec::new(), Vec::new(), Vec::new());
        modulations
            .par_iter()
            .map(|modulation| {
                let theta = self.shape.decode(decoder, modulation);
                let mut tape = Tape::default();
                let mut outputs = tape
                    .forward(architecture, &theta, &probes.batch, 0..probes.batch.rows())
                    .to_vec();
                probes.standardise(&mut outputs);
                (theta, tape, outputs)
            })
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|(theta, tape, values)| {
                thetas.push(theta);
                tapes.push(tape);
                outputs.push(values);
            });
        Evaluated { thetas, tapes, outputs }
    }

    /// Pulls gradients with respect to standardised outputs back to W̃ and factors (added to
    /// `gradient`, in the order of the draws) and to the modulations, which are returned.
    fn backward(
        &self,
        decoder: &[f32],
        modulations: &[Vec<f32>],
        evaluated: Evaluated,
        d_outputs: Vec<Vec<f32>>,
        probes: &Probes,
        gradient: &mut [f32],
    ) -> Vec<Vec<f32>> {
        let architecture = &self.shape.architecture;
        let pulled: Vec<_> = evaluated
            .tapes
            .into_par_iter()
            .zip(evaluated.thetas)
            .zip(d_outputs)
            .zip(modulations)
            .map(|(((mut tape, theta), mut d_outputs), modulation)| {
                probes.pull_back(&mut d_outputs);
                let mut d_theta = vec![0.0; theta.len()];
                tape.backward(architecture, &theta, &probes.batch, &d_outputs, &mut d_theta, None);
                let mut own = vec![0.0; self.shape.trunk_offset()];
                let d_modulation = self.shape.pull_back(decoder, modulation, &d_theta, &mut own);
                (own, d_modulation)
            })
            .collect();
        let mut d_modulations = Vec::with_capacity(pulled.len());
        for (own, d_modulation) in pulled {
            gradient.iter_mut().zip(&own).for_each(|(sum, &g)| *sum += g);
            d_modulations.push(d_modulation);
        }
        d_modulations
    }
}

/// The encoder while it is fitted.
struct Encoder {
    fingerprints: Batch,
    architecture: Architecture,
    parameters: Vec<f32>,
    adam: Adam,
}

/// A pass of codes through the trunk.
struct TrunkPass {
    architecture: Architecture,
    codes: Batch,
    tape: Tape,
    modulations: Vec<Vec<f32>>,
}

impl TrunkPass {
    fn new(shape: &DecoderShape, decoder: &[f32], codes: Batch) -> Self {
        let architecture = shape.trunk();
        let mut tape = Tape::default();
        let theta = &decoder[shape.trunk_offset()..];
        let values = tape.forward(&architecture, theta, &codes, 0..codes.rows());
        let modulations = columns(values, architecture.outputs(), codes.rows());
        Self { architecture, codes, tape, modulations }
    }

    /// Adds the trunk's part of the decoder's gradient; returns that of the codes, `[k, M]`.
    fn backward(
        &mut self,
        shape: &DecoderShape,
        decoder: &[f32],
        d_modulations: &[Vec<f32>],
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let offset = shape.trunk_offset();
        let d_outputs = Batch::from_rows(&d_modulations.concat(), self.architecture.outputs());
        let mut d_codes = Vec::new();
        self.tape.backward(
            &self.architecture,
            &decoder[offset..],
            &self.codes,
            d_outputs.values(),
            &mut gradient[offset..],
            Some(&mut d_codes),
        );
        d_codes
    }
}

/// `count` codes z ~ N(0, I_k), `[k, count]`.
pub(crate) fn standard_normal(k: usize, count: usize, rng: &mut Xoshiro256PlusPlus) -> Batch {
    let values = (0..k * count).map(|_| StandardNormal.sample(rng)).collect();
    Batch::from_features(values, k)
}
