//! Pooling of maps `[values, rows]`, forward and backward.

use super::simd::vectorised;
use super::window::{Pool, PoolKind, Shape};

impl Pool {
    /// Writes the pooled map of `input`, both `[values, rows]`.
    pub(super) fn forward(&self, shape: Shape, input: &[f32], out: &mut [f32], rows: usize) {
        let scale = 1.0 / (self.size[0] * self.size[1]) as f32;
        self.for_each_window(
            shape,
            #[inline(always)]
            |pooled, places| {
                let out = &mut out[pooled * rows..(pooled + 1) * rows];
                for (index, place) in places.enumerate() {
                    let values = out.iter_mut().zip(&input[place * rows..(place + 1) * rows]);
                    match (self.kind, index) {
                        (PoolKind::Max, 0) => values.for_each(|(out, &x)| *out = x),
                        // What is no number stays: a descent that diverges must show.
                        (PoolKind::Max, _) => {
                            values.for_each(|(out, &x)| *out = if x <= *out { *out } else { x });
                        }
                        (PoolKind::Average, 0) => values.for_each(|(out, &x)| *out = scale * x),
                        (PoolKind::Average, _) => values.for_each(|(out, &x)| *out += scale * x),
                    }
                }
            },
        );
    }

    /// Writes the gradient with respect to `input`, whose pooled map is `pooled`: a maximum's goes to the
    /// first value that is as large.
    pub(super) fn pull_back(
        &self,
        shape: Shape,
        input: &[f32],
        pooled: &[f32],
        delta: &[f32],
        d_input: &mut [f32],
        rows: usize,
    ) {
        let scale = 1.0 / (self.size[0] * self.size[1]) as f32;
        let mut left = vec![0.0f32; rows];
        d_input.fill(0.0);
        self.for_each_window(
            shape,
            #[inline(always)]
            |window, places| {
                let window = window * rows..(window + 1) * rows;
                left.copy_from_slice(&delta[window.clone()]);
                for place in places {
                    let place = place * rows..(place + 1) * rows;
                    let d_input = &mut d_input[place.clone()];
                    match self.kind {
                        PoolKind::Average => {
                            d_input
                                .iter_mut()
                                .zip(&left)
                                .for_each(|(d, &delta)| *d += scale * delta);
                        }
                        PoolKind::Max => {
                            let values = input[place].iter().zip(&pooled[window.clone()]);
                            let deltas = d_input.iter_mut().zip(&mut left);
                            for ((d, delta), (&x, &largest)) in deltas.zip(values) {
                                let own = if x == largest { *delta } else { 0.0 };
                                *d += own;
                                *delta -= own;
                            }
                        }
                    }
                }
            },
        );
    }

    /// Calls `f` with every pooled value's index and the indices of the values under its window.
    #[inline(always)]
    fn for_each_window(
        &self,
        shape: Shape,
        mut f: impl FnMut(usize, &mut dyn Iterator<Item = usize>),
    ) {
        let pooled = self.over(shape);
        vectorised(
            #[inline(always)]
            || {
                for index in 0..pooled.len() {
                    let (position, channel) = (index / pooled.channels, index % pooled.channels);
                    let top = position / pooled.width * self.stride[0];
                    let side = position % pooled.width * self.stride[1];
                    let place = |k: usize| {
                        let (y, x) = (top + k / self.size[1], side + k % self.size[1]);
                        (y * shape.width + x) * shape.channels + channel
                    };
                    f(index, &mut (0..self.size[0] * self.size[1]).map(place));
                }
            },
        );
    }
}
