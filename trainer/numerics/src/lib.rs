//! What fiberwalk computes with: networks and their derivatives, tasks, the descents of MAP and the walk, the
//! decoder's fit, on the processor or on GPUs.
//!
//! A part of the crate `fiberwalk`, which is what programs use. It is a crate of its own so that a change to what
//! lies around it does not compile it again; nothing here is promised to stay.

pub mod checkpoints;
pub mod decoder;
pub mod descent;
pub mod device;
pub mod drift;
pub mod error;
pub mod excerpt;
pub mod inputs;
pub mod metrics;
pub mod network;
pub mod posterior;
pub mod random;
pub mod store;
pub mod task;
