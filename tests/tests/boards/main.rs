//! What runs on emulated boards: needs QEMU and a way to build for bare metal, which `tests/setup` installs.

mod c_interface;
mod firmware;
mod tutorial;
