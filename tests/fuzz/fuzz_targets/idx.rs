//! Images as MNIST has them: any bytes as an idx file, gzipped or not, of images and of their labels.
#![no_main]

mod file;

use fiberwalk::Data;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("data.idx", bytes, |path| {
        file::train(Data::file(path).labels(path));
    });
});
