//! What a board thinks of inputs, and what that costs, in lines.

use core::hint::black_box;

use fiberwalk_runtime::{Classification, Feature, Model, Prediction, Stored};
use semihosting::println;

use crate::count::Counter;

/// Words of scratch, more than any of the networks needs.
const SCRATCH: usize = 4096;
/// Numbers of samples whose price is shown.
const SAMPLES: [usize; 3] = [1, 4, 16];

/// Prints what the board thinks of an input, with the bits of the probability and of the entropy.
pub fn verdict<F: Feature>(model: &Model<'_>, input: &[F]) {
    let mut scratch = [0; SCRATCH];
    match model.predict(input, &mut Stored, model.samples(), &mut scratch) {
        Ok(Prediction::Classification(class)) => show(&class),
        Ok(Prediction::Regression(_)) => println!("a number"),
        Err(error) => println!("{error}"),
    }
}

fn show(class: &Classification<'_>) {
    let (top, probability) = class.top();
    let verdict = if class.out_of_distribution {
        "out of distribution"
    } else if class.is_sure() {
        "sure"
    } else {
        "unsure"
    };
    println!(
        "class {top}, probability {probability:.3} ({:08x}), entropy {:.3} ({:08x}), {verdict}",
        probability.to_bits(),
        class.entropy,
        class.entropy.to_bits()
    );
}

/// Prints what predictions cost.
pub fn costs<F: Feature>(model: &Model<'_>, input: &[F], counter: &Counter) {
    let mut scratch = [0; SCRATCH];
    let input = black_box(input);
    let pass = counter.instructions(|| {
        black_box(model.predict_mean(input, &mut scratch)).ok();
    });
    println!("  scratch {} bytes", 4 * model.scratch_len());
    println!("  one deterministic pass: {pass} instructions");
    for samples in SAMPLES.into_iter().filter(|&samples| samples <= model.samples()) {
        let spent = counter.instructions(|| {
            black_box(model.predict(input, &mut Stored, samples, &mut scratch)).ok();
        });
        let hundredths = 100 * spent / pass;
        println!(
            "  {samples} samples: {spent} instructions, {}.{:02} passes",
            hundredths / 100,
            hundredths % 100
        );
    }
}
