//! What the programs of the comparison share: counting, random layers, and a row of the table.
#![no_std]

#[path = "../../../examples/firmware/src/board.rs"]
pub mod board;
#[path = "../../boards/src/count.rs"]
pub mod count;

pub mod embedded_nn;

use semihosting::println;

/// Scale of a layer's accumulators, 2^-`SHIFT`: random int8 inputs and weights of some hundred
/// products become int8 again, few of them saturated.
pub const SHIFT: i32 = 9;

/// Prints a row for `run` to read: network, products of a pass, library, instructions of a pass.
pub fn row(network: &str, products: u32, library: &str, instructions: u64) {
    println!("{network}|{products}|{library}|{instructions}");
}

/// Random int8 values of their whole range, one column an output.
pub const fn random<const INPUTS: usize, const OUTPUTS: usize>(
    seed: u32,
) -> [[i8; INPUTS]; OUTPUTS] {
    let mut state = seed;
    let mut values = [[0; INPUTS]; OUTPUTS];
    let mut index = 0;
    while index < INPUTS * OUTPUTS {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        values[index / INPUTS][index % INPUTS] = (state >> 24) as i8;
        index += 1;
    }
    values
}
