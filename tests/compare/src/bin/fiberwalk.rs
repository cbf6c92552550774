//! fiberwalk: a deterministic pass from int8 inputs to the network's outputs, and for the
//! classifier to a calibrated prediction.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::row;
use fiberwalk_runtime::Model;
use semihosting::process;

// Written by `models/`.
const A: &[u8] = include_bytes!("../../models/a.fwk");
const A_4: &[u8] = include_bytes!("../../models/a4.fwk");
const D: &[u8] = include_bytes!("../../models/d.fwk");
const D_4: &[u8] = include_bytes!("../../models/d4.fwk");

/// Features of the wider network.
const FEATURES: usize = 256;
/// Words of scratch, more than any needs.
const SCRATCH: usize = 1024;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    row("A", 6464, "fiberwalk", outputs(&counter, A));
    row("A", 6464, "fiberwalk, with a calibrated prediction", prediction(&counter, A));
    row("A", 6464, "fiberwalk, int4", outputs(&counter, A_4));
    row("D", 65_536, "fiberwalk", outputs(&counter, D));
    row("D", 65_536, "fiberwalk, int4", outputs(&counter, D_4));
    process::exit(0)
}

/// Instructions of a pass to the network's outputs.
fn outputs(counter: &Counter, file: &[u8]) -> u64 {
    measure(counter, file, |model, input, scratch| {
        black_box(model.mean_outputs(input, scratch)).is_ok()
    })
}

/// Instructions of a pass to a prediction.
fn prediction(counter: &Counter, file: &[u8]) -> u64 {
    measure(counter, file, |model, input, scratch| {
        black_box(model.predict_mean(input, scratch)).is_ok()
    })
}

fn measure(
    counter: &Counter,
    file: &[u8],
    pass: impl Fn(&Model<'_>, &[i8], &mut [u32]) -> bool,
) -> u64 {
    let model = Model::from_bytes(file).expect("models/ writes what the runtime reads");
    let input = black_box([5i8; FEATURES]);
    let mut scratch = [0; SCRATCH];
    let mut done = false;
    let instructions = counter.instructions(|| {
        done = pass(&model, &input[..model.input_len()], &mut scratch);
    });
    assert!(done, "a right input and enough scratch");
    instructions
}
