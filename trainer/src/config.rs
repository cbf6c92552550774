//! The configuration file: one home and one default for every setting.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use wildmatch::WildMatch;

use fiberwalk_formats::Reading;

use crate::decoder::LayerDecoder;
use crate::descent::Schedule;
use crate::drift::Drift;
use crate::files;
use crate::network::{Activation, LayerSpec};
use crate::posterior::Grouping;
use crate::run_dir::RunDir;

/// Gradient steps of a stage: curves over them count in floats, which are exact so far.
const STEPS: RangeInclusive<usize> = 1..=1 << 24;
/// Learning rates: Adam moves a parameter by as much a step, and parameters are of the order of 1.
const RATES: RangeInclusive<f32> = 1e-9..=10.0;
/// Prior precisions and temperatures: their products with losses and parameters stay finite in floats.
pub(crate) const SCALES: RangeInclusive<f32> = 1e-12..=1e12;
/// Standard deviations of noise, in the units of any target: their squares stay finite in floats.
const NOISES: RangeInclusive<f32> = 1e-18..=1e18;
/// MAPs, which are all in memory, and trained together.
pub(crate) const STARTS: RangeInclusive<usize> = 1..=256;
/// Particles: two make a mixture, and a mixture of thousands gains nothing from more.
const PARTICLES: RangeInclusive<usize> = 2..=1 << 16;
/// Rows of a gradient step.
const BATCH_ROWS: RangeInclusive<usize> = 1..=1 << 24;
/// Trajectories of a refined particle: fewer do not tell whether particles agree.
const SWEEPS: RangeInclusive<usize> = 8..=1 << 16;
/// States of a particle that are kept.
const STATES: RangeInclusive<usize> = 1..=256;
/// Weights of a term of the fit against that of another, which is 1.
const WEIGHTS: RangeInclusive<f32> = 0.0..=1e6;
/// Samples of a prediction unless told otherwise; few of them make a good set.
const SAMPLES: RangeInclusive<usize> = 1..=1024;
/// Times what the network alone costs.
const BUDGETS: RangeInclusive<f64> = 1.0..=1e6;
/// Nats that fewer bits may cost.
const LOSSES: RangeInclusive<f64> = 0.0..=1e6;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// File.
        path: String,
        /// Cause.
        error: std::io::Error,
    },
    /// The file is no TOML, or has an unknown or mistyped field.
    #[error("{path}: {message}")]
    Malformed {
        /// File.
        path: String,
        /// Cause and place, on one line.
        message: String,
    },
    /// A field's value makes no sense.
    #[error("configuration field {field}: found {found}, expected {expected}")]
    OutOfRange {
        /// Section and field.
        field: &'static str,
        /// Its value.
        found: String,
        /// Values that it can have.
        expected: String,
    },
}

/// A setting that can be left to fiberwalk by the word `"auto"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice<T> {
    /// Chosen on validation data, or from the data's size.
    Auto,
    /// Fixed.
    Fixed(T),
}

impl<T> Choice<T> {
    /// The fixed value, if any.
    pub const fn fixed(&self) -> Option<&T> {
        match self {
            Self::Auto => None,
            Self::Fixed(value) => Some(value),
        }
    }
}

impl<T: Serialize> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(value) => value.serialize(serializer),
        }
    }
}

// By hand, so that an error tells what is wrong with the value rather than that no variant fits.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some("auto") {
            return Ok(Self::Auto);
        }
        T::deserialize(value).map(Self::Fixed).map_err(serde::de::Error::custom)
    }
}

/// One number for all layers, or one per layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"auto\", a number, or a list of one number per layer")]
pub enum PerLayer {
    /// One number for all layers.
    Same(f32),
    /// Numbers from the input to the output.
    Each(Vec<f32>),
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Shape of the network.
    pub network: Network,
    /// MAP training.
    pub map: Map,
    /// The walk.
    pub walk: Walk,
    /// The refinement of particles.
    pub refine: Refine,
    /// The latent posterior.
    pub latent: Latent,
    /// Settings of the calibration.
    pub calibration: Calibration,
    /// The exported artifact.
    pub export: Export,
}

