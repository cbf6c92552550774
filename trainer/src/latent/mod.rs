//! The fourth stage, the latent posterior: a decoder z ~ N(0, I_k) → θ(z) whose posterior predictive is that of the
//! particles, and an encoder that gives every particle a code.
//!
//! Weight space is the wrong place to compare (random drifts are nearly orthogonal), and a
//! prediction at x depends on nothing but the distribution of f(x): the decoder is fitted to the
//! marginals of the particles' functions at probe inputs, by the energy score. Logits that differ a
//! little can make a different prediction, so it is fitted to the particles' predictive too: near the
//! training rows, and of maps at foreign inputs.

mod codes;
mod decoder;
mod energy;
mod fit;
mod inputs;
mod matching;
mod passes;
mod probes;
mod record;
mod stage;
mod structure;

pub use codes::choose_codes;
pub(crate) use decoder::columns;
pub use decoder::{DecoderShape, FactorPlace};
pub use energy::{energy_score, mean_distance};
#[cfg(feature = "gpu")]
pub(crate) use fit::{
    DRAWS, Encoder, NEAR_PROBES, PARTICLES, PROBES, RECONSTRUCTIONS, Start, StepDraws,
};
pub use fit::{Fit, Fitted, Objective, Refresh};
pub use inputs::foreign_weight;
pub use matching::predictive_divergence;
pub use probes::{PoolRole, ProbePool, ProbeSource, Probes};
pub use record::{LatentRecord, read_codes, read_decoder, read_trace};
pub use stage::STAGE;
pub use structure::{LayerDecoder, Structure, modulation_len, structure_name};
