//! Decoder structures whose samples and whose bytes are within a budget.

use super::footprint::decoder_bytes;
use super::instructions::{Core, Counts, Operation, Operations};
use super::precision::largest_cost;
use crate::config::Export;
use crate::decoder::{DecoderShape, LayerDecoder, Structure, samples_of};
use crate::network::Architecture;
use crate::quantise::Precision;

/// The core that structures are priced on; on cores without its two products an instruction, what is not
/// a product weighs less.
const PRICED_ON: Core = Core::M4f;

/// The network that walked, and that which the decoder makes.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    /// Network whose deterministic pass costs are counted in.
    pub walked: &'a Architecture,
    /// Network whose layers are decoded.
    pub decoded: &'a Architecture,
}

/// Returns the highest cost of the samples of a prediction, in deterministic passes: with the dearest bits
/// that `export` leaves open.
pub fn cost(networks: Networks<'_>, structure: &[LayerDecoder], export: &Export) -> f64 {
    dearest(networks, structure, export, &[])
}

/// [`cost`] without what every sample costs whatever the decoder.
fn cost_of_decoder(networks: Networks<'_>, structure: &[LayerDecoder], export: &Export) -> f64 {
    let outcome = [Operation::ClassSample, Operation::ValueSample, Operation::Softmax];
    dearest(networks, structure, export, &outcome)
}

/// [`cost`] without some operations.
fn dearest(
    networks: Networks<'_>,
    structure: &[LayerDecoder],
    export: &Export,
    without: &[Operation],
) -> f64 {
    let Networks { walked, decoded } = networks;
    let whole = export.input.reading().is_some();
    let price = |mut counts: Counts| {
        without.iter().for_each(|&operation| counts[operation as usize] = 0);
        PRICED_ON.instructions(&counts)
    };
    let other_pass = (walked != decoded).then(|| {
        let frozen = vec![LayerDecoder::Frozen; walked.depth()];
        Operations::planned(walked, &frozen, &Precision::eight(walked.depth()), whole).pass
    });
    let passes = |precision: &Precision| {
        let operations = Operations::planned(decoded, structure, precision, whole);
        let pass = other_pass.unwrap_or(operations.pass);
        price(operations.of_samples(samples_of(structure, export.samples))) / price(pass)
    };
    largest_cost(export, decoded.depth(), passes)
}

