//! The caller's buffer, cut into the arrays of a prediction.

use core::mem;

use crate::error::PredictError;
use crate::model::Model;

/// Working memory of one prediction: the arrays of
/// [`ScratchLayout`](fiberwalk_formats::ScratchLayout).
pub(crate) struct Scratch<'s> {
    pub shared: &'s mut [i8],
    pub activations: &'s mut [i8],
    pub code: &'s mut [i8],
    pub trunk: &'s mut [i8],
    pub shared_projection: &'s mut [i16],
    pub projection: &'s mut [i16],
    pub modulation: &'s mut [i16],
    pub shared_sums: &'s mut [i32],
    pub sums: &'s mut [i32],
    pub mean: &'s mut [f32],
    pub outputs: &'s mut [f32],
}

impl<'s> Scratch<'s> {
    /// Cuts `words`, which may hold anything.
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
        Ok(Self {
            shared: bytes(rest, layout.shared),
            activations: bytes(rest, layout.activations),
            code: bytes(rest, layout.code),
            trunk: bytes(rest, layout.trunk),
            shared_projection: halves(rest, layout.shared_projection),
            projection: halves(rest, layout.projection),
            modulation: halves(rest, layout.modulation),
            shared_sums: bytemuck::cast_slice_mut(take(rest, layout.shared_sums)),
            sums: bytemuck::cast_slice_mut(take(rest, layout.sums)),
            mean: bytemuck::cast_slice_mut(take(rest, layout.mean)),
            outputs: bytemuck::cast_slice_mut(take(rest, layout.outputs)),
        })
    }
}

fn take<'s>(rest: &mut &'s mut [u32], words: usize) -> &'s mut [u32] {
    let (piece, left) = mem::take(rest).split_at_mut(words);
    *rest = left;
    piece
}

fn bytes<'s>(rest: &mut &'s mut [u32], len: usize) -> &'s mut [i8] {
    &mut bytemuck::cast_slice_mut(take(rest, len.div_ceil(4)))[..len]
}

fn halves<'s>(rest: &mut &'s mut [u32], len: usize) -> &'s mut [i16] {
    &mut bytemuck::cast_slice_mut(take(rest, len.div_ceil(2)))[..len]
}
