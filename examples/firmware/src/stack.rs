//! Peak stack by painting, and the size of the flash image.

use core::ptr::{addr_of, read_volatile, write_volatile};

/// What unused stack is painted with.
const PAINT: u32 = 0x5afe_57ac;
/// Left alone below the stack pointer while painting, bytes.
const MARGIN: usize = 256;

unsafe extern "C" {
    /// First word after the statics: the stack may grow down to it.
    static __sheap: u32;
    static _stack_start: u32;
    static __stext: u32;
    static __sidata: u32;
    static __sdata: u32;
    static __edata: u32;
}

/// Paints the unused stack.
#[inline(never)]
pub fn paint() {
    let here = 0u32;
    let end = addr_of!(here) as usize - MARGIN;
    let mut word = addr_of!(__sheap) as usize;
    while word < end {
        // SAFETY: between the statics and the stack pointer lies memory that nothing uses yet.
        unsafe { write_volatile(word as *mut u32, PAINT) };
        word += 4;
    }
}

/// Most bytes of stack used since [`paint`].
#[inline(never)]
pub fn peak() -> usize {
    let top = addr_of!(_stack_start) as usize;
    let mut word = addr_of!(__sheap) as usize;
    // SAFETY: the same memory, read only.
    while word < top && unsafe { read_volatile(word as *const u32) } == PAINT {
        word += 4;
    }
    top - word
}

/// Bytes of flash from the first instruction to the last initial value.
pub fn flash_image() -> usize {
    let data = addr_of!(__edata) as usize - addr_of!(__sdata) as usize;
    addr_of!(__sidata) as usize + data - addr_of!(__stext) as usize
}
