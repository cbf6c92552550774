//! A walk in shards: whatever their number, order, threads and interruptions, the run ends in the
//! bytes of one that walked in one place.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fiberwalk_tests::{
    Contents, DIGITS_CONFIG, Finished, REGRESSION_CONFIG, contents, difference, digits, fiberwalk,
    root, waves,
};
use tempfile::TempDir;

/// Particles of [`prepared`]: groups and shards of unequal sizes.
const PARTICLES: usize = 40;
/// A walk takes seconds at most.
const PATIENCE: Duration = Duration::from_secs(120);
const TRAIN: &str = "train digits.csv --target digit --config small.toml --quiet --out";

/// A folder with digits, and `alone`: a run that walked in one place.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = DIGITS_CONFIG.replace("particles = 32", &format!("particles = {PARTICLES}"));
    fs::write(folder.path().join("digits.csv"), digits(0..200)).expect("writable");
    fs::write(folder.path().join("small.toml"), config).expect("writable");
    succeed(folder.path(), &format!("{TRAIN} alone"));
    folder
}

fn succeed(folder: &Path, arguments: &str) -> Finished {
    Finished::success(folder, arguments.split_whitespace())
}

/// Runs a command on so many threads.
fn on_threads(folder: &Path, threads: usize, arguments: &str) {
    let mut command = fiberwalk();
    command.args(arguments.split_whitespace()).current_dir(folder);
    command.env("RAYON_NUM_THREADS", threads.to_string());
    let finished: Finished = command.output().expect("fiberwalk starts").into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

#[test]
fn shards_end_in_the_bytes_of_a_walk_in_one_place() {
    let folder = prepared();
    let folder = folder.path();
    let said = Finished::success(
        folder,
        format!("{TRAIN} run --until map").replace("--quiet ", "").split_whitespace(),
    );
    assert!(said.stderr.contains("walk run --shard"), "{}", said.stderr);
    let map = said.stderr.lines().find(|line| line.starts_with("map ")).expect("its line");
    assert!(map.contains(", validation NLL "), "{map}");
    assert!(!folder.join("run/particles").exists());
    // The run's directory is all that a shard needs.
    fs::rename(folder.join("digits.csv"), folder.join("away.csv")).expect("writable");
    // More threads than a group has particles, fewer, and one.
    for (shard, threads) in [(3, 20), (1, 2), (2, 1)] {
        on_threads(folder, threads, &format!("walk run --shard {shard}/3 --quiet"));
    }
    let [one, two, three] = [1, 2, 3].map(|shard| format!("shard-{shard}-of-3.safetensors"));
    // A shard that is there is not walked again.
    let again = succeed(folder, "walk run --shard 2/3");
    assert!(again.stderr.contains("nothing to walk"), "{}", again.stderr);
    // Shards of another number, for the same particles.
    succeed(folder, "walk run --shard 5/6 --out fifth --quiet");
    succeed(folder, "walk run --shard 6/6 --out sixth --quiet");
    succeed(folder, &format!("merge run sixth {two} fifth {one} --quiet"));
    let mixed = contents(&folder.join("run/particles"));
    // Particles, and how they walked.
    let kept = ["group-000", "group-001", "group-002", "trace-000", "trace-001", "trace-002"];
    let kept = kept.map(|name| PathBuf::from(format!("{name}.safetensors")));
    assert!(mixed.keys().eq(&kept), "{:?}", mixed.keys());
    assert_eq!(difference(&mixed, &contents(&folder.join("alone/particles"))).len(), 0);
    succeed(folder, &format!("merge run {three} {two} {one} --quiet"));
    fs::rename(folder.join("away.csv"), folder.join("digits.csv")).expect("writable");
    succeed(folder, &format!("{TRAIN} run --resume"));
    let found = difference(&contents(&folder.join("run")), &contents(&folder.join("alone")));
    assert_eq!(found, Vec::<PathBuf>::new());
}

#[test]
fn every_stage_is_one_to_stop_after() {
    let folder = prepared();
    let folder = folder.path();
    let mut last = Contents::new();
    for (stage, file) in [
        ("choose", "choices.json"),
        ("map", "map.safetensors"),
        ("walk", "walk.json"),
        ("latent", "latent.json"),
    ] {
        succeed(folder, &format!("{TRAIN} run --until {stage} --resume"));
        let found = contents(&folder.join("run"));
        assert!(found.contains_key(Path::new(file)), "no {file} after {stage}");
        assert!(!last.contains_key(Path::new(file)), "{file} before {stage}");
        last = found;
    }
    succeed(folder, &format!("{TRAIN} run --resume"));
    let found = difference(&contents(&folder.join("run")), &contents(&folder.join("alone")));
    assert_eq!(found, Vec::<PathBuf>::new());
}

#[test]
fn a_killed_shard_goes_on_where_it_was() {
    let folder = prepared();
    let folder = folder.path();
    let first = folder.join("killed.parts/particles/group-000.safetensors");
    // Both may end between one look and the next.
    let interrupted = (0..10).any(|_| {
        let mut command = fiberwalk();
        command.args("walk alone --shard 1/1 --out killed --quiet".split_whitespace());
        let mut child = command.current_dir(folder).spawn().expect("fiberwalk starts");
        let start = Instant::now();
        while !first.exists() && !folder.join("killed").exists() {
            assert!(start.elapsed() < PATIENCE, "no group so far");
            sleep(Duration::from_millis(1));
        }
        // SIGKILL: the walk cannot prepare for it.
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
        if folder.join("killed").exists() {
            fs::remove_file(folder.join("killed")).expect("ours");
            return false;
        }
        first.exists()
    });
    assert!(interrupted, "no kill came in time");
    let other = Finished::run(folder, "walk alone --shard 1/2 --out killed".split(' '));
    assert_eq!(other.code, Some(1));
    for part in ["killed.parts", "shard 1/1", "shard 1/2", "remove it"] {
        assert!(other.stderr.contains(part), "{}", other.stderr);
    }
    let said = succeed(folder, "walk alone --shard 1/1 --out killed").stderr;
    assert!(!said.contains(&format!("walk: {PARTICLES} particles")), "from the start: {said}");
    succeed(folder, "walk alone --shard 1/1 --out whole --quiet");
    assert!(fs::read(folder.join("killed")).ok() == fs::read(folder.join("whole")).ok());
    assert!(!folder.join("killed.parts").exists());
}

/// A folder with a small regression run whose MAP is trained.
fn regression() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("waves.csv"), waves(0..120)).expect("writable");
    fs::write(folder.path().join("small.toml"), REGRESSION_CONFIG).expect("writable");
    let train = "train waves.csv --target height --config small.toml --quiet --out run --until map";
    succeed(folder.path(), train);
    folder
}

