//! The published crates, as `cargo package` packs them: they hold what they need to compile, and their licences.

use std::fs;
use std::path::Path;
use std::process::Command;

use fiberwalk_tests::root;

/// In the order of their dependencies.
const CRATES: [&str; 4] =
    ["fiberwalk-formats", "fiberwalk-runtime", "fiberwalk-numerics", "fiberwalk"];
/// The version that all packages of the workspace share.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Files that each package holds beside its sources.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

#[test]
fn packed_crates_compile_alone_and_hold_their_licences() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let packed = folder.path();
    let mut package = cargo(root(), &["package", "--no-verify", "--allow-dirty"]);
    package.args(CRATES.iter().flat_map(|name| ["--package", name]));
    success(package.arg("--target-dir").arg(packed));

    let names = CRATES.map(|name| format!("{name}-{VERSION}"));
    for name in &names {
        let archive = packed.join("package").join(format!("{name}.crate"));
        success(Command::new("tar").arg("-xzf").arg(archive).current_dir(packed));
        for licence in LICENCES {
            let text = fs::read_to_string(packed.join(name).join(licence)).expect(name);
            let own = fs::read_to_string(root().join(licence)).expect("a licence");
            assert_eq!(text, own, "{licence} of {name}");
        }
    }

    // One workspace of them all, with the project's versions and profiles, so that dependencies which are checked
    // already are not checked again.
    fs::write(packed.join("Cargo.toml"), workspace(&names)).expect("writable");
    fs::copy(root().join("Cargo.lock"), packed.join("Cargo.lock")).expect("writable");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    let mut check = cargo(packed, &["check", "--workspace"]);
    success(check.arg("--target-dir").arg(root().join(target)));
}

/// The manifest of a workspace whose members are the packed crates.
fn workspace(members: &[String]) -> String {
    let mut manifest = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
    manifest.push_str("[patch.crates-io]\n");
    for (name, path) in CRATES.iter().zip(members).take(CRATES.len() - 1) {
        manifest.push_str(&format!("{name} = {{ path = {path:?} }}\n"));
    }
    let own = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let mut in_profile = false;
    for line in own.lines() {
        if line.starts_with('[') {
            in_profile = line.starts_with("[profile");
        }
        if in_profile {
            manifest.extend([line, "\n"]);
        }
    }
    manifest
}

/// A command of cargo that downloads nothing.
fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(arguments).arg("--offline").current_dir(folder);
    command
}

fn success(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
