//! Where a run starts: its data are read, what cannot be done is refused, its directory is opened.

use std::path::Path;
use std::slice::from_ref;

use anyhow::{Context, bail};
use tracing::{info, warn};

use fiberwalk_formats::Reading;

use super::reuse::Reusable;
use super::{STAGES, TrainOptions};
use crate::config::Config;
use crate::data::{Data, Dataset, Rows, Schema, split};
use crate::device::threads;
use crate::import::{ImportedNetwork, misfit};
use crate::network::Shape;
use crate::run_data::{DataRecord, imported_by};
use crate::run_dir::{DATA, IMPORTED, REQUESTED, RunDir};
use crate::stage::Training;

/// Reads the data and opens the run's directory.
pub(super) fn start<'a>(
    given: &Data,
    out: &Path,
    options: &'a TrainOptions,
    imported: Option<&ImportedNetwork>,
) -> anyhow::Result<Training<'a>> {
    // Where that takes long, it says that it is under way.
    let _reading = options.progress.stage("data", 1);
    let data = Dataset::read(given, options.seed)?;
    let path = &given.source.path;
    if let Some(reading) = options.config.export.input.reading() {
        check_readings(&data, reading)?;
    }
    let config = &options.config.calibration;
    let groups = data.groups.as_deref();
    let split = split(&data.target, groups, config.fraction, config.coverage, options.seed)
        .map_err(|message| data.table.unusable(message))?;
    let schema = {
        let zero = imported.and_then(ImportedNetwork::padding);
        Schema::learn(&data, &split.training, zero)?
    };
    let Dataset { table, raw, target, groups, notes, .. } = data;
    let mut record = DataRecord {
        rows: table.len(),
        sha256: table.sha256,
        seed: options.seed,
        schema,
        split,
        layers: imported.map(|network| network.layers().to_vec()),
        misfit: None,
    };
    let architecture =
        record.architecture(&options.config).with_context(|| path.display().to_string())?;
    let decoded =
        record.decoded_architecture(&options.config).with_context(|| path.display().to_string())?;
    options.config.check_depth(architecture.depth(), decoded.depth())?;
    let walked = record.walked(&options.config, &architecture)?;

    let progress = &options.progress;
    notes.iter().for_each(|note| progress.note(note));
    let constant = record.schema.constant_inputs(&raw, &record.split.training);
    if !constant.is_empty() {
        let names = record.schema.layout.names();
        let constant: Vec<&str> = constant.iter().map(|&input| names[input].as_str()).collect();
        progress.note(&format!(
            "note: constant in the training rows, of no use: {}",
            constant.join(", ")
        ));
    }
    info!(
        data = %path.display(),
        rows = record.rows,
        training = record.split.training.len(),
        calibration = record.split.calibration.len(),
        features = architecture.inputs(),
        network = ?architecture.maps().iter().map(Shape::len).collect::<Vec<_>>(),
        parameters = architecture.parameters(),
        threads = threads(),
        seed = options.seed,
        "data"
    );
    let fitted = |network: &ImportedNetwork| network.fitted_to(&record.schema, &constant);
    let imported = imported
        .map(fitted)
        .transpose()
        .with_context(|| options.network.as_deref().unwrap_or(path).display().to_string())?;
    let targets = target.targets();
    let rows = Rows { groups, ..record.schema.rows(&raw, &targets) };
    if let Some(theta) = &imported {
        let training = rows.subset(&record.split.training);
        record.misfit = misfit(&architecture, theta, &training, &record.schema.task);
        if let Some(misfit) = &record.misfit {
            warn!(misfit, "the imported network does not fit the data");
            progress
                .note(&format!("WARNING: the imported network does not fit the data: {misfit}"));
        }
    }
    let mut training = Training {
        config: &options.config,
        device: &options.device,
        progress,
        seed: options.seed,
        dir: RunDir::at(out),
        record,
        raw,
        targets,
        rows,
        architecture,
        walked,
        decoded,
        imported,
    };
    for check in STAGES.iter().filter_map(|stage| stage.check) {
        check(&training)?;
    }
    let from = options.from.as_deref().map(|from| Reusable::open(from, &training)).transpose()?;
    training.dir = open_run(out, path, options, &training)?;
    if let Some(from) = from {
        let stages = from.copy_to(&training.dir)?;
        let stages = if stages.is_empty() { "nothing".to_owned() } else { stages.join(", ") };
        progress.note(&format!("from {}: {stages}", from.path().display()));
    }
    Ok(training)
}

/// Checks that every feature is a whole number that the board's readings can be.
fn check_readings(data: &Dataset, reading: Reading) -> anyhow::Result<()> {
    let (least, most) = reading.range();
    let inputs = data.layout.len();
    let fits = |x: f32| x.fract() == 0.0 && (least as f32..=most as f32).contains(&x);
    match data.raw.iter().position(|x| !fits(x)) {
        None => Ok(()),
        Some(index) => {
            // A category's column is never refused: it holds 0 and 1.
            let expected = format!(
                "a whole number from {least} to {most}, since export.input is not \"float\""
            );
            Err(data.bad_input(index / inputs, index % inputs, expected))?
        }
    }
}

/// Creates the run's directory, or checks that the one there is of the same data and settings.
fn open_run(
    out: &Path,
    data: &Path,
    options: &TrainOptions,
    training: &Training<'_>,
) -> anyhow::Result<RunDir> {
    let Training { record, imported, .. } = training;
    let dir = if options.resume { RunDir::reopen(out)? } else { RunDir::create(out)? };
    if !dir.has(DATA) {
        options.config.write_to(&dir, REQUESTED)?;
        if let Some(theta) = imported {
            dir.write_tensors(IMPORTED, &[("theta", from_ref(theta))])?;
        }
        dir.write_json(DATA, record)?;
        return Ok(dir);
    }
    let before = DataRecord::read(&dir)?;
    let shown = out.display();
    if before.sha256 != record.sha256 {
        bail!(
            "{shown} is a run of other data than {}, or of other rows of it: use another directory",
            data.display()
        );
    }
    if before.seed != record.seed {
        bail!("{shown} is a run with the `seed` {}, found {}", before.seed, record.seed);
    }
    if Config::read_from(&dir, REQUESTED)? != options.config {
        bail!(
            "{shown} is a run with another configuration (see its requested.toml): use another directory"
        );
    }
    // The words of the warning may be another version's.
    let before = DataRecord { misfit: record.misfit.clone(), ..before };
    if &before != record {
        bail!("{shown} is a run with another target, task or windows: use another directory");
    }
    if imported_by(&dir)? != *imported {
        bail!("{shown} is a run from another `network`, or from none: use another directory");
    }
    Ok(dir)
}
