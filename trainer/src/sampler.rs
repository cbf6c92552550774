//! The sampler of a run's posterior as its settings have it: what chooses hyper-parameters and what refines particles
//! sample alike.

use crate::config;
use crate::descent::TrainingSet;
use crate::network::Architecture;
use crate::posterior::{self, Groups, Refine};
use crate::stage::Training;
use crate::task::Likelihood;

/// A sampler as a run's settings have it.
#[derive(Clone, Debug)]
pub struct Sampler {
    groups: Groups,
    precisions: Option<Vec<f64>>,
    fixed_noise: bool,
    settings: config::Refine,
}

impl Sampler {
    /// The sampler of a run; none where its settings, or its network and rows, leave particles as they are.
    pub fn of(training: &Training<'_>) -> Option<Self> {
        let (config, architecture) = (training.config, &training.architecture);
        let (rows, batch_rows) = (training.record.split.training.len(), config.walk.batch_rows);
        let possible = training.walked.iter().all(|&walked| walked)
            && posterior::is_for(architecture, rows, batch_rows);
        if config.refine.sweeps == 0 || !possible {
            return None;
        }
        let groups = Groups::new(architecture, config.refine.groups);
        let fixed = config.map.layer_precisions(architecture.depth());
        let precisions = fixed.map(|fixed| {
            let each = architecture.per_parameter(&fixed).into_iter().map(f64::from);
            let sums = groups.sums(each).into_iter().zip(groups.counts());
            sums.map(|(sum, &count)| sum / count as f64).collect()
        });
        let fixed_noise = config.map.noise_std.fixed().is_some();
        Some(Self { groups, precisions, fixed_noise, settings: config.refine.clone() })
    }

    /// Sweeps of a particle.
    pub const fn sweeps(&self) -> usize {
        self.settings.sweeps
    }

    /// The refinement of particles on `set`.
    pub fn on<'s>(
        &'s self,
        architecture: &'s Architecture,
        set: &'s TrainingSet,
        likelihood: Likelihood,
        seed: u64,
    ) -> Refine<'s> {
        Refine {
            architecture,
            set,
            likelihood,
            groups: &self.groups,
            precisions: self.precisions.as_deref(),
            fixed_noise: self.fixed_noise,
            sweeps: self.settings.sweeps,
            kept: self.settings.kept,
            seed,
        }
    }
}
