//! Groups of particles: what is written at once, so that a killed walk loses one group at most.

use std::ops::Range;

use anyhow::bail;

use super::record::PARTICLES;
use crate::checkpoints::Checkpoints;
use crate::descent::Descended;
use crate::network::Architecture;
use crate::run_dir::RunDir;
use crate::trace::{self, Trace};

/// Particles in a file.
pub(super) const GROUP: usize = 16;
/// Name of the particles, `[n, P]`, in the file of a group or a shard.
pub(super) const THETA: &str = "theta";
/// Names of what was measured of the particles at checkpoints, `[n, T]`, in the file of a trace or a
/// shard: mean NLL of the training rows, and distance from the MAP that the particle started at.
pub(super) const CURVES: [&str; 2] = ["nll", "distance"];

/// Some particles and the file that they are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) file: String,
    pub(super) trace: String,
    pub(super) particles: Range<usize>,
}

/// The groups of `particles`, in order.
pub(super) fn groups(particles: Range<usize>) -> impl Iterator<Item = Group> {
    let end = particles.end;
    particles.step_by(GROUP).enumerate().map(move |(index, first)| Group {
        file: format!("{PARTICLES}/group-{index:03}.safetensors"),
        trace: format!("{PARTICLES}/trace-{index:03}.safetensors"),
        particles: first..(first + GROUP).min(end),
    })
}

impl Group {
    /// Whether it was walked, and all of it is there.
    pub(super) fn is_done(&self, dir: &RunDir) -> bool {
        dir.has(&self.file) && dir.has(&self.trace)
    }

    /// Writes the particles, `[n][P]`, last: where they are there, so is what was measured of them,
    /// curves `[n][T]` in the order of [`CURVES`].
    pub(super) fn write(
        &self,
        dir: &RunDir,
        thetas: &[Vec<f32>],
        checkpoints: &Checkpoints,
        [nll, distance]: &[Vec<Vec<f32>>; 2],
    ) -> anyhow::Result<()> {
        let named = [(CURVES[0], nll.as_slice()), (CURVES[1], distance)];
        Trace::write(dir, &self.trace, checkpoints, &named)?;
        dir.write_tensors(&self.file, &[(THETA, thetas)])
    }

    /// Reads its particles, each of so many parameters.
    pub(super) fn read(&self, dir: &RunDir, parameters: usize) -> anyhow::Result<Vec<Vec<f32>>> {
        let thetas = dir.read_tensor(&self.file, THETA, parameters)?;
        let (found, expected) = (thetas.len(), self.particles.len());
        if found != expected {
            bail!("{} has {found} particles, expected {expected}", dir.path(&self.file).display());
        }
        Ok(thetas)
    }
}

/// Measurements of `walked` particles, in the order of [`CURVES`].
pub(super) fn curves(walked: &[Descended]) -> [Vec<Vec<f32>>; 2] {
    let traces = || walked.iter().map(|one| one.trace.as_slice());
    [trace::curves(traces(), |now| now.nll), trace::curves(traces(), |now| now.distance)]
}

/// The `particles` of a run that walked them, `[particles][P]`.
///
/// # Errors
/// A file is missing or damaged.
pub fn read(
    dir: &RunDir,
    network: &Architecture,
    particles: usize,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut all = Vec::new();
    for group in groups(0..particles) {
        all.extend(group.read(dir, network.parameters())?);
    }
    Ok(all)
}

/// How the `particles` of a run walked: curves `nll` and `distance`, one a particle. Nothing where some
/// of them walked before traces were kept.
///
/// # Errors
/// A file is damaged.
pub fn read_trace(dir: &RunDir, particles: usize) -> anyhow::Result<Option<Trace>> {
    let mut all: Option<Trace> = None;
    for group in groups(0..particles) {
        let Some(trace) = Trace::read(dir, &group.trace, &CURVES)? else { return Ok(None) };
        match &mut all {
            None => all = Some(trace),
            Some(all) if all.steps == trace.steps => {
                let pairs = all.curves.iter_mut().zip(trace.curves);
                pairs.for_each(|(all, curves)| all.extend(curves));
            }
            Some(_) => return Ok(None),
        }
    }
    Ok(all)
}
