//! Units of the integer arithmetic, and limits that keep it within its types.

/// Standardised inputs are clipped to ± this many standard deviations: what lies farther away is
/// as foreign as this already. It fixes the resolution of the int8 inputs.
pub const INPUT_CLIP: f32 = 5.0;
/// int8 value of an input at [`INPUT_CLIP`].
pub const INPUT_UNITS: f32 = 127.0;
/// The byte of an input or a tanh activation of 0.
pub const ZERO_POINT: u8 = 128;
/// A rescaled tanh pre-activation counts in units of 1 / 64: 256 entries reach 3.98, where
/// 127 tanh has reached 126.9.
pub const TANH_UNITS: f32 = 64.0;
/// The rescaled pre-activation r of a hard-swish counts in units of 1 / 256 and has 16 bits: it
/// reaches ± 128, and |r · clamp(r + 768, 0, 1536)| ≤ 2^15 · 1536 < 2^26.
pub const HARD_SWISH_UNITS: i32 = 256;
/// A rescaled logit counts in units of ln 2 / 2^14: powers of two are shifts.
pub const LOGIT_BITS: u32 = 14;
/// An int8 latent code counts in units of 1 / 32, so it reaches ± 3.97.
pub const LATENT_UNITS: f32 = 32.0;

/// Most layers of a network. The model keeps this many layers of views in RAM.
pub const MAX_LAYERS: usize = 8;
/// Widest layer. A weight plus its offset and an activation are bytes: Σ w x ≤ 4096 · 255² < 2^28,
/// and what is taken off for the offset is at most 128 · 4096 · 255 < 2^27.
pub const MAX_WIDTH: usize = 4096;
/// Most values of a map, and of what a window sees of one: as many bytes as large microcontrollers
/// have of memory. The bytes under a pooling window, which lies within a map, add up to less than
/// 2^26, and every index fits into 32 bits.
pub const MAX_MAP: usize = 1 << 18;
/// Largest left shift of a bias or of the offset of an input: then neither is above 2^29. A layer's bias, products and the decoder's part together stay below
/// 2^29 + 2^28 + 2^27 < 2^31; a skip adds at most 255 · 2^15 < 2^23, itself below 2^31 with half a unit
/// of the largest right shift.
pub const MAX_BIAS_SHIFT: usize = 14;
/// Largest left shift of a low-rank layer's part: |Σ a v| ≤ 64 · 128 · 128 = 2^20 becomes 2^27, and
/// half a unit of the largest right shift is 2^30.
pub const MAX_LEFT_SHIFT: u32 = 7;
/// Most factors of a layer: a sum of as many 16-bit values stays below 2^22.
pub const MAX_RANK: usize = 64;
/// Largest right shift of a 32-bit value.
pub const MAX_SHIFT: usize = 31;
/// Most samples of a prediction: as many probabilities of 20 bits add up to less than 2^32.
pub const MAX_SAMPLES: usize = 4096;
/// Largest dimension of the latent code.
pub const MAX_LATENT_DIM: usize = 32;
/// Most modulation values of all layers together.
pub const MAX_MODULATIONS: usize = 256;

/// Largest unit of a regressor's accumulator, so that no output or square of one is infinite.
pub const MAX_OUTPUT_UNIT: f32 = 1.0;
/// 1 / T counts in units of 2^-16.
pub const TEMPERATURE_BITS: u32 = 16;
/// Largest 1 / T: 1024.
pub const MAX_INVERSE_TEMPERATURE: u32 = 1024 << TEMPERATURE_BITS;
/// Largest mean and standard deviation of a regression target, so that the predicted mean is
/// finite and the bounds of the interval are no NaN.
pub const MAX_TARGET: f32 = 1e18;