/// Shape of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Hidden layers: widths of dense ones, or texts such as `"conv 5x5x4"` and `"max 2"`
    /// ([`LayerSpec`]); `"auto"`: two dense layers of a size fit for the number of rows.
    pub hidden: Choice<Vec<LayerSpec>>,
    /// `"tanh"`, `"relu"`, `"relu6"`, `"hard-swish"` or `"identity"`, of every hidden layer that names none.
    pub activation: Activation,
}

/// MAP training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Map {
    /// Precision of the Gaussian prior on the weights: one number, one per layer, or `"auto"`; 1e-12 to 1e12.
    pub prior_precision: Choice<PerLayer>,
    /// Regression: standard deviation of the noise in units of the target's own, or `"auto"`; 1e-18 to 1e18.
    pub noise_std: Choice<f32>,
    /// Gradient steps, 1 to 2^24.
    pub steps: usize,
    /// Adam's learning rate at the start, 1e-9 to 10.
    pub learning_rate: f32,
}

/// Which layers of the network are walked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WalkedLayersText", into = "WalkedLayersText")]
pub enum WalkedLayers {
    /// All of them.
    All,
    /// So many of the last ones.
    Last(usize),
    /// Layers whose names match one of these patterns, in which `*` is any text and `?` any letter.
    Named(Vec<String>),
}

/// [`WalkedLayers`] in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WalkedLayersText {
    Count(usize),
    Name(String),
    Names(Vec<String>),
}

impl WalkedLayers {
    /// Tells of each layer, by its name, whether it is walked: at least one is.
    ///
    /// # Errors
    /// More layers than there are, or a pattern that no name matches.
    pub fn of(&self, names: &[String]) -> Result<Vec<bool>, ConfigError> {
        let depth = names.len();
        match self {
            Self::All => Ok(vec![true; depth]),
            Self::Last(count) => {
                let expected = "\"all\", \"last\", at most the number of layers, or names";
                let found = format!("{count} of {depth} layers");
                check(*count <= depth, "walk.layers", found, expected)?;
                Ok((0..depth).map(|layer| layer + count >= depth).collect())
            }
            Self::Named(patterns) => {
                let mut walked = vec![false; depth];
                for text in patterns {
                    let pattern = WildMatch::new(text);
                    let matches: Vec<bool> =
                        names.iter().map(|name| pattern.matches(name)).collect();
                    let found = format!("{text:?} among the layers {}", names.join(", "));
                    let expected = "the name of a layer, or a pattern of names";
                    check(matches.contains(&true), "walk.layers", found, expected)?;
                    walked.iter_mut().zip(matches).for_each(|(walked, own)| *walked |= own);
                }
                Ok(walked)
            }
        }
    }
}

impl Display for WalkedLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Last(count) => write!(f, "the last {count}"),
            Self::Named(patterns) => f.write_str(&patterns.join(", ")),
        }
    }
}

impl FromStr for WalkedLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            ("last", _) => Ok(Self::Last(1)),
            (_, Ok(count)) if count > 0 => Ok(Self::Last(count)),
            ("" | "0", _) => Err(format!(
                "found {text:?}, expected \"all\", \"last\", a whole number above 0 or names of layers"
            )),
            _ => Ok(Self::Named(text.split(',').map(|name| name.trim().to_owned()).collect())),
        }
    }
}

impl TryFrom<WalkedLayersText> for WalkedLayers {
    type Error = String;

    fn try_from(text: WalkedLayersText) -> Result<Self, String> {
        match text {
            WalkedLayersText::Count(count) => count.to_string().parse(),
            WalkedLayersText::Name(name) => name.parse(),
            WalkedLayersText::Names(names) => Ok(Self::Named(names)),
        }
    }
}

impl From<WalkedLayers> for WalkedLayersText {
    fn from(layers: WalkedLayers) -> Self {
        match layers {
            WalkedLayers::All => Self::Name("all".to_owned()),
            WalkedLayers::Last(1) => Self::Name("last".to_owned()),
            WalkedLayers::Last(count) => Self::Count(count),
            WalkedLayers::Named(names) => Self::Names(names),
        }
    }
}

