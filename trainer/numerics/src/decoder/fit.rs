//! Fits decoder and encoder to the particles' functions. A device runs it: `device/runs.rs`.

use fiberwalk_formats::LATENT_UNITS;
use fiberwalk_runtime::{Codes, LowDiscrepancy};
use rand::Rng;
use rand_distr::{Distribution, Uniform};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::draws::{standard_normal, unit_vectors};
use super::passes::DecodedPass;
use super::{DecoderShape, LatentLaw, ProbePool, Probes, columns, energy_score};
use crate::checkpoints::Checkpoints;
use crate::descent::{Adam, Schedule};
use crate::network::{Activation, Architecture, Batch, Tape};
use crate::random::{Purpose, stream};
use crate::task::Share;

/// Probes whose standardised particle outputs are a particle's fingerprint, the encoder's input.
const FINGERPRINT_PROBES: usize = 32;
/// Width of the encoder's hidden layer.
const ENCODER_WIDTH: usize = 32;
/// Decoder draws compared with the particles in a step.
pub(crate) const DRAWS: usize = 16;
/// Particles compared with the draws in a step.
pub(crate) const PARTICLES: usize = 32;
/// Probes in a step, and how many of them, the first, are training inputs or near them.
pub(crate) const PROBES: usize = 192;
pub(crate) const NEAR_PROBES: usize = PROBES / 2;
/// Most particles that are encoded.
const MOST_ENCODED: usize = 64;
/// Particles encoded and decoded again in a step where λ > 0.
pub(crate) const RECONSTRUCTIONS: usize = 4;

/// The fit of a latent posterior: its data and its settings.
pub struct Fit<'a> {
    /// Decoder to fit.
    pub shape: &'a DecoderShape,
    /// Probes and the particles' functions there, the first that the decoder meets.
    pub pool: &'a ProbePool,
    /// Source of further probes, if any are drawn.
    pub refresh: Option<Refresh<'a>>,
    /// Weight of the divergence from the particles' predictive, against 1 for the energy score.
    pub predictive: f32,
    /// Weight of a foreign probe in that, against 1 for one near the training inputs.
    pub foreign: f32,
    /// Weight λ of reconstruction and of the codes' distance to N(0, I); 0 leaves the encoder out.
    pub reconstruction: f32,
    /// Number of steps and learning rate.
    pub schedule: Schedule,
    /// Seed of initial values and draws.
    pub seed: u64,
    /// Keeps the state of a fit on the processor, and knows that of one to go on with.
    pub keeper: Option<&'a dyn Keeper>,
}

/// Draws the pool of this size and number, which is above 0.
pub type DrawPool<'a> = &'a dyn Fn(usize, usize) -> anyhow::Result<ProbePool>;

/// Probes that take the place of those met before, lest the decoder learn them by heart.
#[derive(Clone, Copy)]
pub struct Refresh<'a> {
    /// Draws them.
    pub draw: DrawPool<'a>,
    /// How often each is met, on average.
    pub meetings: usize,
}

/// Fitted parameters.
pub struct Fitted {
    /// Decoder parameters in the layout of [`DecoderShape`].
    pub decoder: Vec<f32>,
    /// Encoder network and its parameters; none where λ = 0.
    pub encoder: Option<(Architecture, Vec<f32>)>,
    /// Latent codes of the first particles, `[_][k]`; empty where λ = 0.
    pub codes: Vec<Vec<f32>>,
    /// The objective at every checkpoint.
    pub trace: Vec<FitObjective>,
}

/// The objective of a fit, but for the encoder's share: the energy score plus [`Fit::predictive`] times the
/// divergence, at some draws that are not fitted to, the same at every checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitObjective {
    /// Energy score of the draws against the particles.
    pub energy_score: f64,
    /// Divergence of the draws' predictive from the particles', nats, up to a constant.
    pub divergence: f64,
}

