//! What predictions with models of many shapes cost on this board, a figure a line, for
//! `tests/prices` to read: number of the model, figure, value.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_formats::Normalisation;
use fiberwalk_runtime::{Feature, LowDiscrepancy, Model, Normal, Stored};
use semihosting::{println, process};

#[path = "../../../../examples/firmware/src/board.rs"]
#[allow(dead_code, reason = "the board's name is not printed")]
mod board;
#[path = "../cost.rs"]
mod cost;
#[path = "../count.rs"]
mod count;

use cost::{SCRATCH, cost};
use count::Counter;

/// The models, each after its length in four bytes.
const MODELS: &[u8] = include_bytes!(concat!(env!("FIRMWARE_MODELS"), "/spread.bin"));
/// Numbers of samples to measure.
const STORED: [usize; 4] = [1, 4, 16, 32];
const DRAWN: usize = 4;
/// Features of the widest model.
const FEATURES: usize = 512;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    let mut rest = MODELS;
    let mut number = 0;
    while let Some((length, files)) = rest.split_first_chunk() {
        let (file, others) = files.split_at(u32::from_le_bytes(*length) as usize);
        let model = Model::from_bytes(file).expect("a model that was just made");
        measure(number, &model, &counter);
        rest = others;
        number += 1;
    }
    process::exit(0)
}

/// Feeds the model with what it was exported for.
fn measure(number: usize, model: &Model<'_>, counter: &Counter) {
    let bytes: [u8; FEATURES] = core::array::from_fn(|index| (index * 29 + number * 7) as u8);
    match model.artifact().inputs.normalisation {
        Normalisation::Float { .. } => {
            let input = bytes.map(|byte| (f32::from(byte) - 127.5) / 50.0);
            figures(number, model, &input, counter);
        }
        Normalisation::Whole { .. } => figures(number, model, &bytes, counter),
    }
}

fn figures<F: Feature>(number: usize, model: &Model<'_>, input: &[F], counter: &Counter) {
    let input = black_box(&input[..model.input_len()]);
    let mut scratch = [0; SCRATCH];
    let pass = counter.instructions(|| {
        black_box(model.predict_mean(input, &mut scratch)).ok();
    });
    println!("{number}|pass|{pass}");
    for samples in STORED {
        let cost = cost(model, input, Stored, samples, counter);
        println!("{number}|{samples} stored|{cost}");
    }
    let normal = cost(model, input, Normal::seeded(1), DRAWN, counter);
    println!("{number}|{DRAWN} drawn|{normal}");
    let sequence = LowDiscrepancy::seeded(model.latent_dim(), 1);
    let even = cost(model, input, sequence, DRAWN, counter);
    println!("{number}|{DRAWN} drawn|{even}");
}
