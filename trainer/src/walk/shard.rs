//! A shard: a range of particles that one machine walks, in one file.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::at_map::RunAtMap;
use super::groups::{CURVES, THETA, groups};
use super::stage::WalkStage;
use crate::checkpoints::Checkpoints;
use crate::device::Device;
use crate::progress::Progress;
use crate::run_dir::{RunDir, rename};
use crate::tensors::{TensorFile, header};

/// Note in the file that says what it is.
const NOTE: &str = "fiberwalk-shard";
/// Name of the same record in the folder of a shard under way.
const RECORD: &str = "shard.json";
/// Name of the shard's file in that folder, before it is renamed.
const WHOLE: &str = "whole";
/// Digits of a hash that are shown.
pub(super) const SHOWN: usize = 12;

/// One of several equal parts of a walk, as `3/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 1.
    pub index: usize,
    /// Number of shards.
    pub count: usize,
}

impl Shard {
    /// Part `index`, from 1, of `count`.
    ///
    /// # Errors
    /// There is no such part.
    pub fn new(index: usize, count: usize) -> anyhow::Result<Self> {
        format!("{index}/{count}").parse()
    }

    /// Its particles, of `particles` in all.
    pub fn range(self, particles: usize) -> Range<usize> {
        // Wide, since neither number has a limit.
        let bound = |index| (index as u128 * particles as u128 / self.count as u128) as usize;
        bound(self.index - 1)..bound(self.index)
    }

    /// The shard of `count` that has a particle.
    pub(super) fn with(particle: usize, particles: usize, count: usize) -> Self {
        let share = (particle as u128 + 1) * count as u128;
        Self { index: share.div_ceil(particles as u128) as usize, count }
    }

    fn is_sound(self) -> bool {
        (1..=self.count).contains(&self.index)
    }
}

impl FromStr for Shard {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            Some(Self { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        match parsed {
            Some(Self { index, count }) if (1..=count).contains(&index) => {
                Ok(Self { index, count })
            }
            _ => bail!("`shard`: found `{text}`, expected I/N with I from 1 to N, such as 3/8"),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The run, the shard and the particles of a shard's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardRecord {
    /// Hash of all that the particles depend on.
    pub(super) run: String,
    #[serde(flatten)]
    pub(super) shard: Shard,
    /// First particle, from 0.
    pub(super) first: usize,
    /// The particle after the last.
    pub(super) end: usize,
    /// Particles of the run.
    pub(super) particles: usize,
}

impl ShardRecord {
    fn of(run: &RunAtMap, shard: Shard) -> Self {
        let particles = run.particles();
        let Range { start: first, end } = shard.range(particles);
        Self { run: run.identity.clone(), shard, first, end, particles }
    }

    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.end
    }

    fn is_sound(&self) -> bool {
        self.shard.is_sound() && self.range() == self.shard.range(self.particles)
    }
}

impl std::fmt::Display for ShardRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.run.get(..SHOWN).unwrap_or(&self.run);
        write!(f, "shard {} of run {run}", self.shard)
    }
}

/// A shard's file.
pub(super) struct ShardFile {
    pub(super) path: PathBuf,
    pub(super) record: ShardRecord,
    tensors: TensorFile,
}

impl ShardFile {
    /// Opens it, whatever run it belongs to.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let expected = || format!("{shown}: expected a shard that fiberwalk walk wrote");
        let tensors = TensorFile::open(path).with_context(expected)?;
        let Some(note) = tensors.note(NOTE) else {
            bail!("{}, found other tensors", expected());
        };
        let record: ShardRecord = serde_json::from_slice(note.as_bytes()).with_context(expected)?;
        if !record.is_sound() {
            bail!("{}, found particles {:?} in {}", expected(), record.range(), record.shard);
        }
        let [rows, _] = tensors.shape(THETA)?;
        if rows != record.range().len() {
            bail!("{shown}: found {rows} particles, expected {}", record.range().len());
        }
        Ok(Self { path: path.to_owned(), record, tensors })
    }

    /// Number of parameters of a particle.
    pub(super) fn parameters(&self) -> anyhow::Result<usize> {
        self.tensors.shape(THETA).map(|[_, parameters]| parameters)
    }

    /// Some of its particles, numbered as in the run.
    pub(super) fn particles(&self, range: Range<usize>) -> anyhow::Result<Vec<Vec<f32>>> {
        let first = self.record.first;
        let each =
            range.clone().zip(self.tensors.curves(THETA, range.start - first..range.end - first)?);
        let finite = |(particle, theta): (usize, Vec<f32>)| match theta
            .iter()
            .position(|value| !value.is_finite())
        {
            None => Ok(theta),
            Some(place) => bail!(
                "{}: particle {particle} has {} as its parameter {place}, expected finite numbers: walk \
                     shard {} again",
                self.path.display(),
                theta[place],
                self.record.shard
            ),
        };
        each.map(finite).collect()
    }

    /// Measurements of some of its particles at so many checkpoints, in the order of [`CURVES`].
    pub(super) fn curves(
        &self,
        range: Range<usize>,
        checkpoints: usize,
    ) -> anyhow::Result<[Vec<Vec<f32>>; 2]> {
        let rows = range.start - self.record.first..range.end - self.record.first;
        let expected = [self.record.range().len(), checkpoints];
        for name in CURVES {
            let found = self.tensors.shape(name)?;
            if found != expected {
                bail!("{}: {name} is {found:?}, expected {expected:?}", self.path.display());
            }
        }
        let [nll, distance] = CURVES.map(|name| self.tensors.curves(name, rows.clone()));
        Ok([nll?, distance?])
    }
}

