//! microflow on A and D: fully connected layers from int8 to int8, called as its macro would.
#![no_std]
#![no_main]

use core::hint::black_box;

use fiberwalk_compare::count::Counter;
use fiberwalk_compare::{SHIFT, random, row};
use microflow::activation::FusedActivation;
use microflow::buffer::Buffer2D;
use microflow::ops::{FullyConnectedOptions, fully_connected};
use microflow::tensor::Tensor2D;
use nalgebra::ArrayStorage;
use semihosting::process;

type Weights<const INPUTS: usize, const OUTPUTS: usize> = Tensor2D<i8, INPUTS, OUTPUTS, 1>;
type Row<const LEN: usize> = Weights<1, LEN>;

static A: (Weights<64, 64>, Weights<64, 32>, Weights<32, 10>) = (tensor(1), tensor(2), tensor(3));
static D: Weights<256, 256> = tensor(4);

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let counter = Counter::calibrated();
    let input = black_box(tensor(5));
    let a = counter.instructions(|| {
        let first = forward(input, &A.0, FusedActivation::Relu);
        let second = forward(first, &A.1, FusedActivation::Relu);
        forward(second, &A.2, FusedActivation::None)
    });
    row("A", 6464, "microflow", a);
    let input = black_box(tensor(6));
    let d = counter.instructions(|| forward(input, &D, FusedActivation::Relu));
    row("D", 65_536, "microflow", d);
    process::exit(0)
}

/// Random values in units of 1.
const fn tensor<const ROWS: usize, const COLUMNS: usize>(
    seed: u32,
) -> Tensor2D<i8, ROWS, COLUMNS, 1> {
    Tensor2D::new(Buffer2D::from_array_storage(ArrayStorage(random(seed))), [1.0], [0])
}

/// The layer's outputs.
fn forward<const INPUTS: usize, const OUTPUTS: usize>(
    input: Row<INPUTS>,
    weights: &Weights<INPUTS, OUTPUTS>,
    fused_activation: FusedActivation,
) -> Row<OUTPUTS> {
    let scale = 1.0 / (1 << SHIFT) as f32;
    // No bias, and no zero points to correct for.
    let constants = (Buffer2D::zeros(), scale, Buffer2D::zeros(), 0);
    let options = FullyConnectedOptions { fused_activation };
    fully_connected(input, weights, [1.0], [0], options, constants)
}
