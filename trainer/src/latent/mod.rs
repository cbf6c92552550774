//! The fourth stage, the latent posterior of a run: where the decoder ([`crate::decoder`]) is fitted to the
//! particles, and the codes that stand for it on the board.

mod closeness;
mod codes;
mod inputs;
mod kept;
mod record;
mod source;
mod stage;

pub use codes::choose_codes;
use codes::choose_particles;
pub use inputs::foreign_weight;
pub use record::{DecoderCandidate, LatentRecord, read_codes, read_decoder, read_trace};
pub use source::{PoolRole, ProbeSource};
pub use stage::STAGE;
