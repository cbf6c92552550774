//! The fit of the latent posterior. What is random in a step is drawn on the host, as on the CPU path,
//! and uploaded for some dozens of steps at a time; everything else stays on the GPU.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, GpuError, Kernel, Step, Steps};
use super::decoder::DecodedNetworks;
use super::descent::AdamState;
use super::network::{Activations, Parameters, Pass, largest_buffer};
use super::product::{View, index};
use crate::checkpoints::Checkpoints;
use crate::decoder::fit::{
    DRAWS, Encoder, NEAR_PROBES, Observer, PARTICLES, PROBES, RECONSTRUCTIONS, Start, StepDraws,
};
use crate::decoder::{Fit, Fitted, ProbePool, columns};
use crate::descent::AdamBias;
use crate::network::Architecture;
use crate::random::{Purpose, stream};
use crate::task::{Gaussian, Likelihood, Predictive, classification, regression};

impl Gpu {
    /// Runs `fit` from `start`. `observer` looks at the decoder at every checkpoint, `report` with the
    /// number of steps done since its last call.
    ///
    /// # Errors
    /// The device is lost or out of memory, or fails where probes are drawn.
    pub(crate) fn fit(
        &self,
        fit: &Fit<'_>,
        start: Start,
        checkpoints: &Checkpoints,
        observer: &mut Observer<'_>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted> {
        self.check_fit(&fit.shape.architecture)?;
        let layout = Layout::of(fit);
        let steps = self.step_constants();
        let staging = self.zeros(self.steps_at_once(layout.len) * layout.len);
        let drawn = self.zeros(layout.len);
        let decoder = Trained::new(self, &start.decoder);
        let encoder = start.encoder.as_ref().map(|encoder| Trained::new(self, &encoder.parameters));

        let mut program = vec![self.copy(&steps, &staging, layout.len, layout.len, &drawn)];
        let score = Score::new(self, fit, &layout);
        score.record(self, &steps, &decoder, &drawn, &mut program);
        let mut reconstruction = None;
        if let (Some(own), Some(encoder)) = (&start.encoder, &encoder) {
            let part = Reconstruction::new(self, fit, &layout, own);
            part.record(self, &steps, &decoder, encoder, &drawn, &mut program);
            program.push(encoder.adam(self, &steps));
            reconstruction = Some(part);
        }
        program.push(decoder.adam(self, &steps));
        self.check()?;

        let mut rng = stream(fit.seed, Purpose::LatentFit, 0);
        let mut bias = AdamBias::default();
        let mut pools = fit.pools();
        let prepare = |range: Range<usize>| -> anyhow::Result<_> {
            let mut values = Vec::with_capacity(range.len());
            for (slot, step) in range.clone().enumerate() {
                let words = layout.words(fit, pools.at(step)?, &fit.draw(&mut rng));
                self.write(&staging, slot * layout.len, &words);
                let (rate, correction) = bias.next(fit.schedule.rate(step));
                values.push(Step { slot: index(slot), rate, correction, scale: 1.0 });
            }
            Ok(Steps { values, programs: vec![program.as_slice(); range.len()] })
        };
        let at_once = self.steps_at_once(layout.len);
        let parameters = |trained: &Trained| self.read(&trained.parameters, 0..trained.size);
        let look = || {
            observer.look(&parameters(&decoder)?);
            Ok(())
        };
        self.run_steps(fit.schedule.steps, at_once, &steps, prepare, (checkpoints, look), report)?;

        let mut codes = Vec::new();
        let mut trained = None;
        if let (Some(own), Some(encoder), Some(part)) = (&start.encoder, &encoder, &reconstruction)
        {
            let mut program = Vec::new();
            self.record_forward(&part.encoder_pass(encoder), &mut program);
            self.run(&program)?;
            let (k, particles) = (fit.shape.latent_dim, fit.encoded());
            let values = self.read(part.encoded.outputs(), 0..k * particles)?;
            codes = columns(&values, k, particles);
            trained = Some((own.architecture.clone(), parameters(encoder)?));
        }
        Ok(Fitted { decoder: parameters(&decoder)?, encoder: trained, codes, trace: Vec::new() })
    }

