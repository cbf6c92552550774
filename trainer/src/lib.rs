//! Turns a network into a Bayesian one and exports it for microcontrollers.
//!
//! A run goes through stages, each of which leaves files in the run's directory: hyper-parameters on held-out rows,
//! MAP networks, particles that walk round them, a latent decoder fitted to the particles, and the exported artifact
//! in integers, which the crate `fiberwalk-runtime` runs on a board.
//!
//! ```
//! use fiberwalk::{Config, Data, Draws, EngineKind, Predictions, TrainOptions, train};
//!
//! # let folder = tempfile::tempdir().expect("a folder");
//! # let out = folder.path().join("run");
//! let x: Vec<f64> = (0..60).map(|row| f64::from(row) / 10.0 - 3.0).collect();
//! let y: Vec<f64> = x.iter().map(|x| x.sin()).collect();
//! let data = Data::columns([("x", x.into()), ("y", y.into())]).target("y");
//!
//! // Little work for a quick look; `Config::default()` is settled by measurements.
//! let config: Config = "
//!     network.hidden = [8]
//!     map = { prior_precision = 1.0, noise_std = 0.1, steps = 50 }
//!     walk = { starts = 1, drift = 'isotropic', temperature = 0.3, particles = 8, steps = 30 }
//!     latent = { decoder = ['frozen', 'low-rank:2'], steps = 100 }
//! "
//! .parse()?;
//! let run = train(&data, &out, &TrainOptions { config, ..TrainOptions::default() })?;
//!
//! // What the board computes, bit for bit.
//! let predictor = run.predictor(EngineKind::Runtime, Draws::default())?;
//! let Predictions::Regression(predicted) = predictor.predict(&[0.5, 30.0])? else { panic!("a number") };
//! assert!(predicted.lower[0] < predicted.mean[0] && predicted.mean[0] < predicted.upper[0]);
//! # Ok::<(), fiberwalk::Error>(())
//! ```

mod api;
mod baselines;
mod bench;
mod choose;
#[cfg(feature = "cli")]
mod cli;
mod compare;
mod config;
mod costs;
mod data;
mod engine;
mod ensemble;
mod export;
mod files;
mod folds;
mod import;
mod latent;
mod map;
mod pipeline;
mod prediction_csv;
mod progress;
mod quantise;
mod refine;
mod report;
mod run;
mod run_data;
mod run_dir;
mod sampler;
mod seal;
mod stage;
mod tensors;
mod trace;
mod validation;
mod walk;

use fiberwalk_numerics::{
    checkpoints, decoder, descent, device, drift, error, excerpt, inputs, metrics, network,
    posterior, random, store, task,
};

pub use api::{
    Imported, Predictor, Run, import, merge_shards, stages, train, train_until, walk_shard,
};
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main as command;
pub use config::Config;
pub use data::{ChannelAxis, ColumnValues, Data, TaskKind};
#[doc(inline)]
pub use device::{Device, DeviceChoice};
pub use engine::{Draws, EngineKind};
#[doc(inline)]
pub use error::{Error, ErrorKind, Result};
pub use pipeline::TrainOptions;
pub use progress::{Observer, Progress, StageObserver};
pub use run_dir::hold_writes;
#[doc(inline)]
pub use task::classification::{Predictions as ClassPredictions, Scores as ClassScores};
#[doc(inline)]
pub use task::regression::{Predictions as ValuePredictions, Scores as ValueScores};
#[doc(inline)]
pub use task::{Predictions, Scores};

/// Types of the fields of a [`Config`].
pub mod settings {
    pub use crate::config::{
        Calibration, Choice, CodesChoice, Export, InputChoice, Latent, Map, Network, PerLayer,
        Walk, WalkedLayers,
    };
    #[doc(inline)]
    pub use crate::decoder::LayerDecoder;
    #[doc(inline)]
    pub use crate::drift::Drift;
    #[doc(inline)]
    pub use crate::network::{Activation, LayerSpec};
}

/// Costs of an artifact on a board.
pub mod cost {
    pub use crate::api::Costs;
    pub use crate::costs::footprint::{Flash, Work};
    pub use crate::costs::instructions::{Core, Row};
}

/// fiberwalk beside other ways to a posterior predictive.
pub mod comparison {
    pub use crate::api::compare;
    pub use crate::baselines::{Convergence, Hmc};
    pub use crate::compare::{Column, CompareOptions, Comparison, Mean, Measured, Method, Summary};
}

/// Speed of the walk beside what the device can do.
pub mod speed {
    pub use crate::api::measure;
    pub use crate::bench::{Case, Measurement, gemm_alone};
    #[doc(inline)]
    pub use crate::device::{AdapterReport, Peaks, adapters};
}

/// The page about all this, whose example is run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../docs/library.md")]
struct Page;

/// All modules, for the project's own instruments in `tests/`; nothing here is promised to stay.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    macro_rules! modules {
        ($($module:ident),+) => {
            $(pub mod $module { pub use crate::$module::*; })+
        };
    }
    modules!(
        baselines, cli, compare, config, costs, data, decoder, device, drift, export, import,
        network, pipeline, progress, quantise, random, report, run, run_dir, task, tensors
    );
}
