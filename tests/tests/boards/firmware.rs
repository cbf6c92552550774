//! The firmware on emulated boards: its output, its exit code, and what it must not cost.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use fiberwalk_runtime::{Feature, Model, Prediction, Stored};
use fiberwalk_tests::{Finished, root};

#[path = "../../boards/src/bits.rs"]
mod bits;

/// What the firmware prints up to the number of equal results: the same on every board.
const GOLDEN: &str = "tests/golden/firmware.out";
/// Set to write [`GOLDEN`] anew, after the model has changed.
const BLESS: &str = "FIBERWALK_BLESS";
/// The instrument that compares digits.
const DIGITS: &str = "fiberwalk-boards";
/// Seconds that building and running may take before it counts as hung.
const LIMIT: &str = "900";
/// Last line of what is compared.
const LAST: &str = "results equal the host's bit for bit";

/// Scratch that the digits' model may need, bytes.
const MOST_SCRATCH: u64 = 4096;
/// Deterministic passes that 16 samples may cost.
const MOST_PASSES: f64 = 4.0;

#[test]
fn cortex_m4f_gives_the_golden_output_within_its_budget() {
    let output = golden_run("mps2-an386");
    let figure = |row: &str| last_word_after(&output, row);
    let scratch: u64 = figure("scratch").parse().expect("bytes");
    assert!(scratch < MOST_SCRATCH, "scratch: {scratch} bytes");
    let pass: f64 = figure("one deterministic pass").parse().expect("instructions");
    let samples = output.lines().find(|line| line.trim_start().starts_with("16 samples"));
    let spent = samples.and_then(|line| line.split_whitespace().nth(2)).expect("instructions");
    let passes = spent.parse::<f64>().expect("a number") / pass;
    assert!(passes < MOST_PASSES, "16 samples cost {passes:.2} deterministic passes");
}

#[test]
fn every_board_gives_the_golden_output() {
    for board in boards() {
        golden_run(&board[0]);
    }
}

/// What a user copies, on the board that its page begins with.
#[test]
fn the_example_shows_what_the_instruments_compare() {
    let finished = run_script("examples/firmware/run", "mps2-an386", &[]);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    let golden = fs::read_to_string(root().join(GOLDEN)).expect("the golden output is committed");
    let mut expected: Vec<&str> = ["on mps2-an386", ""].into_iter().chain(golden.lines()).collect();
    // The number of equal results.
    expected.pop();
    let shown: Vec<&str> = finished.stdout.lines().map(str::trim_end).collect();
    assert_eq!(shown, expected);
}

#[test]
fn the_page_of_the_firmware_lists_every_board() {
    let page = fs::read_to_string(root().join("examples/firmware/README.md")).expect("a page");
    for [board, core, target] in boards() {
        let lists = |line: &str| {
            line.starts_with(&format!("| `{board}`"))
                && line.contains(&core)
                && line.ends_with(&format!("| {target} |"))
        };
        assert!(page.lines().any(lists), "{board}, {core}, {target}");
    }
}

