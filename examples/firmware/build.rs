//! Memory layout of the board, and the folder of the model.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// A board that QEMU emulates: name, target, flash and RAM as (origin, length).
const BOARDS: [(&str, &str, (u32, &str), (u32, &str)); 8] = [
    ("microbit", "thumbv6m-none-eabi", (0, "256K"), (0x2000_0000, "16K")),
    ("mps2-an385", "thumbv7m-none-eabi", (0, "4M"), (0x2000_0000, "4M")),
    ("mps2-an386", "thumbv7em-none-eabihf", (0, "4M"), (0x2000_0000, "4M")),
    ("mps2-an500", "thumbv7em-none-eabihf", (0, "4M"), (0x2000_0000, "4M")),
    ("netduinoplus2", "thumbv7em-none-eabihf", (0x0800_0000, "1M"), (0x2000_0000, "128K")),
    ("mps2-an505", "thumbv8m.main-none-eabihf", (0x1000_0000, "4M"), (0x3800_0000, "2M")),
    ("mps3-an547", "thumbv8m.main-none-eabihf", (0, "512K"), (0x2000_0000, "512K")),
    ("virt", "riscv32imac-unknown-none-elf", (0x8000_0000, "4M"), (0x8040_0000, "4M")),
];

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let wanted = env::var("FIRMWARE_BOARD").ok();
    let (board, _, flash, ram) = BOARDS
        .into_iter()
        .find(|(board, its_target, ..)| {
            *its_target == target && wanted.as_deref().is_none_or(|wanted| wanted == *board)
        })
        .unwrap_or_else(|| panic!("no board {wanted:?} for target {target}; see build.rs"));
    let mut layout = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {:#x}, LENGTH = {}\n  RAM : ORIGIN = {:#x}, LENGTH = {}\n}}\n",
        flash.0, flash.1, ram.0, ram.1
    );
    if target.starts_with("riscv") {
        for (region, memory) in [
            ("TEXT", "FLASH"),
            ("RODATA", "FLASH"),
            ("DATA", "RAM"),
            ("BSS", "RAM"),
            ("HEAP", "RAM"),
            ("STACK", "RAM"),
        ] {
            layout.push_str(&format!("REGION_ALIAS(\"REGION_{region}\", {memory});\n"));
        }
        println!("cargo:rustc-link-arg=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg=-Tlink.x");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), layout).expect("OUT_DIR is writable");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-env=FIRMWARE_BOARD={board}");

    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let models = env::var_os("FIRMWARE_MODELS").map_or(own, PathBuf::from);
    println!("cargo:rustc-env=FIRMWARE_MODELS={}", models.display());
    println!("cargo:rerun-if-env-changed=FIRMWARE_BOARD");
    println!("cargo:rerun-if-env-changed=FIRMWARE_MODELS");
    println!("cargo:rerun-if-changed=build.rs");
}
