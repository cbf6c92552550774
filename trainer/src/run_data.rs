//! Data that a run is made from: `data.json` and, once MAP is trained, `rows.safetensors`. With them a
//! walk needs the run's directory and no data file.

use std::path::Path;

use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data::{Inputs, Rows, Schema, Split};
use crate::drift::first_of;
use crate::network::{Architecture, LayerSpec};
use crate::run_dir::{DATA, IMPORTED, RunDir};
use crate::task::Targets;
use crate::tensors::{TensorFile, header};

/// The training rows: `x`, standardised, `[n, features]`, and `targets`, `[n, 1]`: standardised
/// values or indices of classes; `groups`, `[n, 1]`, where rows belong together.
pub const ROWS: &str = "rows.safetensors";

/// The rows set aside for calibration: `raw`, original units, `[n, features]`, and `targets`,
/// `[n, 1]`: values in original units or indices of classes.
pub const CALIBRATION_ROWS: &str = "calibration-rows.safetensors";

/// Parameters of the network trained elsewhere that a run starts from, `[P]`; none where it trains its own.
///
/// # Errors
/// The file cannot be read or is not what was written.
pub fn imported_by(dir: &RunDir) -> anyhow::Result<Option<Vec<f32>>> {
    let read = || TensorFile::open(&dir.path(IMPORTED))?.values("theta", 0..1);
    dir.has(IMPORTED).then(read).transpose()
}

/// `data.json`: what the run was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Hash of what was read.
    pub sha256: String,
    /// Number of its rows, or of windows cut from them.
    pub rows: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Features and target.
    pub schema: Schema,
    /// Rows to train on and to calibrate with.
    pub split: Split,
    /// Names of the layers of a network trained elsewhere; those of others are 0, 1, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<String>>,
    /// How a network trained elsewhere does not fit the training rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misfit: Option<String>,
}

impl DataRecord {
    /// Reads that of a run.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn read(dir: &RunDir) -> anyhow::Result<Self> {
        dir.read_json(DATA, Self::check)
    }

    /// Checks that the split is of these rows.
    fn check(&self) -> Result<(), String> {
        for (field, rows) in
            [("training", &self.split.training), ("calibration", &self.split.calibration)]
        {
            let ascends = rows.is_sorted_by(|one, next| one < next);
            if !ascends || rows.is_empty() || rows.last().is_some_and(|&last| last >= self.rows) {
                return Err(format!(
                    "split.{field} has other than ascending rows below {}",
                    self.rows
                ));
            }
        }
        Ok(())
    }

    /// The network for these data.
    ///
    /// # Errors
    /// A configured layer does not fit the map before it.
    pub fn architecture(&self, config: &Config) -> anyhow::Result<Architecture> {
        self.network(&hidden_layers(config, self.rows), config)
            .map_err(|message| anyhow!("network.hidden: {message}"))
    }

    /// Tells whether each layer of `network` is walked.
    ///
    /// # Errors
    /// A configured layer that is not there, or one that walks behind a sum with one that does not.
    pub fn walked(&self, config: &Config, network: &Architecture) -> anyhow::Result<Vec<bool>> {
        let depth = network.depth();
        let numbers = || (0..depth).map(|layer| layer.to_string()).collect();
        let names = self.layers.clone().unwrap_or_else(numbers);
        let walked = config.walk.layers.of(&names)?;
        let first = first_of(&walked);
        if !network.can_split_at(first) {
            bail!(
                "walk.layers: a layer from {first} on adds the output of one before: walk {} layers",
                depth - network.last_split(first)
            );
        }
        Ok(walked)
    }

    /// The network that the decoder makes.
    ///
    /// # Errors
    /// A configured layer does not fit the map before it.
    pub fn decoded_architecture(&self, config: &Config) -> anyhow::Result<Architecture> {
        match &config.latent.hidden {
            None => self.architecture(config),
            Some(hidden) => {
                self.network(hidden, config).map_err(|message| anyhow!("latent.hidden: {message}"))
            }
        }
    }

    fn network(&self, hidden: &[LayerSpec], config: &Config) -> Result<Architecture, String> {
        Architecture::of(
            self.schema.layout.shape(),
            hidden,
            config.network.activation,
            self.schema.task.outputs(),
        )
    }

    /// Reads the training rows.
    ///
    /// # Errors
    /// The file cannot be read or is not of these data.
    pub fn read_rows(&self, dir: &RunDir) -> anyhow::Result<Rows> {
        let path = dir.path(ROWS);
        let file = TensorFile::open(&path)?;
        let n = self.split.training.len();
        let features = self.schema.layout.len();
        expect_shapes(&file, &path, &[("x", [n, features]), ("targets", [n, 1])])?;
        let values = file.values("targets", 0..n)?;
        let targets = self.targets(values, &path)?;
        let groups = if self.schema.series.group.is_empty() {
            None
        } else {
            expect_shapes(&file, &path, &[("groups", [n, 1])])?;
            let groups = file.values("groups", 0..n)?;
            // As exact as a float counts.
            Some(groups.into_iter().map(|group| group as u32).collect())
        };
        Ok(Rows { x: Inputs::standardised(file.store("x")?, features), targets, groups })
    }

    /// Reads the calibration rows: raw features `[n, features]` and their targets.
    ///
    /// # Errors
    /// The file cannot be read or is not of these data.
    pub fn read_calibration_rows(&self, dir: &RunDir) -> anyhow::Result<(Vec<f32>, Targets)> {
        let path = dir.path(CALIBRATION_ROWS);
        let file = TensorFile::open(&path)?;
        let n = self.split.calibration.len();
        let features = self.schema.layout.len();
        expect_shapes(&file, &path, &[("raw", [n, features]), ("targets", [n, 1])])?;
        let values = file.values("targets", 0..n)?;
        let targets = self.targets(values, &path)?;
        Ok((file.values("raw", 0..n)?, targets))
    }

    /// Targets as they were written.
    fn targets(&self, values: Vec<f32>, path: &Path) -> anyhow::Result<Targets> {
        let targets = self.schema.task.targets(values);
        targets.map_err(|message| anyhow!("{}: {message}", path.display()))
    }
}