impl Fit<'_> {
    /// Fits from the networks `thetas: [_][P]` by `fit`, which is given the start and who looks at the decoder at
    /// every checkpoint; `watch` is called with it too.
    pub(crate) fn run_by(
        &self,
        thetas: &[Vec<f32>],
        watch: &mut dyn FnMut(&[f32]),
        fit: impl FnOnce(Start, &mut Observer<'_>) -> anyhow::Result<Fitted>,
    ) -> anyhow::Result<Fitted> {
        let mut rng = stream(self.seed, Purpose::Decoder, 0);
        let decoder = self.shape.initialise(thetas, &mut rng);
        let encoder = (self.reconstruction > 0.0).then(|| {
            let architecture = self.encoder_architecture();
            let parameters = architecture.initialise(&mut rng);
            Encoder { fingerprints: self.fingerprints(), architecture, parameters }
        });
        let draws = self.draw(&mut stream(self.seed, Purpose::LatentFit, 1));
        let mut observer = Observer { fit: self, watch, draws, trace: Vec::new() };
        let fitted = fit(Start { decoder, encoder }, &mut observer)?;
        Ok(Fitted { trace: observer.trace, ..fitted })
    }

    /// The fit on the processor, its trace left empty.
    pub(crate) fn descend(
        &self,
        start: Start,
        checkpoints: &Checkpoints,
        observer: &mut Observer<'_>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted> {
        let Start { mut decoder, mut encoder } = start;
        let mut adam = Adam::new(decoder.len());
        let parameters = encoder.as_ref().map_or(0, |encoder| encoder.parameters.len());
        let mut encoder_adam = Adam::new(parameters);
        let mut rng = stream(self.seed, Purpose::LatentFit, 0);
        let mut pools = self.pools();
        let keeper = self.keeper;
        let state = keeper.map(|keeper| keeper.state(decoder.len(), parameters, checkpoints));
        let mut begun = None;
        if let Some(state) = state.transpose()?.flatten() {
            (decoder, adam, encoder_adam) = (state.decoder, state.adam, state.encoder_adam);
            if let Some(encoder) = &mut encoder {
                encoder.parameters = state.encoder;
            }
            observer.trace = state.trace;
            (0..state.done).for_each(|_| drop(self.draw(&mut rng)));
            report(state.done);
            begun = Some(state.done);
        }
        for step in begun.unwrap_or(0)..self.schedule.steps {
            // The first of a fit that goes on was looked at before.
            if checkpoints.has(step) && begun != Some(step) {
                observer.look(&decoder);
                if let Some(keeper) = keeper {
                    let own = encoder.as_ref().map_or(&[][..], |encoder| &encoder.parameters);
                    let adams = [&adam, &encoder_adam];
                    let trace = &observer.trace;
                    keeper.keep(step, [&decoder, own], adams, trace)?;
                }
            }
            let rate = self.schedule.rate(step);
            let mut gradient = vec![0.0; decoder.len()];
            let draws = self.draw(&mut rng);
            let met = Met::new(pools.at(step)?, &draws.probes);
            self.score_gradient(&decoder, &draws, &met, &mut gradient);
            if let (Some(encoder), Some(pairs)) = (&mut encoder, &draws.reconstruction) {
                let d_encoder =
                    self.reconstruction_gradient(&decoder, encoder, pairs, &met, &mut gradient);
                encoder_adam.step(&mut encoder.parameters, &d_encoder, rate);
            }
            adam.step(&mut decoder, &gradient, rate);
            report(1);
        }
        if checkpoints.has(self.schedule.steps) {
            observer.look(&decoder);
        }
        let codes = encoder.as_ref().map_or_else(Vec::new, |encoder| {
            let batch = &encoder.fingerprints;
            let mut tape = Tape::default();
            let codes =
                tape.forward(&encoder.architecture, &encoder.parameters, batch, 0..batch.rows());
            columns(codes, self.shape.latent_dim, batch.rows())
        });
        let encoder = encoder.map(|encoder| (encoder.architecture, encoder.parameters));
        Ok(Fitted { decoder, encoder, codes, trace: Vec::new() })
    }

    /// The pools of all steps.
    pub(crate) fn pools(&self) -> Pools<'_> {
        Pools { fit: self, number: 0, fresh: None }
    }

    /// Draws what is random in a step.
    pub(crate) fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> StepDraws {
        let (k, count) = (self.shape.latent_dim, self.pool.particles());
        let probes = self.draw_probes(rng);
        let codes = match self.shape.law() {
            LatentLaw::Normal(k) => spread_codes(k, DRAWS, rng),
            LatentLaw::UnitVectors(count) => unit_vectors(count),
        };
        let particles = rand::seq::index::sample(rng, count, PARTICLES.min(count)).into_vec();
        let encoded = self.encoded();
        let reconstruction = (self.reconstruction > 0.0).then(|| ReconstructionDraws {
            normals: standard_normal(k, encoded, rng),
            particles: rand::seq::index::sample(rng, encoded, RECONSTRUCTIONS.min(encoded))
                .into_vec(),
        });
        StepDraws { probes, codes, particles, reconstruction }
    }

    /// Particles that have a code: the first ones, as every step compares all codes with one another.
    pub(crate) fn encoded(&self) -> usize {
        self.pool.particles().min(MOST_ENCODED)
    }

    /// Weight of the squared error of one output of a reconstructed particle at `probes` probes.
    pub(crate) fn reconstruction_weight(&self, particles: usize, probes: usize) -> f32 {
        2.0 * self.reconstruction / (particles * probes) as f32
    }

    /// The encoder's network: fingerprint → k.
    pub fn encoder_architecture(&self) -> Architecture {
        let inputs = self.shape.architecture.outputs() * FINGERPRINT_PROBES.min(self.pool.len());
        Architecture::perceptron(&[inputs, ENCODER_WIDTH, self.shape.latent_dim], Activation::Tanh)
    }

    /// The fingerprint of every particle that is encoded, a batch `[C · probes, _]`.
    fn fingerprints(&self) -> Batch {
        let count = FINGERPRINT_PROBES.min(self.pool.len());
        let spacing = self.pool.len() / count;
        let indices: Vec<usize> = (0..count).map(|probe| probe * spacing).collect();
        let particles: Vec<usize> = (0..self.encoded()).collect();
        let rows = self.pool.functions_at(&particles, &indices).concat();
        Batch::from_rows(&rows, self.shape.architecture.outputs() * count)
    }

    /// Indices of a step's probes: half training inputs, half perturbed ones.
    fn draw_probes(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<usize> {
        let half = self.pool.len() / 2;
        let index = Uniform::new(0, half.max(1)).expect("the pool holds at least two probes");
        (0..PROBES)
            .map(|probe| index.sample(rng) + if probe < NEAR_PROBES { 0 } else { half })
            .collect()
    }

    /// Weights of a step's probes where the predictive is matched: of all, or of those near the training
    /// inputs, which are the first.
    pub(crate) fn matching_weights(&self) -> Vec<f32> {
        let mut weights = vec![1.0; NEAR_PROBES];
        if self.foreign > 0.0 {
            weights.resize(PROBES, self.foreign);
        }
        weights
    }

    /// The objective at some draws.
    fn objective(&self, decoder: &[f32], draws: &StepDraws) -> FitObjective {
        let met = Met::new(self.pool, &draws.probes);
        let codes = draws.codes.clone();
        let (_, outputs) = DecodedPass::forward(self.shape, decoder, codes, &met.probes);
        let [(energy_score, _), (divergence, _)] = self.scores(&outputs, draws, &met);
        FitObjective { energy_score, divergence }
    }

    /// Energy score and divergence of networks with these `outputs: [M][C, probes]`, each with its
    /// gradient: that of the energy score with respect to standardised outputs.
    fn scores(
        &self,
        outputs: &[Vec<f32>],
        draws: &StepDraws,
        met: &Met<'_>,
    ) -> [(f64, Vec<Vec<f32>>); 2] {
        let Met { pool, indices, probes } = met;
        let particles = pool.functions_at(&draws.particles, indices);
        let weights = self.matching_weights();
        let reference = pool.predictive.select(&indices[..weights.len()]);
        let of = self.shape.law().draws();
        [
            energy_score(&standardised(outputs, probes), of, &particles, indices.len()),
            pool.likelihood.divergence(outputs, of, indices.len(), &reference, &weights),
        ]
    }

    /// Adds the gradient of the energy score of random draws against the particles, and that of
    /// their predictive's divergence.
    fn score_gradient(
        &self,
        decoder: &[f32],
        draws: &StepDraws,
        met: &Met<'_>,
        gradient: &mut [f32],
    ) {
        let codes = draws.codes.clone();
        let (pass, outputs) = DecodedPass::forward(self.shape, decoder, codes, &met.probes);
        let [(_, mut d_outputs), (_, divergence)] = self.scores(&outputs, draws, met);
        d_outputs.par_iter_mut().for_each(|d_outputs| met.probes.pull_back(d_outputs));
        for (d_outputs, divergence) in d_outputs.iter_mut().zip(&divergence) {
            d_outputs.iter_mut().zip(divergence).for_each(|(sum, d)| *sum += self.predictive * d);
        }
        pass.backward(&d_outputs, gradient);
    }

    /// Adds λ times the gradient of the reconstruction error of a few particles to the decoder's,
    /// and returns the encoder's, which also has that of the energy distance of all codes to
    /// N(0, I).
    fn reconstruction_gradient(
        &self,
        decoder: &[f32],
        encoder: &Encoder,
        draws: &ReconstructionDraws,
        met: &Met<'_>,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let Met { pool, indices, probes } = met;
        let (k, count) = (self.shape.latent_dim, self.encoded());
        let batch = &encoder.fingerprints;
        let mut tape = Tape::default();
        let codes =
            tape.forward(&encoder.architecture, &encoder.parameters, batch, 0..count).to_vec();
        let each = columns(&codes, k, count);

        let normals = columns(draws.normals.values(), k, count);
        let (_, mut d_codes) = energy_score(&each, Share::Some, &normals, 1);

        let chosen = &draws.particles;
        let chosen_codes: Vec<f32> =
            chosen.iter().flat_map(|&particle| each[particle].iter().copied()).collect();
        let chosen_codes = Batch::from_rows(&chosen_codes, k);
        let (pass, outputs) = DecodedPass::forward(self.shape, decoder, chosen_codes, probes);
        let weight = self.reconstruction_weight(chosen.len(), indices.len());
        let targets = pool.functions_at(chosen, indices);
        let d_outputs: Vec<_> = standardised(&outputs, probes)
            .into_iter()
            .zip(targets)
            .map(|(mut outputs, target)| {
                outputs.iter_mut().zip(target).for_each(|(f, target)| *f = weight * (*f - target));
                probes.pull_back(&mut outputs);
                outputs
            })
            .collect();
        let d_chosen = pass.backward(&d_outputs, gradient);
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
}

/// The state of a fit under way.
pub struct State {
    /// Steps done.
    pub done: usize,
    /// Parameters of the decoder.
    pub decoder: Vec<f32>,
    /// The decoder's moments.
    pub adam: Adam,
    /// Parameters of the encoder; empty where there is none.
    pub encoder: Vec<f32>,
    /// The encoder's moments.
    pub encoder_adam: Adam,
    /// The objective at the checkpoints so far.
    pub trace: Vec<FitObjective>,
}

/// Keeps the state of a fit under way for one that goes on from there.
pub trait Keeper: Sync {
    /// The state that was kept last, of a decoder with so many `parameters` and an encoder with `encoder`.
    ///
    /// # Errors
    /// It is damaged.
    fn state(
        &self,
        parameters: usize,
        encoder: usize,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<Option<State>>;

    /// Keeps the parameters of decoder and encoder after so many steps, with their moments, and the trace so far.
    ///
    /// # Errors
    /// It cannot be kept.
    fn keep(
        &self,
        done: usize,
        parameters: [&[f32]; 2],
        moments: [&Adam; 2],
        trace: &[FitObjective],
    ) -> anyhow::Result<()>;
}

/// Looks at a fit at its checkpoints.
pub(crate) struct Observer<'a> {
    fit: &'a Fit<'a>,
    watch: &'a mut dyn FnMut(&[f32]),
    /// Draws that the objective is measured at.
    draws: StepDraws,
    trace: Vec<FitObjective>,
}

impl Observer<'_> {
    /// Measures the objective of the decoder that a fit has come to.
    pub fn look(&mut self, decoder: &[f32]) {
        (self.watch)(decoder);
        self.trace.push(self.fit.objective(decoder, &self.draws));
    }
}

