//! `report.html`: one page about a finished run, with its figures as inline SVG and nothing that is
//! loaded from elsewhere. The same run and rows give the same bytes.
//!
//! `Evidence` predicts with every engine; `classification`, `regression`,
//! `samples` and `training` draw figures of it with `plot`; `decisions` says why the model is as it
//! is; `page` puts them together.

mod classification;
mod decisions;
mod evidence;
mod figure;
mod inputs;
mod latent;
mod page;
mod plot;
mod regression;
mod samples;
mod stage;
mod training;

pub use evidence::{Foreign, HeldOut};
pub use stage::STAGE;

use crate::run::Run;

/// Name of the page that training leaves in the run's directory.
pub const REPORT: &str = "report.html";

/// The page about `run`, judged on `held_out` rows and told from `foreign` ones; those are uniform
/// in a wide box where none are given.
///
/// # Errors
/// A file of the run is missing or damaged.
pub fn html(run: &Run, held_out: &HeldOut, foreign: Option<&Foreign>) -> anyhow::Result<String> {
    page::page(&evidence::Evidence::gather(run, held_out, foreign)?)
}
