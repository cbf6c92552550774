//! What is printed.

use fiberwalk_runtime::{Classification, Model, Stored};
use semihosting::{print, println};

use crate::golden::{CASES, Case};
use crate::{count, model, stack};

/// Pixels in a row of the picture.
const SIDE: usize = 8;
/// Pixels from paper to ink, two characters a pixel.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
/// Largest pixel value.
const INK: usize = 16;

/// The picture with the verdict beside it, as `fiberwalk demo` prints it.
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
                print!("class {top}, probability {probability:.3}");
            }
            3 => print!(
                "entropy {:.3}, mutual information {:.3}",
                class.entropy, class.mutual_information
            ),
            4 => {
                print!("prediction set {{");
                for (index, class) in class.set().enumerate() {
                    print!("{}{class}", if index == 0 { "" } else { ", " });
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

/// What a prediction costs here.
pub fn cost(model: &Model<'_>, scratch: &mut [u32]) {
    let input = CASES[0].input();
    let counter = count::Counter::calibrated();
    println!("Measured on {} in QEMU: instructions executed, not cycles of a real chip", env!("FIRMWARE_BOARD"));
    let pass = counter.instructions(|| model.predict_mean(&input, scratch).is_ok());
    println!("  one deterministic pass  {pass:>9}");
    for samples in [1, 4, 8, model::SAMPLES] {
        let spent =
            counter.instructions(|| model.predict(&input, &mut Stored, samples, scratch).is_ok());
        let tenths = 10 * spent / pass.max(1);
        println!("  {samples:>2} samples              {spent:>9}  = {}.{} passes", tenths / 10, tenths % 10);
    }
    let image = stack::flash_image();
    println!("  flash: model {} bytes, code and constants {} bytes", model::MODEL.len(), image - model::MODEL.len());
    println!("  scratch {} bytes, peak stack {} bytes with it", 4 * model::SCRATCH_LEN, stack::peak());
}
