//! Artifacts to test with, the runtime's tests included. Arrays are leaked: a test is short.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use fiberwalk_formats::{
    Activation, Artifact, Bits, Block, Blocks, CodeSource, Codes, Dense, DenseFactors, F32s,
    Factors, Geometry, HEADER_LEN, HardSwish, I8s, I16s, Inputs, Layer, LowRank, MAGIC, Members,
    Names, Normalisation, Output, Padding, Pool, PoolKind, Provenance, Reading, Rescale,
    Shape as Map, Shifts, Skip, Trunk, U8s, VERSION, Window, encode, pack,
};

/// The file of `SPEC.md`: two features, two tanh units, two classes, one low-rank factor.
pub fn tiny() -> Artifact<'static> {
    let mut artifact = Artifact {
        provenance: Provenance { fiberwalk: "0.1.0", seed: 300, date: Some("2026-01-31") },
        inputs: Inputs {
            names: Names::new("length\nwidth"),
            normalisation: Normalisation::Float {
                mean: f32s(&[4.0, 1.0]),
                scale: f32s(&[12.7, 25.4]),
            },
        },
        layers: heapless::Vec::new(),
        trunk: Some(Trunk {
            hidden: dense(1, &[127], &[-128 * 127]),
            hidden_rescale: rescale(&[1032], 16),
            output: dense(1, &[127], &[-128 * 127]),
            output_rescale: rescale(&[516], 16),
        }),
        codes: Codes {
            latent_dim: 1,
            source: CodeSource::Stored,
            samples: 2,
            stored: i8s(&[64, -64]),
        },
        output: Output::Classification {
            target: "ripe",
            classes: Names::new("no\nyes"),
            inverse_temperature: 49_152,
            set_threshold: 0.25,
            coverage: 0.875,
            epistemic_threshold: 0.125,
        },
        scratch_len: 0,
        geometry: None,
    };
    let layers = [
        Layer {
            mean: dense(2, &[100, 20, -30, 90], &[-128 * 120, -500 - 128 * 60]),
            factors: Factors::Frozen,
            activation: Activation::Tanh(rescale(&[1321, 1321], 16)),
        },
        Layer {
            mean: dense(2, &[-90, -60, 90, 60], &[300 + 128 * 150, -300 - 128 * 150]),
            factors: Factors::LowRank(LowRank {
                projection: dense_4(2, &[6, -6], &[100]),
                a: dense(1, &[100, -100], &[0, 0]).weights,
                shifts: Shifts { projection: 0, modulation: 8, sum: 2 },
            }),
            activation: Activation::Logits(rescale(&[23_637, 23_637], 12)),
        },
    ];
    artifact.layers.extend(layers);
    artifact.scratch_len = artifact.required_scratch() as u32;
    artifact
}

/// A small convolutional network, and the blocks in it: 4 x 4 x 2 → convolution 3 x 3, ReLU, largest of
/// 2 x 2 → depthwise 3 x 3, plus its input, hard-swish → 1 x 1, low-rank, linear, mean of all → two
/// classes.
pub fn convolutional() -> (Artifact<'static>, Vec<Block<'static>>) {
    let mut rng = Random(7);
    let window = |size: u8, groups: u16| {
        let side = size / 2;
        let padding = Padding { top: side, left: side, bottom: side, right: side };
        Some(Window { height: size, width: size, stride: (1, 1), padding, groups })
    };
    let pool = |kind| Some(Pool { kind, height: 2, width: 2, stride: (2, 2) });
    let skip = Some(Skip { layer: 0, multiplier: i16s(&[300, -300, 1, 0]), shift: 2 });
    let swish = HardSwish {
        rescale: rescale(&[9000; 4], 15),
        before: 4,
        multiplier: 20_000,
        after: 22,
        zero: 11,
    };
    let frozen = |mean, activation| Layer { mean, factors: Factors::Frozen, activation };
    let mut artifact = tiny();
    artifact.inputs.names = Names::new("");
    artifact.layers.clear();
    artifact.layers.extend([
        frozen(rng.dense(18, 4), Activation::Relu(rescale(&[700; 4], 17))),
        frozen(rng.grouped(9, 4), Activation::HardSwish(swish)),
        Layer {
            factors: rng.factors(Structure::LowRank(1), 4, 3),
            ..frozen(rng.dense(4, 3), Activation::Linear(rescale(&[900; 3], 17)))
        },
        frozen(rng.dense(3, 2), Activation::Logits(rescale(&[9000; 2], 12))),
    ]);
    let blocks = vec![
        Block { window: window(3, 1), skip: None, pool: pool(PoolKind::Max) },
        Block { window: window(3, 4), skip, pool: None },
        Block { window: window(1, 1), skip: None, pool: pool(PoolKind::Average) },
        Block::default(),
    ];
    let input = Map { height: 4, width: 4, channels: 2 };
    artifact.geometry = Some(Geometry { input, layers: written(blocks.clone()) });
    artifact.scratch_len = artifact.required_scratch() as u32;
    (artifact, blocks)
}

