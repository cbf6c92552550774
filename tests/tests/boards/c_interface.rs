//! The C interface on emulated boards: programs in C that check themselves, or whose output is
//! compared with the runtime on the host.

#[path = "../../../formats/tests/example/mod.rs"]
mod example;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use fiberwalk_formats::CodeSource;
use fiberwalk_runtime::{LowDiscrepancy, Model, Prediction, Regression};
use fiberwalk_tests::{Finished, root};

use example::{Shape, Structure, random, to_bytes};

/// Seconds that building and running may take before it counts as hung.
const LIMIT: &str = "900";
/// The example in C.
const EXAMPLE: &str = "examples/c/main.c";

#[test]
fn digits_have_the_bits_of_the_host_on_a_core_with_and_without_floats() {
    let outputs = ["mps2-an386", "microbit"].map(|board| {
        let finished = run(board, &digits(), EXAMPLE);
        assert_eq!(finished.code, Some(0), "{board}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.stderr, "", "{board}: warnings");
        finished.stdout
    });
    let end = " results equal the host's bit for bit\n";
    let (_, count) = outputs[0].trim_end_matches(end).rsplit_once('\n').expect("several lines");
    let (equal, all) = count.split_once(" of ").expect("a count");
    assert!(equal == all && equal != "0", "{}", outputs[0]);
    assert_eq!(outputs[0], outputs[1], "the boards print different things");
}

#[test]
fn one_different_bit_or_a_damaged_model_fails() {
    let models = tempfile::tempdir().expect("a temporary folder");
    let model = models.path().join("digits.fwk");
    let golden = models.path().join("golden.rs");
    fs::copy(digits(), &model).expect("the model is there");
    fs::copy(digits().with_extension("rs"), model.with_extension("rs")).expect("so is its module");
    let text = fs::read_to_string(digits().with_file_name("golden.rs")).expect("readable");
    let (before, after) = text.split_once("probabilities: [0x").expect("a case has some");
    let (bits, after) = after.split_at(8);
    let other = u32::from_str_radix(bits, 16).expect("eight digits") ^ 1;
    fs::write(&golden, format!("{before}probabilities: [{other:#010x}{after}")).expect("writable");
    let finished = run("mps2-an386", &model, EXAMPLE);
    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    assert!(finished.stdout.contains("DIFFERS: probability is 0x"), "{}", finished.stdout);

    let mut bytes = fs::read(&model).expect("the model is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).expect("writable");
    let finished = run("mps2-an386", &model, EXAMPLE);
    assert_eq!(finished.code, Some(2), "{}", finished.stdout);
    assert_eq!(finished.stdout, "the model cannot be read: the file is corrupt\n");
}

#[test]
fn misuse_is_refused() {
    let finished = run("mps2-an386", &digits(), "tests/c/refusals.c");
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
}

#[test]
fn a_number_from_drawn_codes_has_the_bits_of_the_host() {
    // Of random networks, many of which saturate, the first whose samples differ.
    let (bytes, value) = (0..100)
        .map(number_from_drawn_codes)
        .find(|(_, value)| value.epistemic_variance > 0.0)
        .expect("the samples of some network differ");
    let expected = [
        ("mean", value.mean),
        ("std", value.std()),
        ("epistemic_std", value.epistemic_std()),
        ("lower", value.lower),
        ("upper", value.upper),
    ];
    let mut lines =
        expected.map(|(name, field)| format!("{name} {:#010x}\n", field.to_bits())).concat();
    lines += if value.out_of_distribution { "out of distribution\n" } else { "familiar\n" };

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.fwk");
    fs::write(&file, &bytes).expect("writable");
    for board in ["mps2-an386", "microbit"] {
        let finished = run(board, &file, "tests/c/regression.c");
        assert_eq!(finished.code, Some(0), "{board}: {}{}", finished.stdout, finished.stderr);
        assert_eq!(finished.stdout, lines, "{board}");
    }
}

/// The file of a random network and the host's prediction.
fn number_from_drawn_codes(seed: u64) -> (Vec<u8>, Regression) {
    let mut artifact = random(&Shape {
        features: 3,
        layers: vec![(5, Structure::LowRank(2)), (1, Structure::Dense(1))],
        tanh: true,
        latent_dim: 2,
        trunk: Some(4),
        stored: 0,
        regression: true,
        seed,
    });
    artifact.codes.source = CodeSource::LowDiscrepancy;
    artifact.codes.samples = 7;
    let bytes = to_bytes(&artifact);
    let model = Model::from_bytes(&bytes).expect("a valid file");
    let mut codes = LowDiscrepancy::seeded(model.latent_dim(), 0);
    let mut scratch = vec![0; model.scratch_len()];
    // The same numbers as in regression.c.
    let prediction = model.predict(&[0.5, -1.25, 2.0], &mut codes, model.samples(), &mut scratch);
    let Ok(Prediction::Regression(value)) = prediction else { panic!("{prediction:?}") };
    (bytes.clone(), value)
}

fn digits() -> PathBuf {
    root().join("examples/firmware/models/digits.fwk")
}

fn run(board: &str, model: &Path, program: &str) -> Finished {
    // Programs for one target share a file: none is built while another one starts.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new("timeout");
    command.arg(LIMIT).arg(root().join("examples/c/run")).arg(board).arg(model);
    command.arg(root().join(program)).stdin(Stdio::null());
    command.output().expect("the script starts").into()
}
