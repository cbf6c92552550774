//! Arrays of NumPy: any bytes as an `.npy` file of rows and of their labels, in either order of the axes.
#![no_main]

mod file;

use fiberwalk::data::{ChannelAxis, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.npy", bytes, |path| {
        let labels = Some(path.to_owned());
        let rows = Source { labels, ..path.into() };
        file::train(&Source { channels: ChannelAxis::First, ..rows.clone() });
        file::train(&rows);
    });
});
