//! Memory layout of the board, and the folder of the model.

#[path = "../../examples/firmware/boards.rs"]
mod boards;

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=FIRMWARE_MODELS");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../examples/firmware/boards.txt");
    boards::link();

    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/firmware/models");
    let models = env::var_os("FIRMWARE_MODELS").map_or(own, PathBuf::from);
    println!("cargo:rustc-env=FIRMWARE_MODELS={}", models.display());
}
