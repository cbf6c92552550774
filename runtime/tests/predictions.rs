//! Predictions of whole models against the specification.

#[path = "../../formats/tests/example/mod.rs"]
mod example;
mod reference;

use fiberwalk_formats::{
    Activation, Artifact, Dense, Factors, Inputs, Layer, LowRank, Names, Normalisation, Output,
    Rescale, Shifts,
};
use fiberwalk_runtime::{
    Classification, Codes, Draw, LowDiscrepancy, Model, Normal, PredictError, Prediction,
    Regression, Session, Stored,
};
use proptest::prelude::*;

use example::{
    Shape, Structure, convolutional, dense, f32s, frozen, i8s, mixture, named_by, random,
    random_maps, rescale, tiny, to_bytes,
};

/// What a scratch buffer may hold before it is used.
const GARBAGE: u32 = 0xdead_beef;

fn scratch(model: &Model<'_>) -> Vec<u32> {
    vec![GARBAGE; model.scratch_len()]
}

fn classification(prediction: Prediction<'_>) -> Classification<'_> {
    match prediction {
        Prediction::Classification(class) => class,
        Prediction::Regression(_) => panic!("a class"),
    }
}

fn regression(prediction: Prediction<'_>) -> Regression {
    match prediction {
        Prediction::Regression(value) => value,
        Prediction::Classification(_) => panic!("a number"),
    }
}

fn near(a: f32, b: f64, tolerance: f64) -> bool {
    (f64::from(a) - b).abs() <= tolerance
}

/// The tiny file at the mean of its inputs, worked out by hand. q = 0, so the hidden
/// pre-activations are 0 and −500, −500 · 1321 / 2^16 rounds to −10 units, and tanh gives −20. The
/// mean weights give ±1500, the projection 6 · 20 + 100 = 220, v = ±55, the factors ±1375, so the
/// two samples have the logits ±2875 / 4096 and ±125 / 4096.
#[test]
fn the_tiny_model_gives_what_was_worked_out_by_hand() {
    let file = to_bytes(&tiny());
    let model = Model::from_bytes(&file).expect("a valid file");
    let mut scratch = scratch(&model);
    let prediction = model.predict(&[4.0, 1.0], &mut Stored, 2, &mut scratch);
    let class = classification(prediction.expect("a prediction"));
    assert!(near(class.probabilities[0], 0.62110, 1e-4), "{class:?}");
    assert!(near(class.probabilities[1], 0.37890, 1e-4), "{class:?}");
    assert_eq!(class.top().0, 0);
    assert_eq!(class.set().collect::<Vec<_>>(), [0, 1]);
    assert_eq!((class.set_len(), class.contains(1), class.contains(2)), (2, true, false));
    assert!(!class.is_sure());
    // The mean weights alone: the softmax of ±1500 / 4096 · 2, tempered.
    let class = classification(model.predict_mean(&[4.0, 1.0], &mut scratch).expect("one pass"));
    assert!(near(class.probabilities[0], 0.633_95, 1e-4), "{class:?}");
    assert!(class.mutual_information < 2e-4);
}

#[test]
fn the_model_knows_its_names() {
    let file = to_bytes(&tiny());
    let model = Model::from_bytes(&file).expect("a valid file");
    assert_eq!(model.features().iter().collect::<Vec<_>>(), ["length", "width"]);
    let classes = model.classes().expect("classes");
    assert_eq!((classes.len(), classes.get(1), classes.get(2)), (2, Some("yes"), None));
    assert_eq!((model.target(), model.samples(), model.latent_dim()), ("ripe", 2, 1));
    assert!(matches!(model.output(), Output::Classification { .. }));
    assert!(model.channels().is_empty() && model.map().is_none());
    let (mut artifact, _) = convolutional();
    for names in ["", "left\nright"] {
        artifact.inputs.names = Names::new(names);
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let map = model.map().expect("its input is a map");
        assert_eq!(model.input_len(), map.len());
        assert_eq!((model.features(), model.channels()), (Names::new(""), Names::new(names)));
    }
}

#[test]
fn what_cannot_be_predicted_is_an_error() {
    let file = to_bytes(&tiny());
    let model = Model::from_bytes(&file).expect("a valid file");
    let mut memory = scratch(&model);
    let expected = memory.len();
    let mut error = |input: &[f32], samples, words: usize| {
        model.predict(input, &mut Stored, samples, &mut memory[..words]).err()
    };
    let too_short = Some(PredictError::InputLen { expected: 2, found: 1 });
    assert_eq!(error(&[4.0], 2, expected), too_short);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let not_finite = Some(PredictError::InputNotFinite { index: 1 });
        assert_eq!(error(&[4.0, bad], 2, expected), not_finite);
    }
    for found in 0..expected {
        let too_small = Some(PredictError::ScratchTooSmall { expected, found });
        assert_eq!(error(&[4.0, 1.0], 2, found), too_small);
    }
    assert_eq!(error(&[4.0, 1.0], 0, expected), Some(PredictError::NoSamples));
    let too_many = Some(PredictError::TooManySamples { available: 2, asked: 3 });
    assert_eq!(error(&[4.0, 1.0], 9, expected), too_many);
    assert_eq!(error(&[4.0, 1.0], 2, expected), None);
    assert_eq!(error(&[f32::MAX, f32::MIN], 2, expected), None);

    let file = to_bytes(&Artifact { trunk: None, ..trunkless() });
    let model = Model::from_bytes(&file).expect("a valid file");
    let result = model.predict(&[4.0, 1.0], &mut Normal::seeded(1), 2, &mut memory);
    assert_eq!(result.err(), Some(PredictError::NoTrunk));
}

