//! A convolution with its skip, activation and pooling, one position of its output after another: of
//! its accumulators there are never more than one position's.

use fiberwalk_formats::{Activation, Padding, Pool, PoolKind, Skip, Step, Window, padded};

use super::activation::activate;
use super::factors::{add_factors, project};
use super::grouped::grouped;
use super::matrix::affine;
use super::{head, head_mut, shift_round};

/// A convolution of one map.
pub(crate) struct Convolution<'c, 'a> {
    pub step: &'c Step<'c, 'a>,
    pub window: &'c Window,
    /// The map that it reads, and the byte of 0 there.
    pub input: &'c [u8],
    pub zero: u8,
    pub skip: Option<Added<'c, 'a>>,
    /// The layer's modulations first; none: the mean weights.
    pub modulation: Option<&'c [i8]>,
}

/// The output of an earlier layer that is added to the accumulators.
pub(crate) struct Added<'c, 'a> {
    pub skip: &'c Skip<'a>,
    /// The map, and the byte of 0 there.
    pub map: &'c [u8],
    pub zero: u8,
}

/// Arrays for one position.
pub(crate) struct Workspace<'w> {
    /// Bytes under the window.
    pub patch: &'w mut [u8],
    /// Accumulators; of a layer that pools, after what its window has given so far.
    pub sums: &'w mut [i32],
    pub projection: &'w mut [i16],
    pub factors: &'w mut [i8],
}

impl Added<'_, '_> {
    /// Adds the values at the position with this index: sums_o += ((byte − zero) · multiplier_o +
    /// half) >> shift.
    pub fn add(&self, position: usize, sums: &mut [i32]) {
        let bytes = self.map.get(position.saturating_mul(sums.len())..).unwrap_or_default();
        let values = bytes.iter().zip(self.skip.multiplier.iter());
        for (sum, (&byte, multiplier)) in sums.iter_mut().zip(values) {
            let part = (i32::from(byte) - i32::from(self.zero)) * i32::from(multiplier);
            *sum = sum.wrapping_add(match self.skip.shift {
                0 => part,
                shift => shift_round(part, shift),
            });
        }
    }
}

impl Convolution<'_, '_> {
    /// The output map, then zeros up to a whole group of inputs.
    pub fn run(&self, work: &mut Workspace<'_>, out: &mut [u8]) {
        let shape = self.step.output;
        let channels = usize::from(shape.channels).max(1);
        let width = usize::from(shape.width).max(1);
        let (out, pad) = out.split_at_mut_checked(shape.len()).unwrap_or_default();
        pad.fill(0);
        work.patch.fill(0);
        for (y, row) in out.chunks_exact_mut(width.wrapping_mul(channels).max(1)).enumerate() {
            for (x, out) in row.chunks_exact_mut(channels).enumerate() {
                match &self.step.block.pool {
                    None => {
                        let sums = self.position(y, x, work);
                        activate(&self.step.layer.activation, sums, out);
                    }
                    Some(pool) => self.pool(pool, (y, x), work, out),
                }
            }
        }
    }

    /// The bytes of one position of the pooled map.
    fn pool(&self, pool: &Pool, (y, x): (usize, usize), work: &mut Workspace<'_>, out: &mut [u8]) {
        let activation = &self.step.layer.activation;
        // Where the activation is monotone, the largest byte is that of the largest accumulator.
        let early = pool.kind == PoolKind::Max && !matches!(activation, Activation::HardSwish(_));
        let (pooled, sums) = work.sums.split_at_mut_checked(out.len()).unwrap_or_default();
        pooled.fill(match pool.kind {
            PoolKind::Max => i32::MIN,
            PoolKind::Average => 0,
        });
        let Workspace { patch, projection, factors, .. } = work;
        let mut work = Workspace { patch, sums, projection, factors };
        let (down, across) = pool.stride;
        let (top, left) = (y * usize::from(down), x * usize::from(across));
        for y in top..top + usize::from(pool.height) {
            for x in left..left + usize::from(pool.width) {
                let sums = self.position(y, x, &mut work);
                if early {
                    for (largest, &sum) in pooled.iter_mut().zip(sums) {
                        *largest = sum.max(*largest);
                    }
                    continue;
                }
                activate(activation, sums, out);
                for (pooled, &byte) in pooled.iter_mut().zip(&*out) {
                    *pooled = match pool.kind {
                        PoolKind::Max => i32::from(byte).max(*pooled),
                        PoolKind::Average => pooled.wrapping_add(byte.into()),
                    };
                }
            }
        }
        if early {
            return activate(activation, pooled, out);
        }
        let area = match pool.kind {
            PoolKind::Max => 1,
            PoolKind::Average => pool.area().max(1) as u32,
        };
        for (out, &pooled) in out.iter_mut().zip(&*pooled) {
            *out = ((pooled as u32).wrapping_add(area / 2) / area) as u8;
        }
    }

