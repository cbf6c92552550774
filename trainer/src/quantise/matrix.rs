//! Matrices and scalings in integers.

use fiberwalk_formats::{Bits, Dense, I16s, MAX_BIAS_SHIFT, Rescale, U8s, ZERO_POINT, pack};

/// Largest magnitude of a 16-bit intermediate value.
pub const INT16: f32 = 32_767.0;
/// Largest bias that the format holds.
const LARGEST_BIAS: f32 = INT16 * (1 << MAX_BIAS_SHIFT) as f32;
/// Most that accumulators are shifted right before a multiplication, so that half a unit fits into
/// their bias.
const MOST_BEFORE: f32 = 24.0;
/// Units of a layer's rows differ by no more than this factor: one shift serves them all.
const UNIT_RANGE: f32 = 1024.0;
/// Share of an int4 row's largest weight that the smallest unit tried still reaches: few levels
/// serve a row better that clips its largest weights.
const SMALLEST_CLIP: f32 = 0.5;
/// Units tried for an int4 row.
const CLIPS: usize = 16;

/// Bytes that a matrix reads: real value = unit · (byte − zero).
#[derive(Clone, Copy)]
pub struct Input {
    /// Real value of one step.
    pub unit: f32,
    /// The byte of 0.
    pub zero: u8,
}

impl Input {
    /// Bytes round the middle of their range.
    pub fn signed(unit: f32) -> Self {
        Self { unit, zero: ZERO_POINT }
    }

    /// Bytes from 0 up.
    pub fn unsigned(unit: f32) -> Self {
        Self { unit, zero: 0 }
    }
}

/// An integer matrix with bias: weights w and biases b of w·x + b for bytes x.
#[derive(Clone)]
pub struct QuantisedDense {
    inputs: usize,
    bits: Bits,
    /// Row-major, as the artifact packs them.
    packed: Vec<u8>,
    /// Biases in accumulator units.
    bias: Vec<i32>,
    /// Little-endian bytes of the biases in units of 2^`bias_shift`.
    bias_bytes: Vec<u8>,
    bias_shift: u8,
    /// Real value of one accumulator unit of every output.
    pub units: Vec<f32>,
    /// Largest magnitude that the accumulators can reach.
    pub bound: f32,
}

impl QuantisedDense {
    /// Quantises rows `[inputs + 1]` (weights, then the bias), one unit a row.
    pub fn per_row(rows: &[f32], inputs: usize, input: Input, bits: Bits) -> Self {
        let rows_of = rows.chunks_exact(inputs + 1);
        let units = rows_of.map(|row| row_unit(row, input.unit, bits)).collect();
        Self::new(rows, inputs, input, bits, units)
    }

    /// Quantises rows `[inputs + 1]`, one unit a row, none much smaller than the largest and none below
    /// `least`.
    pub fn balanced(rows: &[f32], inputs: usize, input: Input, bits: Bits, least: f32) -> Self {
        let rows_of = rows.chunks_exact(inputs + 1);
        let units: Vec<f32> = rows_of.map(|row| row_unit(row, input.unit, bits)).collect();
        let least = (largest(&units) / UNIT_RANGE).max(least);
        let units = units.iter().map(|unit| unit.max(least)).collect();
        Self::new(rows, inputs, input, bits, units)
    }

    /// Quantises rows `[inputs + 1]` with the given accumulator units.
    pub fn new(rows: &[f32], inputs: usize, input: Input, bits: Bits, units: Vec<f32>) -> Self {
        let mut weights = Vec::with_capacity(rows.len());
        let (mut bias, mut bound) = (Vec::with_capacity(units.len()), 0.0f32);
        for (row, unit) in rows.chunks_exact(inputs + 1).zip(&units) {
            let start = weights.len();
            let scale = input.unit / unit;
            weights.extend(row[..inputs].iter().map(|weight| round(weight * scale, bits)));
            let weights = weights[start..].iter().map(|&w| i32::from(w));
            let (positive, negative): (Vec<_>, Vec<_>) = weights.partition(|&w| w > 0);
            let (positive, negative) = (positive.iter().sum::<i32>(), negative.iter().sum::<i32>());
            let limit = LARGEST_BIAS / 2.0;
            let own = (row[inputs] / unit).round().clamp(-limit, limit) as i32;
            let own = own - i32::from(input.zero) * (positive + negative);
            let ends = [positive, negative].map(|end| (own + end * i32::from(u8::MAX)).abs());
            bound = bound.max(ends[0].max(ends[1]) as f32);
            bias.push(own);
        }
        let mut packed = vec![0; bits.len(inputs, units.len())];
        pack(bits, inputs, &weights, &mut packed);
        Self { inputs, bits, packed, bias, bias_bytes: Vec::new(), bias_shift: 0, units, bound }
            .finished()
    }

    /// Packs rows of several matrices, one under another, as so many matrices one after another.
    pub fn split(mut self, matrices: usize) -> Self {
        let dense = self.view();
        let (inputs, outputs) = (self.inputs, self.units.len() / matrices);
        let size = self.bits.len(inputs, outputs);
        let mut packed = vec![0; matrices * size];
        for (matrix, packed) in packed.chunks_exact_mut(size).enumerate() {
            let rows = matrix * outputs..(matrix + 1) * outputs;
            let weights: Vec<i8> = rows
                .flat_map(|row| (0..inputs).map(move |input| dense.weight(row, input)))
                .collect();
            pack(self.bits, inputs, &weights, packed);
        }
        self.packed = packed;
        self
    }

