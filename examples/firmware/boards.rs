//! The boards, for build scripts: memory layouts, and linking for the chosen one.

use std::path::PathBuf;
use std::{env, fs};

/// A board that QEMU emulates.
struct Board {
    name: &'static str,
    target: &'static str,
    flash: Memory,
    ram: Memory,
}

/// First address and length, as the linker writes them.
struct Memory(u32, &'static str);

#[rustfmt::skip] // A table.
const BOARDS: [Board; 8] = [
    Board { name: "microbit", target: "thumbv6m-none-eabi", flash: Memory(0, "256K"), ram: Memory(0x2000_0000, "16K") },
    Board { name: "mps2-an385", target: "thumbv7m-none-eabi", flash: Memory(0, "4M"), ram: Memory(0x2000_0000, "4M") },
    Board { name: "mps2-an386", target: "thumbv7em-none-eabihf", flash: Memory(0, "4M"), ram: Memory(0x2000_0000, "4M") },
    Board { name: "mps2-an500", target: "thumbv7em-none-eabihf", flash: Memory(0, "4M"), ram: Memory(0x2000_0000, "4M") },
    Board { name: "netduinoplus2", target: "thumbv7em-none-eabihf", flash: Memory(0x0800_0000, "1M"), ram: Memory(0x2000_0000, "128K") },
    Board { name: "mps2-an505", target: "thumbv8m.main-none-eabihf", flash: Memory(0x1000_0000, "4M"), ram: Memory(0x3800_0000, "2M") },
    Board { name: "mps3-an547", target: "thumbv8m.main-none-eabihf", flash: Memory(0, "512K"), ram: Memory(0x2000_0000, "512K") },
    Board { name: "virt", target: "riscv32imac-unknown-none-elf", flash: Memory(0x8000_0000, "4M"), ram: Memory(0x8040_0000, "4M") },
];

/// Links the program for the board `FIRMWARE_BOARD`, by default the target's first, and tells it the
/// board's name.
pub fn link() {
    println!("cargo:rerun-if-env-changed=FIRMWARE_BOARD");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let wanted = env::var("FIRMWARE_BOARD").ok();
    let board = BOARDS
        .iter()
        .filter(|board| board.target == target)
        .find(|board| wanted.as_deref().is_none_or(|wanted| wanted == board.name))
        .unwrap_or_else(|| {
            panic!("FIRMWARE_BOARD is {wanted:?}; for target {target} see boards.rs")
        });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), board.layout()).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-search={}", out.display());
    if board.is_riscv() {
        println!("cargo:rustc-link-arg=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-env=FIRMWARE_BOARD={}", board.name);
}

impl Board {
    fn is_riscv(&self) -> bool {
        self.target.starts_with("riscv")
    }

    /// The linker script `memory.x`.
    fn layout(&self) -> String {
        let (Memory(flash, flash_len), Memory(ram, ram_len)) = (&self.flash, &self.ram);
        let mut layout = format!(
            "MEMORY\n{{\n  FLASH : ORIGIN = {flash:#x}, LENGTH = {flash_len}\n  \
             RAM : ORIGIN = {ram:#x}, LENGTH = {ram_len}\n}}\n_flash_start = ORIGIN(FLASH);\n"
        );
        if self.is_riscv() {
            for region in ["TEXT", "RODATA"] {
                layout.push_str(&format!("REGION_ALIAS(\"REGION_{region}\", FLASH);\n"));
            }
            for region in ["DATA", "BSS", "HEAP", "STACK"] {
                layout.push_str(&format!("REGION_ALIAS(\"REGION_{region}\", RAM);\n"));
            }
        }
        layout
    }
}
