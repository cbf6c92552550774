//! fiberwalk: a deterministic pass, from `f32` features to a prediction.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::row;
use fiberwalk_runtime::Model;
use semihosting::process;

// Written by `models/`.
const A: &[u8] = include_bytes!("../../models/a.fwk");
const D: &[u8] = include_bytes!("../../models/d.fwk");

/// Features of the wider network.
const FEATURES: usize = 256;
/// Words of scratch, more than either needs.
const SCRATCH: usize = 1024;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    row("A", 6464, "fiberwalk", pass(&counter, A));
    row("D", 65_536, "fiberwalk", pass(&counter, D));
    process::exit(0)
}

/// Instructions of a pass.
fn pass(counter: &Counter, file: &[u8]) -> u64 {
    let model = Model::from_bytes(file).expect("models/ writes what the runtime reads");
    let input = black_box([0.5; FEATURES]);
    let mut scratch = [0; SCRATCH];
    let mut predicted = false;
    let instructions = counter.instructions(|| {
        let prediction = model.predict_mean(&input[..model.input_len()], &mut scratch);
        predicted = black_box(prediction).is_ok();
    });
    assert!(predicted, "a finite input and enough scratch");
    instructions
}
