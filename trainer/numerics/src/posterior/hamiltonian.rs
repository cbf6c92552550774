//! Parts of Hamiltonian Monte Carlo (Neal 2011) that its users share.

/// Dual averaging of the logarithm of the step size (Hoffman & Gelman 2014, algorithm 5).
pub struct DualAveraging {
    target: f64,
    middle: f64,
    error: f64,
    log_mean: f64,
    count: f64,
}

impl DualAveraging {
    const GAMMA: f64 = 0.05;
    const T0: f64 = 10.0;
    const KAPPA: f64 = 0.75;

    /// Starts at a step size, towards this mean acceptance probability.
    pub fn from(step: f64, target: f64) -> Self {
        Self { target, middle: (10.0 * step).ln(), error: 0.0, log_mean: step.ln(), count: 0.0 }
    }

    /// Takes in an acceptance probability; returns the next step size.
    pub fn next(&mut self, acceptance: f64) -> f64 {
        self.count += 1.0;
        let share = 1.0 / (self.count + Self::T0);
        self.error += share * (self.target - acceptance - self.error);
        let log = self.middle - self.count.sqrt() / Self::GAMMA * self.error;
        let share = self.count.powf(-Self::KAPPA);
        self.log_mean += share * (log - self.log_mean);
        log.exp()
    }

    /// Returns the averaged step size, to go on with.
    pub fn mean(&self) -> f64 {
        self.log_mean.exp()
    }
}
