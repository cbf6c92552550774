//! embedded-nn on A.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::embedded_nn::{Layer, NONE, RELU};
use fiberwalk_compare::{random, row};
use semihosting::process;

static FIRST: Layer<64, 64> = Layer::random(1);
static SECOND: Layer<64, 32> = Layer::random(2);
static THIRD: Layer<32, 10> = Layer::random(3);

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    let [input] = black_box(random(5));
    let a = counter.instructions(|| {
        let first = FIRST.forward(&input, RELU);
        let second = SECOND.forward(&first, RELU);
        THIRD.forward(&second, NONE)
    });
    row("A", 6464, "embedded-nn", a);
    process::exit(0)
}
