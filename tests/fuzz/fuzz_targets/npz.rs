//! Archives of NumPy: any bytes as an `.npz` file.
#![no_main]

mod file;

use fiberwalk::Data;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.npz", bytes, |path| file::train(Data::file(path)));
});