    /// Whether a fit of decoders of `architecture` is within the adapter's limits, asked before the walk
    /// that it would be the end of.
    ///
    /// # Errors
    /// A buffer is too large.
    pub(super) fn check_fit(&self, architecture: &Architecture) -> Result<(), GpuError> {
        let (values, limit) = (largest_buffer(architecture, PROBES), self.largest_buffer());
        let bytes = 4 * (DRAWS * values.max(architecture.parameters())) as u64;
        if bytes > limit {
            return Err(GpuError::TooLarge { name: self.name().to_owned(), bytes, limit });
        }
        Ok(())
    }

    /// Steps whose draws fit in one buffer.
    fn steps_at_once(&self, len: usize) -> usize {
        (self.largest_buffer() as usize / (4 * len)).clamp(1, super::context::MAX_STEPS)
    }
}

/// Parameters that Adam trains.
struct Trained {
    parameters: Buffer,
    moments: Buffer,
    gradient: Buffer,
    size: usize,
}

impl Trained {
    fn new(gpu: &Gpu, start: &[f32]) -> Self {
        Self {
            parameters: gpu.upload(start),
            moments: gpu.zeros(2 * start.len()),
            gradient: gpu.zeros(start.len()),
            size: start.len(),
        }
    }

    fn adam(&self, gpu: &Gpu, steps: &Buffer) -> Dispatch {
        let state = AdamState {
            steps,
            theta: &self.parameters,
            moments: &self.moments,
            gradient: &self.gradient,
            drift: None,
            prior: None,
            control: None,
        };
        gpu.adam(&state, 1, self.size)
    }
}

/// Where what was drawn for a step lies, in values.
struct Layout {
    /// Inputs of the probes, `[features, R]`.
    inputs: usize,
    /// Codes, `[k, M]`.
    codes: usize,
    /// Scales of the probes, `[R]`.
    scale: usize,
    /// The particles' functions, `[particles][C, R]`.
    particles: usize,
    /// The particles' predictive at the probes where it is matched.
    reference: usize,
    /// Samples of N(0, I), `[k, N]`.
    normals: usize,
    /// Functions to reconstruct, `[chosen][C, R]`.
    targets: usize,
    /// Their particles' indices, `[chosen]`.
    indices: usize,
    /// All together.
    len: usize,
}

impl Layout {
    fn of(fit: &Fit<'_>) -> Self {
        let network = &fit.shape.architecture;
        let (k, count, classes) = (fit.shape.latent_dim, fit.pool.particles(), network.outputs());
        let encoded = if fit.reconstruction > 0.0 { fit.encoded() } else { 0 };
        let chosen = RECONSTRUCTIONS.min(encoded);
        let mut len = 0;
        let mut place = |size: usize| {
            len += size;
            len - size
        };
        Self {
            inputs: place(network.inputs() * PROBES),
            codes: place(k * DRAWS),
            scale: place(PROBES),
            particles: place(PARTICLES.min(count) * classes * PROBES),
            // Probabilities; or means and variances.
            reference: place(classes.max(2) * PROBES),
            normals: place(k * encoded),
            targets: place(chosen * classes * PROBES),
            indices: place(chosen),
            len,
        }
    }

    /// The draws of a step on the probes of `pool` in this layout.
    fn words(&self, fit: &Fit<'_>, pool: &ProbePool, draws: &StepDraws) -> Vec<f32> {
        let mut words = vec![0.0; self.len];
        let mut write = |offset: usize, values: &[f32]| {
            words[offset..offset + values.len()].copy_from_slice(values);
        };
        let probes = pool.select(&draws.probes);
        write(self.inputs, probes.batch.values());
        write(self.codes, draws.codes.values());
        write(self.scale, &probes.scale);
        write(self.particles, &pool.functions_at(&draws.particles, &draws.probes).concat());
        let matched = fit.matching_weights().len();
        match pool.predictive.select(&draws.probes[..matched]) {
            Predictive::Classification(classification::Predictive { probabilities, .. }) => {
                write(self.reference, &probabilities);
            }
            Predictive::Regression(regression::Predictive { mean, variance }) => {
                write(self.reference, &mean);
                write(self.reference + matched, &variance);
            }
        }
        if let Some(pairs) = &draws.reconstruction {
            write(self.normals, pairs.normals.values());
            let targets = pool.functions_at(&pairs.particles, &draws.probes);
            write(self.targets, &targets.concat());
            let indices: Vec<f32> = pairs.particles.iter().map(|&one| one as f32).collect();
            write(self.indices, &indices);
        }
        words
    }

