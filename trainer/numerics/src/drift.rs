//! The walk: particles leave θ* along a fixed random drift while the gradient keeps them in the
//! valley of good solutions (Reichlin, Vasco & Kragic, "Walking on the Fiber", arXiv 2512.01500).
//!
//! Particle i minimises L(θ) − d_iᵀθ. With the data-noise drift cov(d) = GGN + αI, so in the
//! quadratic limit the end points are samples of Laplace's approximation; beyond it they follow
//! the curved valley.

use anyhow::Context;
use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checkpoints::Checkpoints;
use crate::descent::{
    ControlVariate, Descended, Descent, Measured, Particle, Schedule, TrainingSet, distance,
    penalty,
};
use crate::device::Device;
use crate::network::{Architecture, Tape};
use crate::posterior::{self, Metric, Potential};
use crate::random::{Purpose, stream};
use crate::task::Likelihood;

/// How a particle's drift is drawn. Both have the scale that the posterior itself sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// d = √(α P) · u, u uniform on the unit sphere (the paper's drift, its length fixed by α).
    Isotropic,
    /// d = √α · ε + Σ_n ∇θ −log p(ỹ_n | x_n, θ*) with ỹ_n drawn from the MAP's own predictive.
    DataNoise,
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Isotropic => "isotropic",
            Self::DataNoise => "data-noise",
        })
    }
}

/// A walk: all that its particles share.
pub struct Walk<'a> {
    /// Network.
    pub architecture: &'a Architecture,
    /// Training rows.
    pub set: &'a TrainingSet,
    /// Likelihood of a target.
    pub likelihood: Likelihood,
    /// Prior precision of every parameter, `[P]`.
    pub prior_precision: &'a [f32],
    /// Kind of drift.
    pub drift: Drift,
    /// Posterior temperature T: the drift is scaled by √T (T < 1 is a cold posterior).
    pub temperature: f32,
    /// Number of steps and learning rate.
    pub schedule: Schedule,
    /// Whether particles go to rest by second order, where that [pays](pays_second_order), and not by gradient steps.
    pub second_order: bool,
    /// Whether each layer is walked: the others stay at the MAP.
    pub walked: &'a [bool],
    /// Seed of the drifts.
    pub seed: u64,
}

/// Where a particle ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Mean negative log-likelihood of the training rows at the particle, nats.
    pub nll: f64,
    /// Euclidean distance from θ*.
    pub distance: f64,
    /// Whether the particle explains the training rows at least half as well as θ* does, measured
    /// from a model that ignores the inputs.
    pub in_valley: bool,
}

/// Whether the walk of these layers on so many rows may go by second order: all that is behind the first of them
/// walks, and [`posterior::is_for`] it.
pub fn pays_second_order(
    architecture: &Architecture,
    walked: &[bool],
    rows: usize,
    batch_rows: usize,
) -> bool {
    let first = first_of(walked);
    let (_, after) = architecture.split_at(first);
    walked[first..].iter().all(|&walked| walked) && posterior::is_for(&after, rows, batch_rows)
}

/// Most steps of a particle that goes to rest by second order.
pub const MOST_STEPS: usize = 200;

/// Index of the first layer that is walked.
pub fn first_of(walked: &[bool]) -> usize {
    walked.iter().position(|&walked| walked).unwrap_or(0)
}

