//! A whole comparison of a small problem.

use std::fmt::Write;
use std::fs;

use super::kept::{Kept, Record};
use super::*;
use crate::data::TaskKind;
use crate::run_dir::RunDir;

#[test]
fn means_and_standard_errors_by_hand() {
    let mean = Mean::of(&[1.0, 2.0, 6.0]);
    assert_eq!(mean.mean, 3.0);
    // √(14 / (3 · 2)).
    assert!((mean.standard_error.expect("three") - (14.0f64 / 6.0).sqrt()).abs() < 1e-12);
    assert_eq!(Mean::of(&[2.5]), Mean { mean: 2.5, standard_error: None });
}

/// A class by the side of a parabola.
fn parabola() -> String {
    let mut csv = String::from("a,b,class\n");
    for row in 0..120 {
        let (a, b) = (f64::from(row * 37 % 120) / 60.0 - 1.0, f64::from(row) / 60.0 - 1.0);
        let class = if b > a * a - 0.3 { "above" } else { "below" };
        writeln!(csv, "{a},{b},{class}").expect("a string grows");
    }
    csv
}

const CONFIG: &str = "\
[network]
hidden = [6]
[map]
prior_precision = [3, 1]
steps = 100
[walk]
particles = 4
steps = 50
drift = \"isotropic\"
temperature = 0.3
[latent]
decoder = [\"frozen\", \"low-rank:2\"]
steps = 50
";

fn options(folder: &Path, methods: Vec<Method>) -> CompareOptions {
    let data = folder.join("data.csv");
    fs::write(&data, parabola()).expect("writable");
    CompareOptions {
        test: None,
        ood: None,
        data: Data::file(data).target("class"),
        config: toml::from_str(CONFIG).expect("settings"),
        out: folder.join("out"),
        repeats: 2,
        methods,
        members: 3,
        hmc: Hmc { chains: 2, warm_up: 40, draws: 40 },
        seed: 5,
        device: Arc::new(Device::Cpu),
        progress: Progress::QUIET,
    }
}

/// Figures that do not depend on the time that passed.
fn lasting(comparison: &Comparison) -> Vec<Measured> {
    let mut splits = comparison.splits.clone();
    splits.iter_mut().for_each(|one| {
        one.figures.remove(&Column::FitSeconds);
    });
    splits
}

#[test]
fn regression_has_columns_of_its_own() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let options = options(folder.path(), Method::ALL.to_vec());
    let comparison = compare(&CompareOptions {
        repeats: 1,
        data: options.data.clone().target("b").task(TaskKind::Regression),
        ..options
    });
    let comparison = comparison.expect("compared");
    for Measured { name, figures, .. } in &comparison.splits {
        // The target is uniform on [-1, 1].
        let (rmse, crps) = (figures[&Column::Rmse], figures[&Column::Crps]);
        assert!(rmse < 0.57 && crps < 0.33, "{name}: {figures:?}");
        assert!(figures[&Column::TotalVariation] < 0.8, "{name}: {figures:?}");
        assert!(!figures.contains_key(&Column::Accuracy), "{name}");
    }
    assert_eq!(comparison.splits.len(), Method::ALL.len());
}

#[test]
fn all_methods_are_measured_on_every_split_alike_for_any_number_of_threads() {
    let run = |threads| {
        let folder = tempfile::tempdir().expect("temporary folder");
        let options = options(folder.path(), Method::ALL.to_vec());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        let first = pool.install(|| compare(&options)).expect("compared");
        let again = pool.install(|| compare(&options)).expect("compared again");
        assert_eq!(first, again, "what was measured is read, seconds too");
        let parts = [5, 6].map(|seed| {
            let one = CompareOptions { repeats: 1, seed, ..options.clone() };
            pool.install(|| compare(&one)).expect("compared one by one")
        });
        let joined = Comparison::joined(parts.into()).expect("two splits");
        assert_eq!((lasting(&joined), joined.repeats), (lasting(&first), first.repeats));
        first
    };
    let one = run(1);
    let methods = Method::ALL.len();
    assert_eq!((one.methods.len(), one.splits.len()), (methods, 2 * methods));
    assert_eq!(lasting(&one), lasting(&run(3)));
    for Measured { name, figures, .. } in &one.splits {
        let of = |column| figures.get(&column).copied().unwrap_or(f64::NAN);
        assert!(of(Column::Nll) < 0.69, "{name}: {figures:?}");
        assert!((0.0..=1.0).contains(&of(Column::OodAuroc)), "{name}: {figures:?}");
        assert!(of(Column::FitSeconds) > 0.0, "{name}: {figures:?}");
    }
    let figures = |method| {
        &one.methods.iter().find(|summary| summary.method == method).expect("there").figures
    };
    // 2 · 6 + 6 · 2 products; 24 weights and 8 biases of two bytes; three members.
    let ensemble = figures(Method::Ensemble);
    assert_eq!(ensemble[&Column::MultiplyAccumulates].mean, 72.0);
    assert_eq!(ensemble[&Column::FlashBytes].mean, 120.0);
    let instructions = |method| figures(method)[&Column::Instructions].mean;
    assert_eq!(instructions(Method::Ensemble), 3.0 * instructions(Method::Map));
    assert!(instructions(Method::Artifact) > instructions(Method::Map));
    assert!(!figures(Method::Laplace).contains_key(&Column::Instructions));
    // As many products, and more bytes: units, names and the header come on top.
    let artifacts = figures(Method::EnsembleArtifact);
    assert_eq!(artifacts[&Column::MultiplyAccumulates].mean, 72.0);
    assert!(artifacts[&Column::FlashBytes].mean > 120.0);
    let apart = artifacts[&Column::Nll].mean - ensemble[&Column::Nll].mean;
    assert!(apart.abs() < 0.02, "{apart}");
    assert!(!figures(Method::Decoder).contains_key(&Column::FlashBytes));
    assert_eq!(figures(Method::Hmc)[&Column::TotalVariation].mean, 0.0);
    assert!(figures(Method::Map)[&Column::TotalVariation].mean > 0.0);
    let shown = one.to_string();
    assert!(shown.contains("| deep ensemble, 3"), "{shown}");
    assert!(shown.contains("R-hat at most"), "{shown}");
    assert!(shown.contains(" ± "), "{shown}");
}

