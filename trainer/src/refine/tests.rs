//! The sampler where the posterior is known.

use nalgebra::DMatrix;
use rayon::ThreadPoolBuilder;

use crate::baselines::linear::{ALPHA, Linear, NOISE_STD};
use crate::posterior::{Chain, Grouping, Groups, Refine};
use crate::task::Likelihood;

const PARTICLES: usize = 48;

/// Chains of a linear model's posterior from its mean; the precision is sampled where it is not given.
fn sampled(linear: &Linear, precision: Option<&[f64]>, sweeps: usize) -> Vec<Chain> {
    let groups = Groups::new(&linear.architecture, Grouping::Layer);
    let refine = Refine {
        architecture: &linear.architecture,
        set: &linear.set,
        likelihood: Likelihood::gaussian(NOISE_STD),
        groups: &groups,
        precisions: precision,
        fixed_noise: true,
        sweeps,
        kept: sweeps / 2,
        seed: 3,
    };
    let start: Vec<f32> = linear.mean.iter().map(|&value| value as f32).collect();
    let starts = vec![start; PARTICLES];
    let tuned = refine.tune(&starts, &|_| {}).expect("positive definite");
    refine.run(&tuned, &starts, 0, &|_| {})
}

/// Mean of a quantity over all states, with its standard error from the means of the chains, which are independent.
fn average(chains: &[Chain], quantity: impl Fn(&[f32], &[f32]) -> f64) -> (f64, f64) {
    let of_chain = |chain: &Chain| {
        let values = chain.states.iter().map(|state| quantity(&state.theta, &state.precisions));
        values.sum::<f64>() / chain.states.len() as f64
    };
    let means: Vec<f64> = chains.iter().map(of_chain).collect();
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let squares: f64 = means.iter().map(|own| (own - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0))).sqrt())
}

#[test]
fn a_linear_model_is_sampled_from_its_exact_posterior() {
    let linear = Linear::new();
    let chains = sampled(&linear, Some(&[f64::from(ALPHA)]), 400);
    for i in 0..3 {
        let (found, error) = average(&chains, |theta, _| f64::from(theta[i]));
        assert!((found - linear.mean[i]).abs() < 4.0 * error, "{i}: {found} ± {error}");
        for j in 0..3 {
            let (found, error) = average(&chains, |theta, _| {
                (f64::from(theta[i]) - linear.mean[i]) * (f64::from(theta[j]) - linear.mean[j])
            });
            let exact = linear.covariance[(i, j)];
            assert!((found - exact).abs() < 4.0 * error, "({i}, {j}): {found} ± {error}, {exact}");
        }
    }
    let acceptance = chains.iter().map(|chain| chain.acceptance).sum::<f64>() / PARTICLES as f64;
    assert!((0.7..0.95).contains(&acceptance), "{acceptance}");
}

/// With its precision sampled, the posterior of α is p(y | α) p(α), one-dimensional: here by quadrature over ln α.
#[test]
fn a_precision_is_sampled_from_its_exact_posterior() {
    let linear = Linear::new();
    let rows = linear.values.len();
    let density = |logarithm: f64| {
        let alpha = logarithm.exp();
        let marginal = DMatrix::identity(rows, rows) * f64::from(NOISE_STD).powi(2)
            + &linear.design * linear.design.transpose() / alpha;
        let factor = marginal.cholesky().expect("positive definite");
        let quadratic = linear.values.dot(&factor.solve(&linear.values));
        // Gamma(½, ½) of α, in ln α.
        (-0.5 * (quadratic + factor.ln_determinant()) + 0.5 * logarithm - 0.5 * alpha).exp()
    };
    let points: Vec<f64> = (0..400).map(|index| -6.0 + 0.025 * f64::from(index)).collect();
    let weights: Vec<f64> = points.iter().map(|&point| density(point)).collect();
    let products = points.iter().zip(&weights).map(|(point, weight)| point * weight);
    let exact = products.sum::<f64>() / weights.iter().sum::<f64>();
    let chains = sampled(&linear, None, 1000);
    let (found, error) = average(&chains, |_, precisions| f64::from(precisions[0]).ln());
    assert!(error < 0.05 && (found - exact).abs() < 4.0 * error, "{found} ± {error}, {exact}");
}

#[test]
fn any_number_of_threads_samples_the_same() {
    let linear = Linear::new();
    let on = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| sampled(&linear, None, 20))
    };
    assert_eq!(on(1), on(3));
}
