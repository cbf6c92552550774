//! Every rule of `SPEC.md`, section 4, broken one at a time.

mod example;

use fiberwalk_formats::{
    Activation, Artifact, CodeSource, DecodeError, EncodeError, F32s, Factors, Field, I16s, Layer,
    LowRank, Members, Names, Normalisation, Output, Reading, Rescale, U8s, encode,
};

use example::{Shape, Structure, dense, f32s, frozen, i8s, i16s, mixture, random, rescale, tiny};

type Change = fn(&mut Artifact<'static>);

/// What is wrong with `artifact` after `change`; it must have been right before.
fn after(mut artifact: Artifact<'static>, change: impl Fn(&mut Artifact<'static>)) -> DecodeError {
    let mut buffer = [0; 4096];
    encode(&artifact, &mut buffer).expect("valid before the change");
    change(&mut artifact);
    match encode(&artifact, &mut buffer) {
        Err(EncodeError::Invalid(error)) => error,
        other => panic!("not found: {other:?}"),
    }
}

fn broken(change: impl Fn(&mut Artifact<'static>)) -> DecodeError {
    after(tiny(), change)
}

fn field(name: &'static str) -> Field {
    Field { name, layer: None }
}

fn in_layer(layer: u8, name: &'static str) -> Field {
    Field { name, layer: Some(layer) }
}

fn regression() -> Artifact<'static> {
    random(&Shape {
        features: 1,
        layers: vec![(1, Structure::LowRank(1))],
        tanh: true,
        latent_dim: 1,
        trunk: Some(1),
        stored: 1,
        regression: true,
        seed: 8,
    })
}

fn set_float(artifact: &mut Artifact<'static>, means: F32s<'static>, scales: F32s<'static>) {
    artifact.inputs.normalisation = Normalisation::Float { mean: means, scale: scales };
}

fn set_whole(artifact: &mut Artifact<'static>, multiplier: i16, offset_shift: u8, shift: u8) {
    artifact.inputs.normalisation = Normalisation::Whole {
        reading: Reading::U8,
        multiplier: i16s(&[1, multiplier]),
        offset: i16s(&[0, 0]),
        offset_shift,
        shift,
    };
}

fn set_temperature(artifact: &mut Artifact<'static>, value: u32) {
    if let Output::Classification { inverse_temperature, .. } = &mut artifact.output {
        *inverse_temperature = value;
    }
}

/// A shift and multipliers that are not right.
fn before(shift: u8) -> Rescale<'static> {
    Rescale { before: shift, ..rescale(&[1, 1], 9) }
}

fn low_rank<'a>(layer: &'a mut Layer<'static>) -> &'a mut LowRank<'static> {
    match &mut layer.factors {
        Factors::LowRank(factors) => factors,
        _ => panic!("the layer is low-rank"),
    }
}

#[test]
fn arrays_must_have_the_lengths_of_their_shapes() {
    let lengths: [(&str, Option<u8>, Change); 11] = [
        ("input mean", None, |a| set_float(a, f32s(&[1.0]), f32s(&[1.0; 2]))),
        ("input scale", None, |a| set_float(a, f32s(&[1.0; 2]), f32s(&[1.0; 3]))),
        ("mean weights", Some(0), |a| a.layers[0].mean.weights = U8s::new(&[1; 5])),
        ("mean bias", Some(1), |a| a.layers[1].mean.bias = i16s(&[1])),
        ("projection weights", Some(1), |a| {
            low_rank(&mut a.layers[1]).projection.weights = U8s::new(&[1; 2])
        }),
        ("low-rank factor A", Some(1), |a| low_rank(&mut a.layers[1]).a = U8s::new(&[1; 3])),
        ("activation multiplier", Some(0), |a| {
            a.layers[0].activation = Activation::Tanh(rescale(&[1], 1));
        }),
        ("logit multiplier", Some(1), |a| {
            a.layers[1].activation = Activation::Logits(rescale(&[1], 1));
        }),
        ("trunk outputs", None, |a| {
            a.trunk.as_mut().expect("a trunk").output = dense(1, &[1, 2], &[3, 4]);
        }),
        ("class names", None, |a| {
            if let Output::Classification { classes, .. } = &mut a.output {
                *classes = Names::new("no\nyes\nperhaps");
            }
        }),
        ("input mean", None, |a| a.inputs.names = Names::new("length\nwidth\ncolour")),
    ];
    for (name, layer, change) in lengths {
        let error = broken(change);
        assert!(
            matches!(error, DecodeError::WrongLength { field, .. }
                if field == Field { name, layer }),
            "{name}: {error}"
        );
    }
    let error = after(regression(), |a| {
        a.layers[0].mean = dense(1, &[1, 1], &[0, 0]);
        low_rank(&mut a.layers[0]).a = U8s::new(&[1; 8]);
    });
    let field = field("network outputs");
    assert_eq!(error, DecodeError::WrongLength { field, expected: 1, found: 2 });
}

