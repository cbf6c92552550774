//! The decoder's part of a layer: weights that depend on the latent code.

use fiberwalk_formats::{Dense, Factors, INPUT_GROUP, Shifts, padded};

use super::matrix::{add_factor, dense};
use super::{head_mut, saturate_8, saturate_16, shift_round};

/// A projection of `x` in 16 bits: sat16(sums >> shift).
#[inline(never)]
pub(crate) fn project(
    projection: &Dense<'_>,
    x: &[u8],
    shifts: Shifts,
    sums: &mut [i32],
    out: &mut [i16],
) {
    let sums = head_mut(sums, projection.outputs.into());
    dense(projection, x, sums);
    for (p, &sum) in out.iter_mut().zip(&*sums) {
        *p = saturate_16(sum.wrapping_shr(shifts.projection.into())) as i16;
    }
}

/// Adds the decoder's part to a layer's accumulators, by way of `v`. The layer's modulations are the
/// first ones; returns the others.
#[inline(never)]
pub(crate) fn add_factors<'m>(
    factors: &Factors<'_>,
    projection: &[i16],
    modulation: &'m [i8],
    v: &mut [i8],
    sums: &mut [i32],
) -> &'m [i8] {
    let (modulation, rest) =
        modulation.split_at_checked(factors.modulations()).unwrap_or((modulation, &[]));
    match factors {
        Factors::LowRank(factors) => {
            let v = head_mut(v, padded(modulation.len()));
            if let Some(group) = v.last_chunk_mut::<INPUT_GROUP>() {
                *group = [0; INPUT_GROUP];
            }
            for ((v, &p), &m) in v.iter_mut().zip(projection).zip(modulation) {
                *v = saturate_8(modulate(p, m, factors.shifts)) as i8;
            }
            add_factor(factors.a.bytes(), v, factors.shifts.sum, sums);
        }
        Factors::Dense(factors) => {
            let outputs = sums.len().max(1);
            for (output, sum) in sums.iter_mut().enumerate() {
                let column = projection.iter().skip(output).step_by(outputs);
                let part: i32 = column
                    .zip(modulation)
                    .map(|(&p, &m)| saturate_16(modulate(p, m, factors.shifts)))
                    .sum();
                *sum += part.wrapping_shr(factors.shifts.sum.unsigned_abs().into());
            }
        }
        _ => {}
    }
    rest
}

/// One projected value under its modulation.
fn modulate(projection: i16, modulation: i8, shifts: Shifts) -> i32 {
    shift_round(i32::from(projection) * i32::from(modulation), shifts.modulation)
}
