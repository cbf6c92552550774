//! The decoder's part of a layer: weights that depend on the latent code.

use fiberwalk_formats::{Dense, Factors, Shifts, padded};

use super::matrix::{add_factor, dense};
use super::{head_mut, saturate_8, saturate_16, shift_round};

/// A projection of `x` in 16 bits: sat16(sums >> shift).
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

/// Adds the decoder's part to a layer's accumulators, by way of `v`.
#[inline(never)]
pub(crate) fn add_factors(
    factors: &Factors<'_>,
    projection: &[i16],
    modulation: &[i8],
    v: &mut [i8],
    sums: &mut [i32],
) {
    match factors {
        Factors::Frozen => {}
        Factors::LowRank(factors) => {
            let (rank, shift) = (modulation.len(), factors.shifts.sum);
            let v = head_mut(v, padded(rank));
            for ((v, &p), &m) in v.iter_mut().zip(projection).zip(modulation) {
                *v = saturate_8(modulate(p, m, factors.shifts)) as i8;
            }
            v.iter_mut().skip(rank).for_each(|pad| *pad = 0);
            add_factor(factors.a.bytes(), v, shift, sums);
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
    }
}

/// One projected value under its modulation.
fn modulate(projection: i16, modulation: i8, shifts: Shifts) -> i32 {
    shift_round(i32::from(projection) * i32::from(modulation), shifts.modulation)
}
