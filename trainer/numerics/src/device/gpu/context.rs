//! A GPU, its buffers and kernels, and the submission of steps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use thiserror::Error;

pub(super) use wgpu::Buffer;

use crate::checkpoints::Checkpoints;

/// Most steps in one submission.
pub(super) const MAX_STEPS: usize = 64;
/// Submissions grow until one takes this long: long enough to hide their overhead, far below the
/// seconds after which drivers take a GPU for hung.
const SUBMISSION_TIME: Duration = Duration::from_millis(50);
/// Bytes that are uploaded or read back at once.
const TRANSFER: usize = 64 << 20;

/// Why a GPU cannot go on.
#[derive(Clone, Debug, Error)]
pub enum GpuError {
    /// No adapter of the kind asked for.
    #[error("{0}")]
    NoAdapter(String),
    /// The driver refuses a device.
    #[error("GPU {name}: no device: {message}")]
    Refused {
        /// Adapter.
        name: String,
        /// The driver's message.
        message: String,
    },
    /// Not enough memory, even for one particle.
    #[error("GPU {name}: out of memory")]
    OutOfMemory {
        /// Adapter.
        name: String,
    },
    /// A buffer larger than kernels can see.
    #[error(
        "GPU {name}: one buffer needs {bytes} bytes, its limit is {limit}: take the `device` cpu, or a smaller network"
    )]
    TooLarge {
        /// Adapter.
        name: String,
        /// Size of the buffer.
        bytes: u64,
        /// The adapter's limit.
        limit: u64,
    },
    /// More workgroups than one dispatch may have.
    #[error(
        "GPU {name}: \"{kernel}\" needs {workgroups} workgroups, its limit is {limit}: take the `device` cpu, or a smaller network"
    )]
    TooMany {
        /// Adapter.
        name: String,
        /// Kernel that would run.
        kernel: String,
        /// Along one dimension.
        workgroups: usize,
        /// The adapter's limit.
        limit: u32,
    },
    /// The driver lost the device, or the device the computation.
    #[error(
        "GPU {name}: {message}; what was finished is kept: `resume` the run, on another `device` where this one fails again"
    )]
    Lost {
        /// Adapter.
        name: String,
        /// The driver's message.
        message: String,
    },
}

/// [`Step`] in WGSL.
const STEP: &str = include_str!("step.wgsl");

/// A GPU ready to compute.
pub struct Gpu {
    device: wgpu::Device,
    queue: wgpu::Queue,
    name: String,
    limits: wgpu::Limits,
    /// The first error that the driver reported.
    fault: Arc<Mutex<Option<GpuError>>>,
    kernels: Mutex<HashMap<Kernel, wgpu::ComputePipeline>>,
}

/// How a kernel uses a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// Constants of the dispatch.
    Uniform,
    /// The constants of the step under way, a [`Step`].
    Step,
    /// Read only.
    Read,
    /// Read and written.
    Write,
}

/// A compute shader with its constants.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Kernel {
    /// Name for debuggers.
    pub name: String,
    /// WGSL.
    pub source: String,
    /// Function to run.
    pub entry: &'static str,
    /// Its buffers, bindings 0 and up of group 0.
    pub bindings: &'static [Access],
    /// Pipeline-overridable constants.
    pub constants: Vec<(&'static str, u32)>,
}

/// A kernel with its buffers, ready to be run any number of times.
pub(super) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    per_step: bool,
    workgroups: [u32; 3],
}

/// Figures of the step under way, for kernels, in the layout of `step.wgsl`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Step {
    /// Index within the submission.
    pub slot: u32,
    /// Learning rate over the bias of Adam's first moment.
    pub rate: f32,
    /// Inverse of the bias of Adam's second moment.
    pub correction: f32,
    /// All rows over those of the mini-batch.
    pub scale: f32,
}

/// The steps of one submission.
pub(super) struct Steps<'a> {
    /// One a step.
    pub values: Vec<Step>,
    /// Dispatches of each step.
    pub programs: Vec<&'a [Dispatch]>,
}