fn trunkless() -> Artifact<'static> {
    let mut artifact = tiny();
    artifact.trunk = None;
    artifact.scratch_len = artifact.required_scratch() as u32;
    artifact
}

#[test]
fn a_session_in_steps_is_the_prediction() {
    let file = to_bytes(&tiny());
    let model = Model::from_bytes(&file).expect("a valid file");
    let (mut first, mut second) = (scratch(&model), vec![7; model.scratch_len() + 5]);
    let input = [6.5, 0.25];
    for samples in 1..=2 {
        let whole = model.predict(&input, &mut Stored, samples, &mut first).expect("whole");
        let mut session = Session::begin(&model, &input, &mut second).expect("a session");
        for sample in 0..samples {
            assert_eq!(session.samples(), sample);
            session.add_sample(&mut Stored).expect("a sample");
        }
        assert_eq!(session.finish().expect("steps"), whole);
    }
}

/// Fewer samples than the budget where they agree, all of them where the tolerance is 0, and always
/// the prediction of as many samples.
#[test]
fn predicting_until_a_tolerance_is_predicting_that_many_samples() {
    for regression in [false, true] {
        let artifact = random(&Shape {
            features: 5,
            layers: vec![
                (20, Structure::LowRank(4)),
                (if regression { 1 } else { 3 }, Structure::LowRank(4)),
            ],
            tanh: true,
            latent_dim: 3,
            trunk: Some(8),
            stored: 0,
            regression,
            seed: 40,
        });
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let (mut first, mut second) = (scratch(&model), scratch(&model));
        let input = [0.5, -1.0, 0.25, 2.0, 0.0];
        let mut numbers = Vec::new();
        for tolerance in [f32::INFINITY, 0.01, -1.0] {
            let mut codes = Normal::seeded(4);
            let (prediction, samples) = model
                .predict_until(&input, &mut codes, tolerance, 300, &mut first)
                .expect("a prediction");
            let whole = model.predict(&input, &mut Normal::seeded(4), samples, &mut second);
            assert_eq!(prediction, whole.expect("a prediction"));
            numbers.push(samples);
        }
        assert_eq!((numbers[0], numbers[2]), (4, 300), "{numbers:?}");
        assert!(numbers[0] <= numbers[1] && numbers[1] <= numbers[2], "{numbers:?}");
    }
}

/// The standard error is that of the samples' own numbers.
#[test]
fn the_standard_error_is_that_of_the_mean() {
    let mut spread_out = 0;
    for seed in 0..60 {
        let artifact = random(&Shape {
            features: 2,
            layers: vec![(6, Structure::LowRank(2)), (1, Structure::LowRank(2))],
            tanh: true,
            latent_dim: 2,
            trunk: Some(4),
            stored: 0,
            regression: true,
            seed,
        });
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let mut memory = scratch(&model);
        let input = [0.5, -0.5];
        let mut session = Session::begin(&model, &input, &mut memory).expect("a session");
        let codes: Vec<Vec<i8>> =
            (0..50i8).map(|n| vec![n.wrapping_mul(37), n.wrapping_mul(n)]).collect();
        let mut given = Given(codes.clone());
        let mut means = Vec::new();
        for (sample, code) in codes.iter().enumerate() {
            assert_eq!(session.standard_error().is_some(), sample >= 4);
            session.add_sample(&mut given).expect("a sample");
            let modulation = reference::modulation(&artifact, code);
            let outputs = reference::outputs(&artifact, &input, Some(&modulation));
            means.push(3.0 + 2.0 * reference::value(&artifact, &outputs));
        }
        let mean = means.iter().sum::<f64>() / 50.0;
        let variance = means.iter().map(|f| (f - mean) * (f - mean)).sum::<f64>() / 49.0;
        let expected = libm::sqrt(variance / 50.0);
        let error = session.standard_error().expect("many samples");
        assert!(near(error, expected, 1e-3 * expected), "{seed}: {error} {expected}");
        spread_out += u32::from(expected > 1e-5);
    }
    assert!(spread_out > 3, "{spread_out}");
}