/// Walks one shard of a run to the file `out`. Groups of particles are kept in a folder beside it
/// until the file is whole; where some are there, they are not walked again.
///
/// # Errors
/// No run with its MAP, `out` is something else already, or a file cannot be read or written.
pub fn walk_shard(
    root: &Path,
    shard: Shard,
    out: &Path,
    device: &Device,
    progress: &Progress,
) -> anyhow::Result<()> {
    let run = RunAtMap::open(root)?;
    let record = ShardRecord::of(&run, shard);
    let parts = parts_of(out);
    if out.exists() {
        let found = ShardFile::open(out).context("`out`: expected a new file, or this shard")?;
        if found.record != record {
            bail!("{} is {}, expected {record}: use another file", out.display(), found.record);
        }
        progress.note(&format!("{} is there: nothing to walk", out.display()));
        return remove(&parts);
    }
    fs::create_dir_all(&parts).with_context(|| format!("cannot create {}", parts.display()))?;
    let dir = RunDir::locked(&parts)?;
    if dir.has(RECORD) {
        let found: ShardRecord = dir.read_json(RECORD, |_| Ok(()))?;
        if found != record {
            bail!(
                "{} is of {found}, expected {record}: remove it, or use another file",
                parts.display()
            );
        }
    } else {
        dir.write_json(RECORD, &record)?;
    }
    let (parameters, checkpoints) = (run.architecture.parameters(), run.checkpoints());
    let (stage, walked) =
        WalkStage::open(run)?.walk_groups(&dir, record.range(), 0, device, progress, None)?;
    join(&dir, &record, parameters, &checkpoints)?;
    rename(&dir.path(WHOLE), out)?;
    stage.finish(&format!("{} particles in {}{walked}", record.range().len(), out.display()));
    remove(&parts)
}

/// The folder of a shard that is under way to the file `out`.
pub fn parts_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".parts");
    PathBuf::from(name)
}

fn remove(parts: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(parts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", parts.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the groups in `dir` to one file in it, one group in memory at a time: particles, then what was
/// measured of them.
fn join(
    dir: &RunDir,
    record: &ShardRecord,
    parameters: usize,
    checkpoints: &Checkpoints,
) -> anyhow::Result<()> {
    let particles = record.range().len();
    let measured = CURVES.map(|name| (name, [particles, checkpoints.steps().len()]));
    let matrices = [[(THETA, [particles, parameters])].as_slice(), &measured].concat();
    let note = serde_json::to_string(record).context("cannot format JSON")?;
    let header = header(&matrices, Some((NOTE, note)))?;
    dir.write_with(WHOLE, &mut |file| {
        file.write_all(&header)?;
        for (name, _) in &matrices {
            for group in groups(record.range()) {
                let held = if *name == THETA { &group.file } else { &group.trace };
                let read = || {
                    let tensors = TensorFile::open(&dir.path(held))?;
                    let [rows, _] = tensors.shape(name)?;
                    tensors.curves(name, 0..rows)
                };
                let rows = read().map_err(io::Error::other)?;
                let mut values = rows.iter().flatten();
                values.try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_any_number_cover_every_particle_once() {
        for particles in [2, 40, 64, 1024] {
            for count in [1, 3, 7, 64, 100] {
                let shards = (1..=count).map(|index| Shard { index, count });
                let all: Vec<usize> = shards.flat_map(|shard| shard.range(particles)).collect();
                assert_eq!(all, (0..particles).collect::<Vec<_>>(), "{particles} in {count}");
                for particle in 0..particles {
                    let shard = Shard::with(particle, particles, count);
                    assert!(shard.range(particles).contains(&particle), "{particle} in {shard}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_shard_is_refused() {
        for text in ["0/4", "5/4", "x", "1", "1/0", "/", "-1/4", "1/2/3", ""] {
            let message = text.parse::<Shard>().expect_err("no shard").to_string();
            assert!(message.contains(&format!("found `{text}`")), "{message}");
        }
        assert_eq!("3/8".parse::<Shard>().expect("a shard"), Shard { index: 3, count: 8 });
    }
}
