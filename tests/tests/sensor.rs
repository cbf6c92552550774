//! The sensor example as a pipe: what it answers, when, and what it refuses.

#[path = "../../formats/tests/example/mod.rs"]
mod example;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use fiberwalk_formats::CodeSource;
use fiberwalk_tests::{Finished, sensor};

use example::{Shape, Structure, convolutional, random, tiny, to_bytes};
use tempfile::TempDir;

/// Writes a model; the folder goes with the result.
fn model(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.fwk");
    fs::write(&path, bytes).expect("writable");
    (folder, path)
}

fn start(model: &Path) -> Child {
    let mut command = sensor();
    command.arg(model).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// The end of a run on these rows.
fn answers(model: &Path, rows: &[u8]) -> Finished {
    let mut child = start(model);
    // It may have ended with an error before it has read everything.
    let _ = child.stdin.take().expect("piped").write_all(rows);
    child.wait_with_output().expect("the program ends").into()
}

#[test]
fn every_row_is_answered_before_the_next_one_comes() {
    let (_folder, model) = model(&to_bytes(&tiny()));
    let mut child = start(&model);
    let mut rows = child.stdin.take().expect("piped");
    let mut answers = BufReader::new(child.stdout.take().expect("piped")).lines();
    // The example of SPEC.md, then its features' means: zero in, the biases out.
    for (row, expected) in [("6.1,1.9", "class yes, probability 0."), ("4.0, 1.0\r", "class no, ")]
    {
        writeln!(rows, "{row}").expect("the program listens");
        let answer = answers.next().expect("an answer").expect("text");
        assert!(answer.starts_with(expected), "{row}: {answer}");
        assert!(answer.contains(", entropy ") && answer.ends_with("sure"), "{answer}");
        assert!(answer.contains(", set {"), "{answer}");
    }
    drop(rows);
    assert!(child.wait().expect("the program ends").success());
}

#[test]
fn a_number_has_its_deviation() {
    let mut artifact = random(&Shape {
        features: 3,
        layers: vec![(5, Structure::LowRank(2)), (1, Structure::Dense(1))],
        tanh: true,
        latent_dim: 2,
        trunk: Some(4),
        stored: 0,
        regression: true,
        seed: 1,
    });
    for source in [CodeSource::LowDiscrepancy, CodeSource::Normal] {
        artifact.codes.source = source;
        let (_folder, model) = model(&to_bytes(&artifact));
        let finished = answers(&model, b"0.5,-1.25,2\n");
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let mut words = finished.stdout.split([' ', ',', '\n']);
        assert_eq!(words.next(), Some("y"), "{}", finished.stdout);
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<f32>().ok());
        assert!(number(words.next()).is_some(), "{}", finished.stdout);
        assert_eq!(words.next(), Some("±"), "{}", finished.stdout);
        assert!(number(words.next()).is_some_and(|std| std > 0.0), "{}", finished.stdout);
    }
}

/// A network with maps has names of channels at most, and a field for every value all the same.
#[test]
fn a_row_of_a_map_has_a_field_for_every_value() {
    let (artifact, _) = convolutional();
    let geometry = artifact.geometry.expect("it has maps");
    let values = geometry.input.len();
    let (_folder, model) = model(&to_bytes(&artifact));
    let row = vec!["0.5"; values].join(",");
    let finished = answers(&model, format!("{row}\n{row},1\n").as_bytes());
    assert_eq!(finished.stdout.lines().count(), 1, "{}", finished.stderr);
    let expected = format!("error: line 2: found {} fields, expected {values}\n", values + 1);
    assert_eq!(finished.stderr, expected);
}

#[test]
fn a_bad_row_ends_it_with_line_and_field() {
    let (_folder, model) = model(&to_bytes(&tiny()));
    let cases: [(&[u8], &str); 4] = [
        (b"1,x\n", "error: line 2: field 2 (`width`): found `x`, expected a finite number\n"),
        (b"1\n", "error: line 2: found 1 fields, expected 2\n"),
        (b"1,2,3\n", "error: line 2: found 3 fields, expected 2\n"),
        (b"1,\xff\n", "error: line 2: stream did not contain valid UTF-8\n"),
    ];
    for (row, message) in cases {
        let finished = answers(&model, &[b"6.1,1.9\n", row, b"6.1,1.9\n"].concat());
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert_eq!(finished.stderr, message);
        assert_eq!(finished.stdout.lines().count(), 1, "the row before it is answered");
    }
}

#[test]
fn a_file_that_is_no_model_ends_it() {
    let (_folder, model) = model(b"this is no model, but it is long enough");
    let finished = answers(&model, b"1,2\n");
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("model.fwk: not a .fwk file"), "{}", finished.stderr);
    let finished = answers(&model.with_file_name("none.fwk"), b"1,2\n");
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("none.fwk"), "{}", finished.stderr);
}
