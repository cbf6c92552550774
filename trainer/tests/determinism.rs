//! Same seed, same bytes: whatever the number of threads, and after any interruption.

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Sandbox, files};

const TRAIN: &str = "train classes.csv --target ring --config quick.toml --quiet --out";

#[test]
fn threads_do_not_change_a_byte() {
    let sandbox = Sandbox::new();
    for threads in ["1", "2", "3"] {
        let status = sandbox
            .command(&format!("{TRAIN} threads-{threads}"))
            .env("RAYON_NUM_THREADS", threads)
            .status()
            .expect("the command starts");
        assert!(status.success());
    }
    let one = files(&sandbox.path("threads-1"));
    assert!(one.iter().any(|(path, _)| path.ends_with("model.fwk")));
    assert_eq!(one, files(&sandbox.path("threads-2")));
    assert_eq!(one, files(&sandbox.path("threads-3")));
}

#[test]
fn another_seed_gives_another_model() {
    let sandbox = Sandbox::new();
    sandbox.succeed(&format!("{TRAIN} zero --seed 0"));
    sandbox.succeed(&format!("{TRAIN} one --seed 1"));
    assert_ne!(sandbox.read("zero/model.fwk"), sandbox.read("one/model.fwk"));
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    let started = Instant::now();
    sandbox.succeed(&format!("{TRAIN} whole"));
    let whole = started.elapsed();
    let expected = files(&sandbox.path("whole"));
    // Killed again and again after ever longer times, the run still gets to its end.
    let mut kills = 0;
    for attempt in 1.. {
        let command = format!("{TRAIN} killed --resume");
        let mut child = sandbox.command(&command).spawn().expect("the command starts");
        let limit = Instant::now() + whole * attempt / 8 + Duration::from_millis(10);
        let finished = loop {
            if let Some(status) = child.try_wait().expect("a child to wait for") {
                break Some(status);
            }
            if Instant::now() > limit {
                child.kill().expect("a child to kill");
                child.wait().expect("a child to wait for");
                break None;
            }
            sleep(Duration::from_millis(2));
        };
        match finished {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => kills += 1,
        }
    }
    assert!(kills >= 3, "only {kills} interruptions");
    assert_eq!(files(&sandbox.path("killed")), expected);
}
