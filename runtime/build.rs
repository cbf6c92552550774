//! Chooses the kernels in assembly: `cfg` does not say which instructions an Arm target has.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!(
        "cargo:rustc-check-cfg=cfg(fiberwalk_dsp, fiberwalk_thumb, fiberwalk_riscv, fiberwalk_v8m)"
    );
    if std::env::var_os("CARGO_FEATURE_ASM").is_none() {
        return;
    }
    let target = std::env::var("TARGET").unwrap_or_default();
    let is = |prefix: &str| target.starts_with(prefix);
    let kernels = if is("thumbv7em") || is("thumbv8m.main") {
        "dsp"
    } else if is("thumbv6m") || is("thumbv8m.base") {
        "thumb"
    } else if is("riscv32im") {
        "riscv"
    } else {
        return;
    };
    println!("cargo:rustc-cfg=fiberwalk_{kernels}");
    if is("thumbv8m.main") {
        println!("cargo:rustc-cfg=fiberwalk_v8m");
    }
}
