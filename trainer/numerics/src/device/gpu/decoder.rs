//! Many draws from the latent decoder, evaluated at the same inputs and pulled back.

use bytemuck::{Pod, Zeroable};

use super::context::{Access, Buffer, Dispatch, Gpu, Kernel};
use super::network::{Activations, Parameters, Pass};
use super::product::{Epilogue, View, index};
use crate::decoder::shape::FactorPlace;
use crate::decoder::{DecoderShape, LayerDecoder};
use crate::network::{Architecture, LayerShape};

/// Buffers for `draws` decoded networks at up to `rows` inputs.
pub(super) struct DecodedNetworks<'a> {
    shape: &'a DecoderShape,
    trunk: Architecture,
    draws: usize,
    rows: usize,
    trunk_activations: Activations,
    /// s, `[modulations, draws]`.
    modulations: Buffer,
    /// θ of every draw, then room for its gradient, `[draws, P]`.
    theta: Buffer,
    d_theta: Buffer,
    activations: Activations,
    /// dW Bᵀ and Aᵀ dW of the layer under way.
    through_b: Buffer,
    through_a: Buffer,
}

/// Constants of `decoder.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LayerWords {
    outputs: u32,
    inputs: u32,
    layer: u32,
    factors: u32,
    modulation: u32,
    rank: u32,
    draws: u32,
    parameters: u32,
}

impl<'a> DecodedNetworks<'a> {
    pub fn new(gpu: &Gpu, shape: &'a DecoderShape, draws: usize, rows: usize) -> Self {
        // Mixtures, which have none, are fitted on the processor.
        let trunk = shape.trunk().expect("a decoder of normal codes");
        let network = &shape.architecture;
        let largest = |size: fn(LayerShape) -> usize| {
            let sizes = shape.factors().into_iter().map(|place| {
                let rank = place.decoder.modulations();
                draws * rank * size(place.layer)
            });
            gpu.zeros(sizes.max().unwrap_or(0))
        };
        Self {
            shape,
            draws,
            rows,
            trunk_activations: Activations::new(gpu, &trunk, 1, draws),
            modulations: gpu.zeros(trunk.outputs() * draws),
            theta: gpu.zeros(draws * network.parameters()),
            d_theta: gpu.zeros(draws * network.parameters()),
            activations: Activations::new(gpu, network, draws, rows),
            through_b: largest(|layer| layer.outputs),
            through_a: largest(|layer| layer.inputs),
            trunk,
        }
    }

    /// Outputs of all draws, `[draws][C, rows]`; their gradient before [`Self::record_backward`].
    pub fn outputs(&self) -> &Buffer {
        self.activations.outputs()
    }

