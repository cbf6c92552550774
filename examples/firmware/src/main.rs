//! Digits, and things that are none, on a bare board: prints what the board thinks of them and
//! what it cost, and exits with 0 only if every result equals the host's bit for bit.
#![no_std]
#![no_main]

mod count;
mod golden;
mod model;
mod show;
mod stack;

use fiberwalk_runtime::{Model, Prediction, Stored};
use semihosting::{println, process};

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    stack::paint();
    let mut scratch = [0u32; model::SCRATCH_LEN];
    let model = match Model::from_bytes(model::MODEL) {
        Ok(model) => model,
        Err(error) => {
            println!("the model is damaged: {error}");
            process::exit(2)
        }
    };
    let mut wrong = 0;
    for case in golden::CASES {
        let input = case.input();
        match model.predict(&input, &mut Stored, model::SAMPLES, &mut scratch) {
            Ok(Prediction::Classification(class)) => {
                show::verdict(case, &class);
                if !case.matches(&class) {
                    println!("    DIFFERS from the host's result");
                    wrong += 1;
                }
            }
            Ok(Prediction::Regression(_)) => wrong += 1,
            Err(error) => {
                println!("    FAILED: {error}");
                wrong += 1;
            }
        }
        println!();
    }
    println!("{} of {} results equal the host's bit for bit", golden::CASES.len() - wrong, golden::CASES.len());
    println!();
    show::cost(&model, &mut scratch);
    process::exit(i32::from(wrong > 0))
}
