//! Several GPUs as one device.

use anyhow::bail;

use super::{Gpu, GpuError, hardware};
use crate::checkpoints::Checkpoints;
use crate::decoder::fit::{Observer, Start};
use crate::decoder::{Fit, Fitted};
use crate::descent::{Descended, Descent, Particle};
use crate::device::compute::Compute;
use crate::device::{Device, DeviceChoice, OpenGpus, Peaks, best_time};
use crate::network::{Architecture, Batch};

/// Most particles that are walked between two checkpoints, each GPU.
const MOST_PARTICLES: usize = 1024;
/// Most bytes of drifts, or of particles read back, that the host holds.
const MOST_PREPARED: usize = 1 << 30;

/// Several GPUs of one kind; at least one.
pub(super) struct Gpus(pub(super) Vec<Gpu>);

/// Opens the device of a choice.
///
/// # Errors
/// There is no such GPU, or its driver refuses.
pub(in crate::device) fn open(choice: DeviceChoice) -> anyhow::Result<Device> {
    let gpus = match choice {
        DeviceChoice::Cpu => return Ok(Device::Cpu),
        DeviceChoice::Auto => match hardware() {
            Ok(gpus) => gpus,
            Err(GpuError::NoAdapter(_)) => return Ok(Device::Cpu),
            Err(error) => bail!("{error}; the `device` cpu does without"),
        },
        DeviceChoice::Gpu => hardware()?,
        DeviceChoice::Numbered(index) => vec![Gpu::numbered(index)?],
    };
    Ok(Gpus(gpus).into())
}

impl From<Gpus> for Device {
    fn from(gpus: Gpus) -> Self {
        Self::Gpu(OpenGpus(Box::new(gpus)))
    }
}

impl Compute for Gpus {
    fn describe(&self) -> String {
        let names: Vec<_> = self.0.iter().map(Gpu::name).collect();
        format!("gpu, {}", names.join(" + "))
    }

    fn particles_at_once(&self, architecture: &Architecture, rows: usize) -> usize {
        let gpus = &self.0;
        let each = gpus.iter().map(|gpu| gpu.particles_at_once(architecture, rows));
        // What the host prepares for them and reads back is bounded too.
        let prepared = (MOST_PREPARED / (4 * architecture.parameters())).max(gpus.len());
        each.sum::<usize>().min(prepared).min(MOST_PARTICLES * gpus.len())
    }

    fn outputs(
        &self,
        architecture: &Architecture,
        thetas: &[Vec<f32>],
        batch: &Batch,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        self.split(thetas, |gpu, part| gpu.outputs(architecture, part, batch))
    }

    /// Each GPU has a part of the particles.
    fn descend(
        &self,
        descent: &Descent<'_>,
        particles: &[Particle<'_>],
        checkpoints: &Checkpoints,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<Descended>> {
        self.split(particles, |gpu, part| gpu.descend(descent, part, checkpoints, report))
    }

    /// One GPU does it all.
    fn fit(
        &self,
        fit: &Fit<'_>,
        start: Start,
        checkpoints: &Checkpoints,
        observer: &mut Observer<'_>,
        report: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Fitted> {
        self.0[0].fit(fit, start, checkpoints, observer, report)
    }

    /// Peaks of the first GPU times their number.
    fn peaks(&self, seconds: f64) -> anyhow::Result<Peaks> {
        let (gpu, count) = (&self.0[0], self.0.len() as f64);
        let rate = |(operations, time): (f64, f64)| count * operations / time;
        Ok(Peaks {
            flops: rate(gpu.product_peak(|once| best_time(seconds, once))?),
            bytes: rate(gpu.copy_peak(|once| best_time(seconds, once))?),
        })
    }
}

impl Gpus {
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
