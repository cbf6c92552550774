//! The walk where its posterior is known.

use crate::baselines::linear::{ALPHA, Linear, NOISE_STD};
use crate::descent::Schedule;
use crate::device::Device;
use crate::drift::{Drift, Walk};
use crate::task::Likelihood;

/// Linear regression has a Gaussian posterior in closed form, N(m, (XᵀX/σ² + αI)⁻¹): the
/// data-noise walk must end at samples of it.
#[test]
fn a_linear_model_walks_to_its_exact_posterior() {
    walks_to_the_exact_posterior(false);
    walks_to_the_exact_posterior(true);
}

fn walks_to_the_exact_posterior(second_order: bool) {
    let linear = Linear::new();
    let (mean, covariance) = (&linear.mean, &linear.covariance);
    let prior_precision = vec![ALPHA; 3];
    let walk = Walk {
        architecture: &linear.architecture,
        set: &linear.set,
        likelihood: Likelihood::gaussian(NOISE_STD),
        prior_precision: &prior_precision,
        drift: Drift::DataNoise,
        temperature: 1.0,
        schedule: Schedule { steps: 400, learning_rate: 0.05 },
        second_order,
        walked: &[true],
        seed: 3,
    };
    let start: Vec<f32> = mean.iter().map(|&value| value as f32).collect();
    let count = 4000;
    let particles = walk.run(&Device::Cpu, &[start], 0..count, &|_| {}).expect("the processor");
    for i in 0..3 {
        let average = particles.iter().map(|theta| f64::from(theta[i])).sum::<f64>() / count as f64;
        assert!((average - mean[i]).abs() < 4.0 * (covariance[(i, i)] / count as f64).sqrt());
        for j in 0..3 {
            let products = particles
                .iter()
                .map(|theta| (f64::from(theta[i]) - mean[i]) * (f64::from(theta[j]) - mean[j]));
            let found = products.sum::<f64>() / count as f64;
            let scale = (covariance[(i, i)] * covariance[(j, j)]).sqrt();
            let error = (found - covariance[(i, j)]).abs() / scale;
            assert!(error < 0.08, "({i}, {j}): {found} but {}", covariance[(i, j)]);
        }
    }
}
