//! Where the particles ended.

use serde::{Deserialize, Serialize};

use crate::drift::Diagnostics;
use crate::run_dir::RunDir;

/// Name of the record.
pub(super) const WALK: &str = "walk.json";
/// Folder of the walked particles.
pub(super) const PARTICLES: &str = "particles";

/// `walk.json`: where the particles ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WalkRecord {
    /// Mean NLL of the training rows at every MAP, nats.
    pub map_nll: Vec<f64>,
    /// Share of particles that stayed in the valley.
    pub in_valley: f64,
    /// Where every particle ended.
    pub particles: Vec<Diagnostics>,
}

impl WalkRecord {
    /// Reads that of a run of so many particles.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir, particles: usize) -> anyhow::Result<Self> {
        dir.read_json(WALK, |record: &Self| match (record.particles.len(), record.map_nll.len()) {
            (_, 0) => Err("map_nll is empty".to_owned()),
            (found, _) if found != particles => {
                Err(format!("found {found} particles, expected {particles}"))
            }
            _ => Ok(()),
        })
    }
}
