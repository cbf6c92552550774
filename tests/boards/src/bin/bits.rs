//! Prints a hash of predictions by models of every kind, for a test to compare with the host's: the
//! kernels in assembly against the portable ones.
#![no_std]
#![no_main]

use semihosting::{println, process};

#[path = "../bits.rs"]
mod bits;
#[path = "../../../../examples/firmware/src/board.rs"]
#[allow(dead_code, reason = "the board's name is not printed")]
mod board;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    for (name, file) in bits::FILES {
        match bits::hash(file) {
            Some(hash) => println!("{name} {hash:016x}"),
            None => process::exit(1),
        }
    }
    process::exit(0)
}