    /// Puts int8 weights into the order of a convolution with groups: `[inputs, outputs]`.
    pub fn grouped(mut self) -> Self {
        let dense = self.view();
        let (inputs, outputs) = (self.inputs, self.units.len());
        let weight = |index: usize| dense.weight(index % outputs, index / outputs) as u8;
        self.packed = (0..inputs * outputs).map(weight).collect();
        self
    }

    /// Makes a right shift of the accumulators round to the nearest.
    pub fn rounded(mut self, shift: u8) -> Self {
        if let Some(bit) = shift.checked_sub(1) {
            self.bias.iter_mut().for_each(|bias| *bias += 1 << bit);
        }
        self.finished()
    }

    fn finished(mut self) -> Self {
        let largest = self.bias.iter().map(|bias| bias.unsigned_abs()).max().unwrap_or(0);
        // 15 bits and a sign are left.
        let shift = 17u32.saturating_sub(largest.leading_zeros());
        self.bias_shift = shift as u8;
        self.bias_bytes = bytes(self.bias.iter().map(|&bias| {
            let nearest = if shift == 0 { bias } else { (bias + (1 << (shift - 1))) >> shift };
            (nearest.min(i16::MAX.into()) as i16).to_le_bytes()
        }));
        self
    }

    /// Returns the first of so many matrices that it was [split](Self::split) into, and weights and biases of the
    /// others.
    pub fn view_split(&self, matrices: usize) -> (Dense<'_>, U8s<'_>, I16s<'_>) {
        let whole = self.view();
        let outputs = self.units.len() / matrices;
        let (weights, other_weights) = whole.weights.split_at(self.packed.len() / matrices);
        let (bias, other_biases) = whole.bias.split_at(outputs);
        (Dense { outputs: outputs as u16, weights, bias, ..whole }, other_weights, other_biases)
    }

    /// Returns it as the artifact holds it.
    pub fn view(&self) -> Dense<'_> {
        Dense {
            inputs: self.inputs as u16,
            outputs: self.units.len() as u16,
            bits: self.bits,
            weights: U8s::new(&self.packed),
            bias: I16s::new(&self.bias_bytes),
            bias_shift: self.bias_shift,
        }
    }
}

/// Accumulator unit of a row `[inputs + 1]`: its largest weight becomes the largest integer, or
/// what clips it least harmfully, and its bias stays far inside the accumulator.
pub fn row_unit(row: &[f32], input_unit: f32, bits: Bits) -> f32 {
    let (weights, bias) = row.split_at(row.len() - 1);
    let whole = input_unit * largest(weights) / largest_integer(bits);
    let error = |unit: f32| -> f64 {
        let scale = input_unit / unit;
        let squares = weights.iter().map(|weight| {
            let exact = weight * scale;
            f64::from((exact - f32::from(round(exact, bits))) * unit).powi(2)
        });
        squares.sum()
    };
    let by_weight = match bits {
        Bits::Eight => whole,
        Bits::Four => (0..CLIPS)
            .map(|step| whole * (1.0 - (1.0 - SMALLEST_CLIP) * step as f32 / CLIPS as f32))
            .min_by(|&a, &b| error(a).total_cmp(&error(b)))
            .unwrap_or(whole),
    };
    let by_bias = bias[0].abs() / (LARGEST_BIAS / 4.0);
    by_weight.max(by_bias).max(f32::MIN_POSITIVE * 1e6)
}

/// Largest magnitude of a weight; the negative end of the range is left out for symmetry.
pub fn largest_integer(bits: Bits) -> f32 {
    (bits.offset() - 1) as f32
}

/// The nearest weight.
pub fn round(value: f32, bits: Bits) -> i8 {
    let limit = largest_integer(bits);
    value.round().clamp(-limit, limit) as i8
}

/// A fixed-point scaling.
pub struct QuantisedRescale {
    before: u8,
    multiplier: Vec<u8>,
    after: u8,
}

impl QuantisedRescale {
    /// Scaling by one of `factors` for every output, as precise as 16 bits allow where results of
    /// up to `reach` count.
    pub fn new(factors: &[f32], reach: f32) -> Self {
        let used = factors.iter().copied().filter(|factor| factor.is_normal());
        let (smallest, largest) =
            used.fold((f32::INFINITY, f32::MIN_POSITIVE), |(s, l), f| (s.min(f), l.max(f)));
        // The accumulator of the output with the smallest factor goes farthest.
        let before = (reach / smallest / INT16).max(f32::MIN_POSITIVE).log2().ceil();
        let before = before.clamp(0.0, MOST_BEFORE);
        let after = (INT16 / (largest * before.exp2())).log2().floor().clamp(1.0, 31.0);
        let scale = f64::from(before + after).exp2();
        let multiplier = factors.iter().map(|&factor| {
            let value = (f64::from(factor) * scale).round().min(f64::from(INT16));
            (value as i16).to_le_bytes()
        });
        Self { before: before as u8, multiplier: bytes(multiplier), after: after as u8 }
    }

    /// The shift before the multiplication, for [`QuantisedDense::rounded`].
    pub fn before(&self) -> u8 {
        self.before
    }

    /// Returns it as the artifact holds it.
    pub fn view(&self) -> Rescale<'_> {
        Rescale { before: self.before, multiplier: I16s::new(&self.multiplier), after: self.after }
    }
}

/// Largest magnitude.
pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// The bytes of elements one after another.
pub fn bytes<const N: usize>(values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    values.flatten().collect()
}
