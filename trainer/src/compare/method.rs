//! The methods that are compared: stages of fiberwalk, and baselines with the settings to choose from.

use serde::{Deserialize, Serialize};

use super::CompareOptions;
use super::split::Split;
use crate::baselines::{Baseline, Dropout, Ensemble, EnsembleArtifact, Laplace, Swag};
use crate::stage::Stage;
use crate::{export, latent, map, walk};

/// Rates of dropout tried.
const DROPOUT_RATES: [f32; 3] = [0.05, 0.1, 0.2];
/// Learning rates of SWAG tried, on the mean loss of a row.
const SWAG_RATES: [f32; 3] = [0.01, 0.05, 0.2];

/// A way to a posterior predictive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The MAP network as trained.
    Map,
    /// MAP with its temperature, or noise for regression, calibrated.
    MapCalibrated,
    /// MAP from several initialisations.
    Ensemble,
    /// MAP from several initialisations in int8, each member a file that the runtime runs.
    EnsembleArtifact,
    /// MC dropout, its rate chosen on held-out rows.
    Dropout,
    /// SWAG, its learning rate chosen on held-out rows.
    Swag,
    /// Laplace's approximation with the full generalised Gauss-Newton matrix, linearised.
    Laplace,
    /// Laplace's approximation of the output layer alone.
    LaplaceLastLayer,
    /// Hamiltonian Monte Carlo, the reference, for networks of up to 5000 parameters.
    Hmc,
    /// The walked particles.
    Particles,
    /// Draws from the decoder, in floats.
    Decoder,
    /// The runtime on the exported file.
    Artifact,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 12] = [
        Self::Map,
        Self::MapCalibrated,
        Self::Ensemble,
        Self::EnsembleArtifact,
        Self::Dropout,
        Self::Swag,
        Self::Laplace,
        Self::LaplaceLastLayer,
        Self::Hmc,
        Self::Particles,
        Self::Decoder,
        Self::Artifact,
    ];
}

/// Methods that are stages of fiberwalk, in the order of [`crate::run::Run::stages`], each with the stage that it ends with.
pub(super) const STAGE_METHODS: [(Method, &Stage); 5] = [
    (Method::Map, &map::STAGE),
    (Method::MapCalibrated, &map::STAGE),
    (Method::Particles, &walk::STAGE),
    (Method::Decoder, &latent::STAGE),
    (Method::Artifact, &export::STAGE),
];

impl Method {
    /// Its name in files.
    pub(super) fn word(self) -> String {
        let word = serde_json::to_value(self).ok();
        word.and_then(|word| word.as_str().map(str::to_owned)).expect("a word without contents")
    }

    pub(super) fn stage(self) -> Option<usize> {
        STAGE_METHODS.iter().position(|(method, _)| *method == self)
    }
}

/// The method's name and the settings to choose from, unless it is a stage of fiberwalk.
pub(super) fn baseline(
    method: Method,
    split: &Split,
    options: &CompareOptions,
) -> Option<(String, Vec<Box<dyn Baseline>>)> {
    fn boxed<B: Baseline + 'static>(setting: B) -> Box<dyn Baseline> {
        Box::new(setting)
    }
    let (name, settings) = match method {
        Method::Ensemble => {
            let members = options.members;
            (format!("deep ensemble, {members}"), vec![boxed(Ensemble { members })])
        }
        Method::EnsembleArtifact => {
            let (members, config) = (options.members, &split.at_map.config);
            let setting = EnsembleArtifact {
                ensemble: Ensemble { members },
                schema: split.schema().clone(),
                reading: config.export.input.reading(),
                coverage: config.calibration.coverage,
            };
            (format!("deep ensemble, {members}, int8"), vec![boxed(setting)])
        }
        Method::Dropout => {
            let settings = DROPOUT_RATES.map(|rate| boxed(Dropout { rate }));
            (format!("MC dropout, {}", Dropout::DRAWS), settings.into())
        }
        Method::Swag => {
            let settings = SWAG_RATES.map(|learning_rate| boxed(Swag { learning_rate }));
            (format!("SWAG, {}", Swag::DRAWS), settings.into())
        }
        Method::Laplace => ("Laplace, full GGN".to_owned(), vec![boxed(Laplace::Full)]),
        Method::LaplaceLastLayer => {
            ("Laplace, last layer".to_owned(), vec![boxed(Laplace::LastLayer)])
        }
        Method::Hmc => {
            let hmc = options.hmc;
            (format!("HMC, {}", hmc.chains * hmc.draws), vec![boxed(hmc)])
        }
        Method::Map
        | Method::MapCalibrated
        | Method::Particles
        | Method::Decoder
        | Method::Artifact => return None,
    };
    Some((name, settings))
}
