//! Networks of other libraries: any bytes as an ONNX model.
//!
//! What import accepts it compares itself with its plain evaluation of the graph, and refuses where the two differ: here
//! that comparison has to have found finite numbers.
#![no_main]

mod file;

use fiberwalk::internals::import::import;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with("model.onnx", bytes, |path| match import(path, None) {
        Ok(import) => {
            assert!(import.network.architecture().parameters() > 0);
            if let Some((rows, difference)) = import.computed {
                assert!(rows > 0 && difference.is_finite(), "{rows} rows, {difference}");
            }
        }
        Err(error) => {
            let message = format!("{error:#}");
            // Obstacles are told a line each.
            let control = |character: char| character.is_control() && character != '\n';
            assert!(!message.is_empty() && !message.contains(control), "{message:?}");
        }
    });
});
