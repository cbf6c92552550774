//! Clothes and digits on a bare board: what small convolutional networks think of a few images, of their own kind
//! and of the other, and what that costs.
#![no_std]
#![no_main]

use fiberwalk_runtime::Model;
use semihosting::{print, println, process};

#[path = "../../../../examples/firmware/src/board.rs"]
mod board;
#[path = "../count.rs"]
mod count;
#[path = "../report.rs"]
mod report;

use count::Counter;
use report::{costs, verdict};

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
        include_bytes!(concat!("../../../../examples/images/", $name))
    };
}

const EXAMPLES: [Example; 4] = [
    Example {
        name: "clothes, the small network alone",
        file: file!("alone.fwk"),
        known: file!("fashion-images-idx3-ubyte"),
        labels: file!("fashion-labels-idx1-ubyte"),
        foreign: file!("mnist-images-idx3-ubyte"),
    },
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
        if let Some(image) = images(example.known, &model).next() {
            costs(&model, image, &counter);
        }
    }
    process::exit(0)
}

/// The images of an idx file.
fn images<'a>(file: &'a [u8], model: &Model<'_>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    file.get(IMAGES_HEADER..).unwrap_or_default().chunks_exact(model.input_len())
}