impl Walk<'_> {
    /// Walks particles `range` (particle i from `maps[i mod M]`) to their ends, `[N][P]`.
    /// `report` is called with the number of particle-steps done since its last call.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(
        &self,
        device: &Device,
        maps: &[Vec<f32>],
        range: std::ops::Range<usize>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let ends = self.run_traced(device, maps, range, &Checkpoints::none(), report)?;
        Ok(ends.into_iter().map(|end| end.theta).collect())
    }

    /// Walks to the same ends as [`Self::run`], and measures every particle at the checkpoints.
    ///
    /// # Errors
    /// The device fails.
    pub fn run_traced(
        &self,
        device: &Device,
        maps: &[Vec<f32>],
        range: std::ops::Range<usize>,
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        let first = first_of(self.walked);
        let (before, after) = self.architecture.split_at(first);
        let Some(before) = before else {
            let particles = range.map(|particle| (particle, particle % maps.len())).collect();
            return self.descend(device, maps, particles, checkpoints, report);
        };
        // Every map has inputs of its own for the layers that are walked.
        let fixed = before.parameters();
        let mut ends: Vec<(usize, Descended)> = Vec::with_capacity(range.len());
        for (index, map) in maps.iter().enumerate() {
            let (kept, start) = map.split_at(fixed);
            let own: Vec<usize> =
                range.clone().filter(|particle| particle % maps.len() == index).collect();
            let walk = Walk {
                architecture: &after,
                set: &self.set.behind(&before, kept)?,
                prior_precision: &self.prior_precision[fixed..],
                walked: &self.walked[first..],
                ..*self
            };
            let particles = own.iter().map(|&particle| (particle, 0)).collect();
            let walked = walk.descend(device, &[start.to_vec()], particles, checkpoints, report)?;
            let prior = penalty(kept, &self.prior_precision[..fixed]);
            ends.extend(own.into_iter().zip(walked).map(|(particle, mut end)| {
                end.theta = [kept, &end.theta].concat();
                end.trace.iter_mut().for_each(|measured| measured.prior += prior);
                (particle, end)
            }));
        }
        ends.sort_by_key(|(particle, _)| *particle);
        Ok(ends.into_iter().map(|(_, end)| end).collect())
    }

    /// Walks all layers of `particles`, each with the place of its map.
    fn descend(
        &self,
        device: &Device,
        maps: &[Vec<f32>],
        particles: Vec<(usize, usize)>,
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        let control =
            |map: &Vec<f32>| ControlVariate::at(map, self.set, self.architecture, self.likelihood);
        if self.second_order {
            return self.follow(maps, particles, checkpoints, report);
        }
        let controls = maps.par_iter().map(control).collect::<std::io::Result<Vec<_>>>()?;
        let particles: Vec<_> = particles
            .into_par_iter()
            .map(|(particle, map)| {
                let start = &maps[map];
                let drift = Some(self.draw_drift(start, particle));
                Particle { start, drift, control: controls[map].as_ref(), watch: None }
            })
            .collect();
        let stays: Vec<bool> = self.walked.iter().map(|walked| !walked).collect();
        let held = self.architecture.per_parameter(&stays);
        let descent = Descent {
            architecture: self.architecture,
            set: self.set,
            likelihood: self.likelihood,
            prior_precision: self.prior_precision,
            held: held.contains(&true).then_some(&held),
            schedule: self.schedule,
        };
        descent.run_traced(device, &particles, checkpoints, report)
    }

    /// Most steps of a particle.
    pub fn steps(&self) -> usize {
        if self.second_order { MOST_STEPS } else { self.schedule.steps }
    }

    /// Takes `particles`, each with the place of its map, to rest in the metric of the curvature at their maps.
    fn follow(
        &self,
        maps: &[Vec<f32>],
        particles: Vec<(usize, usize)>,
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        let prior = || self.prior_precision.iter().map(|&alpha| f64::from(alpha));
        let potential = || Potential::new(self.architecture, self.set, self.likelihood, prior());
        let wide = |theta: &Vec<f32>| theta.iter().map(|&value| f64::from(value)).collect();
        let starts: Vec<Vec<f64>> = maps.iter().map(wide).collect();
        let metric = |start: &Vec<f64>| Metric::new(potential().curvature(start));
        let metrics: Option<Vec<Metric>> = starts.iter().map(metric).collect();
        let metrics = metrics.context("the curvature at a MAP is not positive definite")?;
        let follow = |(particle, map): (usize, usize)| {
            let drift = self.draw_drift(&maps[map], particle);
            let measure = |theta: &[f32]| Measured {
                nll: self.set.nll(self.architecture, self.likelihood, theta)
                    / self.set.rows() as f64,
                prior: penalty(theta, self.prior_precision),
                distance: distance(theta, &maps[map]),
            };
            let mut potential = potential();
            potential.drift = Some(&drift);
            let (mut trace, mut seen) = (Vec::new(), 0);
            let mut visit = |theta: &[f64]| {
                if checkpoints.has(seen) {
                    let theta: Vec<f32> = theta.iter().map(|&value| value as f32).collect();
                    trace.push(measure(&theta));
                }
                seen += 1;
            };
            let rest = posterior::follow(
                &mut potential,
                &metrics[map],
                &starts[map],
                MOST_STEPS,
                &mut visit,
            );
            report(MOST_STEPS);
            let theta = rest.narrow();
            trace.resize(checkpoints.steps().len(), measure(&theta));
            Descended { theta, trace }
        };
        Ok(particles.into_par_iter().map(follow).collect())
    }

    /// Loss and distance of every particle from the MAP that it started at. `baseline_nll` is the
    /// mean NLL of a model that ignores the inputs.
    pub fn diagnose(
        &self,
        maps: &[Vec<f32>],
        particles: &[Vec<f32>],
        baseline_nll: f64,
    ) -> Vec<Diagnostics> {
        let mean_nll = |theta: &[f32]| {
            self.set.nll(self.architecture, self.likelihood, theta) / self.set.rows() as f64
        };
        let map_nll: Vec<f64> = maps.par_iter().map(|map| mean_nll(map)).collect();
        particles
            .par_iter()
            .enumerate()
            .map(|(index, particle)| {
                let nll = mean_nll(particle);
                let map = index % maps.len();
                Diagnostics {
                    nll,
                    distance: distance(particle, &maps[map]),
                    in_valley: nll <= 0.5 * (map_nll[map] + baseline_nll),
                }
            })
            .collect()
    }

    /// The drift of a particle that starts at `start`, `[P]`.
    fn draw_drift(&self, start: &[f32], particle: usize) -> Vec<f32> {
        let mut rng = stream(self.seed, Purpose::Drift, particle as u64);
        let mut drift: Vec<f32> =
            (0..start.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
        match self.drift {
            Drift::Isotropic => {
                let norm = drift.iter().map(|&u| f64::from(u).powi(2)).sum::<f64>().sqrt();
                let length = (start.len() as f64).sqrt() / norm;
                for (d, &alpha) in drift.iter_mut().zip(self.prior_precision) {
                    *d *= alpha.sqrt() * length as f32;
                }
            }
            Drift::DataNoise => {
                for (d, &alpha) in drift.iter_mut().zip(self.prior_precision) {
                    *d *= alpha.sqrt();
                }
                self.add_data_noise(start, &mut rng, &mut drift);
            }
        }
        let scale = self.temperature.sqrt();
        drift.iter_mut().for_each(|d| *d *= scale);
        drift
    }

    /// Adds Σ_n ∇θ −log p(ỹ_n | x_n, θ) with labels ỹ_n drawn from the predictive at θ.
    fn add_data_noise(&self, theta: &[f32], rng: &mut Xoshiro256PlusPlus, drift: &mut [f32]) {
        let mut tape = Tape::default();
        self.set.each(self.architecture, self.likelihood, |objective| {
            objective.pull_back(theta, &mut tape, drift, |tile, outputs| {
                self.likelihood.sampled_gradient(outputs, tile.len(), rng);
                0.0
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Batch, LayerShape, outputs};
    use crate::task::Targets;

    /// 40 rows of two features and three classes, and where two walks start.
    fn three_classes(architecture: &Architecture) -> (Vec<f32>, Targets, Vec<Vec<f32>>) {
        let x = (0..80).map(|value| (value as f32 * 0.9).sin()).collect();
        let targets = Targets::classes((0..40).map(|row| row % 3).collect(), 3);
        let map = |index| architecture.initialise(&mut stream(5, Purpose::Initialisation, index));
        (x, targets, (0..2).map(map).collect())
    }

    /// The last measurement is the one that the walk's record has; measuring changes nothing, with
    /// mini-batches either.
    #[test]
    fn a_traced_walk_ends_where_it_does_untraced() {
        let architecture = Architecture::perceptron(&[2, 6, 3], Activation::Tanh);
        let (x, targets, maps) = three_classes(&architecture);
        let prior_precision = vec![1.0; architecture.parameters()];
        for batch_rows in [15, 40] {
            let set = TrainingSet::of(&x, 2, &targets, batch_rows, 7);
            let walk = Walk {
                architecture: &architecture,
                set: &set,
                likelihood: Likelihood::CATEGORICAL,
                prior_precision: &prior_precision,
                drift: Drift::Isotropic,
                temperature: 1.0,
                schedule: Schedule { steps: 100, learning_rate: 0.02 },
                second_order: false,
                walked: &vec![true; architecture.depth()],
                seed: 3,
            };
            let device = Device::Cpu;
            let plain = walk.run(&device, &maps, 0..5, &|_| {}).expect("the processor");
            let checkpoints = Checkpoints::of(100);
            let traced = walk.run_traced(&device, &maps, 0..5, &checkpoints, &|_| {});
            let traced = traced.expect("the processor");
            let ends: Vec<_> = traced.iter().map(|end| end.theta.clone()).collect();
            assert_eq!(ends, plain);
            for (end, expected) in traced.iter().zip(walk.diagnose(&maps, &plain, 1.0)) {
                assert_eq!(end.trace.len(), 41);
                assert_eq!(end.trace[0].distance, 0.0);
                assert_eq!(end.trace[40].distance, expected.distance);
                assert!(batch_rows < 40 || end.trace[40].nll == expected.nll);
            }
        }
    }

    /// With the control variate at θ*, a walk in mini-batches comes to rest where one in full batches does, but
    /// later: measured by the functions that it left θ* for.
    #[test]
    fn mini_batches_end_where_full_batches_do() {
        let architecture = Architecture::perceptron(&[2, 8, 2], Activation::Tanh);
        let x: Vec<f32> = (0..800).map(|value| 2.0 * (value as f32 * 0.77).sin()).collect();
        let labels = x.chunks_exact(2).map(|x| u32::from(x[0] * x[1] + 0.3 * x[0] > 0.0)).collect();
        let targets = Targets::classes(labels, 2);
        let prior_precision = vec![1.0; architecture.parameters()];
        let (device, likelihood) = (Device::Cpu, Likelihood::CATEGORICAL);
        let [full, parts] = [400, 100].map(|rows| TrainingSet::of(&x, 2, &targets, rows, 7));
        let schedule = |steps| Schedule { steps, learning_rate: 0.02 };
        let prior_precision = prior_precision.as_slice();
        let descent = Descent {
            architecture: &architecture,
            set: &full,
            likelihood,
            prior_precision,
            held: None,
            schedule: schedule(800),
        };
        let maps = descent.maps(&device, 1, 3, &|_| {}).expect("the processor");
        let walk = |set, steps| {
            let walk = Walk {
                architecture: &architecture,
                set,
                likelihood,
                prior_precision,
                drift: Drift::Isotropic,
                temperature: 1.0,
                schedule: schedule(steps),
                second_order: false,
                walked: &vec![true; architecture.depth()],
                seed: 3,
            };
            walk.run(&device, &maps, 0..8, &|_| {}).expect("the processor")
        };
        let batch = Batch::from_rows(&x, 2);
        let of = |theta: &Vec<f32>| outputs(&architecture, theta, &batch);
        let apart = |one: &[Vec<f32>], other: &[Vec<f32>]| -> f64 {
            let each = one.iter().zip(other).map(|(one, other)| distance(&of(one), &of(other)));
            each.sum()
        };
        let whole = walk(&full, 800);
        let way = apart(&whole, &vec![maps[0].clone(); 8]);
        for (set, steps, most) in [(&full, 3000, 0.03), (&parts, 3000, 0.4), (&parts, 10_000, 0.2)]
        {
            let differs = apart(&whole, &walk(set, steps));
            assert!(differs < most * way, "{steps} steps: {differs} apart after a way of {way}");
        }
    }

    /// The layers that are not walked stay where they are, and the others walk as a network of their own
    /// would, behind them.
    #[test]
    fn the_last_layers_walk_alone() {
        let architecture = Architecture::perceptron(&[2, 6, 5, 3], Activation::Relu);
        let (x, targets, maps) = three_classes(&architecture);
        let prior_precision = architecture.per_parameter(&[1.0, 2.0, 3.0]);
        let (device, checkpoints) = (Device::Cpu, Checkpoints::of(50));
        for (drift, batch_rows) in [(Drift::DataNoise, 40), (Drift::Isotropic, 15)] {
            let set = TrainingSet::of(&x, 2, &targets, batch_rows, 7);
            let walk = Walk {
                architecture: &architecture,
                set: &set,
                likelihood: Likelihood::CATEGORICAL,
                prior_precision: &prior_precision,
                drift,
                temperature: 1.0,
                schedule: Schedule { steps: 50, learning_rate: 0.02 },
                second_order: false,
                walked: &[false, true],
                seed: 3,
            };
            let ends = walk.run_traced(&device, &maps, 1..6, &checkpoints, &|_| {});
            let ends = ends.expect("the processor");
            let (before, after) = architecture.split_at(1);
            let before = before.expect("a layer before");
            let fixed = before.parameters();
            for (end, particle) in ends.iter().zip(1..) {
                let (kept, start) = maps[particle % 2].split_at(fixed);
                let own = Walk {
                    architecture: &after,
                    set: &set.behind(&before, kept).expect("few rows"),
                    prior_precision: &prior_precision[fixed..],
                    second_order: false,
                    walked: &[true],
                    ..walk
                };
                let range = particle..particle + 1;
                let alone = own.run(&device, &[start.to_vec()], range, &|_| {});
                assert_eq!(end.theta, [kept, &alone.expect("the processor")[0]].concat());
                assert_ne!(end.theta[fixed..], *start);
                let nll = set.nll(&architecture, walk.likelihood, &end.theta) / 40.0;
                let measured = end.trace.last().expect("checkpoints");
                assert!(batch_rows < 40 || (measured.nll - nll).abs() < 1e-5);
                assert!((measured.prior - penalty(&end.theta, &prior_precision)).abs() < 1e-5);
                assert!(
                    (measured.distance - distance(&end.theta, &maps[particle % 2])).abs() < 1e-5
                );
            }
        }
    }

    /// Layers between others may stay.
    #[test]
    fn layers_between_others_stay() {
        let architecture = Architecture::perceptron(&[2, 5, 4, 3], Activation::Tanh);
        let (x, targets, maps) = three_classes(&architecture);
        let set = TrainingSet::of(&x, 2, &targets, 15, 7);
        let prior_precision = architecture.per_parameter(&[1.0, 2.0, 0.5]);
        let walk = Walk {
            architecture: &architecture,
            set: &set,
            likelihood: Likelihood::CATEGORICAL,
            prior_precision: &prior_precision,
            drift: Drift::DataNoise,
            temperature: 1.0,
            schedule: Schedule { steps: 30, learning_rate: 0.02 },
            second_order: false,
            walked: &[true, false, true],
            seed: 3,
        };
        let ends = walk.run(&Device::Cpu, &maps, 0..3, &|_| {}).expect("the processor");
        for (particle, end) in ends.iter().enumerate() {
            let moved = |layer: LayerShape| {
                end[layer.parameters()] != maps[particle % 2][layer.parameters()]
            };
            let moved: Vec<bool> = architecture.layers().map(moved).collect();
            assert_eq!(moved, walk.walked);
        }
    }
}