/// Structure of a layer's factors.
#[derive(Clone, Copy, Debug)]
pub enum Structure {
    Frozen,
    LowRank(usize),
    Dense(usize),
}

/// Shape of a network with random numbers in it.
#[derive(Clone, Debug)]
pub struct Shape {
    pub features: usize,
    /// Outputs and factors of every layer; the last one's outputs are 1 for regression.
    pub layers: Vec<(usize, Structure)>,
    pub tanh: bool,
    pub latent_dim: usize,
    pub trunk: Option<usize>,
    /// Number of stored codes.
    pub stored: usize,
    pub regression: bool,
    pub seed: u64,
}

/// A network of this shape. All integers are drawn from their whole ranges, the extremes often.
pub fn random(shape: &Shape) -> Artifact<'static> {
    let mut rng = Random(shape.seed | 1);
    let mut layers = heapless::Vec::new();
    let mut width = shape.features;
    for (index, &(outputs, structure)) in shape.layers.iter().enumerate() {
        let mean = rng.dense(width, outputs);
        let factors = rng.factors(structure, width, outputs);
        let activation = if index + 1 == shape.layers.len() {
            if shape.regression {
                Activation::Value(rng.f32s(1, 1e-9, 1e-4).get(0).expect("one"))
            } else {
                Activation::Logits(rng.rescale(outputs))
            }
        } else if shape.tanh {
            Activation::Tanh(rng.rescale(outputs))
        } else {
            Activation::Relu(rng.rescale(outputs))
        };
        layers.push(Layer { mean, factors, activation }).expect("few layers");
        width = outputs;
    }
    rng.artifact(shape, layers, None)
}

/// A convolutional network with random shapes and numbers. The shape's features and layers say no
/// more than how many layers there are at most; the last one is dense.
pub fn random_maps(shape: &Shape) -> Artifact<'static> {
    let mut rng = Random(shape.seed | 1);
    let input = rng.map();
    let mut outputs: Vec<Map> = Vec::new();
    let mut layers = heapless::Vec::new();
    let mut blocks = Vec::new();
    let mut map = input;
    for index in 0..shape.layers.len() {
        let last = index + 1 == shape.layers.len();
        let mut width = map.len();
        let mut count = rng.integer(1, 9) as usize;
        let mut block = Block::default();
        let mut before = Map { height: 1, width: 1, channels: 0 };
        if last {
            count = if shape.regression { 1 } else { count };
        } else if rng.integer(0, 3) > 0 {
            let (window, channels) = rng.window(map);
            (block.window, count) = (Some(window), channels.into());
            width = window.values(map.channels) / usize::from(window.groups);
            before = window.map(map, channels).expect("a window that fits");
        }
        before.channels = count as u16;
        let groups = block.window.map_or(1, |window| window.groups);
        let mean = if groups == 1 { rng.dense(width, count) } else { rng.grouped(width, count) };
        let structure = match rng.integer(0, 2) {
            1 if groups == 1 => Structure::LowRank(rng.integer(1, 6) as usize),
            2 if block.window.is_none() => Structure::Dense(rng.integer(1, 3) as usize),
            _ => Structure::Frozen,
        };
        let factors = rng.factors(structure, width, count);
        let activation = match (last, shape.regression) {
            (true, true) => Activation::Value(rng.f32s(1, 1e-9, 1e-4).get(0).expect("one")),
            (true, false) => Activation::Logits(rng.rescale(count)),
            (false, _) => rng.activation(count),
        };
        let earlier = outputs.iter().rposition(|&output| output == before);
        if let (Some(earlier), false) = (earlier, last) {
            block.skip = Some(Skip {
                layer: earlier as u8,
                multiplier: rng.i16s(count, i16::MIN),
                shift: rng.integer(0, 31) as u8,
            });
        }
        if block.window.is_some() && rng.integer(0, 2) == 0 {
            block.pool = Some(rng.pool(before));
        }
        map = block.pool.map_or(Some(before), |pool| pool.output(before)).expect("it fits");
        outputs.push(map);
        layers.push(Layer { mean, factors, activation }).expect("few layers");
        blocks.push(block);
    }
    let geometry = Geometry { input, layers: written(blocks) };
    rng.artifact(shape, layers, Some(geometry))
}

