//! Verdicts, as `fiberwalk demo` prints them.

use fiberwalk_runtime::Classification;
use semihosting::{print, println};

use crate::cases::Case;
use crate::model;

/// Pixels in a row of the picture.
const SIDE: usize = 8;
/// Pixels from paper to ink, two characters a pixel.
const SHADES: [&str; 5] = ["  ", "░░", "▒▒", "▓▓", "██"];
/// Largest pixel value.
const INK: usize = 16;

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
