//! Whatever happens to the files of a run, it ends in the bytes of one that nothing happened to, or in an
//! error that says what is wrong.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{TrainOptions, train_until};
use crate::config::Config;
use crate::data::{Data, TaskKind};
use crate::device::Device;
use crate::latent::LatentRecord;
use crate::map;
use crate::progress::Progress;
use crate::report::{HeldOut, html};
use crate::run::{Run, RunRecords};
use crate::run_data::DataRecord;
use crate::run_dir::faults::injected::{Fault, Injection};
use crate::run_dir::{DATA, REQUESTED, RunDir, write_atomically};
use crate::stage::Stage;
use crate::tensors::{TensorFile, header};
use crate::walk::{self, Shard, merge, walk_shard};

/// Every stage has all of its files: particles in two groups, decoders that are not taken.
const SETTINGS: &str = "\
[network]
hidden = [2]
[map]
prior_precision = 1.0
steps = 4
[walk]
starts = 1
particles = 18
steps = 3
drift = \"isotropic\"
temperature = 1.0
[refine]
sweeps = 8
kept = 1
[latent]
dim = 1
steps = 3
[export]
samples = 2
weight_bits = [8, 8]
factor_bits = 8
";
/// Writes that fail are this far apart for each kind of fault. Kinds begin at different ones, so that every
/// write fails in two of four ways, one of them a power loss.
const STRIDE: usize = 2;

/// Two classes of points, apart along a diagonal.
fn data(folder: &Path) -> PathBuf {
    let mut text = String::from("a,b,class\n");
    for row in 0..40 {
        let (a, b) = (row % 7, row % 5);
        let class = if a > b { "above" } else { "below" };
        writeln!(text, "{a},{b},{class}").expect("a string grows");
    }
    let path = folder.join("data.csv");
    fs::write(&path, text).expect("writable");
    path
}

/// Trains to the folder `run` in `folder`, on data beside it.
fn trained(folder: &Path, resume: bool, until: Option<&'static Stage>) -> anyhow::Result<()> {
    let data = Data::file(data(folder)).target("class").task(TaskKind::Classification);
    let config = Config::parse(Path::new("settings"), SETTINGS)?;
    let options = TrainOptions { config, seed: 5, resume, ..TrainOptions::default() };
    train_until(&data, &folder.join("run"), &options, until)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// Every file of the run in `folder`, by its name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.join("run")];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder.join("run")).expect("below").display();
                all.insert(name.to_string(), fs::read(&path).expect("readable"));
            }
        }
    }
    all
}

fn undisturbed() -> (TempDir, BTreeMap<String, Vec<u8>>) {
    let folder = folder();
    trained(folder.path(), false, None).expect("trained");
    let files = files(folder.path());
    (folder, files)
}

/// The words of a warning differ between versions, and are no part of what a run is of.
#[test]
fn a_run_that_was_warned_in_other_words_is_resumed() {
    let folder = folder();
    trained(folder.path(), false, Some(&map::STAGE)).expect("trained");
    let dir = RunDir::at(&folder.path().join("run"));
    let record = DataRecord::read(&dir).expect("a record");
    let warned = DataRecord { misfit: Some("in other words".to_owned()), ..record };
    dir.write_json(DATA, &warned).expect("writable");
    trained(folder.path(), true, Some(&map::STAGE)).expect("resumed");
}

/// A full disk and a power loss at the writes of a run, each of which is resumed.
#[test]
fn a_run_whose_writes_fail_is_resumed_to_the_same_bytes() {
    let (_folder, expected) = undisturbed();
    for (first, fault) in Fault::ALL.into_iter().enumerate() {
        for index in (first % STRIDE..).step_by(STRIDE) {
            let folder = folder();
            let injection = Injection::new(folder.path(), index, fault);
            let ended = trained(folder.path(), false, None);
            if !injection.struck() {
                ended.expect("no write was left to fail");
                // All but the lock were written.
                assert!(index + STRIDE >= expected.len(), "{index} writes");
                break;
            }
            drop(injection);
            let message = format!("{:#}", ended.expect_err("a write failed"));
            assert!(message.contains("cannot ") && message.contains("run"), "{message}");
            trained(folder.path(), true, None).expect("it goes on");
            let found = files(folder.path());
            let differing: Vec<_> = expected
                .keys()
                .chain(found.keys())
                .filter(|name| expected.get(*name) != found.get(*name))
                .collect();
            assert!(differing.is_empty(), "{fault:?} at write {index}: {differing:?}");
        }
    }
}

/// A finished run that lost any one of its files makes it again.
#[test]
fn a_lost_file_is_made_again() {
    let (folder, expected) = undisturbed();
    // Without them there is no run, or it is of other settings.
    let begun = ["data.json", "requested.toml", "lock"];
    for name in expected.keys().filter(|name| !begun.contains(&name.as_str())) {
        fs::remove_file(folder.path().join("run").join(name)).expect("there");
        trained(folder.path(), true, None).expect("it goes on");
        assert!(files(folder.path()) == expected, "without {name}");
    }
}

