//! Executed instructions.
//!
//! QEMU runs with `-icount`: its clock advances by a fixed time an instruction, so counts are the
//! same on every run. RISC-V counts retired instructions itself. Arm's SysTick counts the core
//! clock, whose rate differs from board to board: a loop of known length at start tells how many
//! instructions a tick is.

/// Rounds of the calibration loop.
const ROUNDS: u32 = 10_000;
/// Instructions of a round: subtract and branch.
const ROUND: u32 = 2;

/// A counter of instructions.
pub struct Counter {
    /// Ticks of the calibration loop.
    ticks: u32,
}

impl Counter {
    /// Starts counting and calibrates.
    pub fn calibrated() -> Self {
        start();
        let before = ticks();
        known_loop(ROUNDS);
        Self { ticks: elapsed(before).max(1) }
    }

    /// Instructions that `f` takes. `f` says whether it succeeded, which is checked so that the
    /// work is not optimised away.
    pub fn instructions(&self, f: impl FnOnce() -> bool) -> u32 {
        let before = ticks();
        let succeeded = core::hint::black_box(f());
        let spent = elapsed(before);
        assert!(succeeded, "the measured prediction failed");
        (u64::from(spent) * u64::from(ROUNDS * ROUND) / u64::from(self.ticks)) as u32
    }
}

#[cfg(target_arch = "arm")]
mod clock {
    use core::arch::asm;

    use cortex_m::peripheral::syst::SystClkSource;
    use cortex_m::peripheral::{Peripherals, SYST};

    /// SysTick counts down 24 bits.
    const RANGE: u32 = 1 << 24;

    pub fn start() {
        if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
            SYST.set_clock_source(SystClkSource::Core);
            SYST.set_reload(RANGE - 1);
            SYST.clear_current();
            SYST.enable_counter();
        }
    }

    pub fn ticks() -> u32 {
        SYST::get_current()
    }

    pub fn elapsed(before: u32) -> u32 {
        before.wrapping_sub(ticks()) % RANGE
    }

    pub fn known_loop(rounds: u32) {
        // SAFETY: counts a register down; touches no memory.
        unsafe {
            asm!("2:", "subs {0}, #1", "bne 2b", inout(reg) rounds => _, options(nomem, nostack));
        }
    }
}

#[cfg(target_arch = "riscv32")]
mod clock {
    use core::arch::asm;

    pub fn start() {}

    pub fn ticks() -> u32 {
        riscv::register::minstret::read() as u32
    }

    pub fn elapsed(before: u32) -> u32 {
        ticks().wrapping_sub(before)
    }

    pub fn known_loop(rounds: u32) {
        // SAFETY: counts a register down; touches no memory.
        unsafe {
            asm!("2:", "addi {0}, {0}, -1", "bnez {0}, 2b", inout(reg) rounds => _, options(nomem, nostack));
        }
    }
}

use clock::{elapsed, known_loop, start, ticks};
