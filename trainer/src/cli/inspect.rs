//! `fiberwalk inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::costs::footprint::{Flash, Work, convolutions, dense_bytes, factor_bytes};
use crate::costs::instructions::{self, Core, Row};
use crate::excerpt::printable;
use crate::files;
use crate::run_dir::write_atomically;
use fiberwalk_formats::{
    Activation, Artifact, CodeSource, Factors, Normalisation, Output, PoolKind, Reading, Shape,
    Step, TEMPERATURE_BITS, VERSION, decode,
};

#[derive(Args)]
pub struct Arguments {
    /// A `.fwk` file.
    model: PathBuf,
    /// File to write the same to, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Figures that are shown of an artifact.
#[derive(Serialize)]
struct Report<'a> {
    format_version: u16,
    fiberwalk: &'a str,
    seed: u64,
    date: Option<&'a str>,
    target: &'a str,
    classes: Option<Vec<&'a str>>,
    features: Vec<&'a str>,
    /// Height, width and channels of a map; none where features are no map.
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<[u16; 3]>,
    input: &'static str,
    layers: Vec<LayerReport>,
    latent_dim: u8,
    code_source: &'static str,
    samples: u16,
    stored_codes: usize,
    calibration: OutputReport,
    flash_bytes: Flash,
    scratch_bytes: usize,
    multiply_accumulates: Work,
    executed_instructions: Vec<Row>,
    /// Largest relative error of such figures among those that their model was fitted to.
    executed_instructions_error: f64,
}

#[derive(Serialize)]
struct LayerReport {
    inputs: u16,
    outputs: u16,
    /// A convolution and the pooling after it, with their maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    convolution: Option<String>,
    activation: &'static str,
    weight_bits: u8,
    decoder: String,
    factor_bits: Option<u8>,
    bytes: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutputReport {
    Classification { temperature: f32, set_threshold: f32, coverage: f32, epistemic_threshold: f32 },
    Regression { noise_std: f32, interval: f32, coverage: f32, epistemic_threshold: f32 },
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let shown = self.model.display();
        if self.model.is_dir() {
            bail!("{shown} is a directory: give the file, such as {shown}/model.fwk");
        }
        let bytes = files::read(&self.model, files::MOST_ARTIFACT)
            .with_context(|| format!("cannot read {shown}"))?;
        let artifact = decode(&bytes).with_context(|| shown.to_string())?;
        let report = report(&artifact, bytes.len());
        print(&report).context("cannot print")?;
        match &self.json {
            None => Ok(()),
            Some(path) => {
                let text = serde_json::to_string_pretty(&report)?;
                write_atomically(path, format!("{text}\n").as_bytes())
            }
        }
    }
}

/// A convolution and pooling after it; none of a dense layer.
fn convolution(step: &Step<'_, '_>) -> Option<String> {
    let map = |Shape { height, width, channels }: Shape| format!("{height} × {width} × {channels}");
    let window = step.block.window?;
    let (size, input) = (format!("{} × {}", window.height, window.width), map(step.input));
    let mut text = format!("conv {size}, {input} → {}", map(step.map));
    if let Some(pool) = step.block.pool {
        let kind = match pool.kind {
            PoolKind::Max => "max",
            PoolKind::Average => "average",
        };
        text += &format!(", {kind} {} × {} → {}", pool.height, pool.width, map(step.output));
    }
    Some(text + ",")
}

fn report<'a>(artifact: &'a Artifact<'a>, total: usize) -> Report<'a> {
    let layers: Vec<LayerReport> = artifact
        .layers
        .iter()
        .zip(convolutions(artifact))
        .map(|(layer, step)| LayerReport {
            inputs: layer.mean.inputs,
            outputs: layer.mean.outputs,
            convolution: step.as_ref().and_then(convolution),
            activation: match layer.activation {
                Activation::Tanh(_) => "tanh",
                Activation::Relu(_) => "relu",
                Activation::Linear(_) => "linear",
                Activation::HardSwish(_) => "hard-swish",
                Activation::Logits(_) => "logits",
                Activation::Value(_) => "value",
            },
            weight_bits: layer.mean.bits.count(),
            factor_bits: layer.factors.projection().map(|(dense, _)| dense.bits.count()),
            decoder: match layer.factors {
                Factors::Frozen => "frozen".to_owned(),
                Factors::LowRank(_) => format!("low-rank:{}", layer.factors.modulations()),
                Factors::Dense(_) => format!("dense:{}", layer.factors.modulations()),
                Factors::Members(members) => format!("members:{}", 1 + members.others),
            },
            bytes: dense_bytes(&layer.mean) + factor_bytes(&layer.factors),
        })
        .collect();
    let (target, classes, calibration) = match artifact.output {
        Output::Classification {
            target,
            classes,
            inverse_temperature,
            set_threshold,
            coverage,
            epistemic_threshold,
        } => {
            let temperature = (1 << TEMPERATURE_BITS) as f32 / inverse_temperature as f32;
            let calibration = OutputReport::Classification {
                temperature,
                set_threshold,
                coverage,
                epistemic_threshold,
            };
            (target, Some(classes.iter().collect()), calibration)
        }
        Output::Regression {
            target,
            std,
            noise_variance,
            interval,
            coverage,
            epistemic_threshold,
            ..
        } => {
            let noise_std = std * noise_variance.sqrt();
            let calibration =
                OutputReport::Regression { noise_std, interval, coverage, epistemic_threshold };
            (target, None, calibration)
        }
    };
    let flash_bytes = Flash::of(artifact, total);
    Report {
        format_version: VERSION,
        fiberwalk: artifact.provenance.fiberwalk,
        seed: artifact.provenance.seed,
        date: artifact.provenance.date,
        target,
        classes,
        features: artifact.inputs.names.iter().collect(),
        map: artifact.maps().map(|maps| {
            let Shape { height, width, channels } = maps.input;
            [height, width, channels]
        }),
        input: match artifact.inputs.normalisation {
            Normalisation::Float { .. } => "float",
            Normalisation::Whole { reading: Reading::U8, .. } => "u8",
            Normalisation::Whole { reading: Reading::I8, .. } => "i8",
            Normalisation::Whole { reading: Reading::I16, .. } => "i16",
        },
        layers,
        latent_dim: artifact.codes.latent_dim,
        code_source: match artifact.codes.source {
            CodeSource::Stored => "stored",
            CodeSource::LowDiscrepancy => "low-discrepancy",
            CodeSource::Normal => "normal",
        },
        samples: artifact.codes.samples,
        stored_codes: artifact.stored_codes(),
        calibration,
        scratch_bytes: flash_bytes.scratch,
        flash_bytes,
        multiply_accumulates: Work::of(artifact),
        executed_instructions: instructions::table(artifact),
        executed_instructions_error: instructions::worst_error(artifact.maps().is_some()),
    }
}

