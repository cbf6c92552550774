//! The C interface of the runtime. `fiberwalk.h` says what every function does and takes; the same
//! names are here.
#![allow(unsafe_code, reason = "C hands over pointers")]
#![no_std]

mod header;
mod prediction;
mod status;

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::{ptr, slice};

use fiberwalk_runtime::Model;

use crate::prediction::Prediction;
use crate::status::Status;

/// Size of C's `fw_model`, pointers.
const MODEL_POINTERS: usize = header::number("#define FW_MODEL_POINTERS ");
/// Marks a model that has been read: neither zero nor likely to be there by chance.
const READY: u32 = 0x6b77_6266;
/// Seed of drawn codes: that of `fiberwalk predict`.
const SEED: u64 = 0;

/// What lies in C's `fw_model`.
#[repr(C)]
pub struct Slot {
    state: u32,
    model: MaybeUninit<Model<'static>>,
}

const _: () = assert!(
    size_of::<Slot>() <= MODEL_POINTERS * size_of::<*const ()>()
        && align_of::<Slot>() <= align_of::<u64>(),
    "a model does not fit into fw_model: raise FW_MODEL_POINTERS in fiberwalk.h"
);

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_model_init(slot: *mut Slot, bytes: *const u8, len: usize) -> Status {
    // SAFETY: the caller's pointers are valid for what the header says.
    Status::of(|| unsafe {
        let slot = checked(slot)?.cast_mut();
        let bytes = slice::from_raw_parts(checked(bytes)?, len);
        (&raw mut (*slot).state).write(0);
        let model = Model::from_bytes(bytes)?;
        (&raw mut (*slot).model).write(MaybeUninit::new(model));
        (&raw mut (*slot).state).write(READY);
        Ok(())
    })
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_scratch_len(slot: *const Slot) -> usize {
    // SAFETY: the caller's pointer is valid.
    unsafe { model(slot) }.map_or(0, Model::scratch_len)
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_input_len(slot: *const Slot) -> usize {
    // SAFETY: the caller's pointer is valid.
    unsafe { model(slot) }.map_or(0, Model::input_len)
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_samples(slot: *const Slot) -> u16 {
    // SAFETY: the caller's pointer is valid.
    unsafe { model(slot) }.map_or(0, |model| model.artifact().codes.samples)
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_classes(slot: *const Slot) -> usize {
    // SAFETY: the caller's pointer is valid.
    let classes = unsafe { model(slot) }.ok().and_then(Model::classes);
    classes.map_or(0, |classes| classes.len())
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_class_name(
    slot: *const Slot,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the caller's pointers are valid.
    let (model, len) = unsafe { (model(slot), checked(len)) };
    let name = model.ok().and_then(Model::classes).and_then(|classes| classes.get(index));
    let (Some(name), Ok(len)) = (name, len) else { return ptr::null() };
    // SAFETY: `len` is not null and aligned, and the caller's to be written.
    unsafe { len.cast_mut().write(name.len()) };
    name.as_ptr().cast()
}

/// # Safety
/// As `fiberwalk.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fw_predict(
    slot: *const Slot,
    input: *const f32,
    len: usize,
    samples: u16,
    scratch: *mut u32,
    scratch_len: usize,
    out: *mut Prediction,
) -> Status {
    // SAFETY: the caller's pointers are valid for the lengths beside them, and scratch and result
    // overlap nothing.
    Status::of(|| unsafe {
        let model = model(slot)?;
        let input = slice::from_raw_parts(checked(input)?, len);
        let scratch = slice::from_raw_parts_mut(checked(scratch)?.cast_mut(), scratch_len);
        let out = checked(out)?.cast_mut();
        let prediction = model.predict(input, &mut model.codes(SEED), samples.into(), scratch)?;
        out.write(prediction.into());
        Ok(())
    })
}

/// A status in words: a constant string, whatever the number.
#[unsafe(no_mangle)]
pub extern "C" fn fw_status_text(status: Status) -> *const c_char {
    status.text().as_ptr()
}

/// The model that C's `fw_model` holds.
///
/// # Safety
/// `slot` is null, misaligned, or points to an `fw_model`.
unsafe fn model<'a>(slot: *const Slot) -> Result<&'a Model<'static>, Status> {
    let slot = checked(slot)?;
    // SAFETY: only `fw_model_init` marks a model as ready, after it has written it.
    unsafe {
        match (&raw const (*slot).state).read() {
            READY => Ok((*slot).model.assume_init_ref()),
            _ => Err(status::FW_NOT_INITIALISED),
        }
    }
}

/// Refuses pointers that must not be followed.
fn checked<T>(pointer: *const T) -> Result<*const T, Status> {
    if pointer.is_null() {
        Err(status::FW_NULL_POINTER)
    } else if !pointer.is_aligned() {
        Err(status::FW_MISALIGNED)
    } else {
        Ok(pointer)
    }
}

/// Nothing in the runtime panics. Should it, the board's fault handler hears of it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(target_arch = "arm")]
    // SAFETY: an undefined instruction, which traps.
    unsafe {
        core::arch::asm!("udf #0", options(noreturn, nomem, nostack))
    }
    #[cfg(not(target_arch = "arm"))]
    loop {}
}
