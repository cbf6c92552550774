//! What stands in the files of a run is not believed unless it is what was written; and what is written goes
//! where it was asked for.

use std::fs;
use std::path::Path;

use fiberwalk_tests::{Finished, REGRESSION_CONFIG, contents, difference, waves};
use tempfile::TempDir;

const TRAIN: &str = "train waves.csv --target height --config small.toml --quiet --out run";

/// A folder with a finished run.
fn trained() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("waves.csv"), waves(0..120)).expect("writable");
    fs::write(folder.path().join("small.toml"), REGRESSION_CONFIG).expect("writable");
    Finished::success(folder.path(), TRAIN.split(' '));
    folder
}

fn error(folder: &Path, arguments: &str) -> String {
    let finished = Finished::run(folder, arguments.split(' '));
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let message = finished.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(message.starts_with("error: "), "{}", finished.stderr);
    message
}

/// A changed number is refused by everything that reads it; a run that lost its model makes it again.
#[test]
fn a_changed_file_is_refused_and_a_lost_one_made_again() {
    let folder = trained();
    let folder = folder.path();
    let before = contents(&folder.join("run"));
    for (name, command) in [
        ("latent.json", "predict run waves.csv --engine float --out out.csv"),
        ("latent.safetensors", "predict run waves.csv --engine float --out out.csv"),
        (
            "particles/group-000.safetensors",
            "predict run waves.csv --engine particles --out out.csv",
        ),
        ("map.safetensors", "predict run waves.csv --engine map --out out.csv"),
        ("calibration.json", "predict run waves.csv --engine map --out out.csv"),
        ("data.json", "predict run waves.csv --engine map --out out.csv"),
        ("requested.toml", "predict run waves.csv --engine map --out out.csv"),
        ("walk.json", "report run"),
        ("map.safetensors", "walk run --shard 1/2"),
        ("choices.json", &format!("{TRAIN} --resume --until map")),
    ] {
        let path = folder.join("run").join(name);
        let whole = fs::read(&path).expect("it is there");
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed).expect("writable");
        if name == "choices.json" {
            // What has to be read again is what comes after it.
            fs::remove_file(folder.join("run/map.safetensors")).expect("it is there");
        }
        let message = error(folder, command);
        for part in [name, "changed or damaged", "remove it"] {
            assert!(message.contains(part), "{name}: {message}");
        }
        assert!(!folder.join("out.csv").exists());
        fs::write(&path, &whole).expect("writable");
    }
    fs::remove_file(folder.join("run/model.fwk")).expect("it is there");
    assert!(error(folder, "predict run waves.csv --out out.csv").contains("`resume` its training"));
    Finished::success(folder, format!("{TRAIN} --resume").split(' '));
    assert!(difference(&contents(&folder.join("run")), &before).is_empty());
}

/// Runs of before there were hashes are not taken for damaged ones.
#[test]
fn a_run_of_an_earlier_version_is_told() {
    let folder = trained();
    let path = folder.path().join("run/data.json");
    let text = fs::read_to_string(&path).expect("a record");
    let earlier = text.lines().filter(|line| !line.contains("file_sha256"));
    fs::write(&path, earlier.collect::<Vec<_>>().join("\n")).expect("writable");
    let message = error(folder.path(), "evaluate run waves.csv --engine map");
    for part in ["data.json", "of a version before 0.2", "make it again"] {
        assert!(message.contains(part), "{message}");
    }
}

/// Standard output may be a file with something in it, which stays.
#[cfg(unix)]
#[test]
fn an_open_file_is_written_to_and_not_replaced() {
    use std::process::Command;

    use fiberwalk_tests::fiberwalk;

    let folder = trained();
    let predict = "predict run/model.fwk waves.csv --out";
    Finished::success(folder.path(), format!("{predict} expected").split(' '));
    let script = format!(
        "set -e; echo before > log; {{ \"$0\" {predict} /dev/stdout; echo between; \
         \"$0\" {predict} /dev/fd/3 3>> log; echo after; }} >> log"
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(fiberwalk().get_program()).current_dir(folder.path());
    let finished: Finished = command.output().expect("a shell starts").into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("text");
    let expected = read("expected");
    assert_eq!(read("log"), format!("before\n{expected}between\n{expected}after\n"));
}
