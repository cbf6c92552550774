//! Convolutions of one parameter vector, forward and backward.
//!
//! Maps are `[values, rows]`, a map's values channels-last: the values under one row of a window are
//! neighbours, and a convolution is, at every position, a sum of small products of parts of the weights
//! `[outputs, (ky, kx, channel)]` and of the map. Nothing is copied.

use std::ops::Range;

use pulp::Simd;

use super::direct::{Dots, Spread, Sum, Terms};
use super::matmul::{Base, Matrix};
use super::window::{Shape, Window};

/// A convolution over maps of one shape.
#[derive(Clone, Copy)]
pub(super) struct Convolution {
    window: Window,
    input: Shape,
    output: Shape,
}

/// Weights of a convolution: rows `[outputs]` that start `stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

impl Convolution {
    pub fn new(window: Window, input: Shape, outputs: usize) -> Self {
        Self { window, input, output: window.over(input, outputs) }
    }

    /// Input channels of a group, output channels of a group.
    fn group(&self) -> [usize; 2] {
        [self.input.channels / self.window.groups, self.output.channels / self.window.groups]
    }

    /// The map's values from position (y, x) and channel c on, `[values, rows]`, of which rows start
    /// `stride` apart.
    fn value(&self, y: usize, x: usize, c: usize) -> usize {
        (y * self.input.width + x) * self.input.channels + c
    }

    /// Writes the sums `out: [outputs, rows]` at every position of `input: [values, rows]`.
    pub fn forward(&self, out: &mut [f32], weights: Weights<'_>, bias: &[f32], input: Matrix<'_>) {
        assert!(input.rows == self.input.len() && out.len() == self.output.len() * input.columns);
        pulp::Arch::new().dispatch(Forward { of: self, out, weights, bias, input });
    }

    /// Adds to the weights' gradient `gradient: [outputs, fan-in]` what `delta: [outputs, rows]`, at
    /// every position, pulls back.
    pub fn pull_back_weights(&self, gradient: &mut [f32], delta: &[f32], input: Matrix<'_>) {
        assert!(input.rows == self.input.len() && delta.len() == self.output.len() * input.columns);
        pulp::Arch::new().dispatch(WeightGradient { of: self, gradient, delta, input });
    }

    /// Writes the gradient with respect to the input, `[values, rows]`.
    pub fn pull_back_input(
        &self,
        d_input: &mut [f32],
        weights: Weights<'_>,
        delta: &[f32],
        rows: usize,
    ) {
        assert!(
            d_input.len() == self.input.len() * rows && delta.len() == self.output.len() * rows
        );
        pulp::Arch::new().dispatch(InputGradient { of: self, d_input, weights, delta, rows });
    }

    /// Runs of positions along dimension `d` at which tap `tap` lies on the map.
    fn positions_of(&self, d: usize, tap: usize) -> Range<usize> {
        let (length, count) = (self.input.size()[d], self.output.size()[d]);
        let inside = |&position: &usize| self.window.taps(d, position, length).contains(&tap);
        let start = (0..count).find(inside).unwrap_or(count);
        let end = (0..count).rfind(inside).map_or(start, |last| last + 1);
        start..end
    }

    /// Runs of columns of the output under which the same taps of a window's row lie on the map.
    fn column_runs(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let mut runs: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for x in 0..self.output.width {
            let taps = self.window.taps(1, x, self.input.width);
            match runs.last_mut() {
                Some((columns, last)) if *last == taps => columns.end = x + 1,
                _ => runs.push((x..x + 1, taps)),
            }
        }
        runs
    }
}

/// The taps of the window's row `x` run together where all channels are of one group: their number, and
/// how many neighbouring values each is.
fn merged(taps: &Range<usize>, channels: usize, groups: usize) -> (usize, usize) {
    if groups == 1 { (1, taps.len() * channels) } else { (taps.len(), channels) }
}

struct Forward<'a> {
    of: &'a Convolution,
    out: &'a mut [f32],
    weights: Weights<'a>,
    bias: &'a [f32],
    input: Matrix<'a>,
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, out, weights, bias, input } = self;
        let Convolution { window, input: map, output } = *of;
        let ([channels, outputs], rows) = (of.group(), input.columns);
        let [in_step, stride] = [map.channels * input.row_stride, input.row_stride];
        let blocks = out.chunks_exact_mut((outputs * rows).max(1));
        for (block, out) in blocks.enumerate() {
            let (position, group) = (block / window.groups, block % window.groups);
            let (y, x) = (position / output.width, position % output.width);
            let down = window.taps(0, y, map.height);
            let across = window.taps(1, x, map.width);
            let (terms, width) = merged(&across, channels, window.groups);
            let inside = !down.is_empty() && !across.is_empty();
            let tap = (down.start * window.size[1] + across.start) * channels;
            let start = match inside {
                true => of.value(
                    window.at(0, y, down.start),
                    window.at(1, x, across.start),
                    group * channels,
                ),
                false => 0,
            };
            Spread(Sum {
                out,
                out_stride: rows,
                base: Base::Bias(&bias[group * outputs..(group + 1) * outputs]),
                left: Matrix {
                    values: weights.values,
                    start: group * outputs * weights.stride + tap * usize::from(inside),
                    rows: outputs,
                    columns: width,
                    row_stride: weights.stride,
                    column_stride: 1,
                },
                right: Matrix { start: input.start + start * stride, rows: width, ..input },
                terms: Terms {
                    counts: if inside { [down.len(), terms] } else { [0, 0] },
                    left: [window.size[1] * channels, channels].map(|step| step as isize),
                    right: [map.width * in_step, in_step].map(|step| step as isize),
                },
            })
            .with_simd(simd);
        }
    }
}

