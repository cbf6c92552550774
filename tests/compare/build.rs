//! Memory layout of the board, and where microflow's own models are.

#[path = "../../examples/firmware/boards.rs"]
mod boards;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The models that microflow's package brings along, and the types that read them.
const MODELS: [(&str, &str); 2] = [("sine", "Sine"), ("speech", "Speech")];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=../../examples/firmware/boards.txt");
    boards::link();

    // Its macro takes the path of a file, literally.
    let folder = package("microflow").join("models");
    let models = MODELS.map(|(name, ty)| {
        let path = folder.join(name).with_extension("tflite");
        format!("#[microflow::model({path:?})]\npub struct {ty};\n")
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("microflow_models.rs"), models.concat()).expect("OUT_DIR is writable");
}

/// Folder of a dependency's package.
fn package(name: &str) -> PathBuf {
    let variable = |name| env::var(name).expect("cargo sets it");
    let output = Command::new(variable("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform"])
        .arg(variable("TARGET"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|package| package["name"] == name).expect("a dependency");
    let manifest = package["manifest_path"].as_str().expect("a path");
    Path::new(manifest).parent().expect("a file in a folder").into()
}
