//! The GPUs of this machine.

use super::{Gpu, GpuError};
use crate::device::AdapterReport;

/// Every adapter there is, in the order of the devices `gpu:N`; none at all is known of where fiberwalk was built
/// without GPUs.
pub fn adapters() -> Option<Vec<AdapterReport>> {
    Some(all().iter().enumerate().map(|(index, adapter)| report(index, adapter)).collect())
}

/// Opens the GPUs of the best kind that there is, discrete ones before integrated; software ones are
/// never taken.
///
/// # Errors
/// There is none, or its driver refuses.
pub(super) fn hardware() -> Result<Vec<Gpu>, GpuError> {
    let adapters = all();
    let kinds = [
        wgpu::DeviceType::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu,
        wgpu::DeviceType::VirtualGpu,
    ];
    let of_kind = |kind| adapters.iter().filter(move |one| one.get_info().device_type == kind);
    let Some(kind) = kinds.into_iter().find(|&kind| of_kind(kind).next().is_some()) else {
        return Err(GpuError::NoAdapter(
            "no GPU found (`fiberwalk devices` lists adapters; a software one has to be named as gpu:N)"
                .to_owned(),
        ));
    };
    of_kind(kind).map(Gpu::open).collect()
}

impl Gpu {
    /// Opens adapter `index` of [`adapters`], whatever its kind.
    ///
    /// # Errors
    /// There is no such adapter, or its driver refuses.
    pub fn numbered(index: usize) -> Result<Self, GpuError> {
        let adapters = all();
        let adapter = adapters.get(index).ok_or_else(|| {
            GpuError::NoAdapter(format!(
                "no GPU of number {index}: found {} (`fiberwalk devices` lists them)",
                adapters.len()
            ))
        })?;
        Self::open(adapter)
    }
}

/// Vulkan and Metal first; the same card's DX12 adapter after them is left out.
fn all() -> Vec<wgpu::Adapter> {
    let instance =
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.sort_by_key(|adapter| adapter.get_info().backend == wgpu::Backend::Dx12);
    let mut kept: Vec<wgpu::Adapter> = Vec::new();
    for adapter in adapters {
        let info = adapter.get_info();
        let same = |other: &wgpu::Adapter| {
            let other = other.get_info();
            other.backend != info.backend
                && (other.vendor, other.device) == (info.vendor, info.device)
        };
        if !kept.iter().any(same) {
            kept.push(adapter);
        }
    }
    kept
}

fn report(index: usize, adapter: &wgpu::Adapter) -> AdapterReport {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    AdapterReport {
        index,
        backend: info.backend.to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "unknown",
        },
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        memory: memory(adapter),
        max_buffer: limits.max_buffer_size,
        max_binding: limits.max_storage_buffer_binding_size,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        software: info.device_type == wgpu::DeviceType::Cpu,
        name: info.name,
    }
}

/// Size of the largest heap that is the adapter's own; only Vulkan tells.
#[cfg(any(target_os = "linux", target_os = "windows"))]
#[allow(unsafe_code, reason = "only the driver itself tells")]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: the handles are used for a query and while `adapter` lives, and are not kept.
    unsafe {
        let vulkan = adapter.as_hal::<wgpu::hal::api::Vulkan>()?;
        let instance = vulkan.shared_instance().raw_instance();
        let memory = instance.get_physical_device_memory_properties(vulkan.raw_physical_device());
        let heaps = &memory.memory_heaps[..memory.memory_heap_count as usize];
        // Bit 0: DEVICE_LOCAL.
        heaps.iter().filter(|heap| heap.flags.as_raw() & 1 == 1).map(|heap| heap.size).max()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}
