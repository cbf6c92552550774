//! A run killed at any moment and resumed leaves the same bytes as one that was never disturbed,
//! on any number of threads.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fiberwalk_tests::{Contents, DIGITS_CONFIG, Finished, contents, difference, digits, fiberwalk};
use tempfile::TempDir;

/// Rows to train on.
const ROWS: usize = 300;
/// Files after whose appearance the run is killed: one a stage.
const MARKS: [&str; 6] = [
    "data.json",
    "choices.json",
    "map.safetensors",
    "particles/group-000.safetensors",
    "latent.safetensors",
    "model.fwk",
];
/// Last file of a run.
const LAST: &str = "model.rs";
/// Shares of an undisturbed run's time after which the run is killed.
const MOMENTS: [f64; 5] = [0.05, 0.3, 0.5, 0.7, 0.9];
/// A stage takes seconds at most.
const PATIENCE: Duration = Duration::from_secs(120);

const TRAIN: [&str; 9] = [
    "train",
    "digits.csv",
    "--target",
    "digit",
    "--config",
    "small.toml",
    "--out",
    "run",
    "--quiet",
];

fn prepared() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("digits.csv"), digits(0..ROWS)).expect("writable");
    fs::write(folder.path().join("small.toml"), DIGITS_CONFIG).expect("writable");
    folder
}

fn undisturbed(threads: &str) -> (Contents, Duration) {
    let folder = prepared();
    let start = Instant::now();
    let mut command = fiberwalk();
    command.args(TRAIN).current_dir(folder.path()).env("RAYON_NUM_THREADS", threads);
    let finished: Finished = command.output().expect("fiberwalk starts").into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    (contents(&folder.path().join("run")), start.elapsed())
}

/// Starts a run, waits, kills it; says whether there was still something to kill.
fn killed(folder: &Path, resume: bool, wait: impl Fn(&Path)) -> bool {
    let mut command = fiberwalk();
    command.args(TRAIN).args(resume.then_some("--resume")).current_dir(folder);
    let mut child = command.spawn().expect("fiberwalk starts");
    let run = folder.join("run");
    wait(&run);
    // SIGKILL: the run cannot prepare for it.
    child.kill().expect("the child is ours");
    child.wait().expect("the child is ours");
    !run.join(LAST).exists()
}

fn resumed(folder: &Path) -> Contents {
    Finished::success(folder, TRAIN.into_iter().chain(["--resume"]));
    contents(&folder.join("run"))
}

#[test]
fn one_thread_and_two_give_the_same_bytes() {
    let (one, two) = (undisturbed("1").0, undisturbed("2").0);
    assert_eq!(difference(&one, &two), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let (expected, time) = undisturbed("2");
    let mut interrupted = 0;
    for mark in MARKS {
        let folder = prepared();
        let wait = |run: &Path| {
            let start = Instant::now();
            while !run.join(mark).exists() {
                assert!(start.elapsed() < PATIENCE, "no {mark} so far");
                sleep(Duration::from_millis(1));
            }
        };
        interrupted += usize::from(killed(folder.path(), false, wait));
        let found = resumed(folder.path());
        assert_eq!(difference(&found, &expected).len(), 0, "killed after {mark}");
    }
    for moment in MOMENTS {
        let folder = prepared();
        interrupted += usize::from(killed(folder.path(), false, |_| sleep(time.mul_f64(moment))));
        let found = resumed(folder.path());
        assert_eq!(difference(&found, &expected).len(), 0, "killed after {moment} of the time");
    }
    // The last files follow each other closely: a kill there may come too late.
    let kills = MARKS.len() + MOMENTS.len();
    assert!(interrupted + 3 >= kills, "only {interrupted} of {kills} kills came in time");
}

#[test]
fn a_run_killed_again_and_again_still_ends_in_the_same_bytes() {
    let (expected, time) = undisturbed("2");
    let folder = prepared();
    for attempt in 0..6 {
        killed(folder.path(), attempt > 0, |_| sleep(time.mul_f64(0.25)));
    }
    let found = resumed(folder.path());
    assert_eq!(difference(&found, &expected).len(), 0);
}