/// Every code of a mixture predicts what the network that it names does, bit for bit, and a pass with the mean weights
/// is the first member's.
#[test]
#[cfg(feature = "mixtures")]
fn a_mixture_has_its_members() {
    for seed in 0..200u64 {
        let regression = seed % 3 == 0;
        let outputs = if regression { 1 } else { 4 };
        let widths = [1 + (seed as usize * 7) % 9, 1 + (seed as usize * 5) % 11, outputs];
        let network = frozen(1 + seed as usize % 6, &widths, regression, seed);
        let layers: &[usize] = match seed % 4 {
            0 | 1 => &[0, 1, 2],
            2 => &[1, 2],
            _ => &[0, 2],
        };
        let others = 1 + (seed % 5) as u8;
        let member = |code: usize, layer: usize| ((code * 3 + layer) % (others as usize + 1)) as i8;
        let codes: Vec<Vec<i8>> =
            (0..7).map(|code| layers.iter().map(|&layer| member(code, layer)).collect()).collect();
        let mixture = mixture(&network, layers, others, &codes, seed + 1);
        let file = to_bytes(&mixture);
        let model = Model::from_bytes(&file).expect("a valid file");
        let (mut memory, input) = (scratch(&model), vec![0.75; model.input_len()]);
        for (index, code) in codes.iter().enumerate() {
            let mut session = Session::begin(&model, &input, &mut memory).expect("a session");
            session.add_sample(&mut From(index)).expect("a stored code");
            let found = session.finish().expect("one sample");
            let file = to_bytes(&named_by(&mixture, code));
            let named = Model::from_bytes(&file).expect("a valid file");
            let mut memory = scratch(&named);
            let expected = named.predict(&input, &mut Stored, 1, &mut memory).expect("a sample");
            assert_eq!(found, expected, "{seed}, code {code:?}");
        }
        let file = to_bytes(&network);
        let first = Model::from_bytes(&file).expect("a valid file");
        let mut other = scratch(&first);
        assert_eq!(
            model.predict_mean(&input, &mut memory).expect("a pass"),
            first.predict_mean(&input, &mut other).expect("a pass")
        );
    }
}

/// Stored codes from one on.
struct From(usize);

impl Codes for From {
    fn draw(&mut self, sample: usize, _latent: &mut [i8]) -> Draw {
        Draw::Stored(self.0 + sample)
    }
}

