//! Files that are read back, and files that are refused.

mod example;

use fiberwalk_formats::{DecodeError, EncodeError, HEADER_LEN, decode, encode};
use proptest::prelude::*;

use example::{Shape, Structure, fix_crc, fix_header, random, random_maps, tiny, to_bytes};

/// A file written by version 2, which every later reader of version 2 must read.
static TINY: &[u8] = include_bytes!("data/tiny.fwk");

#[test]
fn what_was_written_is_read_back() {
    let artifact = tiny();
    assert_eq!(decode(&to_bytes(&artifact)), Ok(artifact));
}

#[test]
fn the_committed_file_is_the_tiny_artifact() {
    assert_eq!(to_bytes(&tiny()), TINY);
}

#[test]
fn the_dump_in_the_specification_is_the_committed_file() {
    let spec = include_str!("../SPEC.md");
    let (_, rest) = spec.split_once("```hex\n").expect("a dump");
    let (dump, _) = rest.split_once("```").expect("its end");
    let bytes: Vec<u8> = dump
        .lines()
        .filter_map(|line| line.split(';').next())
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits"))
        .collect();
    assert_eq!(bytes, TINY);
}

#[test]
fn every_changed_byte_is_found() {
    let mut file = TINY.to_vec();
    for index in 0..file.len() {
        for difference in 1..=u8::MAX {
            file[index] ^= difference;
            let error = decode(&file).err();
            let found = match index {
                0..4 => error == Some(DecodeError::WrongMagic),
                4..6 => matches!(error, Some(DecodeError::UnknownVersion { .. })),
                6 if difference == 1 && cfg!(feature = "maps") => {
                    matches!(error, Some(DecodeError::BadCrc { .. }))
                }
                6..8 => matches!(error, Some(DecodeError::UnknownFlags { .. })),
                8..12 => matches!(
                    error,
                    Some(DecodeError::Truncated { .. } | DecodeError::TrailingBytes { .. })
                ),
                _ => matches!(error, Some(DecodeError::BadCrc { .. })),
            };
            assert!(found, "byte {index}: {error:?}");
            file[index] ^= difference;
        }
    }
    assert_eq!(decode(&file), Ok(tiny()));
}

#[test]
fn every_truncation_is_found() {
    for found in 0..TINY.len() {
        let expected = if found < HEADER_LEN { HEADER_LEN } else { TINY.len() };
        assert_eq!(decode(&TINY[..found]), Err(DecodeError::Truncated { expected, found }));
    }
}

#[test]
fn nothing_may_follow_the_artifact() {
    let mut file = TINY.to_vec();
    file.push(0);
    let (expected, found) = (TINY.len(), TINY.len() + 1);
    assert_eq!(decode(&file), Err(DecodeError::TrailingBytes { expected, found }));
    // Neither inside the body, with a header that agrees.
    file[8..12].copy_from_slice(&((found - HEADER_LEN) as u32).to_le_bytes());
    fix_crc(&mut file);
    assert_eq!(decode(&file), Err(DecodeError::Malformed));
}

#[test]
fn a_file_that_is_none_is_refused() {
    assert_eq!(decode(b"PK\x03\x04 and so on, longer than a header"), Err(DecodeError::WrongMagic));
    assert!(matches!(decode(b""), Err(DecodeError::Truncated { expected: 16, found: 0 })));
}

#[test]
fn messages_say_what_was_found_and_expected() {
    let mut file = TINY.to_vec();
    file[4] = 9;
    let message = decode(&file).expect_err("a later version").to_string();
    assert_eq!(message, "format version 9 is unknown, expected 2: use a fiberwalk that knows it");
    let message = decode(&TINY[..100]).expect_err("truncated").to_string();
    let expected = TINY.len();
    assert_eq!(message, format!("the file is truncated: found 100 bytes, expected {expected}"));
}

#[test]
fn a_buffer_that_is_too_small_is_refused_at_any_length() {
    let artifact = tiny();
    let mut buffer = vec![0; TINY.len()];
    for found in 0..buffer.len() {
        let result = encode(&artifact, &mut buffer[..found]);
        assert_eq!(result, Err(EncodeError::BufferTooSmall { found }));
    }
    assert_eq!(encode(&artifact, &mut buffer), Ok(TINY.len()));
}

fn structure() -> impl Strategy<Value = Structure> {
    prop_oneof![
        Just(Structure::Frozen),
        (1usize..5).prop_map(Structure::LowRank),
        (1usize..4).prop_map(Structure::Dense),
    ]
}

proptest! {
    #[test]
    fn any_network_is_read_back(
        features in 1usize..6,
        layers in prop::collection::vec((1usize..6, structure()), 1..8),
        latent_dim in 1usize..5,
        (tanh, trunk, seed) in any::<(bool, bool, u64)>(),
    ) {
        let artifact = random(&Shape {
            features, layers, tanh, latent_dim, seed,
            trunk: trunk.then_some(3),
            stored: if trunk { 0 } else { 4 },
            regression: false,
        });
        let file = to_bytes(&artifact);
        prop_assert_eq!(decode(&file), Ok(artifact));
    }

    #[cfg(feature = "maps")]
    #[test]
    fn any_network_with_maps_is_read_back(
        layers in 1usize..=8,
        (regression, seed) in any::<(bool, u64)>(),
    ) {
        let artifact = random_maps(&Shape {
            features: 0,
            layers: vec![(0, Structure::Frozen); layers],
            tanh: false,
            latent_dim: 2,
            trunk: Some(3),
            stored: 0,
            regression,
            seed,
        });
        let mut file = to_bytes(&artifact);
        prop_assert_eq!(&file[6..8], &[1, 0]);
        prop_assert_eq!(decode(&file), Ok(artifact));
        // Without the flag, the geometry is what must not follow.
        file[6] = 0;
        fix_crc(&mut file);
        prop_assert_eq!(decode(&file), Err(DecodeError::Malformed));
    }

    #[test]
    fn random_bytes_are_refused(mut file in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(&file).is_err());
        if file.len() >= HEADER_LEN {
            fix_header(&mut file);
            prop_assert!(decode(&file).is_err());
        }
    }

    #[test]
    fn what_is_accepted_can_be_written_again(
        changes in prop::collection::vec((HEADER_LEN..TINY.len(), any::<u8>()), 1..3),
    ) {
        let mut file = TINY.to_vec();
        for (index, value) in changes {
            file[index] = value;
        }
        fix_crc(&mut file);
        if let Ok(artifact) = decode(&file) {
            let again = to_bytes(&artifact);
            prop_assert_eq!(decode(&again), Ok(artifact));
        }
    }
}