/// A changed bit of any file that a run is read from is found where it is read.
#[test]
fn a_flipped_bit_is_refused() {
    let (folder, expected) = undisturbed();
    let dir = folder.path().join("run");
    let read = || -> anyhow::Result<()> {
        let run = Run::open(&dir)?;
        run.stages()?;
        RunRecords::read(run.dir())?;
        run.record().read_rows(run.dir())?;
        run.record().read_calibration_rows(run.dir())?;
        let config = Config::read_from(run.dir(), REQUESTED)?;
        walk::read(run.dir(), &run.record().architecture(&config)?, config.walk.particles)?;
        let decoded = run.record().decoded_architecture(&config)?;
        LatentRecord::read(run.dir(), &decoded)?.decoders(run.dir())?;
        Ok(())
    };
    read().expect("as it was written");
    // People read these.
    let not_read = ["lock", "model.rs", "report.html"];
    for (name, bytes) in expected.iter().filter(|(name, _)| !not_read.contains(&name.as_str())) {
        let mut changed = bytes.clone();
        let last = changed.len() - 4;
        changed[last] ^= 1;
        fs::write(dir.join(name), &changed).expect("writable");
        let message = format!("{:#}", read().expect_err(name));
        assert!(name == "model.fwk" || message.contains(name.as_str()), "{name}: {message}");
        fs::write(dir.join(name), bytes).expect("writable");
    }
    read().expect("as it was written");
}

/// Every place of a JSON value but most of a long list, as the keys and indices that lead to it.
fn places(value: &Value, before: &[Value], all: &mut Vec<Vec<Value>>) {
    let mut below = |key: Value, value: &Value| {
        let place = [before, &[key]].concat();
        places(value, &place, all);
        all.push(place);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(json!(key), value)),
        Value::Array(values) => {
            let ends = [0, values.len().saturating_sub(1)];
            for (index, value) in
                values.iter().enumerate().filter(|(index, _)| ends.contains(index))
            {
                below(json!(index), value);
            }
        }
        _ => {}
    }
}

/// The value at a place; nothing where there is none.
fn at<'v>(value: &'v mut Value, place: &[Value]) -> Option<&'v mut Value> {
    place.iter().try_fold(value, |value, key| match key {
        Value::String(key) => value.get_mut(key),
        key => value.get_mut(key.as_u64()? as usize),
    })
}

/// A record that is not what a run writes, under a hash made right: it is refused, or what it says is shown,
/// and nothing panics.
#[test]
fn no_record_is_believed() {
    let (folder, expected) = undisturbed();
    let dir = RunDir::at(&folder.path().join("run"));
    let use_run = || -> anyhow::Result<()> {
        let run = Run::open(&folder.path().join("run"))?;
        for (_, predictor) in run.stages()? {
            predictor.predict(&[1.5, 2.5])?;
        }
        html(&run, &HeldOut::calibration_rows(&run)?, None)?;
        merge(&folder.path().join("run"), &[], &Progress::QUIET)
    };
    let hostile = [json!(0), json!(-1), json!(1e300), json!(u64::MAX), json!([]), Value::Null];
    let mut panics = Vec::new();
    for (name, bytes) in expected.iter().filter(|(name, _)| name.ends_with(".json")) {
        let mut record: Value = serde_json::from_slice(bytes).expect("JSON");
        let fields = record.as_object_mut().expect("a record");
        // Written anew with the rest.
        fields.retain(|field, _| field != "fiberwalk" && field != "file_sha256");
        let mut all = Vec::new();
        places(&record, &[], &mut all);
        for place in all {
            for value in &hostile {
                let mut changed = record.clone();
                *at(&mut changed, &place).expect("it is there") = value.clone();
                dir.write_json(name, &changed).expect("writable");
                if std::panic::catch_unwind(use_run).is_err() {
                    panics.push(format!("{name}: {place:?} is {value}"));
                }
            }
        }
        fs::write(dir.path(name), bytes).expect("writable");
    }
    assert!(panics.is_empty(), "{} panics: {}", panics.len(), panics.join("\n"));
}

/// A shard in which a particle has no numbers is told from one of another run, and refused.
#[test]
fn a_shard_without_numbers_is_refused() {
    let folder = folder();
    trained(folder.path(), false, Some(&map::STAGE)).expect("trained");
    let (run, out) = (folder.path().join("run"), folder.path().join("shard"));
    let whole = Shard { index: 1, count: 1 };
    walk_shard(&run, whole, &out, &Device::Cpu, &Progress::QUIET).expect("walked");
    let file = TensorFile::open(&out).expect("a shard");
    let [particles, parameters] = file.shape("theta").expect("there");
    let mut theta = file.values("theta", 0..particles).expect("numbers");
    theta[3 * parameters + 1] = f32::NAN;
    let note = ("fiberwalk-shard", file.note("fiberwalk-shard").expect("a shard").to_owned());
    let mut bytes = header(&[("theta", [particles, parameters])], Some(note)).expect("small");
    bytes.extend(theta.iter().flat_map(|value| value.to_le_bytes()));
    write_atomically(&out, &bytes).expect("writable");
    let message = merge(&run, &[out], &Progress::QUIET).expect_err("no number").to_string();
    assert!(message.contains("particle 3 has NaN as its parameter 1"), "{message}");
    assert!(!RunDir::at(&run).has("particles"), "it was merged");
}
