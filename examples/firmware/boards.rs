//! The boards of `boards.txt`, for build scripts: memory layouts, and linking for the chosen one.

use std::path::PathBuf;
use std::{env, fs};

/// A line for each board; those that begin with `#` are none.
const TABLE: &str = include_str!("boards.txt");

/// A board that QEMU emulates.
struct Board {
    name: &'static str,
    target: &'static str,
    flash: Memory,
    ram: Memory,
}

/// First address and length, as the linker reads them.
struct Memory(&'static str, &'static str);

/// Links the program for the board `FIRMWARE_BOARD`, by default the target's first, and tells it the
/// board's name.
pub fn link() {
    println!("cargo:rerun-if-env-changed=FIRMWARE_BOARD");

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let wanted = env::var("FIRMWARE_BOARD").ok();
    let board = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(Board::read)
        .filter(|board| board.target == target)
        .find(|board| wanted.as_deref().is_none_or(|wanted| wanted == board.name))
        .unwrap_or_else(|| {
            panic!("FIRMWARE_BOARD is {wanted:?}; for target {target} see boards.txt")
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
    fn read(line: &'static str) -> Self {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [name, _, target, flash, flash_len, ram, ram_len] = cells[..] else {
            panic!("boards.txt: {line:?} has other than seven cells")
        };
        Self { name, target, flash: Memory(flash, flash_len), ram: Memory(ram, ram_len) }
    }

    fn is_riscv(&self) -> bool {
        self.target.starts_with("riscv")
    }

    /// The linker script `memory.x`.
    fn layout(&self) -> String {
        let (Memory(flash, flash_len), Memory(ram, ram_len)) = (&self.flash, &self.ram);
        let mut layout = format!(
            "MEMORY\n{{\n  FLASH : ORIGIN = {flash}, LENGTH = {flash_len}\n  \
             RAM : ORIGIN = {ram}, LENGTH = {ram_len}\n}}\n_flash_start = ORIGIN(FLASH);\n"
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