impl Gpu {
    /// Opens `adapter` with all of its limits.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn open(adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
        let (limits, name) = (adapter.limits(), adapter.get_info().name);
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                GpuError::Refused { name: name.clone(), message: error.to_string() }
            })?;
        let fault: Arc<Mutex<Option<GpuError>>> = Arc::default();
        let report = |fault: &Arc<Mutex<Option<GpuError>>>| {
            let (fault, name) = (fault.clone(), name.clone());
            move |message: Option<String>| {
                let name = name.clone();
                let error = match message {
                    Some(message) => GpuError::Lost { name, message: message.replace('\n', " ") },
                    None => GpuError::OutOfMemory { name },
                };
                fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        };
        let on_error = report(&fault);
        device.on_uncaptured_error(Arc::new(move |error| match error {
            wgpu::Error::OutOfMemory { .. } => on_error(None),
            other => on_error(Some(other.to_string())),
        }));
        let on_loss = report(&fault);
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                on_loss(Some(format!("device lost: {message}")));
            }
        });
        Ok(Self { device, queue, name, limits, fault, kernels: Mutex::default() })
    }

    /// Name of the adapter.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn limits(&self) -> &wgpu::Limits {
        &self.limits
    }

    /// Bytes of the largest buffer that kernels can see whole.
    pub(super) fn largest_buffer(&self) -> u64 {
        self.limits.max_storage_buffer_binding_size.min(self.limits.max_buffer_size)
    }

    /// Makes `error` that of the next [`Self::check`].
    fn fail(&self, error: GpuError) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The error that the driver reported since the last call, if any.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// A buffer of `len` zeros. One beyond the adapter's limits is an error of the next
    /// [`Self::check`], and empty.
    pub(super) fn zeros(&self, len: usize) -> Buffer {
        let limit = self.largest_buffer();
        let mut bytes = 4 * len as u64;
        if bytes > limit {
            self.fail(GpuError::TooLarge { name: self.name.clone(), bytes, limit });
            bytes = 0;
        }
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            // At least one value, as a binding cannot be empty.
            size: bytes.max(4),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    }

    /// A buffer of 32-bit values.
    pub(super) fn upload<T: Pod>(&self, values: &[T]) -> Buffer {
        let buffer = self.zeros(size_of_val(values) / 4);
        self.write(&buffer, 0, values);
        buffer
    }

    /// A buffer of `rows` one after another.
    pub(super) fn upload_rows(&self, rows: &[&[f32]]) -> Result<Buffer, GpuError> {
        let buffer = self.zeros(rows.iter().map(|row| row.len()).sum());
        let (mut offset, mut pending) = (0, 0);
        for row in rows {
            self.write(&buffer, offset, row);
            offset += row.len();
            pending += 4 * row.len();
            if pending >= TRANSFER {
                // Uploads wait in memory of the host until a submission.
                self.queue.submit([]);
                self.wait(None)?;
                pending = 0;
            }
        }
        Ok(buffer)
    }

    /// Writes 32-bit values from value `offset` on, before the next submission.
    pub(super) fn write<T: Pod>(&self, buffer: &Buffer, offset: usize, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if 4 * offset as u64 + bytes.len() as u64 <= buffer.size() {
            self.queue.write_buffer(buffer, 4 * offset as u64, bytes);
        }
    }

    /// Constants of a dispatch.
    pub(super) fn uniform<T: Pod>(&self, value: &T) -> Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: size_of::<T>() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, 0, bytemuck::bytes_of(value));
        buffer
    }

    /// Room for the constants of the steps of a submission: an [`Access::Step`].
    pub(super) fn step_constants(&self) -> Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("steps"),
            size: (MAX_STEPS * self.step_stride()) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    fn step_stride(&self) -> usize {
        size_of::<Step>().next_multiple_of(self.limits.min_uniform_buffer_offset_alignment as usize)
    }

    /// Reads values `range` back, once everything submitted is done.
    pub(super) fn read(
        &self,
        buffer: &Buffer,
        range: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, GpuError> {
        let mut values = Vec::with_capacity(range.len());
        for start in range.clone().step_by(TRANSFER / 4) {
            let len = (TRANSFER / 4).min(range.end - start);
            let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("staging"),
                size: 4 * len as u64,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = self.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, 4 * start as u64, &staging, 0, 4 * len as u64);
            self.queue.submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., |_| {});
            self.wait(None)?;
            let lost = |message: String| GpuError::Lost { name: self.name.clone(), message };
            let view = staging.get_mapped_range(..).map_err(|error| lost(error.to_string()))?;
            let bytes = view.chunks_exact(4);
            values.extend(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        Ok(values)
    }

    /// A kernel bound to its buffers. More workgroups than the adapter runs are an error of the next
    /// [`Self::check`], and none.
    pub(super) fn dispatch(
        &self,
        kernel: Kernel,
        buffers: &[&Buffer],
        mut workgroups: [usize; 3],
    ) -> Dispatch {
        let limit = self.limits.max_compute_workgroups_per_dimension;
        let most = workgroups.into_iter().max().unwrap_or(0);
        if most > limit as usize {
            let (name, kernel) = (self.name.clone(), kernel.name.clone());
            self.fail(GpuError::TooMany { name, kernel, workgroups: most, limit });
            workgroups = [0; 3];
        }
        let per_step = kernel.bindings.contains(&Access::Step);
        let resources = kernel.bindings.iter().zip(buffers).enumerate();
        let entries: Vec<_> = resources
            .map(|(binding, (access, buffer))| {
                let size = (*access == Access::Step).then_some(size_of::<Step>() as u64);
                let size = size.and_then(wgpu::BufferSize::new);
                let resource =
                    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
                wgpu::BindGroupEntry { binding: binding as u32, resource }
            })
            .collect();
        let pipeline = self.pipeline(kernel);
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let workgroups = workgroups.map(super::product::index);
        Dispatch { pipeline, bindings, per_step, workgroups }
    }

    /// The kernel's pipeline, compiled at its first use.
    fn pipeline(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = kernels.get(&kernel) {
            return pipeline.clone();
        }
        let entries: Vec<_> = kernel.bindings.iter().enumerate().map(layout_entry).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&kernel.name),
            entries: &entries,
        });
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&kernel.name),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        // Kernels that know of the step share its declaration.
        let step = if kernel.bindings.contains(&Access::Step) { STEP } else { "" };
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&kernel.name),
            source: wgpu::ShaderSource::Wgsl(format!("{step}{}", kernel.source).into()),
        });
        let constants: Vec<_> =
            kernel.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&kernel.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                // Every kernel writes workgroup memory before it reads it.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        kernels.insert(kernel, pipeline.clone());
        pipeline
    }

    /// Runs a program once.
    pub(super) fn run(&self, program: &[Dispatch]) -> Result<(), GpuError> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.encode(&mut encoder, program, 0);
        self.queue.submit([encoder.finish()]);
        self.check()
    }

    /// Copies all of a buffer.
    pub(super) fn copy_buffer(&self, source: &Buffer, destination: &Buffer) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(source, 0, destination, 0, source.size());
        self.queue.submit([encoder.finish()]);
    }

    /// Destroys the device, as if the driver had lost it.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.device.destroy();
    }

    /// Number of pipelines that were compiled.
    #[cfg(test)]
    pub(super) fn pipelines(&self) -> usize {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until everything submitted is done.
    pub(super) fn finish(&self) -> Result<(), GpuError> {
        self.wait(None)
    }

    /// Runs `count` steps, as many in a submission as take some 50 ms, at most `at_once`. `prepare` is
    /// asked for ranges of steps one after another and uploads what they read; `look` is called at
    /// every checkpoint, when the steps before it are done and none after it has begun; `report` is
    /// called with the number of steps done since its last call.
    pub(super) fn run_steps<'a, E: From<GpuError>>(
        &self,
        count: usize,
        at_once: usize,
        constants: &Buffer,
        mut prepare: impl FnMut(std::ops::Range<usize>) -> Result<Steps<'a>, E>,
        (checkpoints, mut look): (&Checkpoints, impl FnMut() -> Result<(), E>),
        report: &dyn Fn(usize),
    ) -> Result<(), E> {
        if checkpoints.has(0) {
            look()?;
        }
        let (mut done, mut length) = (0, 1);
        let mut last: Option<(wgpu::SubmissionIndex, usize)> = None;
        let mut finished = Instant::now();
        while done < count {
            let end =
                checkpoints.steps().iter().find(|&&step| step > done).copied().unwrap_or(count);
            let range = done..(done + length).min(end);
            let steps = prepare(range.clone())?;
            let stride = self.step_stride();
            let mut bytes = vec![0; range.len() * stride];
            for (slot, step) in bytes.chunks_exact_mut(stride).zip(&steps.values) {
                slot[..size_of::<Step>()].copy_from_slice(bytemuck::bytes_of(step));
            }
            self.queue.write_buffer(constants, 0, &bytes);
            let mut encoder = self.device.create_command_encoder(&Default::default());
            for (slot, program) in steps.programs.into_iter().enumerate() {
                self.encode(&mut encoder, program, slot * stride);
            }
            let submission = self.queue.submit([encoder.finish()]);
            self.check()?;
            // One submission runs while the next is prepared.
            if let Some((previous, steps)) = last.replace((submission, range.len())) {
                self.wait(Some(previous))?;
                report(steps);
                let per_step = finished.elapsed() / steps as u32;
                finished = Instant::now();
                length = match per_step * 2 * length as u32 {
                    time if time <= SUBMISSION_TIME => (2 * length).min(at_once),
                    time if time > 4 * SUBMISSION_TIME => (length / 2).max(1),
                    _ => length,
                };
            }
            done = range.end;
            if checkpoints.has(done)
                && let Some((previous, steps)) = last.take()
            {
                self.wait(Some(previous))?;
                report(steps);
                look()?;
                finished = Instant::now();
            }
        }
        if let Some((previous, steps)) = last {
            self.wait(Some(previous))?;
            report(steps);
        }
        Ok(())
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder, program: &[Dispatch], offset: usize) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let offsets = [super::product::index(offset)];
        for dispatch in program {
            pass.set_pipeline(&dispatch.pipeline);
            pass.set_bind_group(0, &dispatch.bindings, &offsets[..usize::from(dispatch.per_step)]);
            let [x, y, z] = dispatch.workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Waits for a submission, or for all.
    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        let wait = wgpu::PollType::Wait { submission_index, timeout: None };
        let result = self.device.poll(wait);
        self.check()?;
        result
            .map(|_| ())
            .map_err(|error| GpuError::Lost { name: self.name.clone(), message: error.to_string() })
    }
}

fn layout_entry((binding, access): (usize, &Access)) -> wgpu::BindGroupLayoutEntry {
    let ty = match access {
        Access::Uniform | Access::Step => wgpu::BufferBindingType::Uniform,
        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
        Access::Write => wgpu::BufferBindingType::Storage { read_only: false },
    };
    wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: *access == Access::Step,
            min_binding_size: None,
        },
        count: None,
    }
}
