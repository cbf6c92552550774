//! What predictions cost on this board, a figure a line, for `tests/costs` to read: model, figure,
//! value.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_runtime::{Model, Normal, Prediction, Stored};
use semihosting::{println, process};

#[path = "../../../../examples/firmware/src/board.rs"]
#[allow(dead_code, reason = "the board's name is not printed")]
mod board;
#[path = "../cost.rs"]
mod cost;
#[path = "../count.rs"]
mod count;
#[path = "../stack.rs"]
mod stack;

use cost::{SCRATCH, cost};
use count::Counter;

/// A model, its products, and the samples to measure.
struct Measured {
    name: &'static str,
    file: &'static [u8],
    products: u64,
    stored: &'static [usize],
    drawn: &'static [usize],
}

const MEASURED: [Measured; 3] = [
    Measured {
        name: "digits",
        file: include_bytes!("../../../../examples/firmware/models/digits.fwk"),
        products: 6464,
        stored: &[1, 4, 8, 16],
        drawn: &[32],
    },
    Measured {
        name: "A",
        file: include_bytes!("../../../compare/models/a.fwk"),
        products: 6464,
        stored: &[],
        drawn: &[],
    },
    Measured {
        name: "D",
        file: include_bytes!("../../../compare/models/d.fwk"),
        products: 65_536,
        stored: &[],
        drawn: &[],
    },
];

/// Features of the widest model.
const FEATURES: usize = 256;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    for measured in &MEASURED {
        measure(measured, &counter);
    }
    println!("|image|{}", stack::flash_image());
    process::exit(0)
}

fn measure(measured: &Measured, counter: &Counter) {
    let Measured { name, file, products, .. } = *measured;
    let show = |figure: &str, value: u64| println!("{name}|{figure}|{value}");
    let model = Model::from_bytes(file).expect("a committed model");
    // Ink and paper; for the others any bytes.
    let input: [u8; FEATURES] = black_box(core::array::from_fn(|index| (index % 17) as u8));
    let input = &input[..model.input_len()];
    let mut scratch = [0; SCRATCH];
    let reading = stack::depth(|| Model::from_bytes(black_box(file)).is_ok());
    let pass = counter.instructions(|| {
        black_box(model.predict_mean(input, &mut scratch)).ok();
    });
    let outputs = counter.instructions(|| {
        black_box(model.mean_outputs(input, &mut scratch)).ok();
    });
    show("outputs of a pass", outputs);
    show("hundredths of an instruction a product", 100 * outputs / products);
    show("prediction of a pass", pass);
    for &samples in measured.stored {
        println!("{name}|{samples} samples|{}", cost(&model, input, Stored, samples, counter));
    }
    for &samples in measured.drawn {
        let codes = Normal::seeded(1);
        println!("{name}|{samples} drawn samples|{}", cost(&model, input, codes, samples, counter));
    }
    if let Ok(Prediction::Classification(class)) = model.predict_mean(input, &mut scratch)
        && !measured.stored.is_empty()
    {
        let verdict = counter.instructions(|| (class.set_len(), class.is_sure()));
        show("prediction set and verdict", verdict);
    }
    show("model, bytes", file.len() as u64);
    show("scratch, bytes", 4 * model.scratch_len() as u64);
    show("stack to read, bytes", reading as u64);
    let most = measured.stored.iter().copied().max().unwrap_or(1);
    let predicting = stack::depth(|| {
        black_box(model.predict(input, &mut Stored, most, &mut scratch)).ok();
    });
    show("stack to predict, bytes", predicting as u64);
}