    fn trunk_pass<'b>(&'b self, decoder: &'b Buffer, codes: View<'b>) -> Pass<'b> {
        let offset = self.shape.trunk_offset();
        Pass {
            architecture: &self.trunk,
            theta: Parameters { buffer: decoder, offset, stride: 0 },
            input: codes,
            activations: &self.trunk_activations,
        }
    }

    fn network_pass<'b>(&'b self, inputs: View<'b>) -> Pass<'b> {
        let architecture = &self.shape.architecture;
        let stride = architecture.parameters();
        Pass {
            architecture,
            theta: Parameters { buffer: &self.theta, offset: 0, stride },
            input: inputs,
            activations: &self.activations,
        }
    }

    /// Decodes `codes: [k, draws]` and evaluates every network at `inputs: [features, rows]`.
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        steps: &Buffer,
        decoder: &Buffer,
        codes: View<'_>,
        inputs: View<'_>,
        program: &mut Vec<Dispatch>,
    ) {
        assert_eq!(inputs.columns, self.rows);
        gpu.record_forward(&self.trunk_pass(decoder, codes), program);
        let (from, len) = (self.trunk_activations.outputs(), self.trunk.outputs() * self.draws);
        program.push(gpu.copy(steps, from, 0, len, &self.modulations));
        let factors = self.shape.factors();
        for layer in self.shape.architecture.layers() {
            let place = factors.iter().find(|place| place.layer == layer);
            let entry = match place.map(|place| place.decoder) {
                Some(LayerDecoder::Dense(_) | LayerDecoder::Members(_)) => "decode_dense",
                _ => "decode_low_rank",
            };
            let size = layer.outputs * (layer.inputs + 1);
            let groups = [size.div_ceil(64), self.draws, 1];
            let words = self.words(layer, place);
            program.push(self.layer(gpu, entry, words, decoder, &self.theta, None, groups));
        }
        gpu.record_forward(&self.network_pass(inputs), program);
    }

    /// Pulls the gradient with respect to [`Self::outputs`] back to the decoder's parameters: written
    /// or, with `accumulate`, added to `gradient`. With `d_codes`, `[k, draws]`, the gradient with
    /// respect to the codes is written too.
    #[allow(clippy::too_many_arguments, reason = "a pass has that many ends")]
    pub fn record_backward(
        &self,
        gpu: &Gpu,
        decoder: &Buffer,
        codes: View<'_>,
        inputs: View<'_>,
        gradient: &Buffer,
        accumulate: bool,
        d_codes: Option<View<'_>>,
        program: &mut Vec<Dispatch>,
    ) {
        let parameters = self.shape.architecture.parameters();
        let d_theta = Parameters { buffer: &self.d_theta, offset: 0, stride: parameters };
        gpu.record_backward(&self.network_pass(inputs), d_theta, false, None, program);
        let pull = |entry, words, workgroups| {
            let into = Some((gradient, accumulate));
            self.layer(gpu, entry, words, decoder, &self.d_theta, into, workgroups)
        };
        let whole = LayerWords { parameters: index(parameters), ..LayerWords::zeroed() };
        let whole = LayerWords { draws: index(self.draws), ..whole };
        program.push(pull("pull_mean", whole, [parameters.div_ceil(64), 1, 1]));
        for place in self.shape.factors() {
            let LayerShape { inputs, outputs, .. } = place.layer;
            let words = self.words(place.layer, Some(&place));
            match place.decoder {
                LayerDecoder::Frozen => {}
                LayerDecoder::LowRank(rank) => {
                    self.record_factor_products(gpu, decoder, &place, rank, program);
                    program.push(pull("pull_a", words, [(outputs * rank).div_ceil(64), 1, 1]));
                    program.push(pull("pull_b", words, [(rank * (inputs + 1)).div_ceil(64), 1, 1]));
                    let groups = [(rank * self.draws).div_ceil(64), 1, 1];
                    program.push(pull("pull_low_rank_modulation", words, groups));
                }
                LayerDecoder::Dense(_) | LayerDecoder::Members(_) => {
                    let count = place.decoder.modulations();
                    let groups = [(outputs * (inputs + 1)).div_ceil(64), count, 1];
                    program.push(pull("pull_dense", words, groups));
                    let groups = [self.draws, count, 1];
                    program.push(pull("pull_dense_modulation", words, groups));
                }
            }
        }
        let offset = self.shape.trunk_offset();
        let gradient = Parameters { buffer: gradient, offset, stride: 0 };
        let pass = self.trunk_pass(decoder, codes);
        gpu.record_backward(&pass, gradient, accumulate, d_codes, program);
    }

    /// dW Bᵀ and Aᵀ dW of every draw.
    fn record_factor_products(
        &self,
        gpu: &Gpu,
        decoder: &Buffer,
        place: &FactorPlace,
        rank: usize,
        program: &mut Vec<Dispatch>,
    ) {
        let LayerShape { inputs, outputs, .. } = place.layer;
        let stride = self.shape.architecture.parameters();
        let d_weights = View::new(&self.d_theta, [outputs, inputs], place.layer.offset, stride);
        let a = View::new(decoder, [outputs, rank], place.offset, 0);
        let b_offset = place.offset + outputs * rank;
        let b = View::strided(decoder, [rank, inputs], b_offset, 0, [inputs + 1, 1]);
        let through_b = View::new(&self.through_b, [outputs, rank], 0, outputs * rank);
        let through_a = View::new(&self.through_a, [rank, inputs], 0, rank * inputs);
        let (none, count) = (Epilogue::None, self.draws);
        program.push(gpu.product(count, d_weights, b.transposed(), through_b, false, none));
        program.push(gpu.product(count, a.transposed(), d_weights, through_a, false, none));
    }

    fn words(&self, layer: LayerShape, place: Option<&FactorPlace>) -> LayerWords {
        LayerWords {
            outputs: index(layer.outputs),
            inputs: index(layer.inputs),
            layer: index(layer.offset),
            factors: index(place.map_or(0, |place| place.offset)),
            modulation: index(place.map_or(0, |place| place.modulation)),
            rank: index(place.map_or(0, |place| place.decoder.modulations())),
            draws: index(self.draws),
            parameters: index(self.shape.architecture.parameters()),
        }
    }

    /// One kernel of `decoder.wgsl`; `into` is where gradients go, and whether they are added.
    #[allow(clippy::too_many_arguments, reason = "what a kernel is bound to")]
    fn layer(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        words: LayerWords,
        decoder: &Buffer,
        theta: &Buffer,
        into: Option<(&Buffer, bool)>,
        workgroups: [usize; 3],
    ) -> Dispatch {
        let kernel = Kernel {
            name: format!("decoder: {entry}"),
            source: include_str!("decoder.wgsl").to_owned(),
            entry,
            bindings: &[
                Access::Uniform,
                Access::Read,
                Access::Read,
                Access::Write,
                Access::Read,
                Access::Read,
                Access::Write,
                Access::Write,
            ],
            constants: vec![("ACCUMULATE", u32::from(into.is_some_and(|(_, add)| add)))],
        };
        // Decoding writes no gradient; θ's own stands in for it.
        let gradient = into.map_or(&self.d_theta, |(gradient, _)| gradient);
        let buffers = [
            &gpu.uniform(&words),
            decoder,
            &self.modulations,
            theta,
            &self.through_b,
            &self.through_a,
            gradient,
            self.trunk_activations.outputs(),
        ];
        gpu.dispatch(kernel, &buffers, workgroups)
    }
}

impl Gpu {
    /// Copies `len` values of the step's data to the start of `destination`; the data of two steps
    /// lie `stride` values apart in `source` (0: all steps share them).
    pub(super) fn copy(
        &self,
        steps: &Buffer,
        source: &Buffer,
        stride: usize,
        len: usize,
        destination: &Buffer,
    ) -> Dispatch {
        let kernel = Kernel {
            name: "copy".to_owned(),
            source: include_str!("copy.wgsl").to_owned(),
            entry: "copy_step",
            bindings: &[Access::Step, Access::Uniform, Access::Read, Access::Write],
            constants: Vec::new(),
        };
        let words = [index(len), index(stride), 0, 0];
        let buffers = [steps, &self.uniform(&words), source, destination];
        self.dispatch(kernel, &buffers, [len.div_ceil(256), 1, 1])
    }
}
