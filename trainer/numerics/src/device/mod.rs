//! Devices that training computes on: the processor, or GPUs.
//!
//! `Compute` is all that differs between them. Built without the feature `gpu`, the crate has this folder's
//! `without_gpu.rs` in place of `gpu/`; nothing outside of the folder knows of the feature.

mod adapter;
mod choice;
mod compute;
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(not(feature = "gpu"))]
#[path = "without_gpu.rs"]
mod gpu;
mod peaks;
mod runs;

use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::network::{Architecture, Batch};
pub use adapter::AdapterReport;
pub use choice::DeviceChoice;
use compute::Compute;
use cpu::Cpu;
pub use cpu::threads;
pub use gpu::adapters;
pub use peaks::{Peaks, best_time};

/// A device that is ready to compute.
pub enum Device {
    /// All processors.
    Cpu,
    /// One GPU or several alike, over which particles are split.
    Gpu(OpenGpus),
}

/// A kind of device, whichever it is and however many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// GPUs.
    Gpu,
}

/// GPUs that were opened.
pub struct OpenGpus(Box<dyn Compute>);

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Device {
    fn compute(&self) -> &dyn Compute {
        match self {
            Self::Cpu => &Cpu,
            Self::Gpu(OpenGpus(gpus)) => gpus.as_ref(),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> DeviceKind {
        match self {
            Self::Cpu => DeviceKind::Cpu,
            Self::Gpu(_) => DeviceKind::Gpu,
        }
    }

    /// Opens what computes.
    ///
    /// # Errors
    /// There is no such GPU, its driver refuses, or the library was built without GPUs.
    pub fn open(choice: DeviceChoice) -> Result<Self, Error> {
        choice.open().map_err(|error| Error::new(ErrorKind::Other, &error))
    }

    /// Name of the device, for the user.
    pub fn describe(&self) -> String {
        self.compute().describe()
    }

    /// Particles that descend at the same time, where up to `rows` rows pass through the network
    /// together.
    pub fn particles_at_once(&self, architecture: &Architecture, rows: usize) -> usize {
        self.compute().particles_at_once(architecture, rows)
    }

    /// Outputs of every particle of `thetas: [N][P]` at every row of `batch`, `[N][C, rows]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        self.compute().outputs(architecture, thetas, batch)
    }

    /// The rates that bound the device, each measured for about `seconds`.
    ///
    /// # Errors
    /// The device fails.
    pub fn peaks(&self, seconds: f64) -> anyhow::Result<Peaks> {
        self.compute().peaks(seconds)
    }

    /// Applies `f` to every item: side by side on the processor, and one after another where each
    /// fills a GPU.
    #[doc(hidden)]
    pub fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(usize, &T) -> anyhow::Result<R> + Sync,
    ) -> anyhow::Result<Vec<R>> {
        match self {
            Self::Cpu => items.par_iter().enumerate().map(|(index, item)| f(index, item)).collect(),
            Self::Gpu(_) => items.iter().enumerate().map(|(index, item)| f(index, item)).collect(),
        }
    }
}
