//! Predictions of any model that decoding accepts. What stands in the header's place are the
//! readings; the header is made right.
#![no_main]

#[path = "../../../formats/tests/example/mod.rs"]
mod example;
#[path = "../../../runtime/tests/invariants/mod.rs"]
mod invariants;

use fiberwalk_formats::HEADER_LEN;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(readings) = bytes.get(..HEADER_LEN) else { return Corpus::Reject };
    let mut file = bytes.to_vec();
    example::fix_header(&mut file);
    // What is refused leads to no prediction: `decode` goes on from it.
    if invariants::use_model(&file, readings) { Corpus::Keep } else { Corpus::Reject }
});