/// The pool of the step under way.
pub(crate) struct Pools<'a> {
    fit: &'a Fit<'a>,
    number: usize,
    fresh: Option<ProbePool>,
}

impl Pools<'_> {
    /// The pool of a step; steps are asked for in their order.
    pub fn at(&mut self, step: usize) -> anyhow::Result<&ProbePool> {
        let first = self.fit.pool;
        if let Some(refresh) = &self.fit.refresh {
            let number = step * PROBES / (refresh.meetings * first.len());
            if number != self.number {
                // There is no room for it and its successor.
                self.fresh = None;
                self.fresh = Some((refresh.draw)(first.len(), number)?);
                self.number = number;
            }
        }
        Ok(self.fresh.as_ref().unwrap_or(first))
    }
}

/// The probes of a step.
struct Met<'a> {
    pool: &'a ProbePool,
    /// Their indices in the pool.
    indices: &'a [usize],
    probes: Probes,
}

impl<'a> Met<'a> {
    fn new(pool: &'a ProbePool, indices: &'a [usize]) -> Self {
        Self { pool, indices, probes: pool.select(indices) }
    }
}

/// Where a fit starts.
pub(crate) struct Start {
    /// Initial decoder parameters.
    pub decoder: Vec<f32>,
    /// Initial encoder; none where λ = 0.
    pub encoder: Option<Encoder>,
}

