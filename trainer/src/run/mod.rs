//! A finished run: what predicts, and what its stages recorded.

mod finished;
mod predictor;
mod records;

pub use finished::Run;
pub use records::RunRecords;