    /// The probes' inputs.
    fn inputs<'a>(&self, fit: &Fit<'_>, drawn: &'a Buffer) -> View<'a> {
        View::new(drawn, [fit.shape.architecture.inputs(), PROBES], self.inputs, 0)
    }
}

/// Constants of `functions.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct FunctionWords {
    rows: u32,
    classes: u32,
    draws: u32,
    matched: u32,
    scale: u32,
    reference: u32,
    targets: u32,
    weight: f32,
    noise: f32,
    near: u32,
    foreign: f32,
    weights: f32,
}

/// Functions of some draws, and gradients with respect to them.
struct Functions {
    words: FunctionWords,
    /// `[draws][C, R]`, like the next.
    functions: Buffer,
    slopes: Buffer,
    /// `[C, R]`.
    mixture: Buffer,
}

impl Functions {
    fn new(gpu: &Gpu, fit: &Fit<'_>, layout: &Layout, draws: usize, weight: f32) -> Self {
        let classes = fit.shape.architecture.outputs();
        let weights = fit.matching_weights();
        let words = FunctionWords {
            rows: index(PROBES),
            classes: index(classes),
            draws: index(draws),
            matched: index(weights.len()),
            near: index(NEAR_PROBES),
            foreign: fit.foreign,
            weights: weights.iter().sum(),
            scale: index(layout.scale),
            reference: index(layout.reference),
            targets: index(layout.targets),
            weight,
            noise: match fit.pool.likelihood {
                Likelihood::Classification(_) => 0.0,
                Likelihood::Regression(Gaussian { noise_std }) => noise_std * noise_std,
            },
        };
        Self {
            words,
            functions: gpu.zeros(draws * classes * PROBES),
            slopes: gpu.zeros(draws * classes * PROBES),
            mixture: gpu.zeros(classes * PROBES),
        }
    }

    /// One kernel of `functions.wgsl`, one thread a row, or a row of a draw.
    fn kernel(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        drawn: &Buffer,
        outputs: &Buffer,
        draws: usize,
    ) -> Dispatch {
        let kernel = Kernel {
            name: format!("functions: {entry}"),
            source: include_str!("functions.wgsl").to_owned(),
            entry,
            bindings: &[
                Access::Uniform,
                Access::Read,
                Access::Write,
                Access::Write,
                Access::Write,
                Access::Write,
            ],
            constants: Vec::new(),
        };
        let words = gpu.uniform(&self.words);
        let buffers = [&words, drawn, outputs, &self.functions, &self.slopes, &self.mixture];
        gpu.dispatch(kernel, &buffers, [PROBES.div_ceil(64), draws, 1])
    }
}

/// Energy score and predictive of random draws against the particles'.
struct Score<'a> {
    fit: &'a Fit<'a>,
    layout: &'a Layout,
    networks: DecodedNetworks<'a>,
    functions: Functions,
}

impl<'a> Score<'a> {
    fn new(gpu: &Gpu, fit: &'a Fit<'a>, layout: &'a Layout) -> Self {
        Self {
            fit,
            layout,
            networks: DecodedNetworks::new(gpu, fit.shape, DRAWS, PROBES),
            functions: Functions::new(gpu, fit, layout, DRAWS, fit.predictive),
        }
    }

