//! From a CSV file to predictions, through every engine.

mod common;

use common::Sandbox;

#[test]
fn a_classifier_from_csv_to_predictions() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train classes.csv --target ring --config quick.toml --out run --quiet");
    for engine in ["runtime", "float", "particles", "map"] {
        sandbox.succeed(&format!("predict run classes.csv --out {engine}.csv --engine {engine}"));
        let text = String::from_utf8(sandbox.read(&format!("{engine}.csv"))).expect("UTF-8");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("p0,p1,entropy,mutual_information,set"));
        assert_eq!(lines.clone().count(), 240);
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |index: usize| fields[index].parse::<f64>().expect("a number");
            assert!((number(0) + number(1) - 1.0).abs() < 1e-5, "{line}");
            assert!((0.0..0.7).contains(&number(2)) && number(3) >= 0.0, "{line}");
            assert!(["", "0", "1", "0|1"].contains(&fields[4]), "{line}");
        }
        let evaluate = format!(
            "evaluate run classes.csv --target ring --ood classes.csv --engine {engine} --json {engine}.json"
        );
        sandbox.succeed(&evaluate);
        let scores: serde_json::Value =
            serde_json::from_slice(&sandbox.read(&format!("{engine}.json"))).expect("JSON");
        let names: Vec<_> = scores.as_object().expect("an object").keys().collect();
        assert_eq!(
            names,
            ["nll", "accuracy", "ece", "brier", "ood_auroc", "set_coverage", "set_size"]
        );
        assert!(scores["accuracy"].as_f64() > Some(0.9), "{engine}: {scores}");
        assert_eq!(scores["ood_auroc"], 0.5, "the same rows against themselves");
    }
    // The exported file alone gives what the run gives.
    sandbox.succeed("predict run/model.fwk classes.csv --out alone.csv");
    assert_eq!(sandbox.read("alone.csv"), sandbox.read("runtime.csv"));
    let module = String::from_utf8(sandbox.read("run/model.rs")).expect("UTF-8");
    assert!(module.contains("pub static CLASSES: [&str; 2] = [\"inner\", \"outer\"];"), "{module}");
    let report = sandbox.succeed("inspect run/model.fwk --json model.json");
    assert!(report.contains("predicts   ring: one of inner, outer"), "{report}");
    let report: serde_json::Value =
        serde_json::from_slice(&sandbox.read("model.json")).expect("JSON");
    assert_eq!(report["features"][2], "colour=blue");
    assert_eq!(report["samples"], 8);
}

#[test]
fn a_regressor_from_csv_to_predictions() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train numbers.csv --target height --config quick.toml --out run --quiet");
    for engine in ["runtime", "float", "particles", "map"] {
        sandbox.succeed(&format!("predict run numbers.csv --out {engine}.csv --engine {engine}"));
        let text = String::from_utf8(sandbox.read(&format!("{engine}.csv"))).expect("UTF-8");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("mean,std,epistemic_std,lower,upper"));
        for line in lines {
            let n: Vec<f64> = line.split(',').map(|field| field.parse().expect("number")).collect();
            assert!(n[1] >= n[2] && n[3] < n[0] && n[0] < n[4], "{line}");
        }
        let evaluate = format!(
            "evaluate run numbers.csv --target height --engine {engine} --json scores.json"
        );
        sandbox.succeed(&evaluate);
        let scores: serde_json::Value =
            serde_json::from_slice(&sandbox.read("scores.json")).expect("JSON");
        let names: Vec<_> = scores.as_object().expect("an object").keys().collect();
        assert_eq!(names, ["nll", "rmse", "crps", "coverage", "mean_width"]);
        // The target's standard deviation is 7.
        assert!(scores["rmse"].as_f64() < Some(4.0), "{engine}: {scores}");
    }
}

#[test]
fn more_samples_than_stored_codes_can_be_drawn() {
    let sandbox = Sandbox::new();
    sandbox.succeed("train classes.csv --target ring --config quick.toml --out run --quiet");
    let message = sandbox.fail("predict run classes.csv --out p.csv --samples 9");
    assert!(message.contains("the file holds 8"), "{message}");
    for codes in ["low-discrepancy", "normal"] {
        sandbox
            .succeed(&format!("predict run classes.csv --out p.csv --samples 64 --codes {codes}"));
        let before = sandbox.read("p.csv");
        sandbox.succeed(&format!(
            "predict run classes.csv --out p.csv --samples 64 --codes {codes} --seed 0"
        ));
        assert_eq!(sandbox.read("p.csv"), before, "the seed decides");
    }
}