/// The encoder while it is fitted.
pub(crate) struct Encoder {
    /// Its inputs, `[inputs, _]`.
    pub fingerprints: Batch,
    /// Its network.
    pub architecture: Architecture,
    /// Its parameters.
    pub parameters: Vec<f32>,
}

/// All that is random in a step.
pub(crate) struct StepDraws {
    /// Probes in the pool; the first half training inputs and near them.
    pub probes: Vec<usize>,
    /// Latent codes, `[k, M]`; all of a mixture.
    pub codes: Batch,
    /// Particles that the draws are compared with.
    pub particles: Vec<usize>,
    /// None where λ = 0.
    pub reconstruction: Option<ReconstructionDraws>,
}

/// All that is random in a step of the encoder.
pub(crate) struct ReconstructionDraws {
    /// Samples of N(0, I), as many as there are codes, `[k, _]`.
    pub normals: Batch,
    /// Particles that are encoded and decoded again.
    pub particles: Vec<usize>,
}

/// Outputs in the units that functions are compared in.
fn standardised(outputs: &[Vec<f32>], probes: &Probes) -> Vec<Vec<f32>> {
    let mut outputs = outputs.to_vec();
    outputs.par_iter_mut().for_each(|outputs| probes.standardise(outputs));
    outputs
}

