//! `fiberwalk import`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use fiberwalk::import::import;

#[derive(Args)]
pub struct Arguments {
    /// ONNX model, or safetensors file of weights.
    model: PathBuf,
    /// TOML file that describes the network: its layers (for safetensors), units of inputs and outputs,
    /// names of features and classes, and reference outputs to check it by.
    #[arg(long, value_name = "TOML")]
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
        let widths: Vec<String> =
            architecture.maps().iter().map(|map| map.len().to_string()).collect();
        let mut shown = std::io::stdout().lock();
        writeln!(
            shown,
            "{}, {}, {} parameters",
            widths.join("-"),
            architecture.as_perceptron().map_or_else(
                || "several activations".to_owned(),
                |activation| activation.to_string()
            ),
            architecture.parameters()
        )?;
        match imported.checked {
            Some((rows, difference)) => writeln!(
                shown,
                "its outputs for {rows} reference rows differ by at most {difference:.1e}"
            )?,
            None => writeln!(
                shown,
                "not compared with outputs of the original: a description with [check] would"
            )?,
        }
        writeln!(shown, "{}: go on with train --network {0}", out.display())?;
        Ok(())
    }
}
