//! One prediction with the committed digits and nothing else, or nothing at all without the feature
//! `predict`: the difference of the images is the runtime's code. For `tests/costs`.
#![no_std]
#![no_main]

use core::hint::black_box;

use semihosting::{println, process};

#[path = "../../../../examples/firmware/src/board.rs"]
#[allow(dead_code, reason = "the board's name is not printed")]
mod board;
#[path = "../stack.rs"]
#[allow(dead_code, reason = "no stack is measured")]
mod stack;

/// Bytes of flash that hold the model.
fn model_bytes() -> usize {
    #[cfg(not(feature = "predict"))]
    return 0;
    #[cfg(feature = "predict")]
    {
        use fiberwalk_runtime::{Model, Stored};

        const FILE: &[u8] = include_bytes!("../../../../examples/firmware/models/digits.fwk");
        let mut scratch = [0; 256];
        // Not `expect`: it would print errors, which is code too.
        let Ok(model) = Model::from_bytes(black_box(FILE)) else { process::exit(1) };
        let input = black_box([0u8; 64]);
        let prediction = model.predict(&input, &mut Stored, 16, &mut scratch);
        if black_box(prediction).is_err() {
            process::exit(1);
        }
        FILE.len()
    }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let bytes = black_box(model_bytes());
    println!("|image|{}", stack::flash_image() - bytes);
    process::exit(0)
}
