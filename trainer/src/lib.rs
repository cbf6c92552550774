//! Turns a network into a Bayesian one and exports it for microcontrollers.
//!
//! The flow, one module a step: [`data`] → [`choose`] (hyper-parameters on held-out rows) →
//! [`descent`] (MAP) → [`walk`] (particles) → [`latent`] (decoder) → [`quantise`] (integers, codes) →
//! [`calibrate`] (thresholds) → [`export`] (`.fwk`). [`pipeline`] runs it.

pub mod baselines;
pub mod bench;
pub mod calibrate;
pub mod choose;
pub mod compare;
pub mod config;
pub mod cost_curve;
pub mod costs;
pub mod data;
pub mod demo;
pub mod descent;
pub mod device;
pub mod engine;
pub mod ensemble;
pub mod excerpt;
pub mod export;
pub mod files;
pub mod folds;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod import;
pub mod latent;
pub mod metrics;
pub mod network;
pub mod particles;
pub mod pipeline;
pub mod predictions;
pub mod predictive;
pub mod progress;
pub mod quantise;
pub mod random;
pub mod records;
pub mod report;
pub mod reuse;
pub mod run_data;
pub mod run_dir;
pub mod store;
pub mod tensors;
pub mod trace;
pub mod validation;
pub mod walk;