    /// The accumulators at one position of the map before pooling.
    fn position<'w>(&self, y: usize, x: usize, work: &'w mut Workspace<'_>) -> &'w [i32] {
        let layer = self.step.layer;
        let inputs = usize::from(layer.mean.inputs);
        let outputs = usize::from(layer.mean.outputs);
        let direct = self.under_window(y, x);
        if direct.is_none() {
            self.gather(y, x, work.patch);
        }
        let patch = direct.unwrap_or(work.patch);
        if self.window.groups > 1 {
            let (groups, channels) = (self.window.groups.into(), self.step.input.channels.into());
            grouped(&layer.mean, groups, channels, patch, head_mut(work.sums, outputs));
        } else {
            let patch = head(patch, padded(inputs));
            let decoder = self.modulation.zip(layer.factors.projection());
            if let Some((_, (projection, shifts))) = decoder {
                project(projection, patch, shifts, work.sums, work.projection);
            }
            let sums = head_mut(work.sums, outputs);
            affine(&layer.mean, patch, sums);
            if let Some((modulation, _)) = decoder {
                add_factors(&layer.factors, work.projection, modulation, work.factors, sums);
            }
        }
        let sums = head_mut(work.sums, outputs);
        if let Some(added) = &self.skip {
            added.add(y * usize::from(self.step.map.width) + x, sums);
        }
        sums
    }

    /// The bytes under a window of one row, where they are whole groups of inputs in the map.
    fn under_window(&self, y: usize, x: usize) -> Option<&[u8]> {
        let Window { height: 1, width, stride, padding, .. } = self.window else { return None };
        let channels = usize::from(self.step.input.channels);
        let len = usize::from(*width) * channels;
        if len != padded(len) {
            return None;
        }
        let y = (y * usize::from(stride.0)).checked_sub(padding.top.into())?;
        let x = (x * usize::from(stride.1)).checked_sub(padding.left.into())?;
        let columns = usize::from(self.step.input.width);
        if y >= self.step.input.height.into() || x + usize::from(*width) > columns {
            return None;
        }
        self.input.get((y * columns + x) * channels..)?.get(..len)
    }

    /// Copies the bytes under the window to `patch`, row by row; those beside the map count as 0.
    fn gather(&self, y: usize, x: usize, patch: &mut [u8]) {
        let Window { height, width, stride, padding, .. } = *self.window;
        let Padding { top, left, .. } = padding;
        let input = self.step.input;
        let channels = usize::from(input.channels);
        let top = (y * usize::from(stride.0)) as i32 - i32::from(top);
        let left = (x * usize::from(stride.1)) as i32 - i32::from(left);
        let column = |x: i32| x.clamp(0, width.into()) as usize * channels;
        let (bottom, right) = (top + i32::from(height), left + i32::from(width));
        let inside = top >= 0 && left >= 0;
        if inside && bottom <= input.height.into() && right <= input.width.into() {
            let (row, line) = (usize::from(input.width) * channels, usize::from(width) * channels);
            let first = top as usize * row + left as usize * channels;
            let map = self.input.get(first..).unwrap_or_default();
            return copy_lines(map, row, line, height.into(), patch);
        }
        // Where the map begins and ends in a row of the window.
        let (start, end) = (column(-left), column(i32::from(input.width) - left));
        let row = usize::from(input.width) * channels;
        let from = left.max(0) as usize * channels;
        let lines = patch.chunks_exact_mut((usize::from(width) * channels).max(1));
        for (index, line) in lines.take(height.into()).enumerate() {
            let y = top + index as i32;
            if y < 0 || y >= input.height.into() {
                line.fill(self.zero);
                continue;
            }
            let bytes = self.input.get(y as usize * row + from..).unwrap_or_default();
            line.iter_mut().take(start).for_each(|byte| *byte = self.zero);
            copy(bytes, line.get_mut(start..end).unwrap_or_default());
            line.iter_mut().skip(end).for_each(|byte| *byte = self.zero);
        }
    }
}

/// Copies `count` lines of `line` bytes, the starts of rows in `map`, to `patch`, one after another. Those of
/// 3 × 3 and 5 × 5 windows over the one or three channels of an image are so short that a call to copy them
/// would take as long as their products, and there are many.
fn copy_lines(map: &[u8], row: usize, line: usize, count: usize, patch: &mut [u8]) {
    match line {
        3 => short_lines::<3>(map, row, count, patch),
        5 => short_lines::<5>(map, row, count, patch),
        9 => short_lines::<9>(map, row, count, patch),
        15 => short_lines::<15>(map, row, count, patch),
        _ => {
            let rows = map.chunks(row.max(1));
            let lines = patch.chunks_exact_mut(line.max(1)).take(count);
            lines.zip(rows).for_each(|(line, row)| copy(row, line));
        }
    }
}

#[inline(always)]
fn short_lines<const LINE: usize>(mut map: &[u8], row: usize, count: usize, patch: &mut [u8]) {
    for line in patch.as_chunks_mut::<LINE>().0.iter_mut().take(count) {
        let Some(bytes) = map.first_chunk() else { return };
        *line = *bytes;
        map = map.get(row..).unwrap_or_default();
    }
}

/// Fills `to` from the start of `from`.
fn copy(from: &[u8], to: &mut [u8]) {
    if let Some(from) = from.get(..to.len()) {
        to.copy_from_slice(from);
    }
}