#[test]
fn arrays_must_end_with_a_whole_element() {
    let error = broken(|a| set_float(a, F32s::new(&[0; 9]), f32s(&[1.0; 2])));
    let field = field("input mean");
    assert_eq!(error, DecodeError::PartialElement { field, bytes: 9, element: 4 });
    let error = broken(|a| a.layers[1].mean.bias = I16s::new(&[0; 7]));
    assert!(matches!(error, DecodeError::PartialElement { bytes: 7, element: 2, .. }));
    let error = broken(|a| {
        let multiplier = I16s::new(&[0; 5]);
        a.layers[0].activation = Activation::Tanh(Rescale { multiplier, ..rescale(&[], 1) });
    });
    assert!(matches!(error, DecodeError::PartialElement { bytes: 5, element: 2, .. }));
}

#[test]
fn shapes_must_chain() {
    let error = broken(|a| a.layers[1].mean = dense(3, &[1; 6], &[1; 2]));
    let field = in_layer(1, "mean weights");
    assert_eq!(error, DecodeError::ShapeMismatch { field, expected: 2, found: 3 });
    let error = broken(|a| low_rank(&mut a.layers[1]).projection = dense(1, &[1], &[1]));
    let field = in_layer(1, "projection weights");
    assert_eq!(error, DecodeError::ShapeMismatch { field, expected: 2, found: 1 });
    let error = broken(|a| a.trunk.as_mut().expect("a trunk").hidden = dense(2, &[1, 1], &[1]));
    assert!(matches!(error, DecodeError::ShapeMismatch { expected: 1, found: 2, .. }));
    let error = broken(|a| a.trunk.as_mut().expect("a trunk").output = dense(2, &[1, 1], &[1]));
    assert!(matches!(error, DecodeError::ShapeMismatch { expected: 1, found: 2, .. }));
}