/// The walk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Walk {
    /// MAPs that the particles start from, shared out evenly, 1 to 256; `"auto"`: one, or four where that is
    /// clearly better on held-out rows. Older files call it `maps`.
    #[serde(alias = "maps")]
    pub starts: Choice<usize>,
    /// Which layers are walked: `"all"`, `"last"`, or how many of the last; the others stay at MAP.
    pub layers: WalkedLayers,
    /// Number of particles, 2 to 65,536.
    pub particles: usize,
    /// Gradient steps of a particle, 1 to 2^24.
    pub steps: usize,
    /// Adam's learning rate at the start, 1e-9 to 10.
    pub learning_rate: f32,
    /// `"isotropic"`, `"data-noise"` or `"auto"`.
    pub drift: Choice<Drift>,
    /// Posterior temperature: 1 is the posterior, less is colder; or `"auto"`. 1e-12 to 1e12.
    pub temperature: Choice<f32>,
    /// Rows of a gradient step, 1 to 2^24; more rows than this are cut into mini-batches.
    pub batch_rows: usize,
}

/// The refinement of particles by Hamiltonian Monte Carlo, for networks of up to 3000 parameters all of whose layers
/// walk, and as many rows as fit one batch. With it MAP and walk go by second order, and precisions and noise are
/// sampled: `map.prior_precision` and `map.noise_std` are theirs where they are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refine {
    /// Trajectories of a particle, 8 to 2^16; 0 leaves particles where the walk ends.
    pub sweeps: usize,
    /// States of a particle that are kept, 1 to 256, evenly spread over the second half of its trajectories.
    pub kept: usize,
    /// What shares a prior precision: `"layer"` or `"feature"`.
    pub groups: Grouping,
}

/// The latent posterior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latent {
    /// Dimension of the latent code, 1 to 32.
    pub dim: usize,
    /// Hidden layers of the network that the decoder makes, as [`Network::hidden`] has them; none for the
    /// network itself. One network has to stand for all particles: a wider one is closer to them, and costs
    /// little where its layers are frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<LayerSpec>>,
    /// One of `"frozen"`, `"low-rank:R"`, `"dense:M"` per layer of that network, or `"auto"`.
    pub decoder: Choice<Vec<LayerDecoder>>,
    /// Weight of matching the particles' predictive, against 1 for matching their functions; 0 to 1e6.
    pub predictive: f32,
    /// Weight of a foreign input in that, against 1 for one near the training rows; `"auto"` is 1 for images and
    /// series, and 0 for flat features. 0 to 1e6.
    pub foreign: Choice<f32>,
    /// Weight λ of the encoder's reconstruction, 0 to 1e6; 0 leaves the encoder out.
    pub reconstruction: f32,
    /// Gradient steps of the fit, 1 to 2^24.
    pub steps: usize,
    /// Adam's learning rate at the start, 1e-9 to 10.
    pub learning_rate: f32,
}

/// Settings of the calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// Share of the rows that thresholds are set on, which are 10,000 at most: above 0, at most 0.5.
    pub fraction: f64,
    /// Coverage of prediction sets and intervals, 0.5 to 0.99.
    pub coverage: f64,
}

/// Where the board's latent codes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodesChoice {
    /// The best measured: stored codes.
    Auto,
    /// Chosen by the trainer and stored in the file.
    Stored,
    /// A low-discrepancy sequence.
    LowDiscrepancy,
    /// Independent normal draws.
    Normal,
}

impl CodesChoice {
    /// Whether the board draws codes, for which it needs the trunk.
    pub const fn are_drawn(self) -> bool {
        matches!(self, Self::LowDiscrepancy | Self::Normal)
    }
}

/// Type of the readings that the board feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputChoice {
    /// Numbers in the units of the training data.
    Float,
    /// 0 to 255.
    U8,
    /// −128 to 127.
    I8,
    /// −32,768 to 32,767.
    I16,
}

impl InputChoice {
    /// Type of a raw reading; none for floats.
    pub const fn reading(self) -> Option<Reading> {
        match self {
            Self::Float => None,
            Self::U8 => Some(Reading::U8),
            Self::I8 => Some(Reading::I8),
            Self::I16 => Some(Reading::I16),
        }
    }
}

