//! Files that were changed and given a right checksum again: what decoding accepts never makes a
//! prediction panic or give NaN.

#[path = "../../formats/tests/example/mod.rs"]
mod example;

use fiberwalk_runtime::{Codes, LowDiscrepancy, Model, Normal, Prediction, Stored};
use proptest::prelude::*;

use example::{Shape, Structure, fix_crc, random, tiny, to_bytes};

/// Length of the header, which is not changed: its errors are found before the body is read.
const HEADER: usize = fiberwalk_formats::HEADER_LEN;

/// Predicts in every way that there is. A file may ask for much memory: a megabyte is enough.
fn use_model(file: &[u8], input: f32, scratch: &mut [u32]) -> bool {
    let Ok(model) = Model::from_bytes(file) else { return false };
    let x = vec![input; model.input_len()];
    check(&model, &x, &mut Stored, scratch);
    check(&model, &x, &mut Normal::seeded(1), scratch);
    check(&model, &x, &mut LowDiscrepancy::seeded(model.latent_dim(), 1), scratch);
    if let Ok(prediction) = model.predict_mean(&x, scratch) {
        assert_no_nan(&prediction);
    }
    true
}

fn check(model: &Model<'_>, x: &[f32], codes: &mut impl Codes, scratch: &mut [u32]) {
    for samples in [0, 1, 3, model.samples().min(20)] {
        if let Ok(prediction) = model.predict(x, codes, samples, scratch) {
            assert_no_nan(&prediction);
        }
    }
}

fn assert_no_nan(prediction: &Prediction<'_>) {
    match prediction {
        Prediction::Classification(class) => {
            let sum: f32 = class.probabilities.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{class:?}");
            assert!(class.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{class:?}");
            assert!(class.entropy >= -1e-6 && class.expected_entropy >= -1e-6, "{class:?}");
            assert!(class.mutual_information >= 0.0, "{class:?}");
            assert!(class.top().0 < class.probabilities.len(), "{class:?}");
            assert_eq!(class.set().filter(|&c| class.contains(c)).count(), class.set_len());
            if class.is_sure() {
                assert!(class.set_len() == 1 && !class.out_of_distribution);
            }
        }
        Prediction::Regression(value) => {
            assert!(value.mean.is_finite(), "{value:?}");
            assert!(value.variance >= 0.0 && value.epistemic_variance >= 0.0, "{value:?}");
            assert!(value.aleatoric_variance >= 0.0, "{value:?}");
            assert!(value.lower <= value.mean && value.mean <= value.upper, "{value:?}");
        }
    }
}

fn base() -> impl Strategy<Value = Shape> {
    let structure = prop_oneof![
        Just(Structure::Frozen),
        (1usize..6).prop_map(Structure::LowRank),
        (1usize..4).prop_map(Structure::Dense),
    ];
    let layers = prop::collection::vec((1usize..6, structure), 1..4);
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
    let mut scratch = vec![0; 1 << 18];
    let mut accepted = 0;
    for index in HEADER..file.len() {
        for difference in 1..=u8::MAX {
            file[index] ^= difference;
            fix_crc(&mut file);
            accepted += usize::from(use_model(&file, 1.5, &mut scratch));
            file[index] ^= difference;
        }
    }
    // Weights, biases and names may take almost any value: the loop did predict.
    assert!(accepted > 10_000, "{accepted}");
}

proptest! {
    #[test]
    fn random_networks_are_harmless(shape in base(), input in prop::num::f32::NORMAL) {
        let mut scratch = vec![0; 1 << 18];
        prop_assert!(use_model(&to_bytes(&random(&shape)), input, &mut scratch));
    }

    #[test]
    fn changed_networks_are_refused_or_harmless(
        shape in base(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        input in prop::num::f32::ANY,
    ) {
        let mut file = to_bytes(&random(&shape));
        for (index, value) in changes {
            let index = HEADER + index.index(file.len() - HEADER);
            file[index] = value;
        }
        fix_crc(&mut file);
        use_model(&file, input, &mut vec![0; 1 << 18]);
    }

    /// Bytes taken out, put in or repeated move everything behind them.
    #[test]
    fn spliced_networks_are_refused_or_harmless(
        shape in base(),
        at in any::<prop::sample::Index>(),
        remove in 0usize..8,
        insert in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut file = to_bytes(&random(&shape));
        let start = HEADER + at.index(file.len() - HEADER);
        let end = (start + remove).min(file.len());
        file.splice(start..end, insert);
        let body = (file.len() - HEADER) as u32;
        file[8..12].copy_from_slice(&body.to_le_bytes());
        fix_crc(&mut file);
        use_model(&file, 0.5, &mut vec![0; 1 << 18]);
    }
}