/// A way to count what samples cost, in deterministic passes.
type Cost = fn(Networks<'_>, &[LayerDecoder], &Export) -> f64;

/// Returns, for every first stochastic layer from index `first_walked` of the network that walked on, the decoder of
/// the highest rank whose samples cost at most [`Export::cost`] deterministic passes and whose file takes at most
/// [`Export::flash`] times `network_bytes`, those of the network alone; before them the largest mixture within both, if
/// it may have up to `most_members`. Where the network is so small that what every sample costs exceeds the budget, that
/// is left out of account; where the flash is short even so, the flash is too. Empty where that does not help either.
pub fn affordable_structures(
    networks: Networks<'_>,
    latent_dim: usize,
    first_walked: usize,
    most_members: usize,
    network_bytes: usize,
    export: &Export,
) -> Vec<Structure> {
    const RANKS: [usize; 5] = [16, 8, 4, 2, 1];
    const MEMBERS: [usize; 4] = [16, 8, 4, 2];
    let Networks { walked, decoded } = networks;
    let depth = decoded.depth();
    // What did not walk is no part of another network.
    let first_walked = if walked == decoded { first_walked } else { 0 };
    let for_the_decoder = (export.times_flash(network_bytes) - 1.0) * network_bytes as f64;
    let within = |cost: Cost, flash: f64| {
        let affordable = |structure: &Structure| {
            let shape = DecoderShape {
                architecture: decoded.clone(),
                structure: structure.clone(),
                latent_dim,
            };
            cost(networks, structure, export) <= export.cost
                && decoder_bytes(&shape, export) as f64 <= flash
        };
        let highest_rank = |first| {
            let structure = |rank| {
                let layer = |index: usize| match index < first || decoded.blocks[index].is_grouped()
                {
                    true => LayerDecoder::Frozen,
                    false => LayerDecoder::LowRank(rank),
                };
                (0..depth).map(layer).collect::<Structure>()
            };
            RANKS.map(structure).into_iter().find(affordable)
        };
        let counts = MEMBERS.into_iter().filter(|&count| count <= most_members);
        let mixture =
            counts.map(|count| vec![LayerDecoder::Members(count); depth]).find(affordable);
        mixture
            .into_iter()
            .chain((first_walked..depth).filter_map(highest_rank))
            .collect::<Vec<_>>()
    };
    let costs: [Cost; 2] = [cost, cost_of_decoder];
    [for_the_decoder, f64::INFINITY]
        .into_iter()
        .flat_map(|flash| costs.map(|cost| (cost, flash)))
        .map(|(cost, flash)| within(cost, flash))
        .find(|structures| !structures.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Choice;
    use crate::decoder::members;
    use crate::network::Activation;

    /// Bytes of a network of 6676 and 200 of names and units.
    const DIGITS_BYTES: usize = 6876;

    fn same(network: &Architecture) -> Networks<'_> {
        Networks { walked: network, decoded: network }
    }

    #[test]
    fn affordable_decoders_keep_to_the_budget() {
        let widths = vec![64, 64, 32, 10];
        let architecture = Architecture::perceptron(&widths, Activation::Tanh);
        let export = Export::default();
        let structures = affordable_structures(same(&architecture), 4, 0, 0, DIGITS_BYTES, &export);
        assert!(!structures.is_empty());
        for structure in &structures {
            assert!(cost(same(&architecture), structure, &export) <= export.cost, "{structure:?}");
        }
        let rich = Export { cost: 1000.0, flash: Choice::Fixed(1000.0), ..export };
        let everything = affordable_structures(same(&architecture), 4, 0, 0, DIGITS_BYTES, &rich);
        assert_eq!(everything[0], [LayerDecoder::LowRank(16); 3]);
        let last = affordable_structures(same(&architecture), 4, 2, 0, DIGITS_BYTES, &rich);
        assert_eq!(last, everything[2..]);
        let small = Export { flash: Choice::Fixed(1.2), ..rich };
        let structures = affordable_structures(same(&architecture), 4, 0, 0, DIGITS_BYTES, &small);
        // Of 1375 bytes: factors of 512 + 384 + 168, their descriptions and biases 78, codes 16 · 12.
        assert_eq!(structures[0], [LayerDecoder::LowRank(4); 3]);
        assert_eq!(structures[2][2], LayerDecoder::LowRank(16));
    }

    #[test]
    fn a_tiny_network_of_many_classes_still_gets_a_decoder() {
        let architecture = Architecture::perceptron(&[2, 4, 100], Activation::Tanh);
        let export = Export::default();
        let structures = affordable_structures(same(&architecture), 4, 0, 0, 800, &export);
        assert!(!structures.is_empty());
        for structure in &structures {
            assert!(cost(same(&architecture), structure, &export) > export.cost, "{structure:?}");
        }
        // Nor does it matter that there is no room at all.
        let none = Export { flash: Choice::Fixed(1.0), ..export };
        assert!(!affordable_structures(same(&architecture), 4, 0, 0, 800, &none).is_empty());
    }

    #[test]
    fn a_mixture_costs_a_pass_a_member() {
        let architecture = Architecture::perceptron(&[64, 64, 32, 10], Activation::Tanh);
        let export = Export::default();
        let passes = |count| cost(same(&architecture), &[LayerDecoder::Members(count); 3], &export);
        // The input is made bytes once.
        let each = (passes(8) - passes(2)) / 6.0;
        assert!((0.7..1.0).contains(&each), "{each}");
        assert!((passes(4) - passes(2) - 2.0 * each).abs() < 1e-9);
        assert!((each * 2.0..2.0).contains(&passes(2)), "{}", passes(2));
    }

    #[test]
    fn a_mixture_is_tried_where_there_are_members_and_room() {
        let architecture = Architecture::perceptron(&[4, 50, 1], Activation::Tanh);
        let bytes = 600;
        let mixture = |most_members, flash| {
            let export = Export { flash, ..Export::default() };
            let structures =
                affordable_structures(same(&architecture), 4, 0, most_members, bytes, &export);
            structures.iter().find_map(|structure| members(structure))
        };
        // Four networks in four times the flash of one, but for names and the like.
        assert_eq!(mixture(64, Choice::Auto), Some(4));
        assert_eq!(mixture(3, Choice::Auto), Some(2));
        assert_eq!(mixture(64, Choice::Fixed(2.0)), Some(2));
        assert_eq!(mixture(0, Choice::Auto), None);
    }

    #[test]
    fn another_network_is_paid_in_passes_of_the_one_that_walked() {
        let [narrow, wide] =
            [16, 32].map(|width| Architecture::perceptron(&[64, width, 16, 10], Activation::Tanh));
        let structure = [LayerDecoder::Frozen, LayerDecoder::Frozen, LayerDecoder::LowRank(4)];
        let export = Export::default();
        let own = cost(same(&narrow), &structure, &export);
        let other = cost(Networks { walked: &narrow, decoded: &wide }, &structure, &export);
        // The first two layers, once for all samples, cost up to a pass more.
        assert!((0.2..1.0).contains(&(other - own)), "{own} and {other}");
    }
}