/// Runs a shell command as a cluster would, with `fiberwalk` in the path.
fn as_task(folder: &Path, command: &mut Command, variable: &str, index: usize) {
    let program = PathBuf::from(fiberwalk().get_program());
    let own = program.parent().expect("it lies in a folder").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([own].into_iter().chain(env::split_paths(&path))).expect("paths");
    command.current_dir(folder).env("PATH", path).env(variable, index.to_string());
    let finished: Finished = command.stdin(Stdio::null()).output().expect("a shell starts").into();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
}

/// Merges all shards in `folder`, and compares with a walk in one place.
fn merged(folder: &Path) {
    let names: Vec<String> = contents(folder)
        .into_keys()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("shard-"))
        .collect();
    succeed(folder, &format!("merge run {} --quiet", names.join(" ")));
    let train = "train waves.csv --target height --config small.toml --quiet --until walk --out";
    succeed(folder, &format!("{train} run --resume"));
    succeed(folder, &format!("{train} alone"));
    let found = difference(&contents(&folder.join("run")), &contents(&folder.join("alone")));
    assert_eq!(found, Vec::<PathBuf>::new());
}

/// The array job as `sbatch --array=1-20 walk.slurm run 20` runs it: more tasks than particles.
#[test]
fn the_slurm_example_walks() {
    let folder = regression();
    let script = root().join("examples/cluster/walk.slurm");
    for task in 1..=20 {
        let mut command = Command::new("bash");
        command.arg(&script).args(["run", "20"]).env("SLURM_CPUS_PER_TASK", "1");
        as_task(folder.path(), &mut command, "SLURM_ARRAY_TASK_ID", task);
    }
    merged(folder.path());
}

/// The command of the indexed job, for each of its completions.
#[test]
fn the_kubernetes_example_walks() {
    let folder = regression();
    let text = fs::read_to_string(root().join("examples/cluster/walk.yaml")).expect("the example");
    let field = |name: &str| {
        let found = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
        found.unwrap_or_else(|| panic!("walk.yaml has no {name}")).trim()
    };
    let completions: usize = field("completions:").parse().expect("a number");
    let walk = field("- fiberwalk");
    for index in 0..completions {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("fiberwalk {walk}")]);
        as_task(folder.path(), &mut command, "JOB_COMPLETION_INDEX", index);
    }
    merged(folder.path());
}
