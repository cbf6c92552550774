//! What is printed: verdicts as `fiberwalk demo` prints them, and what a prediction costs.

use core::hint::black_box;

use fiberwalk_runtime::{Classification, Model, PredictError, Prediction, Stored};
use semihosting::{print, println};

use crate::count::Counter;
use crate::golden::{CASES, Case};
use crate::{board, model, stack};

/// Pixels in a row of the picture.
const SIDE: usize = 8;
/// Pixels from paper to ink, two characters a pixel.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
/// Largest pixel value.
const INK: usize = 16;
/// Numbers of samples whose price is shown.
const SAMPLES: [usize; 4] = [1, 4, 8, 16];

/// The picture with the verdict beside it.
pub fn verdict(case: &Case, class: &Classification<'_>) {
    for (row, pixels) in case.pixels.chunks(SIDE).enumerate() {
        print!("    ");
        for &pixel in pixels {
            // Rounds to the nearest shade.
            let shade = (usize::from(pixel) * (SHADES.len() - 1) * 2 + INK) / (2 * INK);
            print!("{}", SHADES[shade.min(SHADES.len() - 1)]);
        }
        print!("    ");
        match row {
            0 => print!("{}", case.name),
            2 => {
                let (top, probability) = class.top();
                print!("class {}, probability {probability:.3}", model::CLASSES[top]);
            }
            3 => print!(
                "entropy {:.3}, mutual information {:.3}",
                class.entropy, class.mutual_information
            ),
            4 => {
                print!("prediction set {{");
                for (index, class) in class.set().enumerate() {
                    print!("{}{}", if index == 0 { "" } else { ", " }, model::CLASSES[class]);
                }
                print!("}}");
            }
            5 if class.out_of_distribution => print!("out of distribution"),
            6 => print!("{}", if class.is_sure() { "sure" } else { "unsure" }),
            _ => {}
        }
        println!();
    }
}

/// Nothing of a prediction may be left out because nobody looks at it.
fn used(prediction: Result<Prediction<'_>, PredictError>) {
    black_box(prediction).ok();
}

/// What a prediction costs here. A prediction that fails would be free, but all have succeeded on
/// the same input before.
pub fn cost(model: &Model<'_>, scratch: &mut [u32]) {
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
