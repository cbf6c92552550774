//! Digits, and things that are none, on a bare board: prints what the board thinks of them.
#![no_std]
#![no_main]

mod board;
mod cases;
mod model;
mod show;

use fiberwalk_runtime::{Model, Prediction, Stored};
use semihosting::{println, process};

/// Every input was answered.
const ANSWERED: i32 = 0;
/// Some was not: it has another length than the model's inputs, or holds NaN.
const REFUSED: i32 = 1;
/// The model cannot be read.
const DAMAGED: i32 = 2;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let model = match Model::from_bytes(model::MODEL) {
        Ok(model) => model,
        Err(error) => {
            println!("the model is damaged: {error}");
            process::exit(DAMAGED)
        }
    };
    println!("on {}\n", board::NAME);
    let mut scratch = [0; model::SCRATCH_LEN];
    for case in cases::CASES {
        match model.predict(&case.pixels, &mut Stored, model::SAMPLES, &mut scratch) {
            Ok(Prediction::Classification(class)) => show::verdict(case, &class),
            Ok(Prediction::Regression(value)) => {
                println!("    {:.3} ± {:.3}", value.mean, value.std())
            }
            Err(error) => {
                println!("    no prediction: {error}");
                process::exit(REFUSED)
            }
        }
        println!();
    }
    process::exit(ANSWERED)
}
