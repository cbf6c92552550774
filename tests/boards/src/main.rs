//! The digits of `examples/firmware`: prints what the board thinks of them and what that costs, and exits
//! with 0 only if every result equals the host's bit for bit.
#![no_std]
#![no_main]

#[path = "../../../examples/firmware/src/board.rs"]
mod board;
#[path = "../../../examples/firmware/src/cases.rs"]
mod cases;
mod count;
mod digits_cost;
mod golden;
#[path = "../../../examples/firmware/src/model.rs"]
mod model;
#[path = "../../../examples/firmware/src/show.rs"]
mod show;
mod stack;

use cases::{CASES, Case};
use fiberwalk_runtime::{Model, Prediction, Stored};
use semihosting::{println, process};

/// Every result is the host's.
const EQUAL: i32 = 0;
/// Some result is not.
const DIFFERENT: i32 = 1;
/// There is no result: the model cannot be read.
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
    let mut scratch = [0; model::SCRATCH_LEN];
    let equal = CASES.iter().filter(|case| equals_host(case, &model, &mut scratch)).count();
    println!("{equal} of {} results equal the host's bit for bit\n", CASES.len());
    digits_cost::show(&model, &mut scratch);
    process::exit(if equal == CASES.len() { EQUAL } else { DIFFERENT })
}

/// Predicts one case, prints the verdict, and says whether every bit is the host's.
fn equals_host(case: &Case, model: &Model<'_>, scratch: &mut [u32]) -> bool {
    let mut differences = 0;
    match model.predict(&case.pixels, &mut Stored, model::SAMPLES, scratch) {
        Ok(Prediction::Classification(class)) => {
            show::verdict(case, &class);
            for (what, host, here) in golden::differences(case, &class) {
                println!("    DIFFERS: {what} is {here:#010x}, the host's is {host:#010x}");
                differences += 1;
            }
        }
        Ok(Prediction::Regression(_)) => {
            println!("    DIFFERS: a number, the host's is a class");
            differences += 1;
        }
        Err(error) => {
            println!("    FAILED: {error}");
            differences += 1;
        }
    }
    println!();
    differences == 0
}
