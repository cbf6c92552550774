//! Stack and flash in use: the stack by painting it, the flash by the linker's symbols.
#![allow(unsafe_code, reason = "the stack is painted and searched")]

use core::hint::black_box;
use core::ptr::{addr_of, read_volatile, write_volatile};

/// What unused stack is painted with.
const PAINT: u32 = 0x5afe_57ac;
/// Left alone below the stack pointer while painting, bytes: an interrupt may use it.
const MARGIN: usize = 256;
/// Painted at most, bytes: more than any prediction needs.
const DEPTH: usize = 64 * 1024;
/// Bytes of a word.
const WORD: usize = size_of::<u32>();

unsafe extern "C" {
    /// First word after the statics: the stack may grow down to it.
    static __sheap: u32;
    /// First byte of flash: see `boards.rs`.
    static _flash_start: u32;
    /// Where the initial values of the statics lie in flash: the end of the image.
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
}

/// Bytes of stack that `work` uses, down to its deepest call; 0 if it is less than the margin.
#[inline(never)]
pub fn depth<T>(work: impl FnOnce() -> T) -> usize {
    let here = 0;
    let top = addr_of!(here) as usize & !(WORD - 1);
    let painted = top - MARGIN;
    let bottom = (addr_of!(__sheap) as usize).max(top.saturating_sub(DEPTH));
    for word in (bottom..painted).step_by(WORD) {
        // SAFETY: below the stack pointer and above the statics lies memory that nothing uses.
        unsafe { write_volatile(word as *mut u32, PAINT) };
    }
    black_box(work());
    // SAFETY: the same memory, read only.
    let untouched = |&word: &usize| unsafe { read_volatile(word as *const u32) } == PAINT;
    let deepest = (bottom..painted).step_by(WORD).find(|word| !untouched(word));
    deepest.map_or(0, |word| top - word)
}

/// Bytes of flash that the image takes: code, constants, model, initial values of statics.
pub fn flash_image() -> usize {
    let statics = addr_of!(__edata) as usize - addr_of!(__sdata) as usize;
    addr_of!(__sidata) as usize + statics - addr_of!(_flash_start) as usize
}
