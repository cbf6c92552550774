//! The files of MAP training.

use crate::network::Architecture;
use crate::run_dir::RunDir;
use crate::trace::Trace;

/// The best networks, `theta: [maps, P]`.
pub(super) const MAP: &str = "map.safetensors";
/// Name of their parameters in that file.
pub(super) const THETA: &str = "theta";
/// Curves of MAP training, a row a MAP, the best one first: `nll`, mean NLL of the training rows, and
/// `loss`, L(θ).
pub(super) const TRACE: &str = "map-trace.safetensors";

/// The MAP networks of a run, the best one first, `[maps][P]`, at least one.
///
/// # Errors
/// The file is missing or damaged.
pub fn read(dir: &RunDir, network: &Architecture) -> anyhow::Result<Vec<Vec<f32>>> {
    dir.read_tensor(MAP, THETA, network.parameters())
}

/// Curve `loss` of every MAP, the best one first; nothing where a run was made before that was kept.
///
/// # Errors
/// The file is damaged.
pub fn read_trace(dir: &RunDir) -> anyhow::Result<Option<Trace>> {
    Trace::read(dir, TRACE, &["loss"])
}