/// Writes the calibration rows `raw: [n, features]` with their targets.
///
/// # Errors
/// The file cannot be written.
pub fn write_calibration_rows(
    dir: &RunDir,
    raw: &[Vec<f32>],
    targets: &Targets,
) -> anyhow::Result<()> {
    let targets: Vec<Vec<f32>> = targets.to_values().into_iter().map(|value| vec![value]).collect();
    dir.write_tensors(CALIBRATION_ROWS, &[("raw", raw), ("targets", &targets)])
}

/// Writes the training rows, unless they are there.
///
/// # Errors
/// The file cannot be written.
pub fn write_rows(dir: &RunDir, rows: &Rows) -> anyhow::Result<()> {
    if dir.has(ROWS) {
        return Ok(());
    }
    let n = rows.len();
    let column = |name| (name, [n, 1]);
    let mut matrices = vec![("x", [n, rows.x.features()]), column("targets")];
    matrices.extend(rows.groups.as_ref().map(|_| column("groups")));
    let header = header(&matrices, None)?;
    dir.write_with(ROWS, &mut |file| {
        file.write_all(&header)?;
        let mut write = |value: f32| file.write_all(&value.to_le_bytes());
        for row in 0..n {
            rows.x.row(row).into_iter().try_for_each(&mut write)?;
        }
        rows.targets.to_values().into_iter().try_for_each(&mut write)?;
        rows.groups.iter().flatten().try_for_each(|&group| write(group as f32))
    })
}

/// Checks the shapes of a file's tensors.
fn expect_shapes(
    file: &TensorFile,
    path: &Path,
    expected: &[(&str, [usize; 2])],
) -> anyhow::Result<()> {
    for &(tensor, expected) in expected {
        let found = file.shape(tensor)?;
        if found != expected {
            bail!("{}: {tensor} is {found:?}, expected {expected:?}", path.display());
        }
    }
    Ok(())
}

/// The configured layers, or two that grow with the number of rows.
fn hidden_layers(config: &Config, rows: usize) -> Vec<LayerSpec> {
    let widths = match (config.network.hidden.fixed(), rows) {
        (Some(hidden), _) => return hidden.clone(),
        (None, ..1000) => [32, 16],
        (None, ..20_000) => [64, 32],
        (None, _) => [128, 64],
    };
    widths.map(LayerSpec::from).to_vec()
}
