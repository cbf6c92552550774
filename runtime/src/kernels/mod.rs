//! The integer kernels. Decoding proved that no sum here leaves its type; see the limits in
//! `fiberwalk_formats`.

mod activation;
mod convolution;
mod factors;
mod grouped;
mod matrix;
#[cfg(not(fiberwalk_dsp))]
mod portable;
#[cfg(not(any(fiberwalk_dsp, fiberwalk_thumb, fiberwalk_riscv)))]
use portable as rows;
#[cfg(fiberwalk_dsp)]
#[path = "rows_dsp.rs"]
mod rows;
#[cfg(fiberwalk_thumb)]
#[path = "rows_thumb.rs"]
mod rows;
#[cfg(fiberwalk_riscv)]
#[path = "rows_riscv.rs"]
mod rows;

pub(crate) use activation::{activate, logits, modulation};
pub(crate) use convolution::{Added, Convolution, Workspace};
pub(crate) use factors::{add_factors, project};
pub(crate) use matrix::{affine, dense};

/// The first `len` elements, or all where there are fewer.
pub(crate) fn head<T>(slice: &[T], len: usize) -> &[T] {
    slice.get(..len).unwrap_or(slice)
}

/// The first `len` elements, or none where there are fewer.
pub(crate) fn head_mut<T>(slice: &mut [T], len: usize) -> &mut [T] {
    slice.get_mut(..len).unwrap_or_default()
}

/// The nearest i16.
fn saturate_16(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

/// The nearest i8.
pub(crate) fn saturate_8(value: i32) -> i32 {
    value.clamp(i8::MIN.into(), i8::MAX.into())
}

/// (value + 2^(shift − 1)) >> shift, for shifts of 1 to 31.
fn shift_round(value: i32, shift: u8) -> i32 {
    let half = 1i32.wrapping_shl(u32::from(shift).saturating_sub(1));
    value.wrapping_add(half).wrapping_shr(shift.into())
}
