//! Shards joined to what a walk in one place would have left.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::at_map::RunAtMap;
use super::groups::groups;
use super::shard::{SHOWN, Shard, ShardFile};
use super::stage::STAGE;
use crate::progress::Progress;
use crate::run_dir::Lock;

/// Writes the particles of all shards of a run to its directory, a group in memory at a time.
///
/// # Errors
/// A shard of another run, a particle that is in two shards or in none, a walk that is done already,
/// or a file that cannot be read or written. Nothing is written unless every particle is there.
pub fn merge(root: &Path, paths: &[PathBuf], progress: &Progress) -> anyhow::Result<()> {
    let run = RunAtMap::open(root)?;
    let shown = root.display();
    let _lock = Lock::take(root)?;
    if run.dir.has(STAGE.last_file()) {
        bail!(
            "the walk of {shown} is done already (see its {}): there is nothing to merge",
            STAGE.last_file()
        );
    }
    let mut shards = Vec::with_capacity(paths.len());
    for path in paths {
        let shard = ShardFile::open(path)?;
        if shard.record.run != run.identity || shard.record.particles != run.particles() {
            bail!(
                "{}: found {}, expected one of the run in {shown}, {}",
                path.display(),
                shard.record,
                run.identity.get(..SHOWN).unwrap_or_default()
            );
        }
        let (found, expected) = (shard.parameters()?, run.architecture.parameters());
        if found != expected {
            bail!("{}: found {found} parameters, expected {expected}", path.display());
        }
        shards.push(shard);
    }
    shards.sort_by_key(|shard| (shard.record.first, shard.record.end));
    complete(&shards, run.particles())?;

    let stage = progress.stage("merge", run.particles());
    let checkpoints = run.checkpoints();
    for group in groups(0..run.particles()) {
        let mut particles = Vec::with_capacity(group.particles.len());
        let mut curves = [Vec::new(), Vec::new()];
        for shard in &shards {
            let part = common(&shard.record.range(), &group.particles);
            if !part.is_empty() {
                particles.extend(shard.particles(part.clone())?);
                let own = shard.curves(part, checkpoints.steps().len())?;
                curves.iter_mut().zip(own).for_each(|(all, own)| all.extend(own));
            }
        }
        group.write(&run.dir, &particles, &checkpoints, &curves)?;
        stage.advance(particles.len());
    }
    stage.finish(&format!("{} particles of {} shards", run.particles(), shards.len()));
    Ok(())
}

/// Checks that every particle is in one of `shards`, which are in order, and in no other.
fn complete(shards: &[ShardFile], particles: usize) -> anyhow::Result<()> {
    let mut end = 0;
    let mut missing = Vec::new();
    let mut before: Option<&ShardFile> = None;
    for shard in shards.iter().filter(|shard| !shard.record.range().is_empty()) {
        let range = shard.record.range();
        if let Some(before) = before.filter(|_| range.start < end) {
            bail!(
                "{} are in both {} and {}: leave one of them out",
                named(&[common(&before.record.range(), &range)]),
                before.path.display(),
                shard.path.display()
            );
        }
        if range.start > end {
            missing.push(end..range.start);
        }
        end = range.end;
        before = Some(shard);
    }
    if end < particles {
        missing.push(end..particles);
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Where all shards are of one number, those that have the particles.
    let count = shards.first().map_or(1, |shard| shard.record.shard.count);
    if shards.iter().any(|shard| shard.record.shard.count != count) {
        bail!("{} are missing: no shard has them", named(&missing));
    }
    let mut absent: Vec<usize> = missing
        .iter()
        .flat_map(Clone::clone)
        .map(|particle| Shard::with(particle, particles, count).index)
        .collect();
    absent.dedup();
    let shown: Vec<String> = absent.iter().map(|index| format!("{index}/{count}")).collect();
    let (noun, verb) = if absent.len() == 1 { ("shard", "has") } else { ("shards", "have") };
    let shown = shown.join(", ");
    bail!("{} are missing: {noun} {shown} {verb} not been merged", named(&missing))
}

/// Intersection of two ranges.
fn common(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    one.start.max(other.start)..one.end.min(other.end)
}

/// Ranges of particles for a reader, from 0.
fn named(ranges: &[Range<usize>]) -> String {
    let each = ranges.iter().map(|range| format!("{} to {}", range.start, range.end - 1));
    format!("particles {}", each.collect::<Vec<_>>().join(", "))
}