/// The blocks as they are in a file.
pub fn written(blocks: Vec<Block<'_>>) -> Blocks<'static> {
    Blocks::write(blocks, vec![0; 1 << 12].leak()).expect("a large buffer")
}

fn numbered(count: usize) -> Names<'static> {
    let names: Vec<String> = (0..count).map(|index| format!("n{index}")).collect();
    Names::new(names.join("\n").leak())
}

impl Random {
    /// What stands around the layers.
    fn artifact(
        &mut self,
        shape: &Shape,
        layers: heapless::Vec<Layer<'static>, 8>,
        geometry: Option<Geometry<'static>>,
    ) -> Artifact<'static> {
        let rng = self;
        let total: usize = layers.iter().map(|layer| layer.factors.modulations()).sum();
        let width = layers.last().map_or(0, |layer| layer.mean.outputs.into());
        let features = match &geometry {
            None => shape.features,
            Some(geometry) => geometry.input.channels.into(),
        };
        let trunk = shape.trunk.map(|hidden| Trunk {
            hidden: rng.dense(shape.latent_dim, hidden),
            hidden_rescale: rng.rescale(hidden),
            output: rng.dense(hidden, total),
            output_rescale: rng.rescale(total),
        });
        let normalisation = if shape.seed.is_multiple_of(2) {
            Normalisation::Float {
                mean: rng.f32s(features, -2.0, 2.0),
                scale: rng.f32s(features, 1.0, 100.0),
            }
        } else {
            let readings = [Reading::U8, Reading::I8, Reading::I16];
            let reading = readings[(shape.seed / 2) as usize % readings.len()];
            Normalisation::Whole {
                reading,
                multiplier: rng.i16s(features, 0),
                offset: rng.i16s(features, i16::MIN),
                offset_shift: rng.integer(0, 14) as u8,
                shift: rng.integer(0, 31) as u8,
            }
        };
        let names = match &geometry {
            Some(_) if shape.seed.is_multiple_of(3) => Names::new(""),
            _ => numbered(features),
        };
        let stored = rng.i8s(shape.stored * total);
        let output = if shape.regression {
            Output::Regression {
                target: "y",
                mean: 3.0,
                std: 2.0,
                noise_variance: 0.25,
                interval: 1.5,
                coverage: 0.9,
                epistemic_threshold: 1.0,
            }
        } else {
            Output::Classification {
                target: "class",
                classes: numbered(width),
                inverse_temperature: 49_152,
                set_threshold: 0.25,
                coverage: 0.9,
                epistemic_threshold: 0.125,
            }
        };
        let mut artifact = Artifact {
            provenance: Provenance { fiberwalk: "0.1.0", seed: shape.seed, date: None },
            inputs: Inputs { names, normalisation },
            layers,
            trunk,
            codes: Codes {
                latent_dim: shape.latent_dim as u8,
                source: if shape.stored > 0 { CodeSource::Stored } else { CodeSource::Normal },
                samples: shape.stored.max(1) as u16,
                stored,
            },
            output,
            scratch_len: 0,
            geometry,
        };
        artifact.scratch_len = artifact.required_scratch() as u32;
        artifact
    }
}

