//! Turns a network into a Bayesian one and exports it for microcontrollers.
//!
//! The flow, one module a [`stage`]: [`data`] → [`choose`] (hyper-parameters on held-out rows) →
//! [`map`] → [`walk`] (particles) → [`latent`] (decoder) → [`export`] (integers, thresholds, `.fwk`) →
//! [`report`]. [`pipeline`] runs it.

pub mod baselines;
pub mod bench;
pub mod choose;
pub mod compare;
pub mod config;
pub mod costs;
pub mod data;
pub mod decoder;
pub mod demo;
pub mod descent;
pub mod device;
pub mod drift;
pub mod engine;
pub mod ensemble;
pub mod excerpt;
pub mod export;
pub mod files;
pub mod folds;
pub mod import;
pub mod latent;
pub mod map;
pub mod metrics;
pub mod network;
pub mod pipeline;
pub mod prediction_csv;
pub mod progress;
pub mod quantise;
pub mod random;
pub mod report;
pub mod run;
pub mod run_data;
pub mod run_dir;
pub(crate) mod seal;
pub mod stage;
pub mod store;
pub mod task;
pub mod tensors;
pub mod trace;
pub mod validation;
pub mod walk;
