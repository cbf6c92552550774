//! From a CSV file to predictions on rows that training has not seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use fiberwalk_tests::{DIGITS_CONFIG, Finished, REGRESSION_CONFIG, digits, fiberwalk, waves};
use serde_json::Value;

/// A CSV file's columns by name, in order.
fn columns(path: &Path) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let mut reader = csv::Reader::from_path(path).expect("the file is readable");
    let names: Vec<String> =
        reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in reader.records() {
        for (name, field) in names.iter().zip(&record.expect("a row")) {
            columns.entry(name.clone()).or_default().push(field.to_owned());
        }
    }
    (names, columns)
}

fn numbers(columns: &BTreeMap<String, Vec<String>>, name: &str) -> Vec<f64> {
    columns[name].iter().map(|field| field.parse().expect("a number")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file is there")).expect("it is JSON")
}

fn score(scores: &Value, name: &str) -> f64 {
    scores[name].as_f64().unwrap_or_else(|| panic!("no {name} in {scores}"))
}

/// Runs a command whose standard output nobody reads any more.
fn close_output(folder: &Path, arguments: &str) {
    let mut command = fiberwalk();
    command.args(arguments.split_whitespace()).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let finished = Finished::from(child.wait_with_output().expect("the program ends"));
    assert_eq!((finished.code, &finished.stderr[..]), (Some(0), ""), "{arguments}");
}

#[test]
fn digits_from_csv_to_predictions() {
    let test = 300;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("training.csv"), digits((0..1000).step_by(2))).expect("writable");
    fs::write(at("test.csv"), digits((1..2 * test).step_by(2))).expect("writable");
    fs::write(at("small.toml"), DIGITS_CONFIG).expect("writable");
    let run = |arguments: &str| Finished::success(folder.path(), arguments.split_whitespace());

    run("train training.csv --target digit --config small.toml --out run --quiet");
    for name in ["config.toml", "map.safetensors", "model.fwk", "model.rs"] {
        assert!(at("run").join(name).exists(), "the run has no {name}");
    }

    run("predict run test.csv --out predictions.csv");
    let (names, found) = columns(&at("predictions.csv"));
    let mut expected: Vec<String> = (0..10).map(|class| format!("p({class})")).collect();
    let rest = ["class", "entropy", "mutual_information", "set", "out_of_distribution"];
    expected.extend(rest.map(str::to_owned));
    assert_eq!(names, expected);
    let probabilities: Vec<_> =
        (0..10).map(|class| numbers(&found, &format!("p({class})"))).collect();
    let (_, truth) = columns(&at("test.csv"));
    let (mut right, mut covered) = (0, 0);
    for row in 0..test {
        let p: Vec<f64> = probabilities.iter().map(|column| column[row]).collect();
        // Ten roundings of a float.
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-6, "row {row}: {p:?}");
        let top = (0..10).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("ten classes");
        assert_eq!(found["class"][row], top.to_string());
        right += usize::from(truth["digit"][row] == top.to_string());
        let set: Vec<&str> = found["set"][row].split('|').collect();
        covered += usize::from(set.contains(&truth["digit"][row].as_str()));
    }
    for name in ["entropy", "mutual_information"] {
        assert!(numbers(&found, name).iter().all(|nats| (0.0..2.4).contains(nats)), "{name}");
    }

    // Standard output is what the file is, and a reader may leave.
    let shown = run("predict run test.csv --out -").stdout;
    assert_eq!(fs::read_to_string(at("predictions.csv")).ok(), Some(shown));
    close_output(folder.path(), "predict run test.csv --out -");
    close_output(folder.path(), "inspect run/model.fwk");
    // Through the system's name of it, lines that are there already stay.
    fs::write(at("log.txt"), "before\n").expect("writable");
    let log = fs::OpenOptions::new().append(true).open(at("log.txt")).expect("writable");
    let mut command = fiberwalk();
    command.args("predict run test.csv --out /dev/stdout".split(' ')).current_dir(folder.path());
    assert!(command.stdout(log).status().expect("it starts").success());
    let log = fs::read_to_string(at("log.txt")).expect("readable");
    assert_eq!(log.lines().count(), 2 + test, "{}", &log[..100]);
    assert!(log.starts_with("before\np(0),"), "{}", &log[..100]);

    // The file alone predicts the same as the run.
    run("predict run/model.fwk test.csv --out alone.csv");
    assert_eq!(fs::read(at("alone.csv")).ok(), fs::read(at("predictions.csv")).ok());

    run("evaluate run test.csv --target digit --json runtime.json");
    run("evaluate run test.csv --target digit --engine float --json float.json");
    let (runtime, float) = (json(&at("runtime.json")), json(&at("float.json")));
    let accuracy = right as f64 / test as f64;
    assert!((score(&runtime, "accuracy") - accuracy).abs() < 1e-9, "{runtime}");
    let coverage = covered as f64 / test as f64;
    assert!((score(&runtime, "set_coverage") - coverage).abs() < 1e-9, "{runtime}");
    let flagged = found["out_of_distribution"].iter().filter(|verdict| *verdict == "true").count();
    let flagged = flagged as f64 / test as f64;
    assert!((score(&runtime, "flagged") - flagged).abs() < 1e-9, "{runtime}");
    assert!(accuracy > 0.85, "accuracy {accuracy}");
    assert!(coverage > 0.8, "coverage {coverage}");
    let gap = score(&runtime, "nll") - score(&float, "nll");
    assert!(gap.abs() < 0.1, "int8 loses {gap} nats");

    let inspected = run("inspect run/model.fwk --json inspected.json").stdout;
    assert!(inspected.contains("digit"), "{inspected}");
    assert!(json(&at("inspected.json")).is_object());
}

