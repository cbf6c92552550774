//! Executed instructions.
//!
//! QEMU runs with `-icount`: its clock advances by a fixed time an instruction, so counts are the
//! same on every run. RISC-V counts retired instructions itself. Arm's SysTick counts the core
//! clock, whose rate differs from board to board: two loops of known length tell how many
//! instructions a tick is.
#![allow(unsafe_code, reason = "registers and a loop of known length")]

use core::hint::black_box;

/// Rounds of the shorter calibration loop.
const ROUNDS: u32 = 100_000;
/// Instructions of a round: count down and branch.
const ROUND: u64 = 2;

/// A counter of instructions.
pub struct Counter {
    /// Ticks of [`ROUNDS`] rounds.
    ticks: u64,
    /// Ticks of a measurement of nothing.
    overhead: u64,
}

impl Counter {
    /// Starts the clock and measures its rate.
    pub fn calibrated() -> Self {
        clock::start();
        // The difference leaves out what surrounds the loop.
        let [once, twice] = [1, 2].map(|times| elapsed(|| clock::count_down(times * ROUNDS)));
        Self { ticks: twice - once, overhead: elapsed(|| ()) }
    }

    /// Instructions that `work` takes.
    pub fn instructions<T>(&self, work: impl FnOnce() -> T) -> u64 {
        let ticks = elapsed(work).saturating_sub(self.overhead);
        (ticks * u64::from(ROUNDS) * ROUND + self.ticks / 2) / self.ticks
    }
}

/// Ticks that `work` takes.
#[inline(never)]
fn elapsed<T>(work: impl FnOnce() -> T) -> u64 {
    let before = clock::now();
    // The result counts as used, so that the work is not optimised away.
    black_box(work());
    clock::now() - before
}

#[cfg(target_arch = "arm")]
mod clock {
    use core::arch::asm;
    use core::sync::atomic::{AtomicU32, Ordering};

    use cortex_m::peripheral::syst::SystClkSource;
    use cortex_m::peripheral::{Peripherals, SYST};

    /// SysTick counts down from here to zero, then interrupts and starts again.
    const RELOAD: u32 = (1 << 24) - 1;
    /// Times that it has started again.
    static ROUNDS: AtomicU32 = AtomicU32::new(0);

    pub fn start() {
        if let Some(Peripherals { mut SYST, .. }) = Peripherals::take() {
            SYST.set_clock_source(SystClkSource::Core);
            SYST.set_reload(RELOAD);
            SYST.clear_current();
            SYST.enable_interrupt();
            SYST.enable_counter();
        }
    }

    #[cortex_m_rt::exception]
    fn SysTick() {
        // Not `fetch_add`, which the Cortex-M0 lacks; nothing else writes.
        ROUNDS.store(ROUNDS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub fn now() -> u64 {
        loop {
            let rounds = ROUNDS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            // Unchanged, so `left` belongs to this round.
            if rounds == ROUNDS.load(Ordering::Relaxed) {
                return u64::from(rounds) * u64::from(RELOAD + 1) + u64::from(RELOAD - left);
            }
        }
    }

    /// A loop of `rounds` rounds of two instructions.
    pub fn count_down(rounds: u32) {
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

    pub fn now() -> u64 {
        riscv::register::minstret::read64()
    }

    /// A loop of `rounds` rounds of two instructions.
    pub fn count_down(rounds: u32) {
        // SAFETY: counts a register down; touches no memory.
        unsafe {
            asm!(
                "2:",
                "addi {0}, {0}, -1",
                "bnez {0}, 2b",
                inout(reg) rounds => _,
                options(nomem, nostack)
            );
        }
    }
}
