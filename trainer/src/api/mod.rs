//! The façade for other programs: a few types over the modules behind them, one error, and nothing of the command.

mod config;
mod costs;
mod error;
mod measures;
mod network;
mod predictor;
mod run;
mod train;

pub use costs::Costs;
#[cfg(feature = "cli")]
pub(crate) use error::failed;
pub use measures::{compare, measure};
pub use network::{Imported, import};
pub use predictor::Predictor;
pub use run::Run;
pub use train::{merge_shards, stages, train, train_until, walk_shard};