/// One split of a quick comparison.
fn one_split(folder: &Path, methods: &[Method]) -> CompareOptions {
    CompareOptions { repeats: 1, ..options(folder, methods.to_vec()) }
}

/// Where that split keeps what was measured of a method.
fn record(options: &CompareOptions, method: Method) -> (RunDir, String) {
    let dir = RunDir::at(&options.out.join(format!("split-{}", options.seed)));
    (dir, format!("baselines/{}.json", method.word()))
}

/// Changes what is kept of a method.
fn change(options: &CompareOptions, method: Method, change: impl FnOnce(&mut Record)) {
    let (dir, file) = record(options, method);
    let mut record: Record = dir.read_json(&file, |_| Ok(())).expect("kept");
    change(&mut record);
    dir.write_json(&file, &record).expect("writable");
}

#[test]
fn what_was_measured_is_read_under_the_same_settings_alone() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let methods = [Method::Ensemble, Method::LaplaceLastLayer];
    let options = one_split(folder.path(), &methods);
    let first = compare(&options).expect("compared");
    // More seconds than any of these fits takes.
    let (long, seconds) = (1e6, Column::FitSeconds);
    let mark = || {
        let mark = |kept: &mut Record| _ = kept.measured.figures.insert(seconds, long);
        methods.iter().for_each(|&method| change(&options, method, mark));
    };
    let is_read = |comparison: &Comparison| -> Vec<bool> {
        comparison.splits.iter().map(|one| one.figures[&seconds] == long).collect()
    };
    assert_eq!(is_read(&first), [false, false]);
    mark();
    let again = compare(&options).expect("read");
    assert_eq!(is_read(&again), [true, true]);
    assert_eq!(lasting(&again), lasting(&first));

    let other = |change: &dyn Fn(&mut CompareOptions)| {
        let mut options = options.clone();
        change(&mut options);
        is_read(&compare(&options).expect("compared"))
    };
    assert_eq!(other(&|options| options.members = 2), [false, true]);
    mark();
    let foreign = folder.path().join("data.csv");
    assert_eq!(other(&|options| options.ood = Some(foreign.clone())), [false, false]);
    compare(&options).expect("fitted again");
    mark();
    // A run under another prior is none to be fitted beside.
    fs::remove_dir_all(options.out.join("split-5/run")).expect("a run");
    let prior = "prior_precision = [3, 1]";
    let settings = CONFIG.replace(prior, "prior_precision = [3, 2]");
    let config: Config = toml::from_str(&settings).expect("settings");
    assert_eq!(other(&|options| options.config = config.clone()), [false, false]);
}

#[test]
fn a_damaged_record_is_told_and_a_lost_file_is_made_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let method = Method::EnsembleArtifact;
    let options = one_split(folder.path(), &[method]);
    let first = compare(&options).expect("compared");
    let (dir, file) = record(&options, method);
    let member = dir.path("ensemble/member-2.fwk");
    let bytes = fs::read(&member).expect("an artifact");
    fs::remove_file(&member).expect("there");
    assert_eq!(lasting(&compare(&options).expect("fitted again")), lasting(&first));
    assert_eq!(fs::read(&member).expect("made again"), bytes);

    let message = || compare(&options).expect_err("damaged").to_string();
    change(&options, method, |kept| {
        kept.measured.predictive = kept.measured.predictive.select(&[0]);
    });
    let found = message();
    assert!(found.contains(&file) && found.contains("found another predictive"), "{found}");
    let path = dir.path(&file);
    let mut bytes = fs::read(&path).expect("a record");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("writable");
    let found = message();
    assert!(found.contains(&format!("{file} was changed or damaged")), "{found}");
    fs::remove_file(&path).expect("there");
    assert_eq!(lasting(&compare(&options).expect("fitted again")), lasting(&first));
}

#[test]
fn what_diverged_is_not_kept() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let method = Method::LaplaceLastLayer;
    let options = one_split(folder.path(), &[method]);
    compare(&options).expect("compared");
    let (dir, file) = record(&options, method);
    let Record { measured, .. } = dir.read_json(&file, |_| Ok(())).expect("kept");
    let data = Dataset::read(&options.data, options.seed).expect("data");
    let split = Split::prepare(&options, &data, options.seed).expect("a run");
    let kept = Kept::new(&split, method, &[], &options.device);
    fs::remove_file(dir.path(&file)).expect("there");
    for (nll, is_kept) in [(f64::NAN, false), (f64::INFINITY, false), (0.5, true)] {
        let mut measured = measured.clone();
        measured.figures.insert(Column::Nll, nll);
        kept.keep(measured).expect("writable");
        assert_eq!(dir.has(&file), is_kept, "{nll}");
    }
}
