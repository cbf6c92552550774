//! `fiberwalk import`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::import::{import, listed};
use crate::network::{Activation, Architecture};

#[derive(Args)]
pub struct Arguments {
    /// ONNX model, or safetensors file of weights.
    model: PathBuf,
    /// Description of the network, a TOML file: its layers (for safetensors), units of inputs and outputs,
    /// names of features and classes, and reference outputs to check it by.
    #[arg(long, value_name = "TOML", visible_alias = "description")]
    arch: Option<PathBuf>,
    /// File to write [default: the model's name with `-network.safetensors`].
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<()> {
        let imported = import(&self.model, self.arch.as_deref())?;
        let out = self.out.unwrap_or_else(|| {
            let stem = self.model.file_stem().unwrap_or_default().to_string_lossy();
            PathBuf::from(format!("{stem}-network.safetensors"))
        });
        imported.network.write(&out)?;
        let architecture = imported.network.architecture();
        let mut shown = std::io::stdout().lock();
        writeln!(shown, "{}, {} parameters", summary(architecture), architecture.parameters())?;
        let written = format!("; reference rows written: {}", imported.network.reference_rows());
        if let Some((rows, difference)) = imported.computed {
            let written = if imported.checked.is_none() { &*written } else { "" };
            writeln!(
                shown,
                "its outputs for {rows} drawn rows differ from those of the model's graph by at most \
                 {difference:.1e}{written}"
            )?;
        }
        match imported.checked {
            Some((rows, difference)) => writeln!(
                shown,
                "its outputs for {rows} reference rows differ by at most {difference:.1e}{written}"
            )?,
            None if imported.computed.is_none() => writeln!(
                shown,
                "not compared with outputs of the original: a description with [check] would"
            )?,
            None => {}
        }
        writeln!(shown, "{}: go on with train --network {0}", out.display())?;
        Ok(())
    }
}

/// The maps and activation of a network of dense layers, the layers of another.
fn summary(network: &Architecture) -> String {
    match network.as_perceptron() {
        Some(activation) => {
            let widths: Vec<String> =
                network.maps().iter().map(|map| map.len().to_string()).collect();
            format!("{}, {activation}", widths.join("-"))
        }
        None => {
            let layers = listed(&network.hidden(Activation::Identity));
            format!("maps of {}: {layers}, {}", network.input, network.outputs())
        }
    }
}