/// The kernels in assembly, one kind a core, against the portable ones.
#[test]
fn every_kind_of_core_computes_the_hosts_bits_for_every_kind_of_model() {
    let mut expected = String::new();
    for (name, file) in bits::FILES {
        let hash = bits::hash(file).unwrap_or_else(|| panic!("{name} predicts"));
        expected.push_str(&format!("{name} {hash:016x}\n"));
    }
    let mut targets = HashSet::new();
    for [board, _, target] in boards() {
        if !targets.insert(target) {
            continue;
        }
        let finished = run(&board, &["bits".as_ref()]);
        assert_eq!(finished.code, Some(0), "{board}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.stdout, expected, "{board}");
    }
}

#[test]
fn cortex_m7_sees_images_as_the_host_does_within_its_budget() {
    let images = root().join("examples/images");
    let read = |name: &str| fs::read(images.join(name)).expect("a file of examples/images");
    let (fashion, mnist) = (read("fashion-images-idx3-ubyte"), read("mnist-images-idx3-ubyte"));
    let mut expected = Vec::new();
    for (file, sets) in [
        ("alone.fwk", [&fashion, &mnist]),
        ("fashion.fwk", [&fashion, &mnist]),
        ("mnist.fwk", [&mnist, &fashion]),
        ("lenet.fwk", [&fashion, &mnist]),
    ] {
        let file = read(file);
        for set in sets {
            // After the header of an idx file.
            expected.extend(verdicts(&file, set[16..].chunks_exact(28 * 28)));
        }
    }
    let output = maps_run("mps2-an500", "images", &expected);
    let (_, lenet) = output.split_once("LeNet").expect("the last one");
    let passes = lenet.lines().find_map(passes_of_16_samples).expect("16 samples");
    assert!(passes < MOST_PASSES, "{output}");
    // The decoders of the small network make wider ones: the pass that counts is its own.
    let instructions = |before: &str| -> Vec<f64> {
        let after =
            |line: &str| line.trim_start().strip_prefix(before)?.split(' ').next()?.parse().ok();
        output.lines().filter_map(after).collect()
    };
    let (pass, samples) =
        (instructions("one deterministic pass: ")[0], instructions("16 samples: "));
    assert_eq!(samples.len(), 3, "{output}");
    assert!(samples[..2].iter().all(|&samples| samples < MOST_PASSES * pass), "{output}");
}

#[test]
fn cortex_m4f_sees_motion_as_the_host_does_within_its_budget() {
    let folder = root().join("examples/motion");
    let read = |name: &str| fs::read(folder.join(name)).expect("a file of examples/motion");
    let values: Vec<f32> = read("windows.f32")
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
        .collect();
    let expected: Vec<String> = verdicts(&read("motion.fwk"), values.chunks_exact(300)).collect();
    let output = maps_run("mps2-an386", "motion", &expected);
    let passes = output.lines().find_map(passes_of_16_samples).expect("16 samples");
    assert!(passes < MOST_PASSES, "{output}");
}

/// Bits of the probability and of the entropy of every input, as the host's runtime has them.
fn verdicts<'a, F: Feature + 'a>(
    file: &[u8],
    inputs: impl Iterator<Item = &'a [F]>,
) -> impl Iterator<Item = String> {
    let model = Model::from_bytes(file).expect("a committed model");
    let mut scratch = vec![0; model.scratch_len()];
    let verdict = |input| match model.predict(input, &mut Stored, model.samples(), &mut scratch) {
        Ok(Prediction::Classification(class)) => {
            format!("{:08x} {:08x}", class.top().1.to_bits(), class.entropy.to_bits())
        }
        other => panic!("expected a class, found {other:?}"),
    };
    inputs.map(verdict).collect::<Vec<_>>().into_iter()
}

/// Runs a program that prints verdicts, and compares their bits; returns the whole output.
fn maps_run(board: &str, program: &str, expected: &[String]) -> String {
    let finished = run(board, &[program.as_ref()]);
    println!("{}", finished.stdout);
    assert_eq!(finished.code, Some(0), "{board}: {}{}", finished.stdout, finished.stderr);
    let verdicts = finished.stdout.lines().filter(|line| line.contains("probability"));
    let bits = verdicts.map(|line| {
        let in_brackets = line.split('(').skip(1).filter_map(|part| part.split(')').next());
        in_brackets.collect::<Vec<_>>().join(" ")
    });
    assert_eq!(bits.collect::<Vec<_>>(), expected, "{board}");
    finished.stdout
}

fn passes_of_16_samples(line: &str) -> Option<f64> {
    let (_, figures) = line.trim_start().split_once("16 samples: ")?;
    figures.split_whitespace().nth(2)?.parse().ok()
}

#[test]
fn one_different_bit_or_a_damaged_model_fails() {
    let models = tempfile::tempdir().expect("a temporary folder");
    let own = root().join("examples/firmware/models");
    for name in ["digits.fwk", "digits.rs", "golden.rs"] {
        fs::copy(own.join(name), models.path().join(name)).expect("the model is there");
    }
    let golden = models.path().join("golden.rs");
    let text = fs::read_to_string(&golden).expect("the module is there");
    let (before, after) = text.split_once("entropy: 0x").expect("a case has an entropy");
    let (digits, after) = after.split_at(8);
    let other = u32::from_str_radix(digits, 16).expect("eight digits") ^ 1;
    fs::write(&golden, format!("{before}entropy: {other:#010x}{after}")).expect("writable");
    let finished = run("mps2-an386", &[DIGITS.as_ref(), models.path().as_os_str()]);
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stdout.contains("DIFFERS: entropy is 0x"), "{}", finished.stdout);

    let model = models.path().join("digits.fwk");
    let mut bytes = fs::read(&model).expect("the model is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).expect("writable");
    let finished = run("mps2-an386", &[DIGITS.as_ref(), models.path().as_os_str()]);
    assert_eq!(finished.code, Some(2), "{}", finished.stdout);
    assert!(finished.stdout.contains("the model is damaged: "), "{}", finished.stdout);
}

/// Runs the committed model and compares; returns the whole output.
fn golden_run(board: &str) -> String {
    let finished = run(board, &[]);
    let mut compared = String::new();
    for line in finished.stdout.lines() {
        compared.push_str(line.trim_end());
        compared.push('\n');
        if line.ends_with(LAST) {
            break;
        }
    }
    let cost: String = finished
        .stdout
        .lines()
        .skip_while(|line| !line.ends_with(LAST))
        .skip(1)
        .flat_map(|line| [line, "\n"])
        .collect();
    println!("{cost}");
    assert_eq!(finished.code, Some(0), "{board}: {}{}", finished.stdout, finished.stderr);
    let golden = root().join(GOLDEN);
    if std::env::var_os(BLESS).is_some() {
        fs::create_dir_all(golden.parent().expect("it is a file")).expect("writable");
        fs::write(&golden, &compared).expect("writable");
    }
    let expected = fs::read_to_string(&golden).expect("the golden output is committed");
    assert_eq!(compared, expected, "{board} prints something else than {GOLDEN}");
    finished.stdout
}

/// Name, core and target of every board.
fn boards() -> Vec<[String; 3]> {
    let table = fs::read_to_string(root().join("examples/firmware/boards.txt")).expect("a table");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut cells = row.split_whitespace().map(str::to_owned);
        [(); 3].map(|()| cells.next().expect("three cells"))
    })
    .collect()
}

/// Runs an instrument on a board.
fn run(board: &str, arguments: &[&OsStr]) -> Finished {
    run_script("tests/boards/run", board, arguments)
}

fn run_script(script: &str, board: &str, arguments: &[&OsStr]) -> Finished {
    // Boards of one target share the program's file: none is built while another one starts.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new("timeout");
    command.arg(LIMIT).arg(root().join(script)).arg(board);
    command.args(arguments).stdin(Stdio::null());
    command.output().expect("the script starts").into()
}

fn last_word_after<'a>(output: &'a str, row: &str) -> &'a str {
    let line = output.lines().find(|line| line.trim_start().starts_with(row));
    line.and_then(|line| line.split_whitespace().last()).unwrap_or_else(|| panic!("no row {row}"))
}
