//! What happens on a fault: a message and an exit code instead of a silent loop.
#![allow(unsafe_code, reason = "handlers of exceptions")]

use semihosting::{println, process};

/// Name of the board, as QEMU calls it.
pub const NAME: &str = env!("FIRMWARE_BOARD");

/// Exit code of a fault; a panic exits with 101.
const FAULT: i32 = 102;

// SAFETY: the handler never returns to the state that faulted.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    println!("hard fault at {:#010x}", frame.pc());
    process::exit(FAULT)
}

// SAFETY: riscv-rt declares a handler of this name and signature, and defines none itself.
#[cfg(target_arch = "riscv32")]
#[unsafe(export_name = "ExceptionHandler")]
fn exception(_frame: &riscv_rt::TrapFrame) -> ! {
    println!("exception at {:#010x}", riscv::register::mepc::read());
    process::exit(FAULT)
}
