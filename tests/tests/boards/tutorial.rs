//! The firmware of `docs/tutorial.md`, as a reader would copy it, on an emulated board.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use fiberwalk_runtime::{Model, Prediction, Stored};
use fiberwalk_tests::{Finished, root};

/// Files that the tutorial shows.
const FILES: [&str; 4] = ["Cargo.toml", "memory.x", ".cargo/config.toml", "src/main.rs"];
/// Seconds that building and running may take before it counts as hung.
const LIMIT: &str = "900";
/// Rows that are predicted.
const ROWS: usize = 6;
/// Pixels of a row.
const PIXELS: usize = 64;

#[test]
fn the_tutorials_firmware_says_what_the_host_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(root(), folder.path().join("fiberwalk")).expect("a link");
    let firmware = folder.path().join("my-board");
    let text = fs::read_to_string(root().join("docs/tutorial.md")).expect("the page is there");
    for file in FILES {
        let path = firmware.join(file);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("writable");
        fs::write(path, shown(&text, file)).expect("writable");
    }
    let own = root().join("examples/firmware");
    fs::copy(own.join("Cargo.lock"), firmware.join("Cargo.lock"))
        .expect("the versions tested here");
    fs::copy(own.join("models/digits.fwk"), firmware.join("src/digits.fwk")).expect("a model");
    fs::copy(own.join("models/digits.rs"), firmware.join("src/model.rs")).expect("its module");
    let rows = digits();
    let module = format!("pub static ROWS: [[u8; {PIXELS}]; {ROWS}] = {rows:?};\n");
    fs::write(firmware.join("src/rows.rs"), module).expect("writable");

    let finished = run(&firmware);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    let bytes = fs::read(own.join("models/digits.fwk")).expect("a model");
    let model = Model::from_bytes(&bytes).expect("it is valid");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), ROWS, "{}", finished.stdout);
    for (row, line) in rows.iter().zip(lines) {
        let mut scratch = vec![0; model.scratch_len()];
        let prediction = model.predict(row, &mut Stored, model.samples(), &mut scratch);
        let Ok(Prediction::Classification(class)) = prediction else { panic!("{prediction:?}") };
        let (top, probability) = class.top();
        let expected = format!("{top} p={probability:.3} I={:.3} {{", class.mutual_information);
        assert!(line.starts_with(&expected), "{line}\n{expected}");
        assert_eq!(line.ends_with("} sure: act"), class.is_sure(), "{line}");
    }
}

/// The contents of a file of the firmware: the fenced block after the line that begins with its name.
fn shown<'t>(text: &'t str, file: &str) -> &'t str {
    let name = format!("\n`my-board/{file}`");
    let (_, after) = text.split_once(&name).unwrap_or_else(|| panic!("the page shows no {file}"));
    let (_, block) = after.split_once("\n```").expect("a block follows");
    let (_, block) = block.split_once('\n').expect("it has lines");
    block.split_once("```").expect("it ends").0
}

/// The first pictures of the bundled digits.
fn digits() -> Vec<[u8; PIXELS]> {
    let path = root().join("trainer/data/digits.csv");
    let mut reader = csv::Reader::from_path(path).expect("the data are there");
    let pixels = |record: csv::StringRecord| {
        std::array::from_fn(|pixel| record[pixel].parse().expect("a pixel"))
    };
    reader.records().take(ROWS).map(|record| pixels(record.expect("a row"))).collect()
}

/// `cargo run` in the firmware's folder, as the tutorial has it.
fn run(firmware: &Path) -> Finished {
    let script = ". ../fiberwalk/tests/bare-metal.sh
        bare_metal_cargo thumbv7em-none-eabihf run --quiet --release";
    let mut command = Command::new("timeout");
    command.args([LIMIT, "bash", "-c", script]).current_dir(firmware).stdin(Stdio::null());
    command.output().expect("the shell starts").into()
}
