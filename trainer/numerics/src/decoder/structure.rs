//! Which layers of the network are stochastic, and how.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the decoder makes the weights of one layer. `W̃ = [W b]` acts on the input with a 1
/// appended, so weights and biases share their factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LayerDecoder {
    /// W̃ is the same for every latent code.
    Frozen,
    /// W̃(z) = W̃ + A diag(s(z)) B̃ with A `[outputs, rank]` and B̃ `[rank, inputs + 1]`.
    LowRank(usize),
    /// W̃(z) = W̃ + Σ_j s_j(z) Ũ_j with `count` matrices Ũ_j `[outputs, inputs + 1]`: the paper's
    /// general decoder, for small layers.
    Dense(usize),
    /// W̃(z) is one of so many matrices W̃_j, all with the same chance, and every such layer has the same j: a mixture
    /// of networks.
    Members(usize),
}

impl LayerDecoder {
    /// Number of modulation values s(z) that the layer reads.
    pub fn modulations(self) -> usize {
        match self {
            Self::Frozen => 0,
            Self::LowRank(rank) => rank,
            Self::Dense(count) => count,
            // The first member is W̃, and what another one adds to it is a dense factor.
            Self::Members(count) => count - 1,
        }
    }

    /// Bytes of a stored code that the layer reads: of a mixture the member's number alone.
    pub fn code_bytes(self) -> usize {
        match self {
            Self::Members(_) => 1,
            _ => self.modulations(),
        }
    }

    /// Whether a factor with this modulation has a part in the layer: of a mixture's only the member's own.
    pub(super) fn reads(self, modulation: f32) -> bool {
        !matches!(self, Self::Members(_)) || modulation != 0.0
    }

    /// Whether the layer depends on the latent code.
    pub fn is_stochastic(self) -> bool {
        self.modulations() > 0
    }
}

impl fmt::Display for LayerDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frozen => f.write_str("frozen"),
            Self::LowRank(rank) => write!(f, "low-rank:{rank}"),
            Self::Dense(count) => write!(f, "dense:{count}"),
            Self::Members(count) => write!(f, "members:{count}"),
        }
    }
}

impl From<LayerDecoder> for String {
    fn from(decoder: LayerDecoder) -> Self {
        decoder.to_string()
    }
}

impl FromStr for LayerDecoder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "found \"{text}\", expected \"frozen\", \"low-rank:R\" or \"dense:M\" with R, M from 1 to {}, or \
                 \"members:M\" with M from 2 to {}",
                fiberwalk_formats::MAX_RANK,
                fiberwalk_formats::MAX_LATENT_DIM
            )
        };
        if text == "frozen" {
            return Ok(Self::Frozen);
        }
        let (kind, size) = text.split_once(':').ok_or_else(expected)?;
        let size: usize = size.parse().map_err(|_| expected())?;
        if size == 0 || size > fiberwalk_formats::MAX_RANK {
            return Err(expected());
        }
        match kind {
            "low-rank" => Ok(Self::LowRank(size)),
            "dense" => Ok(Self::Dense(size)),
            "members" if (2..=fiberwalk_formats::MAX_LATENT_DIM).contains(&size) => {
                Ok(Self::Members(size))
            }
            _ => Err(expected()),
        }
    }
}

impl TryFrom<String> for LayerDecoder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The decoders of all layers, from the input to the output.
pub type Structure = Vec<LayerDecoder>;

/// Members of the mixture that a structure makes; none where it makes no mixture.
pub fn members(structure: &[LayerDecoder]) -> Option<usize> {
    structure.iter().find_map(|layer| match layer {
        LayerDecoder::Members(count) => Some(*count),
        _ => None,
    })
}

/// Samples that a prediction draws where `samples` are asked for: a mixture has no more than its members.
pub fn samples_of(structure: &[LayerDecoder], samples: usize) -> usize {
    members(structure).map_or(samples, |all| all.min(samples))
}

/// A structure for the user: every layer's decoder.
pub fn structure_name(structure: &[LayerDecoder]) -> String {
    structure.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Total number of modulation values s(z).
pub fn modulation_len(structure: &[LayerDecoder]) -> usize {
    structure.iter().map(|layer| layer.modulations()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_decoders_are_read_back() {
        for decoder in [
            LayerDecoder::Frozen,
            LayerDecoder::LowRank(8),
            LayerDecoder::Dense(3),
            LayerDecoder::Members(2),
        ] {
            assert_eq!(decoder.to_string().parse(), Ok(decoder));
        }
        for wrong in ["low-rank", "low-rank:0", "dense:x", "low-rank:65", "sparse:3", "members:1"] {
            assert!(wrong.parse::<LayerDecoder>().is_err(), "{wrong}");
        }
    }
}