/// A network of frozen layers of these widths, with random numbers in it.
pub fn frozen(features: usize, widths: &[usize], regression: bool, seed: u64) -> Artifact<'static> {
    random(&Shape {
        features,
        layers: widths.iter().map(|&width| (width, Structure::Frozen)).collect(),
        tanh: seed.is_multiple_of(2),
        latent_dim: 1,
        trunk: None,
        stored: 1,
        regression,
        seed,
    })
}

/// A mixture whose first member is a network of frozen layers: `layers` are the places of those that have `others`
/// besides, with random numbers in them; every code names a member of each.
pub fn mixture(
    network: &Artifact<'static>,
    layers: &[usize],
    others: u8,
    codes: &[Vec<i8>],
    seed: u64,
) -> Artifact<'static> {
    let mut rng = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut artifact = network.clone();
    for &place in layers {
        let layer = &mut artifact.layers[place];
        let Dense { inputs, outputs, bits, .. } = layer.mean;
        let count = usize::from(others);
        let rows = count * usize::from(outputs);
        let scaled = if layer.activation.rescale().is_some() { rows } else { 0 };
        layer.factors = Factors::Members(Members {
            others,
            weights: U8s::new(rng.i8s(count * bits.len(inputs.into(), outputs.into())).bytes()),
            bias: rng.i16s(rows, i16::MIN),
            multiplier: rng.i16s(scaled, 0),
        });
    }
    artifact.codes.source = CodeSource::Stored;
    artifact.codes.samples = codes.len() as u16;
    artifact.codes.stored = i8s(&codes.concat());
    artifact.scratch_len = artifact.required_scratch() as u32;
    artifact
}

/// The network of frozen layers that a code of a mixture names.
pub fn named_by(mixture: &Artifact<'static>, code: &[i8]) -> Artifact<'static> {
    let mut artifact = mixture.clone();
    let mut code = code.iter();
    for layer in &mut artifact.layers {
        let Factors::Members(members) = layer.factors else { continue };
        layer.factors = Factors::Frozen;
        let member = *code.next().expect("one a layer") as usize;
        let Some(place) = member.checked_sub(1) else { continue };
        let (others, outputs) = (usize::from(members.others), usize::from(layer.mean.outputs));
        let bytes = members.weights.bytes();
        let each = bytes.len() / others;
        layer.mean.weights = U8s::new(&bytes[place * each..(place + 1) * each]);
        let own = |all: I16s<'static>| {
            let values: Vec<i16> = all.iter().skip(place * outputs).take(outputs).collect();
            i16s(&values)
        };
        layer.mean.bias = own(members.bias);
        layer.activation = layer.activation.with_multiplier(own(members.multiplier));
    }
    artifact.codes.stored = i8s(&[]);
    artifact.codes.samples = 1;
    artifact.scratch_len = artifact.required_scratch() as u32;
    artifact
}

/// The file of `artifact`.
pub fn to_bytes(artifact: &Artifact<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 20];
    let length = encode(artifact, &mut buffer).expect("a valid artifact");
    buffer.truncate(length);
    buffer
}

/// Makes the checksum of a changed file right again.
pub fn fix_crc(file: &mut [u8]) {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    digest.update(&file[..12]);
    digest.update(&file[16..]);
    file[12..16].copy_from_slice(&digest.finalize().to_le_bytes());
}

/// Makes the header of a changed body right, whatever stands in its place. The flag of a geometry is kept
/// where it is the only one.
pub fn fix_header(file: &mut [u8]) {
    let body = (file.len() - HEADER_LEN) as u32;
    file[..4].copy_from_slice(&MAGIC);
    file[4..6].copy_from_slice(&VERSION.to_le_bytes());
    if file[6..8] != [1, 0] {
        file[6..8].fill(0);
    }
    file[8..12].copy_from_slice(&body.to_le_bytes());
    fix_crc(file);
}

pub fn i8s(values: &[i8]) -> I8s<'static> {
    I8s::new(values.iter().map(|&value| value as u8).collect::<Vec<_>>().leak())
}