/// The largest sums that the limits allow, of both signs: nothing overflows.
#[test]
fn the_largest_sums_fit() {
    const WIDTH: usize = 4096;
    const RANK: usize = 64;
    for sign in [1, -1] {
        let bias = if sign > 0 { i16::MAX } else { i16::MIN };
        let shifted = |bias_shift, dense| Dense { bias_shift, ..dense };
        let weight = if sign > 0 { 127 } else { -128 };
        let layer = |outputs: usize, activation| Layer {
            mean: shifted(14, dense(WIDTH, &vec![weight; WIDTH * outputs], &vec![bias; outputs])),
            factors: Factors::LowRank(LowRank {
                projection: shifted(14, dense(WIDTH, &vec![weight; WIDTH * RANK], &[bias; RANK])),
                a: dense(RANK, &vec![weight; RANK * outputs], &vec![bias; outputs]).weights,
                shifts: Shifts { projection: 0, modulation: 1, sum: -7 },
            }),
            activation,
        };
        let names: &'static str = "\n".repeat(WIDTH - 1).leak();
        let mut artifact = tiny();
        artifact.inputs = Inputs {
            names: Names::new(names),
            normalisation: Normalisation::Float {
                mean: f32s(&vec![0.0; WIDTH]),
                scale: f32s(&vec![1.0; WIDTH]),
            },
        };
        artifact.layers.clear();
        let hidden = Activation::Relu(Rescale { before: 31, ..rescale(&vec![i16::MAX; WIDTH], 1) });
        let hidden =
            if sign > 0 { Activation::Relu(rescale(&vec![i16::MAX; WIDTH], 1)) } else { hidden };
        artifact.layers.extend([layer(WIDTH, hidden), layer(1, Activation::Value(1.0))]);
        artifact.trunk = None;
        artifact.codes.stored = i8s(&vec![i8::MAX; 2 * 2 * RANK]);
        artifact.output = Output::Regression {
            target: "y",
            mean: 0.0,
            std: 1.0,
            noise_variance: 1.0,
            interval: 1.0,
            coverage: 0.9,
            epistemic_threshold: 1.0,
        };
        artifact.scratch_len = artifact.required_scratch() as u32;
        let mut file = vec![0; 20 << 20];
        let length = fiberwalk_formats::encode(&artifact, &mut file).expect("a valid artifact");
        let model = Model::from_bytes(&file[..length]).expect("a valid file");
        let input = vec![1e30; WIDTH];
        let modulation = vec![i64::from(i8::MAX); 2 * RANK];
        let outputs = reference::outputs(&artifact, &input, Some(&modulation));
        let expected = reference::value(&artifact, &outputs) as f32;
        let mut memory = scratch(&model);
        let prediction = model.predict(&input, &mut Stored, 2, &mut memory);
        let value = regression(prediction.expect("a prediction"));
        assert_eq!(value.mean, expected);
        assert_eq!(value.epistemic_variance, 0.0);
    }
}

/// Codes that a test gives.
struct Given(Vec<Vec<i8>>);

impl Codes for Given {
    fn draw(&mut self, sample: usize, latent: &mut [i8]) -> Draw {
        latent.copy_from_slice(&self.0[sample]);
        Draw::Latent
    }
}

fn shape(regression: bool) -> impl Strategy<Value = Shape> {
    let structure = prop_oneof![
        Just(Structure::Frozen),
        (1usize..10).prop_map(Structure::LowRank),
        (1usize..4).prop_map(Structure::Dense),
    ];
    let layers = prop::collection::vec((1usize..21, structure), 1..6);
    (1usize..20, layers, any::<bool>(), 1usize..6, 1usize..20, any::<u64>()).prop_map(
        move |(features, mut layers, tanh, latent_dim, trunk, seed)| {
            if let (true, Some(last)) = (regression, layers.last_mut()) {
                last.0 = 1;
            }
            Shape {
                features,
                layers,
                tanh,
                latent_dim,
                trunk: Some(trunk),
                stored: 3,
                regression,
                seed,
            }
        },
    )
}

fn stored(artifact: &Artifact<'_>) -> Vec<Vec<i64>> {
    let values: Vec<i64> = artifact.codes.stored.iter().map(i64::from).collect();
    (0..3)
        .map(|n| values[n * artifact.modulations()..][..artifact.modulations()].to_vec())
        .collect()
}

fn standardised(x: &[i16], artifact: &Artifact<'_>) -> Vec<f32> {
    let values = x.iter().cycle().take(artifact.input_len());
    values.map(|&x| f32::from(x) / 8192.0).collect()
}

/// A dense network of this shape, or a convolutional one with as many layers.
fn network(shape: &Shape, maps: bool) -> Artifact<'static> {
    if maps && cfg!(feature = "maps") { random_maps(shape) } else { random(shape) }
}

