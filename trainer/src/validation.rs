//! Held-out NLL while a stage is under way, for the eyes of whoever waits: nothing is chosen by it.

use crate::data::{Rows, evenly};
use crate::metrics::mean;
use crate::network::{Architecture, Batch};
use crate::task::{Calibration, Predictive, Targets};

/// Most rows that it is computed on.
const MOST_ROWS: usize = 1000;

/// The calibration rows, or evenly spaced ones where there are many.
pub struct Validation<'a> {
    architecture: &'a Architecture,
    batch: Batch,
    targets: Targets,
}

impl<'a> Validation<'a> {
    /// Takes the named `rows`, which no stage is fitted to.
    pub fn new(architecture: &'a Architecture, rows: &Rows, named: &[usize]) -> Self {
        let places = evenly(named.len(), MOST_ROWS);
        let rows = rows.subset(&places.into_iter().map(|place| named[place]).collect::<Vec<_>>());
        let batch = rows.x.to_batch();
        Self { architecture, batch, targets: rows.targets }
    }

    /// Mean NLL of the mixture of `thetas: [N][P]` under `calibration`, nats; regression in
    /// standardised units.
    pub fn nll(&self, thetas: &[Vec<f32>], calibration: Calibration) -> f64 {
        self.score(&self.predictive(thetas), calibration)
    }

    fn predictive(&self, thetas: &[Vec<f32>]) -> Predictive {
        Predictive::of(self.architecture, &self.targets, thetas, &self.batch)
    }

    fn score(&self, predictive: &Predictive, calibration: Calibration) -> f64 {
        mean(&predictive.nll(&self.targets, calibration))
    }
}

/// The mixture of the networks that are finished so far.
pub struct Finished<'a> {
    validation: &'a Validation<'a>,
    calibration: Calibration,
    count: usize,
    predictive: Option<Predictive>,
}

impl<'a> Finished<'a> {
    /// A mixture of no networks so far.
    pub const fn new(validation: &'a Validation<'a>, calibration: Calibration) -> Self {
        Self { validation, calibration, count: 0, predictive: None }
    }

    /// Adds `thetas: [N][P]`, at least one; mean NLL of all so far, as of [`Validation::nll`].
    pub fn add(&mut self, thetas: &[Vec<f32>]) -> f64 {
        let added = self.validation.predictive(thetas);
        let predictive = match self.predictive.take() {
            None => added,
            Some(before) => before.mixed(self.count, &added, thetas.len()),
        };
        self.count += thetas.len();
        let nll = self.validation.score(&predictive, self.calibration);
        self.predictive = Some(predictive);
        nll
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Inputs;
    use crate::network::Activation;
    use crate::random::{Purpose, stream};
    use crate::task::{NoiseStd, Temperature};

    #[test]
    fn networks_that_come_in_groups_are_one_mixture() {
        let x: Vec<f32> = (0..60).map(|value| (value as f32 * 0.7).sin()).collect();
        let classes = Targets::classes((0..20).map(|row| row % 3).collect(), 3);
        let values = Targets::Regression(x[..20].to_vec());
        for (targets, outputs, calibration) in [
            (classes, 3, Calibration::Classification(Temperature(0.8))),
            (values, 1, Calibration::Regression(NoiseStd(0.5))),
        ] {
            let architecture = Architecture::perceptron(&[3, 5, outputs], Activation::Tanh);
            let rows = Rows { x: Inputs::standardised(x.clone(), 3), targets, groups: None };
            let named: Vec<usize> = (5..20).collect();
            let validation = Validation::new(&architecture, &rows, &named);
            let mut rng = stream(1, Purpose::Probes, 0);
            let thetas: Vec<_> = (0..7).map(|_| architecture.initialise(&mut rng)).collect();
            let mut finished = Finished::new(&validation, calibration);
            finished.add(&thetas[..2]);
            finished.add(&thetas[2..6]);
            let found = finished.add(&thetas[6..]);
            let expected = validation.nll(&thetas, calibration);
            assert!((found - expected).abs() < 1e-5, "{found} but {expected}");
        }
    }
}