pub fn i16s(values: &[i16]) -> I16s<'static> {
    I16s::new(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().leak())
}

pub fn f32s(values: &[f32]) -> F32s<'static> {
    F32s::new(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().leak())
}

/// A matrix of int8 weights, row-major.
pub fn dense(inputs: usize, weights: &[i8], bias: &[i16]) -> Dense<'static> {
    packed(Bits::Eight, inputs, weights, bias)
}

/// A matrix of int4 weights, row-major.
pub fn dense_4(inputs: usize, weights: &[i8], bias: &[i16]) -> Dense<'static> {
    packed(Bits::Four, inputs, weights, bias)
}

fn packed(bits: Bits, inputs: usize, weights: &[i8], bias: &[i16]) -> Dense<'static> {
    let mut bytes = vec![0; bits.len(inputs, bias.len())];
    pack(bits, inputs, weights, &mut bytes);
    Dense {
        inputs: inputs as u16,
        outputs: bias.len() as u16,
        bits,
        weights: U8s::new(bytes.leak()),
        bias: i16s(bias),
        bias_shift: 0,
    }
}

pub fn rescale(multiplier: &[i16], after: u8) -> Rescale<'static> {
    Rescale { before: 0, multiplier: i16s(multiplier), after }
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// An integer of `min..=max`; one in eight is an end of the range.
    fn integer(&mut self, min: i32, max: i32) -> i32 {
        match self.next() >> 61 {
            0 if self.next() & 1 << 40 == 0 => min,
            0 => max,
            _ => {
                let span = (i64::from(max) - i64::from(min) + 1) as u64;
                (i64::from(min) + ((self.next() >> 16) % span) as i64) as i32
            }
        }
    }

    fn i8s(&mut self, count: usize) -> I8s<'static> {
        let values: Vec<i8> =
            (0..count).map(|_| self.integer(i8::MIN.into(), i8::MAX.into()) as i8).collect();
        i8s(&values)
    }

    fn i16s(&mut self, count: usize, min: i16) -> I16s<'static> {
        let values: Vec<i16> =
            (0..count).map(|_| self.integer(min.into(), i16::MAX.into()) as i16).collect();
        i16s(&values)
    }

    fn f32s(&mut self, count: usize, min: f32, max: f32) -> F32s<'static> {
        let mut unit = || (self.next() >> 40) as f32 / (1 << 24) as f32;
        let values: Vec<f32> = (0..count).map(|_| min + (max - min) * unit()).collect();
        f32s(&values)
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Dense<'static> {
        let largest = if self.next() >> 62 == 0 { 14 } else { 0 };
        let bits = if self.next() >> 62 == 0 { Bits::Four } else { Bits::Eight };
        let weights = self.i8s(inputs * outputs);
        Dense {
            bias: self.i16s(outputs, i16::MIN),
            bias_shift: self.integer(0, largest) as u8,
            ..packed(bits, inputs, weights.as_slice(), &vec![0; outputs])
        }
    }

    /// A convolution with groups.
    fn grouped(&mut self, inputs: usize, outputs: usize) -> Dense<'static> {
        Dense {
            inputs: inputs as u16,
            outputs: outputs as u16,
            bits: Bits::Eight,
            weights: U8s::new(self.i8s(inputs * outputs).bytes()),
            bias: self.i16s(outputs, i16::MIN),
            bias_shift: self.integer(0, 6) as u8,
        }
    }

    fn factors(&mut self, structure: Structure, width: usize, outputs: usize) -> Factors<'static> {
        match structure {
            Structure::Frozen => Factors::Frozen,
            Structure::LowRank(rank) => Factors::LowRank(LowRank {
                projection: self.dense(width, rank),
                a: self.factor(rank, outputs),
                shifts: Shifts { sum: self.integer(-7, 8) as i8, ..self.shifts() },
            }),
            Structure::Dense(count) => Factors::Dense(DenseFactors {
                count: count as u8,
                projection: self.dense(width, count * outputs),
                shifts: self.shifts(),
            }),
        }
    }

    /// A small map; a series as often as an image.
    fn map(&mut self) -> Map {
        let height = if self.integer(0, 1) == 0 { 1 } else { self.integer(1, 7) as u16 };
        Map { height, width: self.integer(1, 9) as u16, channels: self.integer(1, 6) as u16 }
    }

    /// A window that fits, and the number of output channels.
    fn window(&mut self, map: Map) -> (Window, u16) {
        if self.integer(0, 3) == 0 {
            // The output has the shape of the input.
            let (height, width) = (if map.height == 1 { 1 } else { 3 }, 3);
            let (down, across) = (height / 2, 1);
            let padding = Padding { top: down, left: across, bottom: down, right: across };
            let groups = if self.integer(0, 1) == 0 { 1 } else { map.channels };
            return (Window { height, width, stride: (1, 1), padding, groups }, map.channels);
        }
        let mut side = |size: u16| {
            let window = self.integer(1, 4) as u8;
            let pads = [(); 2].map(|()| self.integer(0, i32::from(window) - 1) as u8);
            let padded = size + u16::from(pads[0]) + u16::from(pads[1]);
            let fits = u16::from(window) <= padded;
            (
                if fits { window } else { 1 },
                if fits { pads } else { [0; 2] },
                self.integer(1, 3) as u8,
            )
        };
        let (height, [top, bottom], down) = side(map.height);
        let (width, [left, right], across) = side(map.width);
        let groups = match self.integer(0, 3) {
            0 => map.channels,
            1 if map.channels.is_multiple_of(2) => 2,
            _ => 1,
        };
        let each = self.integer(1, if groups == 1 { 9 } else { 3 }) as u16;
        let padding = Padding { top, left, bottom, right };
        (Window { height, width, stride: (down, across), padding, groups }, groups * each)
    }

    /// Pooling that fits.
    fn pool(&mut self, map: Map) -> Pool {
        let kind = if self.integer(0, 1) == 0 { PoolKind::Max } else { PoolKind::Average };
        let (height, width) = (i32::from(map.height), i32::from(map.width));
        let (height, width) = match self.integer(0, 2) {
            0 => (height, width),
            _ => (self.integer(1, height.min(3)), self.integer(1, width.min(3))),
        };
        let stride = (self.integer(1, 3) as u16, self.integer(1, 3) as u16);
        Pool { kind, height: height as u16, width: width as u16, stride }
    }

    fn activation(&mut self, outputs: usize) -> Activation<'static> {
        let rescale = self.rescale(outputs);
        match self.integer(0, 3) {
            0 => Activation::Tanh(rescale),
            1 => Activation::Relu(rescale),
            2 => Activation::Linear(rescale),
            _ => Activation::HardSwish(HardSwish {
                // Both sides of its minimum.
                rescale: Rescale { after: rescale.after.saturating_sub(3).max(1), ..rescale },
                before: self.integer(0, 8) as u8,
                multiplier: self.integer(0, i16::MAX.into()) as i16,
                after: self.integer(10, 24) as u8,
                zero: self.integer(0, 255) as u8,
            }),
        }
    }

    /// The factor A of a low-rank layer.
    fn factor(&mut self, rank: usize, outputs: usize) -> U8s<'static> {
        let weights = self.i8s(rank * outputs);
        dense(rank, weights.as_slice(), &vec![0; outputs]).weights
    }

    fn rescale(&mut self, outputs: usize) -> Rescale<'static> {
        // Mostly a useful size: accumulators of some 2^16 become some 2^7.
        let (before, after) = match self.next() >> 61 {
            0 => (self.integer(0, 31), self.integer(1, 31)),
            _ => (self.integer(0, 6), self.integer(16, 24)),
        };
        let multiplier = self.i16s(outputs, 0);
        Rescale { before: before as u8, multiplier, after: after as u8 }
    }

    fn shifts(&mut self) -> Shifts {
        let largest = if self.next() >> 61 == 0 { 31 } else { 14 };
        let mut shift = |least| self.integer(least, largest);
        Shifts { projection: shift(0) as u8, modulation: shift(1) as u8, sum: shift(0) as i8 }
    }
}
