//! Devices as the user names them.

use std::fmt;
use std::str::FromStr;

use super::{Device, gpu};

/// The device that the user asks for: `auto`, `cpu`, `gpu` or `gpu:N`.
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
    pub fn open(self) -> anyhow::Result<Device> {
        gpu::open(self)
    }
}
