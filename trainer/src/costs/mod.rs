//! Costs of a prediction on a board, and choices by them: bytes of flash and products ([`footprint`]),
//! executed instructions ([`instructions`]), decoders within a budget of both, and the bits of the weights.

pub mod footprint;
pub mod instructions;
mod precision;
mod structures;

pub use precision::{PrecisionCandidate, choose_precision};
pub use structures::{Networks, affordable_structures, cost};
