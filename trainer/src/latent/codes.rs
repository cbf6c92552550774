//! Latent codes for the board: few that stand for many.

use rayon::prelude::*;

use crate::decoder::{DecoderShape, ProbePool, mean_distance, standard_normal};
use crate::device::Device;
use crate::random::{Purpose, stream};

/// Random codes that are chosen from.
const CANDIDATES: usize = 512;
/// Probes at which they are compared.
const PROBES: usize = 384;

/// Chooses `count` codes one after another, each the one that brings the set so far closest to
/// the particles in energy score, so that the first S are a good set for every S. Returns their
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
    let mut rng = stream(seed, Purpose::Codes, 0);
    let codes = standard_normal(shape.latent_dim, CANDIDATES.max(2 * count), &mut rng);
    let modulations = shape.modulations(decoder, &codes);
    let spacing = (pool.len() / PROBES).max(1);
    let indices: Vec<usize> = (0..pool.len()).step_by(spacing).collect();
    let probes = pool.select(&indices);
    let rows = indices.len();
    let thetas: Vec<_> = modulations.par_iter().map(|s| shape.decode(decoder, s)).collect();
    let mut outputs = device.outputs(&shape.architecture, &thetas, &probes.batch)?;
    outputs.par_iter_mut().for_each(|outputs| probes.standardise(outputs));
    let all: Vec<usize> = (0..pool.particles()).collect();
    let particles = pool.functions_at(&all, &indices);

    let to_particles: Vec<f64> = outputs
        .par_iter()
        .map(|own| {
            let distances = particles.iter().map(|other| mean_distance(own, other, rows));
            distances.sum::<f64>() / particles.len() as f64
        })
        .collect();
    // Sums over the chosen codes: of the distances to particles, of those between all pairs, and
    // for every candidate of its distances to the chosen.
    let (mut attraction, mut repulsion) = (0.0, 0.0);
    let mut to_chosen = vec![0.0; outputs.len()];
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    for size in 1..=count {
        let size = size as f64;
        let score = |candidate: usize| {
            (attraction + to_particles[candidate]) / size
                - (repulsion + 2.0 * to_chosen[candidate]) / (2.0 * size * size)
        };
        let best = (0..outputs.len())
            .filter(|candidate| !chosen.contains(candidate))
            .min_by(|&a, &b| score(a).total_cmp(&score(b)))
            .expect("there are at least twice as many candidates");
        attraction += to_particles[best];
        repulsion += 2.0 * to_chosen[best];
        chosen.push(best);
        to_chosen
            .par_iter_mut()
            .zip(&outputs)
            .for_each(|(sum, own)| *sum += mean_distance(own, &outputs[best], rows));
    }
    Ok(chosen.into_iter().map(|index| modulations[index].clone()).collect())
}