    /// Writes the decoder's gradient.
    fn record(
        &self,
        gpu: &Gpu,
        steps: &Buffer,
        decoder: &Trained,
        drawn: &Buffer,
        program: &mut Vec<Dispatch>,
    ) {
        let Self { fit, layout, networks, functions } = self;
        let (codes, inputs) = (
            View::new(drawn, [fit.shape.latent_dim, DRAWS], layout.codes, 0),
            layout.inputs(fit, drawn),
        );
        networks.record_forward(gpu, steps, &decoder.parameters, codes, inputs, program);
        let outputs = networks.outputs();
        program.push(functions.kernel(gpu, "standardise", drawn, outputs, DRAWS));
        let classes = fit.shape.architecture.outputs();
        let particles = Sets {
            rows: PROBES,
            classes,
            draws: DRAWS,
            particles: PARTICLES.min(fit.pool.particles()),
            draw_strides: [classes * PROBES, PROBES],
            particle_strides: [classes * PROBES, PROBES],
            particle_offset: layout.particles,
        };
        program.push(gpu.energy(&particles, &functions.functions, drawn, &functions.slopes));
        let divergence = match fit.pool.likelihood {
            Likelihood::Classification(_) => "categorical",
            Likelihood::Regression(_) => "gaussian",
        };
        program.push(functions.kernel(gpu, divergence, drawn, outputs, 1));
        let (parameters, gradient) = (&decoder.parameters, &decoder.gradient);
        networks.record_backward(gpu, parameters, codes, inputs, gradient, false, None, program);
    }
}

/// Particles encoded and decoded again.
struct Reconstruction<'a> {
    fit: &'a Fit<'a>,
    layout: &'a Layout,
    encoder: &'a Encoder,
    fingerprints: Buffer,
    /// The encoder's pass; its outputs are the codes, `[k, N]`, and then their gradient.
    encoded: Activations,
    /// Gradient of the codes' distance to N(0, I), `[k, N]`.
    distance_gradient: Buffer,
    /// `[k, chosen]`, and the gradient with respect to them.
    chosen_codes: Buffer,
    d_chosen: Buffer,
    chosen: usize,
    networks: DecodedNetworks<'a>,
    functions: Functions,
}

impl<'a> Reconstruction<'a> {
    fn new(gpu: &Gpu, fit: &'a Fit<'a>, layout: &'a Layout, encoder: &'a Encoder) -> Self {
        let (k, count) = (fit.shape.latent_dim, fit.encoded());
        let chosen = RECONSTRUCTIONS.min(count);
        let weight = fit.reconstruction_weight(chosen, PROBES);
        Self {
            fit,
            layout,
            encoder,
            fingerprints: gpu.upload(encoder.fingerprints.values()),
            encoded: Activations::new(gpu, &encoder.architecture, 1, count),
            distance_gradient: gpu.zeros(k * count),
            chosen_codes: gpu.zeros(k * chosen),
            d_chosen: gpu.zeros(k * chosen),
            chosen,
            networks: DecodedNetworks::new(gpu, fit.shape, chosen, PROBES),
            functions: Functions::new(gpu, fit, layout, chosen, weight),
        }
    }

    fn encoder_pass<'b>(&'b self, parameters: &'b Trained) -> Pass<'b> {
        let shape = [self.encoder.architecture.inputs(), self.fit.encoded()];
        Pass {
            architecture: &self.encoder.architecture,
            theta: Parameters { buffer: &parameters.parameters, offset: 0, stride: 0 },
            input: View::new(&self.fingerprints, shape, 0, 0),
            activations: &self.encoded,
        }
    }

    /// Adds to the decoder's gradient and writes the encoder's.
    fn record(
        &self,
        gpu: &Gpu,
        steps: &Buffer,
        decoder: &Trained,
        encoder: &Trained,
        drawn: &Buffer,
        program: &mut Vec<Dispatch>,
    ) {
        let Self { fit, layout, networks, functions, chosen, .. } = self;
        let (k, count) = (fit.shape.latent_dim, fit.encoded());
        let pass = self.encoder_pass(encoder);
        gpu.record_forward(&pass, program);
        let codes = self.encoded.outputs();
        let normals = Sets {
            rows: 1,
            classes: k,
            draws: count,
            particles: count,
            draw_strides: [1, count],
            particle_strides: [1, count],
            particle_offset: layout.normals,
        };
        program.push(gpu.energy(&normals, codes, drawn, &self.distance_gradient));
        program.push(self.codes(gpu, "gather", drawn, &self.chosen_codes, k * chosen));

        let chosen_codes = View::new(&self.chosen_codes, [k, *chosen], 0, 0);
        let d_chosen = View::new(&self.d_chosen, [k, *chosen], 0, 0);
        let inputs = layout.inputs(fit, drawn);
        networks.record_forward(gpu, steps, &decoder.parameters, chosen_codes, inputs, program);
        let outputs = networks.outputs();
        program.push(functions.kernel(gpu, "standardise", drawn, outputs, *chosen));
        program.push(functions.kernel(gpu, "reconstruction", drawn, outputs, *chosen));
        networks.record_backward(
            gpu,
            &decoder.parameters,
            chosen_codes,
            inputs,
            &decoder.gradient,
            true,
            Some(d_chosen),
            program,
        );
        program.push(self.codes(gpu, "join_gradients", drawn, &self.d_chosen, k * count));
        let gradient = Parameters { buffer: &encoder.gradient, offset: 0, stride: 0 };
        gpu.record_backward(&pass, gradient, false, None, program);
    }