/// The exported artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Samples that a prediction draws unless told otherwise, 1 to 1024.
    pub samples: usize,
    /// `"stored"`, `"low-discrepancy"`, `"normal"` or `"auto"`.
    pub codes: CodesChoice,
    /// Budget of an automatic decoder: `samples` samples cost at most this many deterministic
    /// passes on a Cortex-M4F, whatever bits are chosen; 1 to 1e6.
    pub cost: f64,
    /// Budget of an automatic decoder: the file takes at most this many times the bytes that the network
    /// alone would take in int8, whatever bits are chosen; 1 to 1e6, or `"auto"`: 4 where these are fewer than
    /// 8192, else 2.
    pub flash: Choice<f64>,
    /// Type of the readings that the board feeds: `"float"`, or `"u8"`, `"i8"` or `"i16"` where the
    /// features are whole numbers of that range. Raw readings are normalised in integers.
    pub input: InputChoice,
    /// Bits of every layer's weights, 4 or 8; `"auto"`: the fewest that `loss` allows.
    pub weight_bits: Choice<Vec<u8>>,
    /// Bits of the decoder's factors, 4 or 8, or `"auto"`.
    pub factor_bits: Choice<u8>,
    /// Held-out NLL (nats) that an automatic choice of fewer bits may cost; a loss of 0.01 in the
    /// AUROC of telling foreign inputs weighs as much as all of it. 0 to 1e6.
    pub loss: f64,
    /// Whether the artifact can decode drawn codes: without its trunk it is smaller, and has the
    /// stored codes only. `"auto"`: where `flash` has room for it.
    pub trunk: Choice<bool>,
    /// A date to record in the artifact; none keeps the bytes independent of the day.
    pub date: Option<String>,
}

impl Map {
    /// Prior precision of every layer, where it is given.
    pub fn layer_precisions(&self, depth: usize) -> Option<Vec<f32>> {
        self.prior_precision.fixed().map(|prior| match prior {
            PerLayer::Same(precision) => vec![*precision; depth],
            PerLayer::Each(precisions) => precisions.clone(),
        })
    }

    /// Length and pace of MAP training.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, learning_rate: self.learning_rate }
    }
}

impl Walk {
    /// Length and pace of a particle's descent.
    pub fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps, learning_rate: self.learning_rate }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self { hidden: Choice::Auto, activation: Activation::Tanh }
    }
}

impl Default for Map {
    fn default() -> Self {
        Self {
            prior_precision: Choice::Auto,
            noise_std: Choice::Auto,
            steps: 1000,
            learning_rate: 0.01,
        }
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            starts: Choice::Auto,
            layers: WalkedLayers::All,
            particles: 64,
            steps: 1000,
            learning_rate: 0.01,
            drift: Choice::Auto,
            temperature: Choice::Auto,
            batch_rows: 2048,
        }
    }
}

impl Default for Refine {
    fn default() -> Self {
        Self { sweeps: 0, kept: 4, groups: Grouping::Layer }
    }
}

impl Default for Latent {
    fn default() -> Self {
        Self {
            dim: 4,
            hidden: None,
            decoder: Choice::Auto,
            predictive: 10.0,
            foreign: Choice::Auto,
            reconstruction: 0.01,
            steps: 12_000,
            learning_rate: 0.01,
        }
    }
}

impl Export {
    /// How many times the bytes of a network alone the file may take.
    pub fn times_flash(&self, network_bytes: usize) -> f64 {
        const SMALL_BYTES: usize = 8192;
        let auto = if network_bytes < SMALL_BYTES { 4.0 } else { 2.0 };
        self.flash.fixed().copied().unwrap_or(auto)
    }
}

impl Default for Calibration {
    fn default() -> Self {
        Self { fraction: 0.1, coverage: 0.9 }
    }
}

impl Default for Export {
    fn default() -> Self {
        Self {
            samples: 16,
            codes: CodesChoice::Auto,
            cost: 4.0,
            flash: Choice::Auto,
            input: InputChoice::Float,
            weight_bits: Choice::Auto,
            factor_bits: Choice::Auto,
            loss: 0.001,
            trunk: Choice::Auto,
            date: None,
        }
    }
}

