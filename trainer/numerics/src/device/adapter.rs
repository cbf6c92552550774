//! Adapters, as the user sees them.

use serde::Serialize;

/// One adapter, as `fiberwalk devices` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdapterReport {
    /// N of the device `gpu:N`.
    pub index: usize,
    /// The driver's name of it.
    pub name: String,
    /// Vulkan, Metal or DX12.
    pub backend: String,
    /// Discrete, integrated, virtual, software, or unknown.
    pub kind: &'static str,
    /// Driver and its version.
    pub driver: String,
    /// Memory of its own in bytes, where the driver tells.
    pub memory: Option<u64>,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Largest part of a buffer that a kernel sees, bytes.
    pub max_binding: u64,
    /// Memory that a workgroup shares, bytes.
    pub workgroup_memory: u32,
    /// Whether it is a processor that acts as a GPU, and slower than the CPU path.
    pub software: bool,
}
