//! Clothes, and digits that are none, on a bare board: what small convolutional networks think of a few
//! images, and what that costs.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_runtime::{Classification, Model, Prediction, Stored};
use semihosting::{print, println, process};

#[path = "../board.rs"]
mod board;
#[path = "../count.rs"]
mod count;

use count::Counter;

/// A network, and images that it knows and that it does not.
struct Example {
    name: &'static str,
    file: &'static [u8],
    known: &'static [u8],
    labels: &'static [u8],
    foreign: &'static [u8],
}

/// A file of `examples/images`.
macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../images/", $name))
    };
}

const EXAMPLES: [Example; 3] = [
    Example {
        name: "clothes, the small network",
        file: file!("fashion.fwk"),
        known: file!("fashion-images-idx3-ubyte"),
        labels: file!("fashion-labels-idx1-ubyte"),
        foreign: file!("mnist-images-idx3-ubyte"),
    },
    Example {
        name: "digits, the small network",
        file: file!("mnist.fwk"),
        known: file!("mnist-images-idx3-ubyte"),
        labels: file!("mnist-labels-idx1-ubyte"),
        foreign: file!("fashion-images-idx3-ubyte"),
    },
    Example {
        name: "clothes, LeNet",
        file: file!("lenet.fwk"),
        known: file!("fashion-images-idx3-ubyte"),
        labels: file!("fashion-labels-idx1-ubyte"),
        foreign: file!("mnist-images-idx3-ubyte"),
    },
];

/// Bytes before the pixels and before the labels of an idx file.
const IMAGES_HEADER: usize = 16;
const LABELS_HEADER: usize = 8;
/// Words of scratch, more than any of the networks needs.
const SCRATCH: usize = 4096;
/// Numbers of samples whose price is shown.
const SAMPLES: [usize; 3] = [1, 4, 16];

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    println!("on {}", board::NAME);
    for example in &EXAMPLES {
        let Ok(model) = Model::from_bytes(example.file) else {
            println!("{}: the model is damaged", example.name);
            process::exit(1)
        };
        println!("\n{}, {} bytes", example.name, example.file.len());
        let labels = example.labels.iter().skip(LABELS_HEADER);
        for (image, label) in images(example.known, &model).zip(labels) {
            print!("  {label}: ");
            verdict(&model, image);
        }
        for image in images(example.foreign, &model) {
            print!("  foreign: ");
            verdict(&model, image);
        }
        costs(example, &model, &counter);
    }
    process::exit(0)
}

/// The images of an idx file.
fn images<'a>(file: &'a [u8], model: &Model<'_>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    file.get(IMAGES_HEADER..).unwrap_or_default().chunks_exact(model.input_len())
}

/// Prints what the board thinks of an image, with the bits of the probability and of the entropy.
fn verdict(model: &Model<'_>, image: &[u8]) {
    let mut scratch = [0; SCRATCH];
    match model.predict(image, &mut Stored, model.samples(), &mut scratch) {
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

/// Prints what a prediction costs.
fn costs(example: &Example, model: &Model<'_>, counter: &Counter) {
    let mut scratch = [0; SCRATCH];
    let Some(image) = images(example.known, model).next().map(black_box) else { return };
    let pass = counter.instructions(|| {
        black_box(model.predict_mean(image, &mut scratch)).ok();
    });
    println!("  scratch {} bytes", 4 * model.scratch_len());
    println!("  one deterministic pass: {pass} instructions");
    for samples in SAMPLES {
        let spent = counter.instructions(|| {
            black_box(model.predict(image, &mut Stored, samples, &mut scratch)).ok();
        });
        let hundredths = 100 * spent / pass;
        println!(
            "  {samples} samples: {spent} instructions, {}.{:02} passes",
            hundredths / 100,
            hundredths % 100
        );
    }
}
