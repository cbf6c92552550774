//! The configuration file: one home and one default for every setting.

use std::fmt::{self, Display};
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
        /// What and where, on one line.
        message: String,
    },
    /// A field's value makes no sense.
    #[error("configuration field {field}: found {found}, expected {expected}")]
    OutOfRange {
        /// Section and field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it can be.
        expected: &'static str,
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
    /// The same for all layers.
    Same(f32),
    /// From the input to the output.
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
    /// The latent posterior.
    pub latent: Latent,
    /// Calibration.
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
    /// Precision of the Gaussian prior on the weights: one number, one per layer, or `"auto"`.
    pub prior_precision: Choice<PerLayer>,
    /// Regression: standard deviation of the noise in units of the target's own, or `"auto"`.
    pub noise_std: Choice<f32>,
    /// Gradient steps.
    pub steps: usize,
    /// Adam's learning rate at the start.
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
    /// Those whose names match one of these patterns, in which `*` is any text and `?` any letter.
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
    /// Of each layer, by its name, whether it is walked: at least one is.
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
    /// MAPs that the particles start from, shared out evenly; `"auto"`: one, or four where that is
    /// clearly better on held-out rows.
    pub maps: Choice<usize>,
    /// Which layers are walked: `"all"`, `"last"`, or how many of the last; the others stay at MAP.
    pub layers: WalkedLayers,
    /// Number of particles.
    pub particles: usize,
    /// Gradient steps of a particle.
    pub steps: usize,
    /// Adam's learning rate at the start.
    pub learning_rate: f32,
    /// `"isotropic"`, `"data-noise"` or `"auto"`.
    pub drift: Choice<Drift>,
    /// Posterior temperature: 1 is the posterior, less is colder; or `"auto"`.
    pub temperature: Choice<f32>,
    /// Rows of a gradient step; more rows than this are cut into mini-batches.
    pub batch_rows: usize,
}

/// The latent posterior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latent {
    /// Dimension of the latent code.
    pub dim: usize,
    /// Hidden layers of the network that the decoder makes, as [`Network::hidden`] has them; none for the
    /// network itself. One network has to stand for all particles: a wider one is closer to them, and costs
    /// little where its layers are frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<LayerSpec>>,
    /// One of `"frozen"`, `"low-rank:R"`, `"dense:M"` per layer of that network, or `"auto"`.
    pub decoder: Choice<Vec<LayerDecoder>>,
    /// Weight of matching the particles' predictive, against 1 for matching their functions.
    pub predictive: f32,
    /// Weight of a foreign input in that, against 1 for one near the training rows; `"auto"` is 1 for maps and
    /// 0 for flat features.
    pub foreign: Choice<f32>,
    /// Weight λ of the encoder's reconstruction; 0 leaves the encoder out.
    pub reconstruction: f32,
    /// Gradient steps of the fit.
    pub steps: usize,
    /// Adam's learning rate at the start.
    pub learning_rate: f32,
}

/// Calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calibration {
    /// Share of the rows that thresholds are set on, which are 10,000 at most.
    pub fraction: f64,
    /// Coverage of prediction sets and intervals.
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
    /// Samples that a prediction draws unless told otherwise.
    pub samples: usize,
    /// `"stored"`, `"low-discrepancy"`, `"normal"` or `"auto"`.
    pub codes: CodesChoice,
    /// Budget of an automatic decoder: `samples` samples cost at most this many deterministic
    /// passes on a Cortex-M4F, whatever bits are chosen.
    pub cost: f64,
    /// Budget of an automatic decoder: the file takes at most this many times the bytes that the network
    /// alone would take in int8, whatever bits are chosen.
    pub flash: f64,
    /// Type of the readings that the board feeds: `"float"`, or `"u8"`, `"i8"` or `"i16"` where the
    /// features are whole numbers of that range. Raw readings are normalised in integers.
    pub input: InputChoice,
    /// Bits of every layer's weights, 4 or 8; `"auto"`: the fewest that `loss` allows.
    pub weight_bits: Choice<Vec<u8>>,
    /// Bits of the decoder's factors, 4 or 8, or `"auto"`.
    pub factor_bits: Choice<u8>,
    /// Held-out NLL (nats) that an automatic choice of fewer bits may cost; a loss of 0.01 in the
    /// AUROC of telling foreign inputs weighs as much as all of it.
    pub loss: f64,
    /// Whether the artifact can decode drawn codes: without its trunk it is smaller, and has the
    /// stored codes only. `"auto"`: where `flash` has room for it.
    pub trunk: Choice<bool>,
    /// A date to record in the artifact; none keeps the bytes independent of the day.
    pub date: Option<String>,
}

impl Map {
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
            maps: Choice::Auto,
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
            flash: 2.0,
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
    let path_text = path.display().to_string();
    let text = files::read_text(path, files::MOST_SETTINGS)
        .map_err(|error| ConfigError::Unreadable { path: path_text.clone(), error })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let place = line.map_or(String::new(), |line| format!("line {line}: "));
        let message = error.message().replace('\n', " ");
        ConfigError::Malformed { path: path_text, message: format!("{place}{message}") }
    })
}

