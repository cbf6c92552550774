//! embedded-nn on D.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::embedded_nn::{Layer, RELU};
use fiberwalk_compare::{random, row};
use semihosting::process;

static LAYER: Layer<256, 256> = Layer::random(4);

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    let [input] = black_box(random(6));
    row("D", 65_536, "embedded-nn", counter.instructions(|| LAYER.forward(&input, RELU)));
    process::exit(0)
}
