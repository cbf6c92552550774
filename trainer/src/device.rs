//! Where training computes: the processor, or GPUs.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;

#[cfg(feature = "gpu")]
use crate::descent::{Descent, Particle};
#[cfg(feature = "gpu")]
use crate::gpu::{Gpu, hardware};
use rayon::prelude::*;

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
                Err(crate::gpu::GpuError::NoAdapter(_)) => return Ok(Device::Cpu),
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

impl Device {
    /// What computes, for the user.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu => format!("cpu, {} threads", rayon::current_num_threads()),
            #[cfg(feature = "gpu")]
            Self::Gpu(Gpus(gpus)) => {
                let names: Vec<_> = gpus.iter().map(Gpu::name).collect();
                format!("gpu, {}", names.join(" + "))
            }
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
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let share = particles.len().div_ceil(self.0.len()).max(1);
        let parts = self.0.iter().zip(particles.chunks(share));
        let ends = std::thread::scope(|scope| {
            let running: Vec<_> = parts
                .map(|(gpu, part)| scope.spawn(move || gpu.descend(descent, part, report)))
                .collect();
            let each =
                running.into_iter().map(|one| one.join().expect("no panic on a GPU's thread"));
            each.collect::<Result<Vec<_>, _>>()
        })?;
        Ok(ends.concat())
    }
}
