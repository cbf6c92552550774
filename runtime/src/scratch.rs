//! The caller's buffer, cut into the arrays of a prediction.

use core::mem;

use bytemuck::must_cast_slice_mut;

use crate::error::PredictError;
use crate::kernels::head_mut;
use crate::model::Model;

/// Working memory of one prediction: the arrays of
/// [`ScratchLayout`](fiberwalk_formats::ScratchLayout).
pub(crate) struct Scratch<'s> {
    pub shared: &'s mut [u8],
    pub activations: &'s mut [u8],
    pub factors: &'s mut [i8],
    pub code: &'s mut [u8],
    pub trunk: &'s mut [u8],
    pub modulation: &'s mut [i8],
    pub shared_projection: &'s mut [i16],
    pub projection: &'s mut [i16],
    pub shared_sums: &'s mut [i32],
    pub sums: &'s mut [i32],
    pub mean: &'s mut [u32],
}

impl<'s> Scratch<'s> {
    /// Cuts `words`, which may hold anything. Arrays of bytes and halves reach to the end of their
    /// last word.
    ///
    /// # Errors
    /// [`PredictError::ScratchTooSmall`].
    pub fn new(model: &Model<'_>, words: &'s mut [u32]) -> Result<Self, PredictError> {
        let expected = model.scratch_len();
        if words.len() < expected {
            return Err(PredictError::ScratchTooSmall { expected, found: words.len() });
        }
        let layout = model.scratch_layout();
        // The pieces add up to `scratch_len` words: decoding checked it.
        let rest = &mut &mut *words;
        let mut bytes = |len: usize| must_cast_slice_mut::<u32, u8>(take(rest, len.div_ceil(4)));
        let shared = bytes(layout.shared);
        let activations = bytes(layout.activations);
        let factors = must_cast_slice_mut(bytes(layout.factors));
        let code = bytes(layout.code);
        let trunk = bytes(layout.trunk);
        let modulation = head_mut(must_cast_slice_mut(bytes(layout.modulation)), layout.modulation);
        let mut halves =
            |len: usize| head_mut(must_cast_slice_mut(take(rest, len.div_ceil(2))), len);
        let shared_projection = halves(layout.shared_projection);
        let projection = halves(layout.projection);
        let shared_sums = must_cast_slice_mut(take(rest, layout.shared_sums));
        let sums = must_cast_slice_mut(take(rest, layout.sums));
        let mean = take(rest, layout.mean);
        Ok(Self {
            shared,
            activations,
            factors,
            code,
            trunk,
            modulation,
            shared_projection,
            projection,
            shared_sums,
            sums,
            mean,
        })
    }
}

/// Splits off the first words; none where there are fewer.
fn take<'s>(rest: &mut &'s mut [u32], words: usize) -> &'s mut [u32] {
    match mem::take(rest).split_at_mut_checked(words) {
        Some((piece, left)) => {
            *rest = left;
            piece
        }
        None => &mut [],
    }
}
