//! Maps of values over space or time, and how a convolutional network's layers go from one to the
//! next.

use serde::{Deserialize, Serialize};

use crate::artifact::{Dense, Layer};
use crate::error::EncodeError;
use crate::views::I16s;

/// The maps of a convolutional network. Values of a map are channels-last: the value at (y, x) of
/// channel c has the index (y · width + x) · channels + c. A series is a map of height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry<'a> {
    /// The input; its values are the features.
    pub input: Shape,
    /// What stands around the weights of every layer.
    #[serde(borrow)]
    pub layers: Blocks<'a>,
}

/// The blocks of a network, one a layer, as they are in the file: a board reads them where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks<'a>(#[serde(borrow)] &'a [u8]);

/// Shape of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Shape {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
    /// Values at every position.
    pub channels: u16,
}

/// What stands around a layer's weights: affine map (of a window, or dense) → skip → activation →
/// pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block<'a> {
    /// The window of a convolution; a layer without one is dense and reads the whole map.
    pub window: Option<Window>,
    /// The output of an earlier layer that is added.
    #[serde(borrow)]
    pub skip: Option<Skip<'a>>,
    /// Pooling of a convolution's output.
    pub pool: Option<Pool>,
}

/// The window of a convolution. A layer's inputs are the values under it in the order
/// (row, column, channel of the group), its outputs the channels of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows.
    pub height: u8,
    /// Columns.
    pub width: u8,
    /// Steps down and to the right.
    pub stride: (u8, u8),
    /// Values beside the map, which count as 0: bytes at the map's zero point.
    pub padding: Padding,
    /// Groups of channels, each of which sees its own channels of the input only. With more than
    /// one, weights are stored as [`Dense::grouped_weight`] reads them.
    pub groups: u16,
}

/// Rows and columns beside a map, fewer than the window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: u8,
    /// Columns before.
    pub left: u8,
    /// Rows below.
    pub bottom: u8,
    /// Columns behind.
    pub right: u8,
}

/// Adds ((byte − zero point) · multiplier_o + half) >> shift of an earlier layer's output, pooled
/// where it pools, to the accumulators: half is 2^(shift − 1), or 0 for shift 0. The output has the
/// shape of this layer's map before pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip<'a> {
    /// Index of the earlier layer.
    pub layer: u8,
    /// `[outputs]`.
    #[serde(borrow)]
    pub multiplier: I16s<'a>,
    /// 0 to 31.
    pub shift: u8,
}

/// Pooling of a map's bytes, channel by channel; windows lie within the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// What is left of a window.
    pub kind: PoolKind,
    /// Rows of a window.
    pub height: u16,
    /// Columns of a window.
    pub width: u16,
    /// Steps down and to the right.
    pub stride: (u16, u16),
}

/// What pooling leaves of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PoolKind {
    /// The largest byte.
    Max,
    /// The mean, rounded to the nearest byte, halves up.
    Average,
}

/// One layer on its way through a network.
#[derive(Clone, Copy, Debug)]
pub struct Step<'f, 'a> {
    /// Index of the layer.
    pub index: usize,
    /// Its weights.
    pub layer: &'f Layer<'a>,
    /// What stands around them.
    pub block: Block<'a>,
    /// The map that it reads.
    pub input: Shape,
    /// Its map before pooling; of height and width 1 where it is dense.
    pub map: Shape,
    /// Its map after pooling.
    pub output: Shape,
}

impl<'a> Geometry<'a> {
    /// The layers with their maps, up to the first that does not fit its map.
    pub fn steps<'f>(&'f self, layers: &'f [Layer<'a>]) -> impl Iterator<Item = Step<'f, 'a>> {
        let mut input = self.input;
        let pairs = layers.iter().zip(self.layers.iter()).enumerate();
        pairs.map_while(move |(index, (layer, block))| {
            let map = block.map(input, layer.mean.outputs)?;
            let output = block.pool.map_or(Some(map), |pool| pool.output(map))?;
            let step = Step { index, layer, block, input, map, output };
            input = output;
            Some(step)
        })
    }
}

