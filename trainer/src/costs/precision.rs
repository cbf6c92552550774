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

/// Returns the largest `cost` of a network of `depth` layers with a precision that `config` leaves open. `cost` has to
/// be a ratio of sums over the layers' weights and the factors, each of which counts by its own bits alone: bits are
/// changed while that makes it larger, and where no single change does, nor do several together.
pub fn largest_cost(config: &Export, depth: usize, cost: impl Fn(&Precision) -> f64) -> f64 {
    let (mut precision, open) = start(config, depth);
    let mut largest = cost(&precision);
    loop {
        let before = largest;
        for &part in &open {
            let other = changed(&precision, part);
            let its = cost(&other);
            if its > largest {
                (precision, largest) = (other, its);
            }
        }
        if largest <= before {
            return largest;
        }
    }
}

/// Returns int8 where `config` fixes nothing, and the parts that it leaves open.
fn start(config: &Export, depth: usize) -> (Precision, Vec<Part>) {
    let mut precision = Precision::eight(depth);
    let mut open = Vec::new();
    match config.factor_bits {
        Choice::Fixed(bits) => precision.factors = of_count(bits),
        Choice::Auto => open.push(Part::Factors),
    }
    match &config.weight_bits {
        Choice::Fixed(bits) => precision.layers = bits.iter().map(|&bits| of_count(bits)).collect(),
        Choice::Auto => open.extend((0..depth).map(Part::Layer)),
    }
    (precision, open)
}

/// What has bits of its own.
#[derive(Clone, Copy)]
enum Part {
    Factors,
    Layer(usize),
}

/// Returns `precision` with the other bits of one part.
fn changed(precision: &Precision, part: Part) -> Precision {
    let mut changed = precision.clone();
    let bits = match part {
        Part::Factors => &mut changed.factors,
        Part::Layer(layer) => &mut changed.layers[layer],
    };
    *bits = match *bits {
        Bits::Eight => Bits::Four,
        Bits::Four => Bits::Eight,
    };
    changed
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
    let (mut chosen, mut trials) = start(config, layer_sizes.len());
    let size = |part: &Part| match part {
        Part::Factors => usize::MAX,
        Part::Layer(layer) => layer_sizes[*layer],
    };
    trials.retain(|part| size(part) > 0);
    trials.sort_by_key(|part| std::cmp::Reverse(size(part)));
    let mut candidates = Vec::new();
    for part in trials {
        let candidate = changed(&chosen, part);
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
    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, stream};

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
        assert_eq!(largest_cost(&config, 3, |only| f64::from(u8::from(*only == chosen))), 1.0);
    }

    #[test]
    fn the_largest_ratio_is_that_of_all_precisions() {
        let mut rng = stream(5, Purpose::Probes, 0);
        for depth in [1, 2, 5, 8] {
            for _ in 0..50 {
                // Of every part, what it adds above and below with four bits and with eight.
                let parts: Vec<[f64; 4]> =
                    (0..=depth).map(|_| std::array::from_fn(|_| rng.random())).collect();
                let cost = |precision: &Precision| {
                    let bits = precision.layers.iter().chain([&precision.factors]);
                    let sums = bits.zip(&parts).fold([1.0, 1.0], |[above, below], (bits, part)| {
                        let own = if *bits == Bits::Four { &part[..2] } else { &part[2..] };
                        [above + own[0], below + own[1]]
                    });
                    sums[0] / sums[1]
                };
                let all = (0..1 << (depth + 1)).map(|pattern: usize| {
                    let four = |part: usize| {
                        if pattern >> part & 1 == 1 { Bits::Four } else { Bits::Eight }
                    };
                    cost(&Precision {
                        layers: (0..depth).map(four).collect(),
                        factors: four(depth),
                    })
                });
                let expected = all.fold(0.0, f64::max);
                let found = largest_cost(&Export::default(), depth, cost);
                assert!((found - expected).abs() < 1e-12, "{found} but {expected}");
            }
        }
    }
}
