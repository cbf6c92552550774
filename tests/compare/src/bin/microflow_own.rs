//! microflow on the models that it brings along, from int8 to `f32`.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::{board, row};
use microflow::buffer::Buffer2D;
use semihosting::process;

include!(concat!(env!("OUT_DIR"), "/microflow_models.rs"));

/// Fully connected, 1-16-16-1.
const SINE: u32 = 16 + 16 * 16 + 16;
/// Eight filters of 10x8 over 49x40 in steps of 2, and their outputs fully connected to 4.
const SPEECH: u32 = 25 * 20 * 8 * (10 * 8 + 4);
/// Boards with less RAM than the 18.6 KB of stack that speech needs.
const LITTLE_RAM: [&str; 1] = ["microbit"];

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    let input = black_box(Buffer2D::from_element(42));
    let sine = counter.instructions(|| Sine::predict_quantized(input));
    row("sine", SINE, "microflow", sine);
    if !LITTLE_RAM.contains(&board::NAME) {
        let input = black_box(Buffer2D::from_element(42));
        let speech = counter.instructions(|| Speech::predict_quantized(input));
        row("speech", SPEECH, "microflow", speech);
    }
    process::exit(0)
}
