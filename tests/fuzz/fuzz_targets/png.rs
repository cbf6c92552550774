//! Images: any bytes as a PNG file in a folder of two classes.
#![no_main]

mod file;

use fiberwalk::Data;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("images/b/image.png", bytes, |_| {});
    file::with("images/a/image.png", bytes, |path| {
        let folder = path.ancestors().nth(2).expect("two folders up");
        file::train(Data::file(folder));
    });
});
