//! Few functions that stand for many: the particles that a mixture starts from, and the codes that a board stores.

use rayon::prelude::*;

use crate::decoder::{
    DecoderShape, LatentLaw, ProbePool, draw_modulations, mean_distance, standard_normal,
};
use crate::device::Device;
use crate::random::{Purpose, stream};

/// Random codes that are chosen from.
const CANDIDATES: usize = 512;
/// Probes at which they are compared.
const PROBES: usize = 384;

/// Chooses the `count` particles that together are closest to all of them; returns their indices.
pub fn choose_particles(pool: &ProbePool, count: usize) -> Vec<usize> {
    let indices = probes(pool);
    let all: Vec<usize> = (0..pool.particles()).collect();
    let particles = pool.functions_at(&all, &indices);
    closest(&particles, &particles, indices.len(), count)
}

/// Chooses `count` codes of a decoder, or as many as it has, that together are closest to the particles. Returns their
/// modulations, `[count][modulation_len]`.
///
/// # Errors
/// The device fails.
pub fn choose_codes(
    device: &Device,
    shape: &DecoderShape,
    decoder: &[f32],
    pool: &ProbePool,
    count: usize,
    seed: u64,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let modulations = match shape.law() {
        LatentLaw::Normal(k) => {
            let mut rng = stream(seed, Purpose::Codes, 0);
            let codes = standard_normal(k, CANDIDATES.max(2 * count), &mut rng);
            shape.modulations(decoder, &codes)
        }
        LatentLaw::UnitVectors(all) => draw_modulations(shape, decoder, all, seed),
    };
    let indices = probes(pool);
    let probes = pool.select(&indices);
    let thetas: Vec<_> = modulations.par_iter().map(|s| shape.decode(decoder, s)).collect();
    let mut outputs = device.outputs(&shape.architecture, &thetas, &probes.batch)?;
    outputs.par_iter_mut().for_each(|outputs| probes.standardise(outputs));
    let all: Vec<usize> = (0..pool.particles()).collect();
    let particles = pool.functions_at(&all, &indices);
    let chosen = closest(&outputs, &particles, indices.len(), count.min(modulations.len()));
    Ok(chosen.into_iter().map(|index| modulations[index].clone()).collect())
}

/// Indices of the probes that functions are compared at.
fn probes(pool: &ProbePool) -> Vec<usize> {
    (0..pool.len()).step_by((pool.len() / PROBES).max(1)).collect()
}

/// Chooses `count` of `functions` one after another, each the one that brings the set so far closest to the
/// `particles` in energy score, so that the first S are a good set for every S.
fn closest(
    functions: &[Vec<f32>],
    particles: &[Vec<f32>],
    rows: usize,
    count: usize,
) -> Vec<usize> {
    let to_particles: Vec<f64> = functions
        .par_iter()
        .map(|own| {
            let distances = particles.iter().map(|other| mean_distance(own, other, rows));
            distances.sum::<f64>() / particles.len() as f64
        })
        .collect();
    // Sums over the chosen: of the distances to particles, of those between all pairs, and
    // for every candidate of its distances to the chosen.
    let (mut attraction, mut repulsion) = (0.0, 0.0);
    let mut to_chosen = vec![0.0; functions.len()];
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    for size in 1..=count {
        let size = size as f64;
        let score = |candidate: usize| {
            (attraction + to_particles[candidate]) / size
                - (repulsion + 2.0 * to_chosen[candidate]) / (2.0 * size * size)
        };
        let best = (0..functions.len())
            .filter(|candidate| !chosen.contains(candidate))
            .min_by(|&a, &b| score(a).total_cmp(&score(b)))
            .expect("there are as many");
        attraction += to_particles[best];
        repulsion += 2.0 * to_chosen[best];
        chosen.push(best);
        to_chosen
            .par_iter_mut()
            .zip(functions)
            .for_each(|(sum, own)| *sum += mean_distance(own, &functions[best], rows));
    }
    chosen
}