#[test]
fn every_engine_predicts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("training.csv"), waves(0..200)).expect("writable");
    fs::write(at("test.csv"), waves(200..260)).expect("writable");
    // Drawn codes need a trunk, for which a small network's budget of flash has no room.
    let config = format!("{REGRESSION_CONFIG}[export]\ntrunk = true\n");
    fs::write(at("small.toml"), config).expect("writable");
    let run = |arguments: &str| Finished::success(folder.path(), arguments.split_whitespace());
    run("train training.csv --target height --config small.toml --out run --quiet");
    let mut seen = Vec::new();
    for engine in ["runtime", "float", "particles", "map"] {
        run(&format!("predict run test.csv --out {engine}.csv --engine {engine}"));
        let (names, found) = columns(&at(&format!("{engine}.csv")));
        let expected = ["mean", "std", "epistemic_std", "lower", "upper", "out_of_distribution"];
        assert_eq!(names, expected);
        let [mean, std, epistemic, lower, upper] =
            ["mean", "std", "epistemic_std", "lower", "upper"].map(|name| numbers(&found, name));
        assert_eq!(mean.len(), 60);
        for row in 0..mean.len() {
            assert!(lower[row] < mean[row] && mean[row] < upper[row], "{engine}, row {row}");
            assert!(epistemic[row] >= 0.0 && epistemic[row] < std[row], "{engine}, row {row}");
        }
        seen.push(mean);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4, "two engines give the very same means");

    run("predict run test.csv --out drawn.csv --codes normal --samples 64 --seed 1");
    run("predict run test.csv --out again.csv --codes normal --samples 64 --seed 1");
    run("predict run test.csv --out other.csv --codes normal --samples 64 --seed 2");
    let [drawn, again, other] =
        ["drawn", "again", "other"].map(|name| fs::read(at(&format!("{name}.csv"))).ok());
    assert_eq!(drawn, again);
    assert_ne!(drawn, other);

    run("evaluate run test.csv --target height --json scores.json");
    let scores = json(&at("scores.json"));
    // The noise is 2 in these units, the target's standard deviation 10.
    assert!(score(&scores, "rmse") < 6.0, "{scores}");
    assert!(score(&scores, "coverage") > 0.7, "{scores}");
    for name in ["nll", "crps", "mean_width"] {
        assert!(score(&scores, name).is_finite(), "{scores}");
    }
}

/// A decoder of another network than the one that walked: every engine has its own.
#[test]
fn the_decoded_network_may_be_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("training.csv"), digits((0..800).filter(|row| row % 5 != 3))).expect("writable");
    fs::write(at("test.csv"), digits((0..800).filter(|row| row % 5 == 3))).expect("writable");
    let own = "[latent]\nhidden = [\"48 relu\"]\n";
    let decoder = "decoder = [\"frozen\", \"low-rank:4\"]\n";
    let config = DIGITS_CONFIG.replace("[latent]\n", own);
    let config = config.replace("decoder = [\"frozen\", \"low-rank:4\", \"dense:3\"]\n", decoder);
    fs::write(at("wide.toml"), config).expect("writable");
    let run = |arguments: &str| Finished::success(folder.path(), arguments.split_whitespace());
    run("train training.csv --target digit --config wide.toml --out run --quiet");
    for engine in ["map", "particles", "float", "runtime"] {
        run(&format!("evaluate run test.csv --engine {engine} --json {engine}.json"));
        let accuracy = score(&json(&at(&format!("{engine}.json"))), "accuracy");
        assert!(accuracy > 0.85, "{engine}: {accuracy}");
    }
    let shown = run("inspect run/model.fwk").stdout;
    assert!(shown.contains("64 → 48 relu") && shown.contains("48 → 10 logits"), "{shown}");

    let config = fs::read_to_string(at("wide.toml")).expect("it is there");
    fs::write(at("wrong.toml"), config.replace("\"48 relu\"", "48, 24")).expect("writable");
    let arguments = "train training.csv --target digit --config wrong.toml --out other --quiet";
    let refused = Finished::run(folder.path(), arguments.split_whitespace());
    assert!(
        refused.stderr.contains("latent.decoder: found 2 entries for 3 layers"),
        "{}",
        refused.stderr
    );
}

#[test]
fn columns_are_matched_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("training.csv"), waves(0..120)).expect("writable");
    fs::write(at("small.toml"), REGRESSION_CONFIG).expect("writable");
    let test = waves(120..140);
    // The same rows with the columns in another order and without the target.
    let turned: String = test
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            format!("{},{},{}\n", fields[2], fields[1], fields[0])
        })
        .collect();
    fs::write(at("test.csv"), test).expect("writable");
    fs::write(at("turned.csv"), turned).expect("writable");
    let run = |arguments: &str| Finished::success(folder.path(), arguments.split_whitespace());
    run("train training.csv --target height --config small.toml --out run --quiet");
    run("predict run test.csv --out a.csv");
    run("predict run turned.csv --out b.csv");
    assert_eq!(fs::read(at("a.csv")).ok(), fs::read(at("b.csv")).ok());
}
