//! Random streams: one for every purpose and index, so that results depend on the seed alone and
//! not on the order in which work is done or the number of threads.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

/// Purpose of a random stream. Adding a purpose leaves the other streams as they were.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Rows set aside for calibration.
    Split = 1,
    /// Rows shared out over the folds of cross-validation.
    Folds = 2,
    /// Initial weights of MAP training.
    Initialisation = 3,
    /// The fixed drift of a particle.
    Drift = 4,
    /// The order of mini-batches.
    Batches = 5,
    /// Probe inputs at which functions are compared.
    Probes = 6,
    /// Initial decoder and encoder.
    Decoder = 7,
    /// Latent codes drawn while the decoder is fitted.
    LatentFit = 8,
    /// Latent codes drawn to evaluate or to choose stored codes.
    Codes = 9,
    /// Inputs that are foreign to the data, for demonstrations.
    Foreign = 10,
    /// Rows and networks whose speed is measured.
    Benchmark = 11,
    /// Rows that methods are compared on.
    Test = 12,
    /// Logits drawn from Laplace's approximation.
    Laplace = 13,
    /// Mini-batches and draws of SWAG.
    Swag = 14,
    /// Units that MC dropout drops.
    Dropout = 15,
    /// Momenta and trajectories of Hamiltonian Monte Carlo, one stream a chain.
    Hmc = 16,
    /// Rows of a file that are taken instead of all.
    Take = 17,
    /// Rows that an imported network is compared with its original on.
    Import = 18,
    /// Refinement of particles, one stream a particle.
    Refine = 19,
    /// Tuning of the refinement, one stream a particle that it is tuned on.
    RefineTuning = 20,
}

/// The stream for `purpose` and `index` under `seed`.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Xoshiro256PlusPlus {
    // The generator's own seeding (SplitMix64) mixes; distinct odd factors keep the inputs distinct.
    let key = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add((purpose as u64).wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(index.wrapping_mul(0x8cb9_2ba7_2f3d_8dd7));
    Xoshiro256PlusPlus::seed_from_u64(key)
}
