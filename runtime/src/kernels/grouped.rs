//! Convolutions in groups of channels: depthwise ones above all.

use fiberwalk_formats::Dense;

use super::rows::{CHANNELS, four_channels};

/// sums_o = bias_o + Σ_i w_oi x_i over the inputs of o's group, for `x: [positions, channels]` under
/// the window and weights `[inputs, outputs]`, a signed byte each.
#[inline(never)]
pub(crate) fn grouped(
    matrix: &Dense<'_>,
    groups: usize,
    channels: usize,
    x: &[u8],
    sums: &mut [i32],
) {
    let shift = matrix.bias_shift.into();
    for (sum, bias) in sums.iter_mut().zip(matrix.bias.iter()) {
        *sum = i32::from(bias).wrapping_shl(shift);
    }
    let (weights, outputs, groups) = (matrix.weights.bytes(), sums.len().max(1), groups.max(1));
    if channels == groups && outputs == groups {
        return depthwise(weights, x, sums);
    }
    let (inputs, outputs_each) = ((channels / groups).max(1), (outputs / groups).max(1));
    let positions = weights.chunks_exact(inputs.wrapping_mul(outputs).max(1));
    for (weights, x) in positions.zip(x.chunks_exact(channels.max(1))) {
        for (channel, weights) in weights.chunks_exact(outputs).enumerate() {
            let outputs =
                sums.chunks_exact_mut(outputs_each).zip(weights.chunks_exact(outputs_each));
            for ((sums, weights), x) in outputs.zip(x.chunks_exact(inputs)) {
                add(weights, x.get(channel).copied().unwrap_or(0), sums);
            }
        }
    }
}

/// sums_c += Σ_p w_pc x_pc over the positions, of one input channel for every output.
fn depthwise(weights: &[u8], x: &[u8], sums: &mut [i32]) {
    let channels = sums.len().max(1);
    let positions = weights.len() / channels;
    let (whole, rest) = sums.as_chunks_mut::<CHANNELS>();
    let mut first = 0;
    for sums in whole {
        four_channels(from(weights, first), from(x, first), channels, positions, sums);
        first += CHANNELS;
    }
    if !rest.is_empty() {
        let columns = from(weights, first).chunks(channels).zip(from(x, first).chunks(channels));
        for (weights, x) in columns {
            for ((sum, &w), &x) in rest.iter_mut().zip(weights).zip(x) {
                *sum = sum.wrapping_add(i32::from(w as i8) * i32::from(x));
            }
        }
    }
}

/// sums_o += w_o x.
fn add(weights: &[u8], x: u8, sums: &mut [i32]) {
    for (sum, &w) in sums.iter_mut().zip(weights) {
        *sum = sum.wrapping_add(i32::from(w as i8) * i32::from(x));
    }
}

/// The elements from `start` on.
fn from(bytes: &[u8], start: usize) -> &[u8] {
    bytes.get(start..).unwrap_or_default()
}