#[test]
fn integers_must_be_in_range() {
    let integers: [(&str, i32, Change); 24] = [
        ("number of layers", 0, |a| a.layers.clear()),
        ("shift of the mean bias", 15, |a| a.layers[0].mean.bias_shift = 15),
        ("shift of the projection bias", 255, |a| {
            low_rank(&mut a.layers[1]).projection.bias_shift = 255;
        }),
        ("projection shift", 32, |a| low_rank(&mut a.layers[1]).shifts.projection = 32),
        ("modulation shift", 255, |a| low_rank(&mut a.layers[1]).shifts.modulation = 255),
        ("sum shift", 32, |a| low_rank(&mut a.layers[1]).shifts.sum = 32),
        ("sum shift", -8, |a| low_rank(&mut a.layers[1]).shifts.sum = -8),
        ("modulation shift", 0, |a| low_rank(&mut a.layers[1]).shifts.modulation = 0),
        ("shift after the activation multiplier", 0, |a| {
            a.layers[0].activation = Activation::Relu(rescale(&[1, 1], 0));
        }),
        ("shift after the activation multiplier", 32, |a| {
            a.layers[0].activation = Activation::Tanh(rescale(&[1, 1], 32));
        }),
        ("shift before the activation multiplier", 32, |a| {
            a.layers[0].activation = Activation::Tanh(before(32));
        }),
        ("shift before the logit multiplier", 99, |a| {
            a.layers[1].activation = Activation::Logits(before(99));
        }),
        ("activation multiplier", -1, |a| {
            a.layers[0].activation = Activation::Tanh(rescale(&[1, -1], 9));
        }),
        ("shift after the trunk output multiplier", 63, |a| {
            a.trunk.as_mut().expect("a trunk").output_rescale.after = 63;
        }),
        ("input multiplier", -1, |a| set_whole(a, -1, 0, 3)),
        ("input offset shift", 15, |a| set_whole(a, 1, 15, 3)),
        ("input shift", 32, |a| set_whole(a, 1, 1, 32)),
        ("inverse temperature", 0, |a| set_temperature(a, 0)),
        ("inverse temperature", (1 << 26) + 1, |a| set_temperature(a, (1 << 26) + 1)),
        ("number of samples", 4097, |a| a.codes.samples = 4097),
        ("rank", 0, |a| low_rank(&mut a.layers[1]).projection = dense(2, &[], &[])),
        ("rank", 65, |a| low_rank(&mut a.layers[1]).projection = dense(2, &[0; 130], &[0; 65])),
        ("latent dimension", 33, |a| a.codes.latent_dim = 33),
        ("number of samples", 0, |a| a.codes.samples = 0),
    ];
    for (name, value, change) in integers {
        match broken(change) {
            DecodeError::OutOfRange { field, found, .. } => {
                assert_eq!((field.name, found), (name, value));
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_layer_may_not_be_wider_than_the_limit() {
    let error = broken(|a| a.layers[0].mean = dense(2, &[0; 2 * 4097], &[0; 4097]));
    let field = in_layer(0, "number of outputs");
    assert_eq!(error, DecodeError::OutOfRange { field, min: 0, max: 4096, found: 4097 });
    let names: &'static str = "\n".repeat(4096).leak();
    let error = broken(|a| a.inputs.names = Names::new(names));
    assert!(matches!(error, DecodeError::OutOfRange { found: 4097, .. }));
}

#[test]
fn dense_factors_must_fill_their_projection() {
    let shape = Shape {
        features: 2,
        layers: vec![(3, Structure::Dense(2))],
        tanh: true,
        latent_dim: 1,
        trunk: None,
        stored: 1,
        regression: false,
        seed: 3,
    };
    let count = |count: u8| {
        after(random(&shape), |a| {
            if let Factors::Dense(factors) = &mut a.layers[0].factors {
                factors.count = count;
            }
        })
    };
    assert!(matches!(count(3), DecodeError::WrongLength { expected: 9, found: 6, .. }));
    assert!(matches!(count(0), DecodeError::OutOfRange { found: 0, .. }));
    assert!(matches!(count(65), DecodeError::OutOfRange { found: 65, .. }));
}

#[test]
#[cfg(feature = "mixtures")]
fn members_must_be_there() {
    let network = frozen(2, &[3, 2], false, 3);
    let mixture = || mixture(&network, &[0, 1], 2, &[vec![0, 0], vec![2, 1]], 5);
    assert!(encode(&mixture(), &mut [0; 4096]).is_ok());
    let refused = |change: fn(&mut Members<'static>)| {
        after(mixture(), |a| {
            let Factors::Members(members) = &mut a.layers[0].factors else { unreachable!() };
            change(members);
        })
    };
    assert!(matches!(refused(|m| m.others = 0), DecodeError::OutOfRange { found: 0, .. }));
    assert!(matches!(refused(|m| m.others = 3), DecodeError::WrongLength { .. }));
    assert!(matches!(refused(|m| m.bias = i16s(&[1; 5])), DecodeError::WrongLength { .. }));
    assert!(matches!(refused(|m| m.multiplier = i16s(&[1])), DecodeError::WrongLength { .. }));
    assert!(matches!(refused(|m| m.multiplier = i16s(&[-1; 6])), DecodeError::OutOfRange { .. }));
    for (code, layer, member) in [([3, 0], 0, 3), ([0, 3], 1, 3), ([-1, 0], 0, -1)] {
        let expected = DecodeError::OutOfRange {
            field: Field { name: "stored member", layer: Some(layer) },
            min: 0,
            max: 2,
            found: member,
        };
        let stored = i8s(&[0, 0, code[0], code[1]]);
        assert_eq!(after(mixture(), |a| a.codes.stored = stored), expected);
    }
    let with_trunk = random(&Shape {
        features: 2,
        layers: vec![(3, Structure::LowRank(1)), (2, Structure::LowRank(1))],
        tanh: true,
        latent_dim: 1,
        trunk: Some(2),
        stored: 1,
        regression: false,
        seed: 3,
    });
    let trunk = after(mixture(), |a| a.trunk = with_trunk.trunk);
    assert!(matches!(trunk, DecodeError::WrongBlock { field: Field { name: "trunk", .. }, .. }));
}

#[test]
fn too_many_modulations_are_refused() {
    let shape = Shape {
        features: 2,
        layers: vec![(2, Structure::LowRank(63)); 5],
        tanh: true,
        latent_dim: 1,
        trunk: None,
        stored: 0,
        regression: false,
        seed: 3,
    };
    let mut artifact = random(&Shape { layers: shape.layers[..4].to_vec(), stored: 1, ..shape });
    assert!(encode(&artifact, &mut [0; 4096]).is_ok());
    let last = artifact.layers.pop().expect("four layers");
    let first = artifact.layers[0];
    artifact.layers.extend([first, last]);
    let error = encode(&artifact, &mut [0; 4096]).expect_err("315 modulations");
    let field = field("number of modulations");
    let expected = DecodeError::OutOfRange { field, min: 0, max: 256, found: 315 };
    assert_eq!(error, EncodeError::Invalid(expected));
}

#[test]
fn floats_must_be_finite_and_in_range() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = broken(|a| set_float(a, f32s(&[0.0, bad]), f32s(&[1.0; 2])));
        assert_eq!(error, DecodeError::NotFinite { field: field("input mean"), index: 1 });
        let error = after(regression(), |a| a.layers[0].activation = Activation::Value(bad));
        let field = in_layer(0, "output unit");
        assert_eq!(error, DecodeError::NotFinite { field, index: 0 });
        for (index, name) in CLASSIFICATION.iter().enumerate() {
            let error = broken(|a| *classification(a)[index] = bad);
            assert!(
                matches!(error, DecodeError::NotFinite { field, .. } if field.name == *name),
                "{name}: {error}"
            );
        }
        for (index, name) in REGRESSION.iter().enumerate() {
            let error = after(regression(), |a| *regression_floats(a)[index] = bad);
            assert!(
                matches!(error, DecodeError::NotFinite { field, .. } if field.name == *name),
                "{name}: {error}"
            );
        }
    }
    let out_of_range = |error| matches!(error, DecodeError::FloatOutOfRange { .. });
    assert!(out_of_range(broken(|a| set_float(a, f32s(&[0.0; 2]), f32s(&[1.0, 0.0])))));
    for bad in [0.0, -0.5, 1.5] {
        let error = after(regression(), |a| a.layers[0].activation = Activation::Value(bad));
        assert!(out_of_range(error), "{bad}");
    }
    for (index, bad) in [(1, 0.0), (1, 1.0)] {
        assert!(out_of_range(broken(|a| *classification(a)[index] = bad)), "{index} {bad}");
    }
    for (index, bad) in [(0, 1e19), (1, 0.0), (1, 1e19), (2, -0.1), (3, 0.0), (4, 1.0)] {
        let error = after(regression(), |a| *regression_floats(a)[index] = bad);
        assert!(out_of_range(error), "{index} {bad}");
    }
}

const CLASSIFICATION: [&str; 3] = ["set threshold", "coverage", "epistemic threshold"];

fn classification<'a>(artifact: &'a mut Artifact<'static>) -> [&'a mut f32; 3] {
    match &mut artifact.output {
        Output::Classification { set_threshold, coverage, epistemic_threshold, .. } => {
            [set_threshold, coverage, epistemic_threshold]
        }
        Output::Regression { .. } => panic!("classification"),
    }
}

const REGRESSION: [&str; 6] =
    ["target mean", "target std", "noise variance", "interval", "coverage", "epistemic threshold"];

fn regression_floats<'a>(artifact: &'a mut Artifact<'static>) -> [&'a mut f32; 6] {
    match &mut artifact.output {
        Output::Regression {
            mean,
            std,
            noise_variance,
            interval,
            coverage,
            epistemic_threshold,
            ..
        } => [mean, std, noise_variance, interval, coverage, epistemic_threshold],
        Output::Classification { .. } => panic!("regression"),
    }
}

