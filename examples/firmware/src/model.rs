//! The model: bytes and constants written by the trainer.
#![allow(dead_code, reason = "the generated module names more than this program prints")]

include!(concat!(env!("FIRMWARE_MODELS"), "/digits.rs"));