impl Config {
    /// Reads and checks a TOML file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the field.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read_toml(path)?;
        config.check()?;
        Ok(config)
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let at_least_one =
            |field, value: usize| check(value > 0, field, value, "a whole number above 0");
        let positive = |field, value: f32| {
            check(value.is_finite() && value > 0.0, field, value, "a number above 0")
        };
        if let Some(hidden) = self.network.hidden.fixed() {
            let widest = fiberwalk_formats::MAX_WIDTH;
            let units = || hidden.iter().filter_map(LayerSpec::units);
            let most = fiberwalk_formats::MAX_LAYERS - 1;
            check(
                units().all(|units| (1..=widest).contains(&units)) && units().count() <= most,
                "network.hidden",
                format!("{:?}", hidden.iter().map(LayerSpec::to_string).collect::<Vec<_>>()),
                "at most 7 layers with weights, of 1 to 4096 units or channels",
            )?;
        }
        match self.map.prior_precision.fixed() {
            Some(PerLayer::Same(precision)) => positive("map.prior_precision", *precision)?,
            Some(PerLayer::Each(precisions)) => {
                for &precision in precisions {
                    positive("map.prior_precision", precision)?;
                }
            }
            None => {}
        }
        if let Some(&noise_std) = self.map.noise_std.fixed() {
            positive("map.noise_std", noise_std)?;
        }
        at_least_one("map.steps", self.map.steps)?;
        positive("map.learning_rate", self.map.learning_rate)?;
        at_least_one("walk.maps", self.walk.maps.fixed().copied().unwrap_or(1))?;
        check(self.walk.particles >= 2, "walk.particles", self.walk.particles, "at least 2")?;
        at_least_one("walk.steps", self.walk.steps)?;
        positive("walk.learning_rate", self.walk.learning_rate)?;
        if let Some(&temperature) = self.walk.temperature.fixed() {
            positive("walk.temperature", temperature)?;
        }
        at_least_one("walk.batch_rows", self.walk.batch_rows)?;
        check(
            (1..=fiberwalk_formats::MAX_LATENT_DIM).contains(&self.latent.dim),
            "latent.dim",
            self.latent.dim,
            "a whole number from 1 to 32",
        )?;
        for (field, weight) in [
            ("latent.predictive", self.latent.predictive),
            ("latent.foreign", self.latent.foreign.fixed().copied().unwrap_or(0.0)),
            ("latent.reconstruction", self.latent.reconstruction),
        ] {
            let sound = weight.is_finite() && weight >= 0.0;
            check(sound, field, weight, "a number from 0 up")?;
        }
        at_least_one("latent.steps", self.latent.steps)?;
        positive("latent.learning_rate", self.latent.learning_rate)?;
        let fraction = self.calibration.fraction;
        check(
            fraction > 0.0 && fraction <= 0.5,
            "calibration.fraction",
            fraction,
            "a number above 0, at most 0.5",
        )?;
        let coverage = self.calibration.coverage;
        check(
            (0.5..=0.99).contains(&coverage),
            "calibration.coverage",
            coverage,
            "a number from 0.5 to 0.99",
        )?;
        let samples = self.export.samples;
        check(
            (1..=1024).contains(&samples),
            "export.samples",
            samples,
            "a whole number from 1 to 1024",
        )?;
        let cost = self.export.cost;
        check(cost.is_finite() && cost >= 1.0, "export.cost", cost, "a number from 1 up")?;
        let flash = self.export.flash;
        check(flash.is_finite() && flash >= 1.0, "export.flash", flash, "a number from 1 up")?;
        let layers = self.export.weight_bits.fixed().into_iter().flatten();
        for bits in layers {
            check(matches!(bits, 4 | 8), "export.weight_bits", bits, "4 or 8 per layer")?;
        }
        if let Some(bits) = self.export.factor_bits.fixed() {
            check(matches!(bits, 4 | 8), "export.factor_bits", bits, "4 or 8")?;
        }
        let loss = self.export.loss;
        check(loss.is_finite() && loss >= 0.0, "export.loss", loss, "a number from 0 up")?;
        check(
            self.export.trunk != Choice::Fixed(false) || !self.export.codes.are_drawn(),
            "export.trunk",
            false,
            "true, since export.codes are drawn",
        )
    }

    /// Checks what depends on the number of layers.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
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
    expected: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::OutOfRange { field, found: found.to_string(), expected })
    }
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
    }

    #[test]
    fn errors_name_the_field() {
        for (text, expected) in [
            ("[walk]\nparticels = 3", "line 2: unknown field `particels`"),
            ("[walk]\nsteps = 0", "walk.steps: found 0, expected a whole number above 0"),
            ("[calibration]\ncoverage = 1.5", "calibration.coverage: found 1.5"),
            ("[latent]\nsteps = -3", "line 2"),
        ] {
            let message = read(text).expect_err(text).to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