proptest! {
    /// The integers of regression are seen whole in the predicted mean: they must be exact.
    #[test]
    fn regression_is_the_specification_to_the_bit(
        shape in shape(true),
        maps in any::<bool>(),
        x in any::<[i16; 20]>(),
        code in any::<[i8; 5]>(),
    ) {
        let artifact = network(&shape, maps);
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let mut memory = scratch(&model);
        let input = standardised(&x, &artifact);
        let Some(Activation::Value(unit)) = artifact.layers.last().map(|layer| layer.activation)
        else {
            panic!("regression")
        };
        let predicted = |outputs: &[i64]| 3.0 + 2.0 * (unit * outputs[0] as f32);
        let reference = |m: Option<&[i64]>| reference::outputs(&artifact, &input, m);

        let stored = stored(&artifact);
        let value = regression(model.predict(&input, &mut Stored, 1, &mut memory)?);
        prop_assert_eq!(value.mean, predicted(&reference(Some(&stored[0]))));
        prop_assert_eq!(value.epistemic_variance, 0.0);

        let code = code[..shape.latent_dim].to_vec();
        let modulation = reference::modulation(&artifact, &code);
        let value = regression(model.predict(&input, &mut Given(vec![code]), 1, &mut memory)?);
        prop_assert_eq!(value.mean, predicted(&reference(Some(&modulation))));

        let value = regression(model.predict_mean(&input, &mut memory)?);
        let exact = reference(None);
        prop_assert_eq!(value.mean, predicted(&exact));
        let outputs = model.mean_outputs(&input, &mut memory)?;
        prop_assert_eq!(outputs.iter().map(|&a| i64::from(a)).collect::<Vec<_>>(), exact);

        let value = regression(model.predict(&input, &mut Stored, 3, &mut memory)?);
        let f: Vec<f64> =
            stored.iter().map(|m| reference::value(&artifact, &reference(Some(m)))).collect();
        let mean = f.iter().sum::<f64>() / 3.0;
        let variance = f.iter().map(|f| (f - mean) * (f - mean)).sum::<f64>() / 3.0;
        // Rounding of the outputs and their mean, some 2^-23 of their size, is most of the error.
        let size = f.iter().fold(1.0, |size: f64, f| size.max(f.abs()));
        prop_assert!(near(value.mean, 3.0 + 2.0 * mean, 1e-5 * size), "{value:?} {f:?}");
        prop_assert!(
            near(value.epistemic_variance, 4.0 * variance, 1e-5 * variance + 1e-5 * libm::sqrt(variance) * size + 1e-12 * size * size),
            "{value:?} {f:?}"
        );
        prop_assert!(near(value.aleatoric_variance, 1.0, 0.0));
        let total = value.epistemic_variance + value.aleatoric_variance;
        prop_assert!(near(value.variance, f64::from(total), 1e-5 * f64::from(total)));
        prop_assert!(value.lower < value.upper);
    }

    #[test]
    fn classification_is_the_specification(
        shape in shape(false),
        maps in any::<bool>(),
        x in any::<[i16; 20]>(),
    ) {
        let artifact = network(&shape, maps);
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let mut memory = scratch(&model);
        let input = standardised(&x, &artifact);
        let samples: Vec<_> = stored(&artifact)
            .iter()
            .map(|m| reference::outputs(&artifact, &input, Some(m)))
            .collect();
        let exact = reference::classify(&artifact, &samples);
        let class = classification(model.predict(&input, &mut Stored, 3, &mut memory)?);
        for (&p, &expected) in class.probabilities.iter().zip(&exact.probabilities) {
            // A sample's probabilities have 20 bits; the temperature brings the last ones up.
            prop_assert!(near(p, expected, 5e-4), "{class:?} {:?} {samples:?}", exact.probabilities);
        }
        let own: Vec<f64> = class.probabilities.iter().map(|&p| p.into()).collect();
        prop_assert!(near(class.entropy, reference::entropy(&own), 5e-4), "{class:?}");
        prop_assert!(near(class.expected_entropy, exact.expected_entropy, 5e-4));
        prop_assert!(near(class.mutual_information, exact.mutual_information, 5e-4));
        prop_assert_eq!(class.out_of_distribution, class.mutual_information > 0.125);
    }

    /// Nothing is left over from an earlier prediction or from whoever had the memory before.
    #[test]
    fn the_state_of_the_scratch_buffer_does_not_matter(
        shape in shape(false),
        maps in any::<bool>(),
        x in any::<[i16; 20]>(),
        garbage in any::<u32>(),
    ) {
        let artifact = network(&shape, maps);
        let file = to_bytes(&artifact);
        let model = Model::from_bytes(&file).expect("a valid file");
        let input = standardised(&x, &artifact);
        let (mut zeros, mut used) = (vec![0; model.scratch_len()], vec![garbage; 5000]);
        let normal = || Normal::seeded(9);
        let first = model.predict(&input, &mut normal(), 4, &mut zeros)?;
        let second = model.predict(&input, &mut normal(), 4, &mut used)?;
        prop_assert_eq!(first, second);
        let mut sequence = LowDiscrepancy::seeded(model.latent_dim(), 9);
        model.predict(&input, &mut sequence, 7, &mut used)?;
        let third = model.predict(&input, &mut normal(), 4, &mut used)?;
        prop_assert_eq!(first, third);
    }
}
