//! Maps and skips as the artifact holds them.

use fiberwalk_formats::{
    Block as QuantisedBlock, Blocks, Geometry, I16s, Padding, Pool as QuantisedPool,
    PoolKind as QuantisedPoolKind, Shape as QuantisedShape, Skip, Window as QuantisedWindow,
};

use super::matrix::{INT16, Input, bytes};
use crate::network::{Architecture, Pool, PoolKind, Shape, Window};

/// Largest shift of what is added.
const MOST_SHIFT: f32 = 31.0;

/// An earlier layer's output, to be added to accumulators.
pub struct QuantisedSkip {
    layer: u8,
    multiplier: Vec<u8>,
    shift: u8,
}

impl QuantisedSkip {
    /// Smallest accumulator unit to which bytes of `added` can be added.
    pub fn least_unit(added: Input) -> f32 {
        added.unit / INT16
    }

    /// Adds the output of layer `skip`, bytes of `added`, to accumulators of these units.
    pub fn new(skip: usize, added: Input, units: &[f32]) -> Self {
        let factors: Vec<f32> = units.iter().map(|unit| added.unit / unit).collect();
        let largest = factors.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let shift = (INT16 / largest).log2().floor().clamp(0.0, MOST_SHIFT);
        let multiplier = factors
            .iter()
            .map(|factor| ((factor * shift.exp2()).round().min(INT16) as i16).to_le_bytes());
        Self { layer: skip as u8, multiplier: bytes(multiplier), shift: shift as u8 }
    }

    fn view(&self) -> Skip<'_> {
        Skip { layer: self.layer, multiplier: I16s::new(&self.multiplier), shift: self.shift }
    }
}

/// Input and blocks of a network with convolutions.
pub struct QuantisedGeometry {
    input: QuantisedShape,
    /// Bytes that [`Blocks`] views.
    blocks: Vec<u8>,
}

/// Bytes of a block beside what it adds to every output, at most.
const BLOCK: usize = 64;

impl QuantisedGeometry {
    /// Geometry of a network with convolutions; none of dense layers alone. `skips` is one a layer.
    pub fn new(architecture: &Architecture, skips: &[Option<QuantisedSkip>]) -> Option<Self> {
        if !architecture.convolves() {
            return None;
        }
        let blocks = architecture.blocks.iter().zip(skips).map(|(block, skip)| QuantisedBlock {
            window: block.window.map(window),
            skip: skip.as_ref().map(QuantisedSkip::view),
            pool: block.pool.map(pool),
        });
        let outputs = architecture.blocks.iter().map(|block| BLOCK + 2 * block.outputs);
        let mut bytes = vec![0; outputs.sum()];
        let written = Blocks::write(blocks, &mut bytes).expect("room for every block");
        let len = written.bytes().len();
        bytes.truncate(len);
        Some(Self { input: shape(architecture.input), blocks: bytes })
    }

    /// Returns it as the artifact holds it.
    pub fn view(&self) -> Geometry<'_> {
        Geometry { input: self.input, layers: Blocks::new(&self.blocks) }
    }
}

fn shape(shape: Shape) -> QuantisedShape {
    let Shape { height, width, channels } = shape;
    QuantisedShape { height: half(height), width: half(width), channels: half(channels) }
}

fn window(window: Window) -> QuantisedWindow {
    let Window { size, stride, before, after, groups } = window;
    QuantisedWindow {
        height: byte(size[0]),
        width: byte(size[1]),
        stride: (byte(stride[0]), byte(stride[1])),
        padding: Padding {
            top: byte(before[0]),
            left: byte(before[1]),
            bottom: byte(after[0]),
            right: byte(after[1]),
        },
        groups: half(groups),
    }
}

fn pool(pool: Pool) -> QuantisedPool {
    let Pool { kind, size, stride } = pool;
    QuantisedPool {
        kind: match kind {
            PoolKind::Max => QuantisedPoolKind::Max,
            PoolKind::Average => QuantisedPoolKind::Average,
        },
        height: half(size[0]),
        width: half(size[1]),
        stride: (half(stride[0]), half(stride[1])),
    }
}

/// Narrows a size to what the format holds: [`Architecture::of`] accepts nothing larger.
fn half(value: usize) -> u16 {
    u16::try_from(value).expect("a size that was checked")
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).expect("a size that was checked")
}
