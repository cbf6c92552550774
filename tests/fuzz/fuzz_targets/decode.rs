//! Decoding of any bytes: as they are, and under a header made right, so that the body is read.
#![no_main]

#[path = "../../../formats/tests/example/mod.rs"]
mod example;

use fiberwalk_formats::{Artifact, Dense, HEADER_LEN, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if bytes.len() >= HEADER_LEN {
        let mut file = bytes.to_vec();
        example::fix_header(&mut file);
        check(&file);
    }
});

/// What is accepted can be read to its ends, and written and read again.
fn check(file: &[u8]) {
    match decode(file) {
        Ok(artifact) => {
            read(&artifact);
            let mut again = vec![0; file.len()];
            let length = fiberwalk_formats::encode(&artifact, &mut again).expect("it was accepted");
            assert_eq!(decode(&again[..length]), Ok(artifact));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn read(artifact: &Artifact<'_>) {
    let matrix = |dense: &Dense<'_>| {
        let last = (usize::from(dense.outputs) - 1, usize::from(dense.inputs) - 1);
        let range = dense.bits.offset();
        assert!((-range..range).contains(&dense.weight(last.0, last.1).into()));
        assert!(dense.bias.get(last.0).is_some() && dense.bias.get(last.0 + 1).is_none());
    };
    for layer in &artifact.layers {
        matrix(&layer.mean);
        if let Some((projection, _)) = layer.factors.projection() {
            matrix(projection);
        }
    }
    match &artifact.geometry {
        None => {
            // A lone feature may go without a name.
            let names = artifact.inputs.names.iter().count().max(1);
            assert_eq!(names, artifact.inputs.normalisation.len());
        }
        Some(geometry) => {
            assert_eq!(geometry.steps(&artifact.layers).count(), artifact.layers.len());
        }
    }
    assert_eq!(artifact.required_scratch(), artifact.scratch_len as usize);
}
