//! The fewest bits that cost little: int4 where the predictive hardly changes.

use serde::{Deserialize, Serialize};
use tracing::debug;

use fiberwalk_formats::Bits;

use crate::config::{Choice, Export};
use crate::quantise::Precision;

/// One precision that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionCandidate {
    /// Bits of every layer's weights.
    pub weight_bits: Vec<u8>,
    /// Bits of the decoder's factors.
    pub factor_bits: u8,
    /// Nats a row that it costs against int8.
    pub loss: f64,
}

/// Every precision of a network of `depth` layers that `config` leaves open.
pub fn open_precisions(config: &Export, depth: usize) -> Vec<Precision> {
    const BITS: [Bits; 2] = [Bits::Eight, Bits::Four];
    let layers: Vec<Vec<Bits>> = match &config.weight_bits {
        Choice::Fixed(bits) => vec![bits.iter().map(|&bits| of_count(bits)).collect()],
        Choice::Auto => (0..1 << depth)
            .map(|pattern: usize| (0..depth).map(|layer| BITS[pattern >> layer & 1]).collect())
            .collect(),
    };
    let factors = match config.factor_bits {
        Choice::Fixed(bits) => vec![of_count(bits)],
        Choice::Auto => BITS.to_vec(),
    };
    let with = |layers: &Vec<Bits>| {
        let layers = layers.clone();
        factors
            .clone()
            .into_iter()
            .map(move |factors| Precision { layers: layers.clone(), factors })
    };
    layers.iter().flat_map(with).collect()
}

/// Chooses what `config` leaves open: first the factors, then the layers, the largest first, become
/// int4 where `loss` of the whole stays within the allowed; a layer of size 0 stays int8. `loss` is what a
/// precision costs against int8, nats a row. Returns what was chosen and everything that was tried.
///
/// # Errors
/// The errors of `loss`.
pub fn choose_precision(
    config: &Export,
    layer_sizes: &[usize],
    loss: impl Fn(&Precision) -> anyhow::Result<f64>,
) -> anyhow::Result<(Precision, Vec<PrecisionCandidate>)> {
    let mut chosen = Precision::eight(layer_sizes.len());
    if let Choice::Fixed(bits) = &config.weight_bits {
        chosen.layers = bits.iter().map(|&bits| of_count(bits)).collect();
    }
    if let Choice::Fixed(bits) = config.factor_bits {
        chosen.factors = of_count(bits);
    }
    let mut trials: Vec<Option<usize>> = Vec::new();
    if config.factor_bits == Choice::Auto {
        trials.push(None);
    }
    if config.weight_bits == Choice::Auto {
        let mut order: Vec<usize> =
            (0..layer_sizes.len()).filter(|&layer| layer_sizes[layer] > 0).collect();
        order.sort_by_key(|&layer| std::cmp::Reverse(layer_sizes[layer]));
        trials.extend(order.into_iter().map(Some));
    }
    let mut candidates = Vec::new();
    for trial in trials {
        let mut candidate = chosen.clone();
        match trial {
            None => candidate.factors = Bits::Four,
            Some(layer) => candidate.layers[layer] = Bits::Four,
        }
        let cost = loss(&candidate)?;
        let tried = PrecisionCandidate {
            weight_bits: candidate.layers.iter().map(|bits| bits.count()).collect(),
            factor_bits: candidate.factors.count(),
            loss: cost,
        };
        let kept = cost <= config.loss;
        debug!(
            weight_bits = ?tried.weight_bits,
            factor_bits = tried.factor_bits,
            loss = cost,
            allowed = config.loss,
            kept,
            "tried"
        );
        candidates.push(tried);
        if kept {
            chosen = candidate;
        }
    }
    Ok((chosen, candidates))
}

fn of_count(bits: u8) -> Bits {
    if bits == 4 { Bits::Four } else { Bits::Eight }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loss that grows with every part that becomes int4.
    fn additive(parts: [f64; 3], factors: f64) -> impl Fn(&Precision) -> anyhow::Result<f64> {
        move |precision| {
            let four = |bits: Bits| if bits == Bits::Four { 1.0 } else { 0.0 };
            let layers = precision.layers.iter().zip(parts).map(|(&bits, loss)| four(bits) * loss);
            Ok(layers.sum::<f64>() + four(precision.factors) * factors)
        }
    }

    #[test]
    fn the_largest_parts_that_cost_little_become_int4() {
        let loss = additive([0.003, 0.004, 0.001], 0.001);
        let config = Export { loss: 0.005, ..Export::default() };
        let (chosen, tried) = choose_precision(&config, &[10, 20, 5], loss).expect("no error");
        assert_eq!(chosen.factors, Bits::Four);
        assert_eq!(chosen.layers, [Bits::Eight, Bits::Four, Bits::Eight]);
        assert_eq!(tried.len(), 4);
        let open = open_precisions(&config, 3);
        assert!(open.len() == 16 && open.contains(&chosen));
    }

    #[test]
    fn what_is_fixed_is_not_tried() {
        let config = Export {
            weight_bits: Choice::Fixed(vec![8, 4, 8]),
            factor_bits: Choice::Fixed(8),
            ..Export::default()
        };
        let (chosen, tried) =
            choose_precision(&config, &[1, 2, 3], |_| unreachable!("nothing is open"))
                .expect("no error");
        assert_eq!(chosen.layers, [Bits::Eight, Bits::Four, Bits::Eight]);
        assert!(chosen.factors == Bits::Eight && tried.is_empty());
        assert_eq!(open_precisions(&config, 3), [chosen]);
    }
}