/// Reads a TOML file.
///
/// # Errors
/// [`ConfigError`] names the file and the line.
pub(crate) fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = files::read_text(path, files::MOST_SETTINGS)
        .map_err(|error| ConfigError::Unreadable { path: path.display().to_string(), error })?;
    parse_toml(path, &text)
}

/// Parses the text of a TOML file.
fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        let message = format!("{place}{}", error.message().replace('\n', " "));
        ConfigError::Malformed { path: path.display().to_string(), message }
    })
}

impl Config {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the field.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read_toml(path)?;
        config.check()?;
        Ok(config)
    }

    /// Parses and checks the text of a TOML file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the field.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let config: Self = parse_toml(path, text)?;
        config.check()?;
        Ok(config)
    }

    /// Reads a file of a run that [`Self::write_to`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, is not as it was written, or has a field out of range.
    pub(crate) fn read_from(dir: &RunDir, name: &str) -> anyhow::Result<Self> {
        Ok(Self::parse(&dir.path(name), &dir.read_toml(name)?)?)
    }

    /// Writes a file of a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_to(&self, dir: &RunDir, name: &str) -> anyhow::Result<()> {
        dir.write_toml(name, &self.to_toml())
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Self { network, map, walk, refine, latent, calibration, export } = self;
        layers("network.hidden", network.hidden.fixed())?;
        let precisions = match map.prior_precision.fixed() {
            Some(PerLayer::Same(precision)) => std::slice::from_ref(precision),
            Some(PerLayer::Each(precisions)) => precisions,
            None => &[],
        };
        for &precision in precisions {
            within("map.prior_precision", precision, SCALES)?;
        }
        within("map.noise_std", map.noise_std.fixed().copied().unwrap_or(1.0), NOISES)?;
        within("map.steps", map.steps, STEPS)?;
        within("map.learning_rate", map.learning_rate, RATES)?;
        within("walk.starts", walk.starts.fixed().copied().unwrap_or(1), STARTS)?;
        within("walk.particles", walk.particles, PARTICLES)?;
        within("walk.steps", walk.steps, STEPS)?;
        within("walk.learning_rate", walk.learning_rate, RATES)?;
        within("walk.temperature", walk.temperature.fixed().copied().unwrap_or(1.0), SCALES)?;
        within("walk.batch_rows", walk.batch_rows, BATCH_ROWS)?;
        if refine.sweeps > 0 {
            within("refine.sweeps", refine.sweeps, SWEEPS)?;
        }
        within("refine.kept", refine.kept, STATES)?;
        within("latent.dim", latent.dim, 1..=fiberwalk_formats::MAX_LATENT_DIM)?;
        layers("latent.hidden", latent.hidden.as_ref())?;
        within("latent.predictive", latent.predictive, WEIGHTS)?;
        within("latent.foreign", latent.foreign.fixed().copied().unwrap_or(0.0), WEIGHTS)?;
        within("latent.reconstruction", latent.reconstruction, WEIGHTS)?;
        within("latent.steps", latent.steps, STEPS)?;
        within("latent.learning_rate", latent.learning_rate, RATES)?;
        let fraction = calibration.fraction;
        let expected = "a number above 0, at most 0.5";
        check(fraction > 0.0 && fraction <= 0.5, "calibration.fraction", fraction, expected)?;
        within("calibration.coverage", calibration.coverage, 0.5..=0.99)?;
        within("export.samples", export.samples, SAMPLES)?;
        within("export.cost", export.cost, BUDGETS)?;
        within("export.flash", export.flash.fixed().copied().unwrap_or(2.0), BUDGETS)?;
        for bits in export.weight_bits.fixed().into_iter().flatten() {
            check(matches!(bits, 4 | 8), "export.weight_bits", bits, "4 or 8 per layer")?;
        }
        if let Some(bits) = export.factor_bits.fixed() {
            check(matches!(bits, 4 | 8), "export.factor_bits", bits, "4 or 8")?;
        }
        within("export.loss", export.loss, LOSSES)?;
        check(
            export.trunk != Choice::Fixed(false) || !export.codes.are_drawn(),
            "export.trunk",
            false,
            "true, since export.codes are drawn",
        )
    }

    /// Checks what depends on the number of layers.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
    #[doc(hidden)]
    pub fn check_depth(&self, depth: usize, decoded: usize) -> Result<(), ConfigError> {
        if let Some(PerLayer::Each(precisions)) = self.map.prior_precision.fixed() {
            let found = format!("{} numbers for {depth} layers", precisions.len());
            let expected = "one number, or one per layer";
            check(precisions.len() == depth, "map.prior_precision", found, expected)?;
        }
        if let Some(bits) = self.export.weight_bits.fixed() {
            let found = format!("{} numbers for {decoded} layers", bits.len());
            check(bits.len() == decoded, "export.weight_bits", found, "one number per layer")?;
        }
        if let Some(decoder) = self.latent.decoder.fixed() {
            let found = format!("{} entries for {decoded} layers", decoder.len());
            check(decoder.len() == decoded, "latent.decoder", found, "one entry per layer")?;
            let stochastic = decoder.iter().any(|layer| layer.is_stochastic());
            let expected = "at least one layer that is not frozen";
            check(stochastic, "latent.decoder", "only frozen layers", expected)?;
        }
        Ok(())
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is plain tables and values")
    }
}

