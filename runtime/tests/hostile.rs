//! Files that were changed and given a right checksum again: what decoding accepts never makes a
//! prediction panic or give NaN.

#[path = "../../formats/tests/example/mod.rs"]
mod example;
mod invariants;

use proptest::prelude::*;

use example::{Shape, Structure, fix_crc, fix_header, random, random_maps, tiny, to_bytes};
use invariants::use_model;

/// Length of the header, which is not changed: its errors are found before the body is read.
const HEADER: usize = fiberwalk_formats::HEADER_LEN;

fn base() -> impl Strategy<Value = Shape> {
    let structure = prop_oneof![
        Just(Structure::Frozen),
        (1usize..6).prop_map(Structure::LowRank),
        (1usize..4).prop_map(Structure::Dense),
    ];
    let layers = prop::collection::vec((1usize..6, structure), 1..6);
    let flags = any::<(bool, bool, u64)>();
    (1usize..5, layers, 1usize..4, prop::option::of(1usize..5), 0usize..4, flags).prop_map(
        |(features, mut layers, latent_dim, trunk, stored, (tanh, regression, seed))| {
            if let (true, Some(last)) = (regression, layers.last_mut()) {
                last.0 = 1;
            }
            let stored = if trunk.is_none() { stored + 1 } else { stored };
            Shape { features, layers, tanh, latent_dim, trunk, stored, regression, seed }
        },
    )
}

/// Every byte of the body of the small file takes every value.
#[test]
fn every_single_change_is_refused_or_harmless() {
    let mut file = to_bytes(&tiny());
    let mut accepted = 0;
    for index in HEADER..file.len() {
        for difference in 1..=u8::MAX {
            file[index] ^= difference;
            fix_crc(&mut file);
            accepted += usize::from(use_model(&file, &1.5f32.to_le_bytes()));
            file[index] ^= difference;
        }
    }
    // Weights, biases and names may take almost any value: the loop did predict.
    assert!(accepted > 10_000, "{accepted}");
}

/// Wide layers and many classes: more than the fuzzers make of small files.
#[test]
fn the_widest_networks_are_harmless() {
    for (seed, width) in [(1, 4096), (2, 4095), (3, 3001), (4, 1700)] {
        for layers in [
            vec![(width, Structure::LowRank(2))],
            vec![(width, Structure::Frozen), (2, Structure::LowRank(64))],
        ] {
            let (tanh, latent_dim, trunk) = (seed % 2 == 0, 2, Some(3));
            let shape = Shape {
                features: 1,
                layers,
                tanh,
                latent_dim,
                trunk,
                stored: 1,
                regression: false,
                seed,
            };
            assert!(use_model(&to_bytes(&random(&shape)), &[1; 16]), "{shape:?}");
        }
    }
}

proptest! {
    #[test]
    fn random_networks_are_harmless(shape in base(), readings in any::<[u8; 16]>()) {
        prop_assert!(use_model(&to_bytes(&random(&shape)), &readings));
    }

    #[cfg(feature = "maps")]
    #[test]
    fn random_networks_with_maps_are_harmless(shape in base(), readings in any::<[u8; 16]>()) {
        prop_assert!(use_model(&to_bytes(&random_maps(&shape)), &readings));
    }

    #[test]
    fn changed_networks_are_refused_or_harmless(
        shape in base(),
        maps in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        readings in any::<[u8; 16]>(),
    ) {
        let mut file = to_bytes(&if maps && cfg!(feature = "maps") { random_maps(&shape) } else { random(&shape) });
        for (index, value) in changes {
            let index = HEADER + index.index(file.len() - HEADER);
            file[index] = value;
        }
        fix_crc(&mut file);
        use_model(&file, &readings);
    }

    /// The geometry lies at the end of a file.
    #[cfg(feature = "maps")]
    #[test]
    fn changed_maps_are_refused_or_harmless(
        shape in base(),
        changes in prop::collection::vec((0usize..120, any::<u8>()), 1..4),
        readings in any::<[u8; 16]>(),
    ) {
        let mut file = to_bytes(&random_maps(&shape));
        for (index, value) in changes {
            let index = file.len() - 1 - index.min(file.len() - HEADER - 1);
            file[index] = value;
        }
        fix_crc(&mut file);
        use_model(&file, &readings);
    }

    /// Bytes taken out, put in or repeated move everything behind them.
    #[test]
    fn spliced_networks_are_refused_or_harmless(
        shape in base(),
        maps in any::<bool>(),
        at in any::<prop::sample::Index>(),
        remove in 0usize..8,
        insert in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut file =
            to_bytes(&if maps && cfg!(feature = "maps") { random_maps(&shape) } else { random(&shape) });
        let start = HEADER + at.index(file.len() - HEADER);
        let end = (start + remove).min(file.len());
        file.splice(start..end, insert);
        fix_header(&mut file);
        use_model(&file, &0.5f32.to_le_bytes());
    }
}
