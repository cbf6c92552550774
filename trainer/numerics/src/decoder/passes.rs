//! Forward and backward passes of many decoded networks at the same probes.

use rayon::prelude::*;

use super::{DecoderShape, Probes, columns};
use crate::network::{Architecture, Batch, Tape};

/// Codes decoded into networks, and these evaluated at probes: ready for the backward pass.
pub(super) struct DecodedPass<'a> {
    shape: &'a DecoderShape,
    decoder: &'a [f32],
    probes: &'a Probes,
    trunk: TrunkPass,
    shared: SharedLayers,
    networks: Vec<NetworkPass>,
}

/// One network's pass through the layers after the shared ones.
struct NetworkPass {
    theta: Vec<f32>,
    tape: Tape,
}

impl<'a> DecodedPass<'a> {
    /// Decodes `codes: [k, M]` and evaluates every network at the probes; also returns the outputs,
    /// `[M][C, probes]`.
    pub fn forward(
        shape: &'a DecoderShape,
        decoder: &'a [f32],
        codes: Batch,
        probes: &'a Probes,
    ) -> (Self, Vec<Vec<f32>>) {
        let trunk = TrunkPass::forward(shape, decoder, codes);
        let shared = SharedLayers::forward(shape, decoder, &probes.batch);
        let hidden = &shared.hidden;
        let (networks, outputs) = trunk
            .modulations
            .par_iter()
            .map(|modulation| {
                let theta = shape.decode(decoder, modulation).split_off(shared.parameters);
                let mut tape = Tape::default();
                let outputs = tape.forward(&shared.rest, &theta, hidden, 0..hidden.rows()).to_vec();
                (NetworkPass { theta, tape }, outputs)
            })
            .unzip();
        (Self { shape, decoder, probes, trunk, shared, networks }, outputs)
    }

    /// Adds the decoder's gradient (in the order of the codes, whatever the threads) where
    /// `d_outputs: [M][C, probes]` is that of the outputs; returns that of the codes, `[k, M]`, where they go
    /// through a trunk.
    pub fn backward(self, d_outputs: &[Vec<f32>], gradient: &mut [f32]) -> Vec<f32> {
        let (shape, decoder, shared) = (self.shape, self.decoder, &self.shared);
        let pulled: Vec<_> = self
            .networks
            .into_par_iter()
            .zip(&self.trunk.modulations)
            .zip(d_outputs)
            .map(|((NetworkPass { theta, mut tape }, modulation), d_outputs)| {
                let mut d_theta = vec![0.0; shared.parameters + theta.len()];
                let mut d_hidden = Vec::new();
                tape.backward(
                    &shared.rest,
                    &theta,
                    &shared.hidden,
                    d_outputs,
                    &mut d_theta[shared.parameters..],
                    shared.layers.is_some().then_some(&mut d_hidden),
                );
                let mut own = vec![0.0; shape.trunk_offset()];
                let d_modulation = shape.pull_back(decoder, modulation, &d_theta, &mut own);
                (own, d_modulation, d_hidden)
            })
            .collect();
        let mut d_modulations = Vec::with_capacity(pulled.len());
        let mut d_hidden = vec![0.0; shared.hidden.values().len()];
        for (own, d_modulation, from_network) in pulled {
            gradient.iter_mut().zip(&own).for_each(|(sum, &g)| *sum += g);
            d_hidden.iter_mut().zip(&from_network).for_each(|(sum, &d)| *sum += d);
            d_modulations.push(d_modulation);
        }
        self.shared.backward(decoder, &self.probes.batch, d_hidden, gradient);
        self.trunk.backward(shape, decoder, &d_modulations, gradient)
    }
}

/// A pass of codes through the trunk, where there is one.
struct TrunkPass {
    trunk: Option<(Architecture, Tape)>,
    codes: Batch,
    modulations: Vec<Vec<f32>>,
}

impl TrunkPass {
    fn forward(shape: &DecoderShape, decoder: &[f32], codes: Batch) -> Self {
        let Some(architecture) = shape.trunk() else {
            let modulations = shape.own_modulations(&codes);
            return Self { trunk: None, codes, modulations };
        };
        let mut tape = Tape::default();
        let theta = &decoder[shape.trunk_offset()..];
        let values = tape.forward(&architecture, theta, &codes, 0..codes.rows());
        let modulations = columns(values, architecture.outputs(), codes.rows());
        Self { trunk: Some((architecture, tape)), codes, modulations }
    }

    fn backward(
        self,
        shape: &DecoderShape,
        decoder: &[f32],
        d_modulations: &[Vec<f32>],
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let mut d_codes = Vec::new();
        let Some((architecture, mut tape)) = self.trunk else { return d_codes };
        let offset = shape.trunk_offset();
        let d_outputs = Batch::from_rows(&d_modulations.concat(), architecture.outputs());
        tape.backward(
            &architecture,
            &decoder[offset..],
            &self.codes,
            d_outputs.values(),
            &mut gradient[offset..],
            Some(&mut d_codes),
        );
        d_codes
    }
}

/// The frozen layers before the first stochastic one, evaluated once for all networks.
struct SharedLayers {
    /// The layers and their pass; none where the first layer is stochastic.
    layers: Option<(Architecture, Tape)>,
    /// Number of their parameters, which come first in θ.
    parameters: usize,
    /// Inputs of the first stochastic layer.
    hidden: Batch,
    /// The other layers.
    rest: Architecture,
}

impl SharedLayers {
    fn forward(shape: &DecoderShape, decoder: &[f32], batch: &Batch) -> Self {
        let whole = &shape.architecture;
        let first = shape.structure.iter().position(|layer| layer.is_stochastic()).unwrap_or(0);
        let (layers, rest) = whole.split_at(whole.last_split(first));
        let Some(layers) = layers else {
            return Self { layers: None, parameters: 0, hidden: batch.clone(), rest };
        };
        let mut tape = Tape::default();
        let hidden = tape.forward(&layers, decoder, batch, 0..batch.rows()).to_vec();
        Self {
            parameters: layers.parameters(),
            hidden: Batch::from_features(hidden, layers.outputs()),
            layers: Some((layers, tape)),
            rest,
        }
    }

    /// Pulls the gradient with respect to the hidden values back to the frozen layers.
    fn backward(self, decoder: &[f32], batch: &Batch, d_hidden: Vec<f32>, gradient: &mut [f32]) {
        let Some((layers, mut tape)) = self.layers else { return };
        tape.backward(&layers, decoder, batch, &d_hidden, gradient, None);
    }
}