fn print(report: &Report<'_>) -> std::io::Result<()> {
    let mut shown = std::io::stdout().lock();
    writeln!(
        shown,
        "format     version {}, by fiberwalk {}",
        report.format_version,
        printable(report.fiberwalk)
    )?;
    let date = report.date.map_or(String::new(), |date| format!(", {}", printable(date)));
    writeln!(shown, "seed       {}{date}", report.seed)?;
    let target = printable(report.target);
    match &report.classes {
        Some(classes) => {
            let classes = printable(&classes.join(", "));
            writeln!(shown, "predicts   {target}: one of {classes}")?
        }
        None => writeln!(shown, "predicts   {target}: a number")?,
    }
    let names = printable(&report.features.join(", "));
    let named = || if names.is_empty() { String::new() } else { format!(": {names}") };
    match report.map {
        None => {
            writeln!(shown, "features   {} ({}): {names}", report.features.len(), report.input)?;
        }
        Some([height, width, channels]) => {
            let input = report.input;
            writeln!(shown, "input      {height} × {width} × {channels} ({input}){}", named())?;
        }
    }
    for (index, layer) in report.layers.iter().enumerate() {
        let factors = layer.factor_bits.map_or(String::new(), |bits| format!(" int{bits}"));
        writeln!(
            shown,
            "layer {index}    {} {} int{}, {}{factors}, {} bytes",
            match &layer.convolution {
                None => format!("{} → {}", layer.inputs, layer.outputs),
                Some(convolution) => convolution.clone(),
            },
            layer.activation,
            layer.weight_bits,
            layer.decoder,
            layer.bytes
        )?;
    }
    writeln!(
        shown,
        "codes      dimension {}, {} stored, {} samples, source {}",
        report.latent_dim, report.stored_codes, report.samples, report.code_source
    )?;
    match report.calibration {
        OutputReport::Classification {
            temperature,
            set_threshold,
            coverage,
            epistemic_threshold,
        } => {
            writeln!(
                shown,
                "calibrated temperature {temperature:.3}, sets of p ≥ {set_threshold:.4} for \
                 coverage {coverage}, out of distribution above {epistemic_threshold:.4} nats"
            )?;
        }
        OutputReport::Regression { noise_std, interval, coverage, epistemic_threshold } => {
            writeln!(
                shown,
                "calibrated noise {noise_std:.4}, intervals of ± {interval:.3} std for coverage \
             {coverage}, out of distribution above {epistemic_threshold:.3} noise std"
            )?
        }
    }
    let flash = &report.flash_bytes;
    writeln!(
        shown,
        "flash      {} bytes: mean weights {}, factors {}, trunk {}, codes {}, the rest {}",
        flash.total,
        flash.mean_weights,
        flash.factors,
        flash.trunk,
        flash.codes,
        flash.total - flash.mean_weights - flash.factors - flash.trunk - flash.codes
    )?;
    writeln!(shown, "scratch    {} bytes", report.scratch_bytes)?;
    let work = &report.multiply_accumulates;
    writeln!(
        shown,
        "work       {} multiply-accumulates a deterministic pass; {} shared by all samples, {} each",
        work.deterministic_pass, work.shared_by_samples, work.each_sample
    )?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([String::new()].into_iter().chain(Core::ALL.map(|core| core.to_string())));
    for Row { prediction, instructions } in &report.executed_instructions {
        let figures = instructions.values().map(u64::to_string);
        table.add_row([prediction.clone()].into_iter().chain(figures));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let title = instructions::title(report.map.is_some());
    writeln!(shown, "\n{title}:\n{}", table.trim_fmt())
}