fn check(
    holds: bool,
    field: &'static str,
    found: impl ToString,
    expected: &str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        let expected = expected.to_owned();
        Err(ConfigError::OutOfRange { field, found: found.to_string(), expected })
    }
}

/// Checks that a number is in a range, which holds no NaN.
fn within<T: PartialOrd + Display>(
    field: &'static str,
    found: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    let expected = format!("a number from {} to {}", range.start(), range.end());
    check(range.contains(&found), field, found, &expected)
}

/// Checks hidden layers.
fn layers(field: &'static str, hidden: Option<&Vec<LayerSpec>>) -> Result<(), ConfigError> {
    let Some(hidden) = hidden else { return Ok(()) };
    let units: Vec<usize> = hidden.iter().filter_map(LayerSpec::units).collect();
    let [widest, most] = [fiberwalk_formats::MAX_WIDTH, fiberwalk_formats::MAX_LAYERS - 1];
    let few = units.len() <= most && hidden.len() <= 2 * most;
    check(
        few && units.iter().all(|units| (1..=widest).contains(units)),
        field,
        format!("{:?}", hidden.iter().take(2 * most).map(LayerSpec::to_string).collect::<Vec<_>>()),
        &format!(
            "at most {most} layers with weights, of 1 to {widest} units or channels, and as many that pool"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("temporary file");
        Config::read(file.path())
    }

    #[test]
    fn layers_walk_by_number_or_by_name() {
        let names = ["stem.0", "stem.3", "head.1", "head.3"].map(str::to_owned);
        for (text, walked) in [
            ("all", [true; 4]),
            ("last", [false, false, false, true]),
            ("3", [false, true, true, true]),
            ("head.*", [false, false, true, true]),
            ("stem.?, head.1", [true, true, true, false]),
        ] {
            let layers: WalkedLayers = text.parse().expect(text);
            assert_eq!(layers.of(&names).expect(text), walked);
            let config = Config {
                walk: Walk { layers: layers.clone(), ..Walk::default() },
                ..Config::default()
            };
            let read: Config = toml::from_str(&config.to_toml()).expect(text);
            assert_eq!(read.walk.layers, layers);
        }
        for (text, said) in [("5", "5 of 4 layers"), ("tail.*", "among the layers stem.0, stem.3")]
        {
            let layers: WalkedLayers = text.parse().expect(text);
            let message = layers.of(&names).expect_err("no such layer").to_string();
            assert!(message.contains(said), "{message}");
        }
        assert!("0".parse::<WalkedLayers>().is_err());
    }

    #[test]
    fn settings_keep_their_meaning_through_a_file() {
        let text = "[network]\nhidden = [50]\nactivation = \"relu\"\n[map]\nprior_precision = [10, 0.1]\n\
                    [walk]\ndrift = \"data-noise\"\n[latent]\ndecoder = [\"frozen\", \"low-rank:8\"]\n";
        let config = read(text).expect("valid");
        assert_eq!(config.network.hidden.fixed(), Some(&vec![50.into()]));
        assert_eq!(config.walk.drift.fixed(), Some(&Drift::DataNoise));
        let frozen = LayerDecoder::Frozen;
        assert_eq!(config.latent.decoder.fixed(), Some(&vec![frozen, LayerDecoder::LowRank(8)]));
        assert_eq!(read(&config.to_toml()).expect("own output"), config);
        assert_eq!(read(&Config::default().to_toml()).expect("defaults"), Config::default());
        let older = read("[walk]\nmaps = 2").expect("the name in older files");
        assert_eq!(older.walk.starts.fixed(), Some(&2));
    }

    #[test]
    fn errors_name_the_field() {
        for (text, expected) in [
            ("[walk]\nparticels = 3", "line 2: unknown field `particels`"),
            ("[walk]\nsteps = 0", "walk.steps: found 0, expected a number from 1 to 16777216"),
            ("[calibration]\ncoverage = 1.5", "calibration.coverage: found 1.5"),
            ("[latent]\nsteps = -3", "line 2"),
        ] {
            let message = read(text).expect_err(text).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    /// A number that no machine has room or time for, or that leads to no number, is refused before it is used.
    #[test]
    fn every_number_has_a_range() {
        // The settings in which every field is a number.
        let settings = "[network]\nhidden = [8]\n[map]\nprior_precision = [1.0]\nnoise_std = 1.0\n\
                        steps = 1\nlearning_rate = 0.01\n[walk]\nstarts = 1\nlayers = 1\nparticles = 2\n\
                        steps = 1\nlearning_rate = 0.01\ntemperature = 1.0\nbatch_rows = 1\n[refine]\nsweeps = 8\nkept = 1\n[latent]\n\
                        dim = 1\nhidden = [8]\npredictive = 1.0\nforeign = 1.0\nreconstruction = 1.0\n\
                        steps = 1\nlearning_rate = 0.01\n[calibration]\nfraction = 0.1\ncoverage = 0.9\n\
                        [export]\nsamples = 1\ncost = 1.0\nflash = 1.0\nweight_bits = [8]\n\
                        factor_bits = 8\nloss = 0.0\n";
        let config = read(settings).expect("valid");
        let mut tables: toml::Table = config.to_toml().parse().expect("tables");
        // What is no number, or is checked against the network.
        let others = [
            "activation",
            "layers",
            "drift",
            "groups",
            "decoder",
            "codes",
            "input",
            "trunk",
            "date",
        ];
        let names: Vec<(String, String)> = tables
            .iter()
            .flat_map(|(section, fields)| {
                let fields = fields.as_table().expect("a section").keys();
                fields.map(move |field| (section.clone(), field.clone()))
            })
            .filter(|(_, field)| !others.contains(&field.as_str()))
            .collect();
        assert_eq!(names.len(), 28);
        for (section, field) in names {
            let fields = tables[&section].as_table_mut().expect("a section");
            let sound = fields[&field].clone();
            let bad = match &sound {
                toml::Value::Array(numbers) if numbers[0].is_float() => {
                    [1e30, -1.0].map(|number| vec![toml::Value::from(number)].into())
                }
                toml::Value::Array(_) => {
                    [1_i64 << 32, -1].map(|number| vec![toml::Value::from(number)].into())
                }
                toml::Value::Float(_) => [f64::NAN, 1e30].map(toml::Value::from),
                // No sweeps are no refinement.
                _ if field == "sweeps" => [1_i64 << 32, -1].map(toml::Value::from),
                _ => [1_i64 << 32, 0].map(toml::Value::from),
            };
            for value in bad {
                let fields = tables[&section].as_table_mut().expect("a section");
                fields.insert(field.clone(), value);
                let text = tables.to_string();
                assert!(read(&text).is_err(), "{section}.{field} in {text}");
            }
            tables[&section].as_table_mut().expect("a section").insert(field, sound);
        }
        read(&tables.to_string()).expect("as it was");
    }
}
