//! Tables: any bytes as a CSV file to train on, whole and cut into windows.
#![no_main]

mod file;

use fiberwalk::Data;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.csv", bytes, |path| {
        let table = Data::file(path);
        file::train(table.clone());
        file::train(table.window(2).stride(1).group(["g"]));
    });
});
