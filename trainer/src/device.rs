//! Where training computes: the processor, or GPUs.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use rayon::prelude::*;

#[cfg(feature = "gpu")]
use crate::descent::{Descended, Descent, Particle};
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, GpuError, hardware};
use crate::network::{Architecture, Batch, outputs_of_each};
#[cfg(feature = "gpu")]
use crate::trace::Checkpoints;

/// Most particles that are walked between two checkpoints, each GPU.
#[cfg(feature = "gpu")]
const MOST_PARTICLES: usize = 1024;
/// Most bytes of drifts, or of particles read back, that the host holds.
#[cfg(feature = "gpu")]
const MOST_PREPARED: usize = 1 << 30;

/// What computes.
pub enum Device {
    /// All processors.
    Cpu,
    /// One GPU or several alike, over which particles are split.
    #[cfg(feature = "gpu")]
    Gpu(Gpus),
}

/// Several GPUs of one kind; at least one.
#[cfg(feature = "gpu")]
pub struct Gpus(pub Vec<Gpu>);

/// What the user asked for: `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// All GPUs of the best kind, and the processor where there is none.
    Auto,
    /// The processor.
    Cpu,
    /// All GPUs of the best kind.
    Gpu,
    /// The adapter of this number.
    Numbered(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("gpu:").map(str::parse)) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("gpu", _) => Ok(Self::Gpu),
            (_, Some(Ok(index))) => Ok(Self::Numbered(index)),
            _ => Err(format!(
                "found \"{text}\", expected \"auto\", \"cpu\", \"gpu\" or \"gpu:N\" with a number of `fiberwalk devices`"
            )),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::Numbered(index) => write!(f, "gpu:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// There is no such GPU, or its driver refuses; or this fiberwalk was built without GPUs.
    #[cfg(feature = "gpu")]
    pub fn open(self) -> anyhow::Result<Device> {
        let gpus = match self {
            Self::Cpu => return Ok(Device::Cpu),
            Self::Auto => match hardware() {
                Ok(gpus) => gpus,
                Err(GpuError::NoAdapter(_)) => return Ok(Device::Cpu),
                Err(error) => bail!("{error}; --device cpu does without"),
            },
            Self::Gpu => hardware()?,
            Self::Numbered(index) => vec![Gpu::numbered(index)?],
        };
        Ok(Device::Gpu(Gpus(gpus)))
    }

    /// Opens the device.
    ///
    /// # Errors
    /// This fiberwalk was built without GPUs.
    #[cfg(not(feature = "gpu"))]
    pub fn open(self) -> anyhow::Result<Device> {
        match self {
            Self::Auto | Self::Cpu => Ok(Device::Cpu),
            Self::Gpu | Self::Numbered(_) => {
                bail!("--device {self}: this fiberwalk was built without GPUs (feature `gpu`)")
            }
        }
    }
}

/// Threads that the processor computes with.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

impl Device {
    /// What computes, for the user.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu => format!("cpu, {} threads", threads()),
            #[cfg(feature = "gpu")]
            Self::Gpu(Gpus(gpus)) => {
                let names: Vec<_> = gpus.iter().map(Gpu::name).collect();
                format!("gpu, {}", names.join(" + "))
            }
        }
    }

    /// Particles that descend at the same time, where up to `rows` rows pass through the network
    /// together.
    #[cfg_attr(not(feature = "gpu"), expect(unused_variables, reason = "limits of GPUs"))]
    pub fn particles_at_once(&self, architecture: &Architecture, rows: usize) -> usize {
        match self {
            Self::Cpu => threads(),
            #[cfg(feature = "gpu")]
            Self::Gpu(Gpus(gpus)) => {
                let each = gpus.iter().map(|gpu| gpu.particles_at_once(architecture, rows));
                // What the host prepares for them and reads back is bounded too.
                let prepared = (MOST_PREPARED / (4 * architecture.parameters())).max(gpus.len());
                each.sum::<usize>().min(prepared).min(MOST_PARTICLES * gpus.len())
            }
        }
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
        match self {
            Self::Cpu => Ok(outputs_of_each(architecture, thetas, batch)),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpus) => gpus.outputs(architecture, thetas, batch),
        }
    }

    /// Applies `f` to every item: side by side on the processor, and one after another where each
    /// fills a GPU.
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(usize, &T) -> anyhow::Result<R> + Sync,
    ) -> anyhow::Result<Vec<R>> {
        match self {
            Self::Cpu => items.par_iter().enumerate().map(|(index, item)| f(index, item)).collect(),
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => items.iter().enumerate().map(|(index, item)| f(index, item)).collect(),
        }
    }
}

#[cfg(feature = "gpu")]
impl Gpus {
    /// The one for work that is not split.
    pub(crate) fn first(&self) -> &Gpu {
        &self.0[0]
    }

    /// Runs a descent, each GPU a part of the particles.
    pub(crate) fn descend(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        self.split(particles, |gpu, part| gpu.descend(descent, part, checkpoints, report))
    }

    fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        self.split(thetas, |gpu, part| gpu.outputs(architecture, part, batch))
    }

    /// Applies `f` to consecutive parts of the items, one a GPU, and joins the results in order.
    fn split<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(&Gpu, &[T]) -> Result<Vec<R>, GpuError> + Sync,
    ) -> anyhow::Result<Vec<R>> {
        let share = items.len().div_ceil(self.0.len()).max(1);
        let parts = self.0.iter().zip(items.chunks(share));
        let results = std::thread::scope(|scope| {
            let f = &f;
            let running: Vec<_> =
                parts.map(|(gpu, part)| scope.spawn(move || f(gpu, part))).collect();
            let joined =
                running.into_iter().map(|one| one.join().expect("no panic on a GPU's thread"));
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(results.into_iter().flatten().collect())
    }
}
