//! Units of the integer arithmetic, and limits that keep it within its types.

/// Standardised inputs are clipped to ± this many standard deviations: what lies farther away is
/// as foreign as this already. It fixes the resolution of the int8 inputs.
pub const INPUT_CLIP: f32 = 5.0;
/// int8 value of an input at [`INPUT_CLIP`].
pub const INPUT_UNITS: f32 = 127.0;
/// A rescaled tanh pre-activation counts in units of 1 / 64: 256 entries reach 3.98, where
/// 127 tanh has reached 126.9.
pub const TANH_UNITS: f32 = 64.0;
/// An int8 latent code counts in units of 1 / 32, so it reaches ± 3.97.
pub const LATENT_UNITS: f32 = 32.0;

/// Most layers of a network. The model keeps this many layers of views in RAM.
pub const MAX_LAYERS: usize = 8;
/// Widest layer. |Σ w x| ≤ 4096 · 128 · 128 = 2^26, so an i32 accumulator cannot overflow.
pub const MAX_WIDTH: usize = 4096;
/// Largest |bias| in accumulator units: bias, product and the decoder's part together stay below
/// 2^29 + 2^26 + 2^28 < 2^31.
pub const MAX_BIAS: i32 = 1 << 29;
/// Most factors of a layer. |Σ a v| ≤ 64 · 128 · 2^15 = 2^28.
pub const MAX_RANK: usize = 64;
/// Largest right shift of a 32-bit value.
pub const MAX_SHIFT: usize = 31;
/// Largest right shift of a 64-bit value: |acc · multiplier| < 2^61, and the half that is added
/// for rounding is at most 2^61.
pub const MAX_SHIFT_64: usize = 62;
/// Largest dimension of the latent code.
pub const MAX_LATENT_DIM: usize = 32;
/// Most modulation values of all layers together.
pub const MAX_MODULATIONS: usize = 256;

/// Largest scale of a network output, so that |acc · scale| ≤ 2^31 and no difference or square of
/// outputs is infinite in f32.
pub const MAX_OUTPUT_SCALE: f32 = 1.0;
/// Largest 1 / T, so that ln(p) / T is finite for every normal p.
pub const MAX_INVERSE_TEMPERATURE: f32 = 1e6;
/// Largest mean and standard deviation of a regression target, so that the predicted mean is
/// finite and the bounds of the interval are no NaN.
pub const MAX_TARGET: f32 = 1e18;
