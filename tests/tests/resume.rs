//! A run killed or interrupted at any moment and resumed leaves the same bytes as one that was never
//! disturbed, on any number of threads; one that is interrupted says how to go on.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
        interrupted += usize::from(killed(folder.path(), false, |run| appears(&run.join(mark))));
        let found = resumed(folder.path());
        assert_eq!(difference(&found, &expected).len(), 0, "killed after {mark}");
    }
    // Other tests may have slowed the first run, and have ended since.
    let time = time.min(undisturbed("2").1);
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

/// Settings of which some are searched for, and whose fit takes seconds.
const SEARCHED: &str = "\
[network]
hidden = [8]
[map]
steps = 60
[walk]
maps = 1
particles = 16
steps = 40
[latent]
dim = 2
decoder = [\"frozen\", \"low-rank:2\"]
steps = 3000
";

/// A stage that takes long goes on from what it had done when it was killed.
#[test]
fn a_run_killed_within_a_stage_goes_on_there() {
    let prepared = || {
        let folder = prepared();
        fs::write(folder.path().join("small.toml"), SEARCHED).expect("writable");
        folder
    };
    let whole = prepared();
    Finished::success(whole.path(), TRAIN);
    let expected = contents(&whole.path().join("run"));
    for (kept, last) in [
        ("choose/00-04.json", "choices.json"),
        ("choose/01-02.json", "choices.json"),
        ("latent/under-way-00.safetensors", "latent.json"),
    ] {
        // A stage may end between one look and the next.
        let folder = (0..10).find_map(|_| {
            let folder = prepared();
            killed(folder.path(), false, |run| {
                let start = Instant::now();
                while !run.join(kept).exists() && !run.join(last).exists() {
                    assert!(start.elapsed() < PATIENCE, "no {kept} so far");
                    sleep(Duration::from_millis(1));
                }
            });
            let run = folder.path().join("run");
            (run.join(kept).exists() && !run.join(last).exists()).then_some(folder)
        });
        let folder = folder.unwrap_or_else(|| panic!("no kill came in time for {kept}"));
        let again = TRAIN.into_iter().filter(|&word| word != "--quiet");
        let resumed = Finished::success(folder.path(), again.chain(["--resume", "--verbose"]));
        let read = format!("read path=run/{kept}");
        assert!(resumed.stderr.contains(&read), "{kept} is not gone on from: {}", resumed.stderr);
        let found = contents(&folder.path().join("run"));
        assert_eq!(difference(&found, &expected), Vec::<std::path::PathBuf>::new(), "{kept}");
    }
}

/// Where standard error is no terminal, a stage says how far it is every ten seconds.
#[test]
fn a_long_stage_says_how_far_it_is() {
    let folder = prepared();
    let config = DIGITS_CONFIG.replace("steps = 300", "steps = 10000000");
    fs::write(folder.path().join("small.toml"), config).expect("writable");
    let mut command = fiberwalk();
    command.args(TRAIN.into_iter().filter(|&word| word != "--quiet")).current_dir(folder.path());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("fiberwalk starts");
    appears(&folder.path().join("run/data.json"));
    sleep(Duration::from_secs(12));
    child.kill().expect("the child is ours");
    let said: Finished = child.wait_with_output().expect("the child is ours").into();
    let last = said.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("choose ") && last.contains(" left"), "{}", said.stderr);
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

/// Whoever comes second is told who is at work and changes nothing; a process that is killed is at work no
/// more.
#[test]
fn one_process_works_on_a_run() {
    let (expected, _) = undisturbed("2");
    let folder = prepared();
    let mut command = fiberwalk();
    let mut first = command.args(TRAIN).current_dir(folder.path()).spawn().expect("it starts");
    appears(&folder.path().join("run/data.json"));
    for _ in 0..3 {
        let second = Finished::run(folder.path(), TRAIN.into_iter().chain(["--resume"]));
        assert_eq!(second.code, Some(1), "{second:?}");
        let holder = format!("run is in use by process {}", first.id());
        assert!(second.stderr.contains(&holder), "{second:?}");
    }
    first.kill().expect("the child is ours");
    first.wait().expect("the child is ours");
    assert_eq!(difference(&resumed(folder.path()), &expected).len(), 0);
}

/// Waits until there is such a file.
fn appears(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < PATIENCE, "no {} so far", path.display());
        sleep(Duration::from_millis(1));
    }
}