struct WeightGradient<'a> {
    of: &'a Convolution,
    gradient: &'a mut [f32],
    delta: &'a [f32],
    input: Matrix<'a>,
}

impl pulp::WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, gradient, delta, input } = self;
        let Convolution { window, input: map, output } = *of;
        let ([channels, outputs], rows) = (of.group(), input.columns);
        let fan_in = window.fan_in(map.channels);
        let in_step = map.channels * input.row_stride;
        let runs = of.column_runs();
        for ky in 0..window.size[0] {
            let ys = of.positions_of(0, ky);
            for (xs, taps) in runs.iter().filter(|(_, taps)| !taps.is_empty() && !ys.is_empty()) {
                let (pieces, width) = merged(taps, channels, window.groups);
                for piece in 0..pieces * window.groups {
                    let (kx, group) = (taps.start + piece / window.groups, piece % window.groups);
                    let start = of.value(
                        window.at(0, ys.start, ky),
                        window.at(1, xs.start, kx),
                        group * channels,
                    );
                    let from = (ys.start * output.width + xs.start) * output.channels;
                    let first = group * outputs * fan_in + (ky * window.size[1] + kx) * channels;
                    Dots(Sum {
                        out: &mut gradient[first..],
                        out_stride: fan_in,
                        base: Base::Out,
                        left: Matrix {
                            values: delta,
                            start: (from + group * outputs) * rows,
                            rows: outputs,
                            columns: rows,
                            row_stride: rows,
                            column_stride: 1,
                        },
                        right: Matrix {
                            start: input.start + start * input.row_stride,
                            rows: width,
                            ..input
                        }
                        .transposed(),
                        terms: Terms {
                            counts: [ys.len(), xs.len()],
                            left: [output.width, 1]
                                .map(|step| (step * output.channels * rows) as isize),
                            right: [window.stride[0] * map.width, window.stride[1]]
                                .map(|step| (step * in_step) as isize),
                        },
                    })
                    .with_simd(simd);
                }
            }
        }
    }
}

struct InputGradient<'a> {
    of: &'a Convolution,
    d_input: &'a mut [f32],
    weights: Weights<'a>,
    delta: &'a [f32],
    rows: usize,
}

impl pulp::WithSimd for InputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, d_input, weights, delta, rows } = self;
        let Convolution { window, input: map, output } = *of;
        let [channels, outputs] = of.group();
        let blocks = d_input.chunks_exact_mut((channels * rows).max(1));
        for (block, out) in blocks.enumerate() {
            let (position, group) = (block / window.groups, block % window.groups);
            let (y, x) = (position / map.width, position % map.width);
            // Taps a stride apart, from the first on, meet positions one apart, from the last back.
            let meets = |d: usize, place: usize| {
                let (reach, stride) = (place + window.before[d], window.stride[d]);
                let last = (reach / stride).min(output.size()[d].wrapping_sub(1));
                let first = (reach + 1).saturating_sub(window.size[d]).div_ceil(stride);
                let count =
                    if output.size()[d] == 0 { 0 } else { (last + 1).saturating_sub(first) };
                let tap = if count == 0 { 0 } else { reach - last * stride };
                (tap, if count == 0 { 0 } else { last }, count)
            };
            let (down, across) = (meets(0, y), meets(1, x));
            let tap = (down.0 * window.size[1] + across.0) * channels;
            let from = (down.1 * output.width + across.1) * output.channels + group * outputs;
            Spread(Sum {
                out,
                out_stride: rows,
                base: Base::Zero,
                left: Matrix {
                    values: weights.values,
                    start: group * outputs * weights.stride + tap,
                    rows: channels,
                    columns: outputs,
                    row_stride: 1,
                    column_stride: weights.stride,
                },
                right: Matrix {
                    values: delta,
                    start: from * rows,
                    rows: outputs,
                    columns: rows,
                    row_stride: rows,
                    column_stride: 1,
                },
                terms: Terms {
                    counts: [down.2, across.2],
                    left: [window.stride[0] * window.size[1], window.stride[1]]
                        .map(|step| (step * channels) as isize),
                    right: [output.width, 1]
                        .map(|step| -((step * output.channels * rows) as isize)),
                },
            })
            .with_simd(simd);
        }
    }
}