    /// One kernel of `codes.wgsl`.
    fn codes(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        drawn: &Buffer,
        chosen_codes: &Buffer,
        threads: usize,
    ) -> Dispatch {
        /// Constants of `codes.wgsl`.
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Codes {
            dimension: u32,
            particles: u32,
            chosen: u32,
            indices: u32,
            weight: f32,
            unused: [u32; 3],
        }
        let codes = Codes {
            dimension: index(self.fit.shape.latent_dim),
            particles: index(self.fit.pool.particles()),
            chosen: index(self.chosen),
            indices: index(self.layout.indices),
            weight: self.fit.reconstruction,
            unused: [0; 3],
        };
        let kernel = Kernel {
            name: format!("codes: {entry}"),
            source: include_str!("codes.wgsl").to_owned(),
            entry,
            bindings: &[Access::Uniform, Access::Read, Access::Write, Access::Write, Access::Read],
            constants: Vec::new(),
        };
        let words = gpu.uniform(&codes);
        let buffers =
            [&words, drawn, self.encoded.outputs(), chosen_codes, &self.distance_gradient];
        gpu.dispatch(kernel, &buffers, [threads.div_ceil(64), 1, 1])
    }
}

/// Two sets of functions that the energy score compares, and where they lie.
pub(super) struct Sets {
    pub rows: usize,
    pub classes: usize,
    pub draws: usize,
    pub particles: usize,
    /// Values from one draw, and from one class, to the next.
    pub draw_strides: [usize; 2],
    /// Values from one particle, and from one class, to the next.
    pub particle_strides: [usize; 2],
    pub particle_offset: usize,
}

impl Gpu {
    /// Writes the gradient of the energy score of `draws` against `particles`, in the draws' layout.
    pub(super) fn energy(
        &self,
        sets: &Sets,
        draws: &Buffer,
        particles: &Buffer,
        gradient: &Buffer,
    ) -> Dispatch {
        /// Constants of `energy.wgsl`.
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(C)]
        struct Energy {
            rows: u32,
            classes: u32,
            draws: u32,
            particles: u32,
            draw_strides: [u32; 2],
            particle_strides: [u32; 2],
            particle_offset: u32,
            to_particles: f32,
            between_draws: f32,
            unused: u32,
        }
        let (m, n) = (sets.draws, sets.particles);
        let energy = Energy {
            rows: index(sets.rows),
            classes: index(sets.classes),
            draws: index(m),
            particles: index(n),
            draw_strides: sets.draw_strides.map(index),
            particle_strides: sets.particle_strides.map(index),
            particle_offset: index(sets.particle_offset),
            to_particles: 1.0 / (m * n * sets.rows) as f32,
            between_draws: -1.0 / (m * (m - 1).max(1) * sets.rows) as f32,
            unused: 0,
        };
        let kernel = Kernel {
            name: "energy score".to_owned(),
            source: include_str!("energy.wgsl").to_owned(),
            entry: "energy_gradient",
            bindings: &[Access::Uniform, Access::Read, Access::Read, Access::Write],
            constants: Vec::new(),
        };
        let buffers = [&self.uniform(&energy), draws, particles, gradient];
        self.dispatch(kernel, &buffers, [sets.rows.div_ceil(64), m, 1])
    }
}