/// `count` codes of a randomly shifted low-discrepancy sequence, `[k, count]`: each is N(0, I_k),
/// and together they cover it more evenly than independent ones, which makes a less noisy gradient.
fn spread_codes(k: usize, count: usize, rng: &mut Xoshiro256PlusPlus) -> Batch {
    let mut source = LowDiscrepancy::seeded(k, rng.next_u64());
    let mut code = vec![0; k];
    let rows: Vec<f32> = (0..count)
        .flat_map(|sample| {
            source.draw(sample, &mut code);
            code.iter().map(|&z| f32::from(z) / LATENT_UNITS).collect::<Vec<_>>()
        })
        .collect();
    Batch::from_rows(&rows, k)
}

#[cfg(test)]
mod tests {
    use super::super::{LayerDecoder, draw_networks};
    use super::*;
    use crate::device::Device;
    use crate::task::Likelihood;

    /// Particles round three networks that have nothing in common: as many members come close to them, and one network
    /// with factors does not.
    #[test]
    fn a_mixture_stands_for_particles_of_several_modes() {
        let architecture = Architecture::perceptron(&[1, 6, 1], Activation::Tanh);
        let mut rng = stream(4, Purpose::Decoder, 0);
        let modes: Vec<Vec<f32>> = (0..3).map(|_| architecture.initialise(&mut rng)).collect();
        let particles: Vec<Vec<f32>> = (0..30)
            .map(|index| {
                let noise = standard_normal(1, architecture.parameters(), &mut rng);
                let noise = noise.values().iter().map(|noise| 0.02 * noise);
                modes[index % 3].iter().zip(noise).map(|(own, noise)| own + noise).collect()
            })
            .collect();
        let inputs: Vec<f32> = (0..512).map(|index| (index % 256) as f32 / 64.0 - 2.0).collect();
        let batch = Batch::from_rows(&inputs, 1);
        let values = Device::Cpu.outputs(&architecture, &particles, &batch).expect("the processor");
        let pool = ProbePool::new(Likelihood::gaussian(0.05), batch, values);
        let fitted = |structure: Vec<LayerDecoder>| {
            let shape =
                DecoderShape { architecture: architecture.clone(), structure, latent_dim: 2 };
            let fit = Fit {
                shape: &shape,
                pool: &pool,
                refresh: None,
                predictive: 1.0,
                foreign: 0.0,
                reconstruction: 0.0,
                schedule: Schedule { steps: 300, learning_rate: 0.003 },
                seed: 5,
                keeper: None,
            };
            let fitted = fit
                .run(&Device::Cpu, &particles[..3], &Checkpoints::of(300), &mut |_| {}, &|_| {})
                .expect("the processor");
            let all: Vec<usize> = (0..pool.len()).collect();
            let functions = pool.functions_at(&(0..particles.len()).collect::<Vec<_>>(), &all);
            // Energy distance to the particles' law: what the score is above its least.
            let least = energy_score(&functions, Share::All, &functions, pool.len()).0;
            let distance = |thetas: &[Vec<f32>]| {
                let outputs = Device::Cpu.outputs(&architecture, thetas, &pool.probes.batch);
                let outputs = standardised(&outputs.expect("the processor"), &pool.probes);
                energy_score(&outputs, shape.law().draws(), &functions, pool.len()).0 - least
            };
            let drawn = draw_networks(&shape, &fitted.decoder, 300, 6);
            (distance(&particles[..3]), distance(&drawn))
        };
        let (start, mixture) = fitted(vec![LayerDecoder::Members(3); 2]);
        assert!(mixture < start, "{start} {mixture}");
        let (_, one) = fitted(vec![LayerDecoder::LowRank(2); 2]);
        assert!(mixture < 0.5 * one, "{mixture} {one}");
    }
}