/// Starts `fiberwalk` in `folder`.
#[cfg(unix)]
fn started(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = fiberwalk();
    command.args(arguments).current_dir(folder).stderr(Stdio::piped());
    command.spawn().expect("fiberwalk starts")
}

/// Sends a signal to a process; what it says to that.
#[cfg(unix)]
fn signalled(child: Child, signal: &str) -> Finished {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill is there").success());
    child.wait_with_output().expect("the child is ours").into()
}

/// What a shell makes of the command that an interrupted one told.
#[cfg(unix)]
fn told(folder: &Path, interrupted: &Finished) -> Finished {
    let last = interrupted.stderr.lines().last().unwrap_or_default();
    let command =
        last.strip_prefix("interrupted; go on with: ").unwrap_or_else(|| panic!("{last}"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("FIBERWALK_DEVICE", "cpu");
    shell.output().expect("there is a shell").into()
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let (expected, _) = undisturbed("2");
    for (signal, code, mark) in [
        ("-INT", 130, "data.json"),
        ("-TERM", 143, "particles/group-000.safetensors"),
        ("-INT", 130, "latent.safetensors"),
    ] {
        let folder = prepared();
        // A name that a shell would take apart.
        fs::rename(folder.path().join("digits.csv"), folder.path().join("the $digits.csv"))
            .expect("writable");
        let mut arguments = TRAIN;
        arguments[1] = "the $digits.csv";
        let child = started(folder.path(), &arguments);
        appears(&folder.path().join("run").join(mark));
        let interrupted = signalled(child, signal);
        assert_eq!(interrupted.code, Some(code), "{interrupted:?}");
        let run = contents(&folder.path().join("run"));
        let unfinished =
            |path: &&std::path::PathBuf| path.to_string_lossy().contains(".fiberwalk-");
        assert_eq!(run.keys().find(unfinished), None);
        let resumed = told(folder.path(), &interrupted);
        assert_eq!(resumed.code, Some(0), "{resumed:?}");
        let found = contents(&folder.path().join("run"));
        assert_eq!(difference(&found, &expected).len(), 0, "{signal} after {mark}");
    }
}

/// A shard is gone on with by the same command.
#[cfg(unix)]
#[test]
fn an_interrupted_shard_says_how_to_go_on() {
    let folder = prepared();
    let path = folder.path();
    Finished::success(path, TRAIN.into_iter().chain(["--until", "map"]));
    let walk = ["walk", "run", "--shard", "1/1"];
    Finished::success(path, walk.into_iter().chain(["--out", "expected"]));
    let child = started(path, &walk);
    appears(&path.join("shard-1-of-1.safetensors.parts/particles/group-000.safetensors"));
    let interrupted = signalled(child, "-INT");
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    let resumed = told(path, &interrupted);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let shard = |name: &str| fs::read(path.join(name)).expect("the shard is there");
    assert_eq!(shard("shard-1-of-1.safetensors"), shard("expected"));
}

/// Interrupted while it reads its data, which takes long enough for that.
#[cfg(target_os = "linux")]
#[test]
fn nothing_to_go_on_with_is_said_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let line = "1,".repeat(30);
    let rows = format!("{line}a\n").repeat(400_000);
    let header: String = (0..30).map(|column| format!("x{column},")).collect();
    fs::write(folder.path().join("data.csv"), format!("{header}digit\n{rows}")).expect("writable");
    let child = started(folder.path(), &["train", "data.csv", "--target", "digit"]);
    let open = format!("/proc/{}/fd", child.id());
    let start = Instant::now();
    let reads = || {
        let files = fs::read_dir(&open).into_iter().flatten().flatten();
        files.flat_map(|file| fs::read_link(file.path())).any(|file| file.ends_with("data.csv"))
    };
    while !reads() {
        assert!(start.elapsed() < PATIENCE, "the data are not read so far");
        sleep(Duration::from_millis(1));
    }
    let interrupted = signalled(child, "-INT");
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    assert!(interrupted.stderr.contains("before there was anything"), "{interrupted:?}");
    assert!(!interrupted.stderr.contains("--resume"), "{interrupted:?}");
    assert!(!folder.path().join("data-run").exists());
}
