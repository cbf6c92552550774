//! In place of GPUs where fiberwalk is built without them.

use anyhow::bail;

use super::{AdapterReport, Device, DeviceChoice};

/// Every adapter there is; none at all is known of where fiberwalk was built without GPUs.
pub fn adapters() -> Option<Vec<AdapterReport>> {
    None
}

pub(super) fn open(choice: DeviceChoice) -> anyhow::Result<Device> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Gpu | DeviceChoice::Numbered(_) => {
            bail!("`device` {choice}: this fiberwalk was built without GPUs (feature `gpu`)")
        }
    }
}
