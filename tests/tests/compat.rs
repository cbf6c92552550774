//! Files of every released version of the format, read by today's code: every bit of what they
//! predicted when they were made must be what they predict now.
//!
//! Beside each `compat/v*/NAME.fwk` lies `NAME.txt`: inputs, and predictions as the bits of their
//! floats. With `FIBERWALK_BLESS=1` this test writes the texts that are missing, and no other.

use std::path::PathBuf;
use std::{env, fs};

use fiberwalk_formats::{INPUT_CLIP, INPUT_UNITS, Normalisation, Reading, VERSION};
use fiberwalk_runtime::{Feature, LowDiscrepancy, Model, Normal, PredictError, Prediction, Stored};
use fiberwalk_tests::root;

/// Version 1 was never released.
const FIRST_VERSION: u16 = 2;
/// Fewest files of a version: one of a kind.
const KINDS: usize = 7;
/// Inputs to a file.
const INPUTS: usize = 8;
/// Number and seed of drawn codes.
const DRAWN: usize = 9;
const SEED: u64 = 7;

#[test]
fn released_files_predict_what_they_always_did() {
    let bless = env::var_os("FIBERWALK_BLESS").is_some();
    for version in FIRST_VERSION..=VERSION {
        let files = files(version);
        assert!(files.len() >= KINDS, "version {version}: {files:?}");
        for path in files {
            let name = path.display();
            let file = fs::read(&path).expect("the file is readable");
            let model = Model::from_bytes(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            let text = path.with_extension("txt");
            if bless && !text.exists() {
                fs::write(&text, describe(&model, &inputs(&model))).expect("writable");
            }
            let expected = fs::read_to_string(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", text.display()));
            let rows = rows(&expected);
            assert_eq!(rows.len(), INPUTS, "{name}");
            let found = describe(&model, &rows);
            for (found, expected) in found.lines().zip(expected.lines()) {
                assert_eq!(found, expected, "{name}");
            }
            assert_eq!(found, expected, "{name}");
        }
    }
}

/// The files of a version, by name.
fn files(version: u16) -> Vec<PathBuf> {
    let folder = root().join(format!("tests/compat/v{version}"));
    let entries = fs::read_dir(&folder).expect("every released version has files");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the entry is readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "fwk"));
    files.sort();
    files
}

/// The inputs in a text.
fn rows(text: &str) -> Vec<Vec<f32>> {
    let number = |word: &str| word.parse().expect("a number");
    let rows = text.lines().filter_map(|line| line.strip_prefix("input "));
    rows.map(|row| row.split(' ').map(number).collect()).collect()
}

/// Inputs around the mean of the training data; the last one is foreign.
fn inputs(model: &Model<'_>) -> Vec<Vec<f32>> {
    let mut state = 1u32;
    // xorshift32, from −1 to 1.
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let reach = |index| if index + 1 < INPUTS { 2.0 } else { 20.0 };
    // Of a map there is one normalisation a channel.
    let inputs = model.input_len();
    let mut row = |index| -> Vec<f32> {
        // In steps of the standardised input.
        let mut step = || reach(index) * INPUT_UNITS / INPUT_CLIP * uniform();
        match &model.artifact().inputs.normalisation {
            Normalisation::Float { mean, scale } => {
                let features = mean.iter().zip(scale.iter()).cycle().take(inputs);
                features.map(|(mean, scale)| mean + step() / scale).collect()
            }
            Normalisation::Whole { reading, multiplier, offset, offset_shift, shift } => {
                let (least, most) = match reading {
                    Reading::U8 => (u8::MIN.into(), u8::MAX.into()),
                    Reading::I8 => (i8::MIN.into(), i8::MAX.into()),
                    Reading::I16 => (i16::MIN.into(), i16::MAX.into()),
                };
                let features = multiplier.iter().zip(offset.iter()).cycle().take(inputs);
                let reading = |(multiplier, offset): (i16, i16)| {
                    let offset = (i32::from(offset) << offset_shift) as f32;
                    let scaled = (1u32 << shift) as f32 * step() - offset;
                    // No negative zero.
                    (scaled / f32::from(multiplier.max(1))).round().clamp(least, most) + 0.0
                };
                features.map(reading).collect()
            }
        }
    };
    (0..INPUTS).map(&mut row).collect()
}

/// Everything that `model` says of `rows`.
fn describe(model: &Model<'_>, rows: &[Vec<f32>]) -> String {
    let features: Vec<&str> = model.features().iter().collect();
    let mut text = format!("target {}\nfeatures {}\n", model.target(), features.join(" "));
    if let Some(classes) = model.classes() {
        let classes: Vec<&str> = classes.iter().collect();
        text += &format!("classes {}\n", classes.join(" "));
    }
    for row in rows {
        let words: Vec<String> = row.iter().map(f32::to_string).collect();
        text += &format!("\ninput {}\n", words.join(" "));
        text += &match model.artifact().inputs.normalisation {
            Normalisation::Float { .. } => predictions(model, row, |x| x),
            Normalisation::Whole { reading: Reading::U8, .. } => {
                predictions(model, row, |x| x as u8)
            }
            Normalisation::Whole { reading: Reading::I8, .. } => {
                predictions(model, row, |x| x as i8)
            }
            Normalisation::Whole { reading: Reading::I16, .. } => {
                predictions(model, row, |x| x as i16)
            }
        };
    }
    text
}

/// One line for every source of codes, and one for the mean weights, of features of one type.
fn predictions<F: Feature>(model: &Model<'_>, row: &[f32], feature: fn(f32) -> F) -> String {
    let x = &row.iter().map(|&x| feature(x)).collect::<Vec<_>>();
    let scratch = &mut vec![0; model.scratch_len()];
    let samples = model.samples();
    let sequence = &mut LowDiscrepancy::seeded(model.latent_dim(), SEED);
    [
        ("stored", bits(model.predict(x, &mut Stored, samples, scratch))),
        ("sequence", bits(model.predict(x, sequence, DRAWN, scratch))),
        ("normal", bits(model.predict(x, &mut Normal::seeded(SEED), DRAWN, scratch))),
        ("mean", bits(model.predict_mean(x, scratch))),
    ]
    .map(|(source, bits)| format!("{source} {bits}\n"))
    .concat()
}

fn bits(prediction: Result<Prediction<'_>, PredictError>) -> String {
    let words = |numbers: &[f32]| {
        let words = numbers.iter().map(|number| format!(" {:08x}", number.to_bits()));
        words.collect::<String>()
    };
    match prediction {
        Ok(Prediction::Classification(class)) => format!(
            "probabilities{} entropy{} expected{} information{} set {:?} foreign {}",
            words(class.probabilities),
            words(&[class.entropy]),
            words(&[class.expected_entropy]),
            words(&[class.mutual_information]),
            class.set().collect::<Vec<_>>(),
            class.out_of_distribution,
        ),
        Ok(Prediction::Regression(value)) => format!(
            "mean{} variance{} epistemic{} aleatoric{} interval{} foreign {}",
            words(&[value.mean]),
            words(&[value.variance]),
            words(&[value.epistemic_variance]),
            words(&[value.aleatoric_variance]),
            words(&[value.lower, value.upper]),
            value.out_of_distribution,
        ),
        Err(error) => format!("{error:?}"),
    }
}
