//! What a prediction costs.

use core::hint::black_box;

use fiberwalk_runtime::{Codes, Feature, Model};

use crate::count::Counter;

/// Words of scratch, more than any measured model needs.
pub const SCRATCH: usize = 840;

/// Instructions of a prediction.
pub fn cost<F: Feature>(
    model: &Model<'_>,
    input: &[F],
    mut codes: impl Codes,
    samples: usize,
    counter: &Counter,
) -> u64 {
    let mut scratch = [0; SCRATCH];
    counter.instructions(|| {
        black_box(model.predict(input, &mut codes, samples, &mut scratch)).ok();
    })
}
