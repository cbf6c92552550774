//! What a prediction of a digit costs, in lines.

use core::hint::black_box;

use fiberwalk_runtime::{Model, PredictError, Prediction, Stored};
use semihosting::println;

use crate::cases::CASES;
use crate::count::Counter;
use crate::{board, model, stack};

/// Numbers of samples whose price is shown.
const SAMPLES: [usize; 4] = [1, 4, 8, 16];

/// Nothing of a prediction may be left out because nobody looks at it.
fn used(prediction: Result<Prediction<'_>, PredictError>) {
    black_box(prediction).ok();
}

/// What a prediction costs here. A prediction that fails would be free, but all have succeeded on
/// the same input before.
pub fn show(model: &Model<'_>, scratch: &mut [u32]) {
    let input = CASES[0].pixels;
    let counter = Counter::calibrated();
    println!("Instructions executed on {} in QEMU (not cycles of a real chip):", board::NAME);
    let pass = counter.instructions(|| used(model.predict_mean(&input, scratch))).max(1);
    println!("  one deterministic pass  {pass:>9}");
    for samples in SAMPLES.into_iter().filter(|&samples| samples <= model::SAMPLES) {
        let spent =
            counter.instructions(|| used(model.predict(&input, &mut Stored, samples, scratch)));
        let hundredths = 100 * spent / pass;
        let (passes, rest) = (hundredths / 100, hundredths % 100);
        println!("  {samples:>2} samples              {spent:>9}  {passes}.{rest:02} passes");
    }
    let reading = stack::depth(|| Model::from_bytes(model::MODEL).is_ok());
    let predicting =
        stack::depth(|| used(model.predict(&input, &mut Stored, model::SAMPLES, scratch)));
    let image = stack::flash_image();
    println!("Bytes of RAM:");
    println!("  scratch                 {:>9}", size_of_val(scratch));
    println!("  model, as read          {:>9}", size_of_val(model));
    println!("  peak stack, reading     {reading:>9}");
    println!("  peak stack, predicting  {predicting:>9}");
    println!("Bytes of flash:");
    println!("  model                   {:>9}", model::MODEL.len());
    println!("  this program            {:>9}", image - model::MODEL.len());
}
