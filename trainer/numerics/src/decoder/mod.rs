//! The decoder z ~ N(0, I_k) → θ(z) of the latent posterior, and its fit to the particles, beside which an
//! encoder gives every particle a code.
//!
//! Weight space is the wrong place to compare (random drifts are nearly orthogonal), and a
//! prediction at x depends on nothing but the distribution of f(x): the decoder is fitted to the
//! marginals of the particles' functions at probe inputs, by the energy score. Logits that differ a
//! little can make a different prediction, so it is fitted to the particles' predictive too: near the
//! training rows, and of maps at foreign inputs.

mod draws;
mod energy;
pub(crate) mod fit;
mod passes;
mod probes;
pub mod shape;
mod structure;

pub use draws::{draw_modulations, draw_networks, standard_normal};
pub use energy::{energy_score, mean_distance};
pub use fit::{Fit, FitObjective, Fitted, Keeper, Refresh, State};
pub use probes::{ProbePool, Probes};
pub(crate) use shape::columns;
pub use shape::{DecoderShape, LatentLaw};
pub use structure::{LayerDecoder, Structure, members, modulation_len, samples_of, structure_name};
