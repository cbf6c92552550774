//! A smart watch on a bare board: what a small convolutional network thinks of a second or two of motion,
//! of kinds that it knows and of one that it does not, and what that costs.
#![no_std]
#![no_main]

use fiberwalk_runtime::Model;
use semihosting::{print, println, process};

#[path = "../../../../examples/firmware/src/board.rs"]
mod board;
#[path = "../count.rs"]
mod count;
#[path = "../report.rs"]
mod report;

use count::Counter;
use report::{costs, verdict};

const MODEL: &[u8] = include_bytes!("../../../../examples/motion/motion.fwk");
/// Windows one after another, little-endian floats.
const WINDOWS: &[u8] = include_bytes!("../../../../examples/motion/windows.f32");
/// What is done in them.
const ACTIVITIES: [&str; 6] =
    ["running", "standing", "walking", "badminton", "badminton", "badminton"];
/// Values of a window.
const VALUES: usize = 300;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    println!("on {}", board::NAME);
    let Ok(model) = Model::from_bytes(MODEL) else {
        println!("the model is damaged");
        process::exit(1)
    };
    println!("motion, {} bytes", MODEL.len());
    let mut window = [0.0; VALUES];
    for (bytes, activity) in WINDOWS.chunks_exact(4 * VALUES).zip(ACTIVITIES) {
        for (value, bytes) in window.iter_mut().zip(bytes.as_chunks().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        print!("  {activity}: ");
        verdict(&model, &window);
    }
    costs(&model, &window, &counter);
    process::exit(0)
}