impl<'a> Blocks<'a> {
    /// Views bytes that [`Self::write`] wrote; [`decode`](crate::decode) refuses others.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Writes `blocks` to the start of `buffer` and views them there.
    ///
    /// # Errors
    /// [`EncodeError::BufferTooSmall`].
    pub fn write<'b>(
        blocks: impl IntoIterator<Item = Block<'b>>,
        buffer: &'a mut [u8],
    ) -> Result<Self, EncodeError> {
        let too_small = EncodeError::BufferTooSmall { found: buffer.len() };
        let mut len = 0;
        for block in blocks {
            let rest = buffer.get_mut(len..).ok_or(too_small)?;
            len += postcard::to_slice(&block, rest).map_err(|_| too_small)?.len();
        }
        buffer.get(..len).map(Self).ok_or(too_small)
    }

    /// The bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no block.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The blocks in order, up to bytes that are none.
    pub fn iter(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (block, behind) = block(rest)?;
            rest = behind;
            Some(block)
        })
    }

    /// The block of a layer.
    pub fn get(&self, layer: usize) -> Option<Block<'a>> {
        self.iter().nth(layer)
    }

    /// Whether all bytes are blocks.
    pub(crate) fn are_whole(&self) -> bool {
        let mut rest = self.0;
        while let Some((_, behind)) = block(rest) {
            rest = behind;
        }
        rest.is_empty()
    }
}

/// The first block of `bytes`, and what is behind it.
#[inline(never)]
fn block(bytes: &[u8]) -> Option<(Block<'_>, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

impl Shape {
    /// Number of values.
    pub const fn len(&self) -> usize {
        let positions = (self.height as usize).saturating_mul(self.width as usize);
        positions.saturating_mul(self.channels as usize)
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Block<'_> {
    /// The map of a layer before pooling; none where the window does not fit.
    pub fn map(&self, input: Shape, outputs: u16) -> Option<Shape> {
        match &self.window {
            None => Some(Shape { height: 1, width: 1, channels: outputs }),
            Some(window) => window.map(input, outputs),
        }
    }
}

impl Window {
    /// The map of a convolution with as many output channels; none where the window does not fit.
    pub fn map(&self, input: Shape, outputs: u16) -> Option<Shape> {
        let Padding { top, left, bottom, right } = self.padding;
        let padded = |size: u16, before: u8, after: u8| {
            usize::from(size) + usize::from(before) + usize::from(after)
        };
        let (down, across) = self.stride;
        Some(Shape {
            height: positions(padded(input.height, top, bottom), self.height.into(), down.into())?,
            width: positions(padded(input.width, left, right), self.width.into(), across.into())?,
            channels: outputs,
        })
    }

    /// Number of values under the window, of all groups.
    pub fn values(&self, channels: u16) -> usize {
        let positions = usize::from(self.height) * usize::from(self.width);
        positions.saturating_mul(channels.into())
    }
}

impl Pool {
    /// The pooled map; none where the window does not fit.
    pub fn output(&self, map: Shape) -> Option<Shape> {
        let (down, across) = self.stride;
        Some(Shape {
            height: positions(map.height.into(), self.height.into(), down.into())?,
            width: positions(map.width.into(), self.width.into(), across.into())?,
            channels: map.channels,
        })
    }

    /// Number of positions in a window.
    pub fn area(&self) -> usize {
        usize::from(self.height).saturating_mul(self.width.into())
    }
}

impl Step<'_, '_> {
    /// How often the weights are multiplied: a convolution computes every position of its map that
    /// a pooling window sees, once for each of them.
    pub fn positions(&self) -> usize {
        let each = self.block.pool.map_or(1, |pool| pool.area());
        let outputs = usize::from(self.output.height).saturating_mul(self.output.width.into());
        outputs.saturating_mul(each)
    }
}

impl Dense<'_> {
    /// One weight of a convolution with more than one group: `[inputs, outputs]`, a signed byte
    /// each. 0 outside the matrix.
    pub fn grouped_weight(&self, output: usize, input: usize) -> i8 {
        let outputs = usize::from(self.outputs);
        if output >= outputs {
            return 0;
        }
        let index = input.saturating_mul(outputs).saturating_add(output);
        self.weights.bytes().get(index).map_or(0, |&byte| byte as i8)
    }
}

/// How often a window fits into `size`.
fn positions(size: usize, window: usize, stride: usize) -> Option<u16> {
    let steps = size.checked_sub(window)?.checked_div(stride)?;
    u16::try_from(steps.saturating_add(1)).ok()
}
