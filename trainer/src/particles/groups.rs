//! Groups of particles: what is written at once, so that a killed walk loses one group at most.

use std::ops::Range;

use super::stage::WalkRecord;
use crate::run_dir::{PARTICLES, RunDir};

/// Particles in a file.
pub(super) const GROUP: usize = 16;
/// Name of the particles, `[n, P]`, in the file of a group or a shard.
pub(super) const THETA: &str = "theta";

/// Some particles and the file that they are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) file: String,
    pub(super) particles: Range<usize>,
}

/// The groups of `particles`, in order.
pub(super) fn groups(particles: Range<usize>) -> impl Iterator<Item = Group> {
    let end = particles.end;
    particles.step_by(GROUP).enumerate().map(move |(index, first)| Group {
        file: format!("{PARTICLES}/group-{index:03}.safetensors"),
        particles: first..(first + GROUP).min(end),
    })
}

/// Reads the groups of `particles`.
pub(super) fn read_groups(dir: &RunDir, particles: Range<usize>) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut all = Vec::with_capacity(particles.len());
    for group in groups(particles) {
        all.extend(dir.read_tensor(&group.file, THETA)?);
    }
    Ok(all)
}

/// The particles of a run that is done with its walk, `[N][P]`.
///
/// # Errors
/// A file is missing or damaged.
pub fn read(dir: &RunDir) -> anyhow::Result<Vec<Vec<f32>>> {
    let record: WalkRecord = dir.read_json("walk.json")?;
    read_groups(dir, 0..record.particles.len())
}
