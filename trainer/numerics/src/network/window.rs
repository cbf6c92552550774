//! Shapes of maps, and the windows that move over them.
//!
//! The values of a map lie channels-last: index (y · width + x) · channels + c. A series is a map of
//! height 1, a row of features one of a single position.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Height, width and channels of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values of a position.
    pub channels: usize,
}

/// The window of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Height and width.
    pub size: [usize; 2],
    /// Steps down and to the right.
    pub stride: [usize; 2],
    /// Zeros above and to the left of the map.
    pub before: [usize; 2],
    /// Zeros below and to the right of it.
    pub after: [usize; 2],
    /// Groups that input and output channels are shared out over: 1, or up to one a channel (depthwise).
    pub groups: usize,
}

/// Operation of a pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolKind {
    /// The largest value.
    Max,
    /// The mean.
    Average,
}

/// Pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Largest or mean.
    pub kind: PoolKind,
    /// Height and width.
    pub size: [usize; 2],
    /// Steps down and to the right.
    pub stride: [usize; 2],
}

impl Shape {
    /// A row of `features` features.
    pub const fn flat(features: usize) -> Self {
        Self { height: 1, width: 1, channels: features }
    }

    /// Number of values.
    pub const fn len(&self) -> usize {
        self.positions() * self.channels
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of positions.
    pub const fn positions(&self) -> usize {
        self.height * self.width
    }

    /// Height and width.
    pub(super) const fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} × {} × {}", self.height, self.width, self.channels)
    }
}

impl Window {
    /// Shape of the convolution's values over `input`; empty where the window is larger than the padded map.
    pub fn over(&self, input: Shape, channels: usize) -> Shape {
        let along = |d: usize| {
            steps(input.size()[d] + self.before[d] + self.after[d], self.size[d], self.stride[d])
        };
        Shape { height: along(0), width: along(1), channels }
    }

    /// Weights of an output channel.
    pub const fn fan_in(&self, channels: usize) -> usize {
        self.size[0] * self.size[1] * (channels / self.groups)
    }

    /// The taps along dimension `d` (0: down, 1: to the right) that lie on a map `length` long when the window stands
    /// at `position`.
    pub(super) fn taps(&self, d: usize, position: usize, length: usize) -> Range<usize> {
        let first = position * self.stride[d];
        let start = self.before[d].saturating_sub(first).min(self.size[d]);
        let end = (length + self.before[d]).saturating_sub(first).min(self.size[d]);
        start..end.max(start)
    }

    /// Where tap `tap` along dimension `d` lies on the map when the window stands at `position`.
    pub(super) fn at(&self, d: usize, position: usize, tap: usize) -> usize {
        position * self.stride[d] + tap - self.before[d]
    }
}

impl Pool {
    /// Shape of the pooled map; empty where the window is larger than the map.
    pub fn over(&self, input: Shape) -> Shape {
        let along = |d: usize| steps(input.size()[d], self.size[d], self.stride[d]);
        Shape { height: along(0), width: along(1), channels: input.channels }
    }
}

/// Places of a window of `size` on `length`.
const fn steps(length: usize, size: usize, stride: usize) -> usize {
    if length < size { 0 } else { (length - size) / stride + 1 }
}
