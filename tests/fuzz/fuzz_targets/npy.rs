//! Arrays of NumPy: any bytes as an `.npy` file of rows and of their labels, in either order of the axes.
#![no_main]

mod file;

use fiberwalk::{ChannelAxis, Data};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.npy", bytes, |path| {
        let rows = Data::file(path).labels(path);
        file::train(rows.clone().channels(ChannelAxis::First));
        file::train(rows);
    });
});