#[test]
fn activations_belong_to_their_layers() {
    let logits = Activation::Logits(rescale(&[1, 1], 1));
    let relu = Activation::Relu(rescale(&[1, 1], 1));
    let error = broken(|a| a.layers[0].activation = logits);
    assert_eq!(error, DecodeError::WrongActivation { layer: 0 });
    let error = broken(|a| a.layers[1].activation = relu);
    assert_eq!(error, DecodeError::WrongActivation { layer: 1 });
    let error = broken(|a| a.layers[1].activation = Activation::Value(0.5));
    assert_eq!(error, DecodeError::WrongOutput);
    let error = after(regression(), |a| {
        a.layers[0].activation = Activation::Logits(rescale(&[1], 1));
    });
    assert_eq!(error, DecodeError::WrongOutput);
}

#[test]
fn codes_must_be_there_for_the_default_source() {
    assert_eq!(broken(|a| a.codes.samples = 3), DecodeError::TooFewCodes { expected: 3, found: 2 });
    assert_eq!(
        broken(|a| {
            a.trunk = None;
            a.codes.source = CodeSource::Normal;
        }),
        DecodeError::NoTrunk
    );
    let error = after(regression(), |a| a.codes.stored = i8s(&[]));
    assert_eq!(error, DecodeError::TooFewCodes { expected: 1, found: 0 });
}

#[test]
fn the_scratch_length_must_be_what_the_shapes_need() {
    let expected = tiny().required_scratch();
    let found = expected - 1;
    let error = broken(|a| a.scratch_len = found as u32);
    assert_eq!(error, DecodeError::ScratchLen { expected, found });
    let error = broken(|a| a.scratch_len += 1);
    assert_eq!(error, DecodeError::ScratchLen { expected, found: expected + 1 });
}
