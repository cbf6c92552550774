//! Tables: any bytes as a CSV file to train on, whole and cut into windows.
#![no_main]

mod file;

use fiberwalk::data::{Series, Source};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.csv", bytes, |path| {
        let table = Source::from(path);
        file::train(&table);
        let series = Series { window: Some(2), stride: Some(1), group: vec!["g".to_owned()] };
        file::train(&Source { series, ..table });
    });
});
