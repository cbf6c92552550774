//! Networks in the safetensors format: any bytes, under a hash made right, as a file of matrices and as what
//! `import` writes.
#![no_main]

mod file;
mod sealed;

use fiberwalk::internals::import::ImportedNetwork;
use fiberwalk::internals::tensors::TensorFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("network.safetensors", &sealed::sealed(bytes), |path| {
        if let Ok(tensors) = TensorFile::open(path)
            && let Ok([rows, columns]) = tensors.shape("theta")
        {
            let values = tensors.measurements("theta", 0..rows).expect("as many as it says");
            assert_eq!(values.len(), rows * columns);
        }
        if let Err(error) = ImportedNetwork::read(path) {
            assert!(!error.to_string().is_empty());
        }
    });
});
