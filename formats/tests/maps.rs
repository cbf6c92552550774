//! Convolutional networks: every rule of their maps broken one at a time, and where the maps lie.
#![cfg(feature = "maps")]

mod example;

use fiberwalk_formats::{
    Activation, Artifact, Block, Blocks, DecodeError, EncodeError, Factors, Field, Names, Padding,
    Pool, PoolKind, Shape as Map, Skip, Step, U8s, Window, decode, encode,
};
use proptest::prelude::*;

use example::{
    Shape, Structure, convolutional, dense, dense_4, fix_crc, i16s, random_maps, rescale, to_bytes,
    written,
};

type Change = fn(&mut Artifact<'static>, &mut Vec<Block<'static>>);

/// What is wrong with the small network after `change`.
fn broken(change: impl Fn(&mut Artifact<'static>, &mut Vec<Block<'static>>)) -> DecodeError {
    let (mut artifact, mut blocks) = convolutional();
    encode(&artifact, &mut [0; 4096]).expect("valid before the change");
    change(&mut artifact, &mut blocks);
    if let Some(geometry) = &mut artifact.geometry {
        geometry.layers = written(blocks);
    }
    match encode(&artifact, &mut [0; 4096]) {
        Err(EncodeError::Invalid(error)) => error,
        other => panic!("not found: {other:?}"),
    }
}

fn window<'a>(blocks: &'a mut [Block<'static>], layer: usize) -> &'a mut Window {
    blocks[layer].window.as_mut().expect("a convolution")
}

fn pool<'a>(blocks: &'a mut [Block<'static>], layer: usize) -> &'a mut Pool {
    blocks[layer].pool.as_mut().expect("pooling")
}

fn skip<'a>(blocks: &'a mut [Block<'static>], layer: usize) -> &'a mut Skip<'static> {
    blocks[layer].skip.as_mut().expect("a skip")
}

fn input<'a>(artifact: &'a mut Artifact<'static>) -> &'a mut Map {
    &mut artifact.geometry.as_mut().expect("maps").input
}

fn swish(artifact: &mut Artifact<'static>, before: u8, multiplier: i16, after: u8) {
    if let Activation::HardSwish(swish) = &mut artifact.layers[1].activation {
        (swish.before, swish.multiplier, swish.after) = (before, multiplier, after);
    }
}

#[test]
fn the_maps_are_those_of_the_windows() {
    let (artifact, _) = convolutional();
    let geometry = artifact.geometry.expect("maps");
    let shapes =
        |step: Step<'_, '_>| [step.input, step.map, step.output].map(|map| map.to_string());
    let found: Vec<_> = geometry.steps(&artifact.layers).map(shapes).collect();
    assert_eq!(
        found,
        [
            ["4 x 4 x 2", "4 x 4 x 4", "2 x 2 x 4"],
            ["2 x 2 x 4", "2 x 2 x 4", "2 x 2 x 4"],
            ["2 x 2 x 4", "2 x 2 x 3", "1 x 1 x 3"],
            ["1 x 1 x 3", "1 x 1 x 2", "1 x 1 x 2"],
        ]
    );
    let positions: Vec<_> = geometry.steps(&artifact.layers).map(|step| step.positions()).collect();
    assert_eq!(positions, [16, 4, 4, 1]);
    assert_eq!(artifact.input_len(), 32);
}

#[test]
fn integers_must_be_in_range() {
    let integers: [(&str, i32, Change); 22] = [
        ("values of the map", 0, |a, _| input(a).height = 0),
        ("values of the map", 0, |a, _| input(a).channels = 0),
        ("values of the map", (1 << 18) + 2, |a, _| {
            *input(a) = Map { height: 1, width: 1, channels: 2 };
            (input(a).height, input(a).width) = (43_691, 3);
        }),
        ("size of the window", 0, |_, b| window(b, 0).height = 0),
        ("size of the window", 0, |_, b| window(b, 2).width = 0),
        ("stride", 0, |_, b| window(b, 0).stride.0 = 0),
        ("stride", 0, |_, b| window(b, 0).stride.1 = 0),
        ("padding", 3, |_, b| window(b, 0).padding.top = 3),
        ("padding", 3, |_, b| window(b, 0).padding.bottom = 3),
        ("padding", 9, |_, b| window(b, 0).padding.left = 9),
        ("padding", 1, |_, b| window(b, 2).padding.right = 1),
        ("groups", 0, |_, b| window(b, 0).groups = 0),
        ("size of the pooling window", 0, |_, b| pool(b, 0).height = 0),
        ("size of the pooling window", 0, |_, b| pool(b, 2).width = 0),
        ("stride of the pooling", 0, |_, b| pool(b, 0).stride.1 = 0),
        ("area of the pooling window", 1 << 20, |_, b| {
            (pool(b, 0).height, pool(b, 0).width) = (1 << 10, 1 << 10);
        }),
        ("skip shift", 32, |_, b| skip(b, 1).shift = 32),
        ("shift before the hard-swish multiplier", 32, |a, _| swish(a, 32, 1, 1)),
        ("hard-swish multiplier", -1, |a, _| swish(a, 1, -1, 1)),
        ("shift after the hard-swish multiplier", 0, |a, _| swish(a, 1, 1, 0)),
        ("shift after the hard-swish multiplier", 32, |a, _| swish(a, 1, 1, 32)),
        ("activation multiplier", -1, |a, _| {
            a.layers[2].activation = Activation::Linear(rescale(&[1, -1, 1], 9));
        }),
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
fn arrays_must_have_the_lengths_of_their_shapes() {
    let lengths: [(&str, Change); 5] = [
        ("blocks", |_, b| b.truncate(3)),
        ("blocks", |_, b| b.push(Block::default())),
        ("channel names", |a, _| a.inputs.names = Names::new("a\nb\nc")),
        ("mean weights", |a, _| a.layers[1].mean.weights = U8s::new(&[0; 48])),
        ("skip multiplier", |_, b| skip(b, 1).multiplier = i16s(&[1; 3])),
    ];
    for (name, change) in lengths {
        let error = broken(change);
        assert!(
            matches!(error, DecodeError::WrongLength { field, .. } if field.name == name),
            "{name}: {error}"
        );
    }
    // One a channel, or none.
    let (mut artifact, _) = convolutional();
    artifact.inputs.names = Names::new("left\nright");
    assert_eq!(decode(&to_bytes(&artifact)), Ok(artifact));
}

#[test]
fn shapes_must_chain() {
    for (layer, expected, found) in [(0, 18, 17), (1, 9, 8), (2, 4, 5), (3, 3, 4)] {
        let error = broken(|a, _| a.layers[layer].mean.inputs = found);
        let field = Field { name: "mean weights", layer: Some(layer as u8) };
        assert_eq!(error, DecodeError::ShapeMismatch { field, expected, found: found.into() });
    }
    let map = Map { height: 2, width: 2, channels: 4 };
    // The layer itself, and a later one.
    for layer in [1, 2, 255] {
        let error = broken(|_, b| skip(b, 1).layer = layer);
        assert!(matches!(error, DecodeError::WrongBlock { .. }), "{error}");
    }
    let error = broken(|_, b| {
        let multiplier = i16s(&[1; 3]);
        b[2].skip = Some(Skip { layer: 0, multiplier, shift: 0 });
    });
    let field = Field { name: "skip", layer: Some(2) };
    let expected = Map { channels: 3, ..map };
    assert_eq!(error, DecodeError::WrongShape { field, expected, found: map });
    assert_eq!(error.to_string(), "layer 2: skip: found a map of 2 x 2 x 4, expected 2 x 2 x 3");
}

#[test]
fn windows_must_fit() {
    let fits: [(&str, u8, Change); 3] = [
        ("window", 0, |a, b| {
            window(b, 0).height = 7;
            a.layers[0].mean.inputs = 42;
        }),
        ("pooling window", 0, |_, b| pool(b, 0).width = 5),
        ("window", 1, |_, b| {
            pool(b, 0).stride = (3, 3);
            window(b, 1).padding = Padding::default();
        }),
    ];
    for (name, layer, change) in fits {
        let error = broken(change);
        assert!(
            matches!(error, DecodeError::DoesNotFit { field, .. }
                if field == Field { name, layer: Some(layer) }),
            "{name}: {error}"
        );
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let rules: [(&str, u8, Change); 8] = [
        ("groups", 0, |_, b| window(b, 0).groups = 3),
        ("groups", 2, |_, b| window(b, 2).groups = 2),
        ("block", 3, |_, b| b[3].window = b[2].window),
        ("block", 3, |_, b| {
            b[3].pool = Some(Pool { kind: PoolKind::Max, height: 1, width: 1, stride: (1, 1) });
        }),
        ("pooling", 2, |a, b| {
            b[2].window = None;
            a.layers[2].mean = dense(16, &[1; 48], &[1; 3]);
            a.layers[2].factors = Factors::Frozen;
        }),
        ("factors", 1, |a, _| a.layers[1].factors = a.layers[2].factors),
        ("mean weights", 1, |a, _| a.layers[1].mean = dense_4(9, &[1; 36], &[1; 4])),
        ("layer of the skip", 0, |_, b| b[0].skip = b[1].skip),
    ];
    for (name, layer, change) in rules {
        let error = broken(change);
        assert!(
            matches!(error, DecodeError::WrongBlock { field, .. }
                if field == Field { name, layer: Some(layer) }),
            "{name}: {error}"
        );
        assert!(!error.to_string().is_empty());
    }
    let dense_factors = example::random(&Shape {
        features: 4,
        layers: vec![(3, Structure::Dense(1))],
        tanh: false,
        latent_dim: 1,
        trunk: None,
        stored: 1,
        regression: false,
        seed: 3,
    });
    let error = broken(|a, _| a.layers[2].factors = dense_factors.layers[0].factors);
    assert!(matches!(error, DecodeError::WrongBlock { .. }), "{error}");
    let error = broken(|a, _| a.layers[3].activation = Activation::Linear(rescale(&[1; 2], 1)));
    assert_eq!(error, DecodeError::WrongActivation { layer: 3 });
    let network = example::frozen(4, &[2], false, 3);
    let members = example::mixture(&network, &[0], 1, &[vec![0], vec![1]], 3);
    let error = broken(|a, _| a.layers[3].factors = members.layers[0].factors);
    assert!(matches!(error, DecodeError::WrongBlock { .. }), "{error}");
}

#[test]
fn bytes_that_are_no_blocks_are_refused() {
    let mut file = to_bytes(&convolutional().0);
    // The last block ends the file: no window, no skip, no pooling.
    let last = file.len() - 1;
    assert_eq!(file[last - 2..], [0; 3]);
    for (index, value) in [(last, 2), (last, 1), (last - 2, 9)] {
        file[index] = value;
        fix_crc(&mut file);
        assert_eq!(decode(&file), Err(DecodeError::Malformed));
        file[index] = 0;
    }
}

#[test]
fn a_buffer_for_blocks_that_is_too_small_is_refused() {
    let (_, blocks) = convolutional();
    let len = written(blocks.clone()).bytes().len();
    for found in 0..len {
        let mut buffer = vec![0; found];
        let written = Blocks::write(blocks.iter().copied(), &mut buffer);
        assert_eq!(written, Err(EncodeError::BufferTooSmall { found }));
    }
}

/// A chain of maps needs no more than its largest neighbours.
#[test]
fn the_maps_of_a_chain_lie_on_top_of_one_another() {
    let (artifact, _) = convolutional();
    let layout = artifact.scratch_layout();
    // The skip reads what the layer reads anyway: 32 + 16, then 16 + 16, 16 + 4, and a dense layer.
    assert_eq!(layout.shared, 48);
    assert_eq!(layout.offsets[0], 0);
    assert_eq!(layout.offsets[1], 32);
    // Three rows of three columns of four channels; sums of four outputs, before them four maxima.
    assert_eq!((layout.activations, layout.sums), (36, 8));
}

proptest! {
    /// What is read, by the next sample too, is not overwritten, nor written while it is read.
    #[test]
    fn maps_that_are_needed_together_lie_apart(layers in 1usize..=8, seed in any::<u64>()) {
        let artifact = random_maps(&Shape {
            features: 0,
            layers: vec![(0, Structure::Frozen); layers],
            tanh: false,
            latent_dim: 1,
            trunk: None,
            stored: 1,
            regression: false,
            seed,
        });
        let geometry = artifact.geometry.expect("maps");
        let layout = artifact.scratch_layout();
        let stochastic = artifact.first_stochastic();
        let mut lens = vec![geometry.input.len()];
        lens.extend(geometry.steps(&artifact.layers).map(|step| step.output.len()));
        let place = |map: usize| layout.offsets[map]..layout.offsets[map] + lens[map].div_ceil(4) * 4;
        // Bytes of memory hold which map's values; two samples run.
        let mut memory = vec![usize::MAX; layout.shared];
        memory[place(0)].fill(0);
        let steps: Vec<_> = geometry.steps(&artifact.layers).collect();
        let order = (0..layers).chain(stochastic..layers).chain(stochastic..layers);
        for (turn, index) in order.enumerate() {
            let step = &steps[index];
            // A dense first stochastic layer reads its input once.
            let convolution = step.block.window.is_some();
            if turn < layers || index > stochastic || convolution {
                let skip = step.block.skip.map(|skip| usize::from(skip.layer) + 1);
                for map in [Some(index), skip].into_iter().flatten() {
                    prop_assert!(memory[place(map)].iter().all(|&held| held == map));
                    let written = index + 1 < layers && convolution;
                    let apart = |out: core::ops::Range<usize>| {
                        out.end <= place(map).start || place(map).end <= out.start
                    };
                    prop_assert!(!written || apart(place(index + 1)));
                }
            }
            if index + 1 < layers {
                memory[place(index + 1)].fill(index + 1);
            }
        }
    }
}
