//! The order of a matrix's weights: that in which the kernels read them.

use serde::{Deserialize, Serialize};

use crate::artifact::Dense;

/// Inputs that a kernel reads at a time: input vectors are padded with zeros to a multiple of it.
pub const INPUT_GROUP: usize = 4;
/// Rows of a group of int8 weights.
const ROWS_8: usize = 4;
/// Rows of a group of int4 weights.
const ROWS_4: usize = 8;

/// Bits of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bits {
    /// int4: −8 to 7.
    Four,
    /// int8: −128 to 127.
    Eight,
}

impl Bits {
    /// 4 or 8.
    pub const fn count(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// What is added to a weight before it is stored, so that no stored value is negative.
    pub const fn offset(self) -> i32 {
        1 << (self.count() - 1)
    }

    /// Bytes of a whole group of rows, and the number of its rows.
    pub const fn group(self, inputs: usize) -> (usize, usize) {
        match self {
            Self::Eight => (ROWS_8 * padded(inputs), ROWS_8),
            Self::Four => (ROWS_4 / 2 * inputs, ROWS_4),
        }
    }

    /// Bytes of a row that belongs to no whole group.
    pub const fn row(self, inputs: usize) -> usize {
        match self {
            Self::Eight => padded(inputs),
            Self::Four => inputs.div_ceil(2),
        }
    }

    /// Bytes of a matrix.
    pub const fn len(self, inputs: usize, outputs: usize) -> usize {
        let (bytes, rows) = self.group(inputs);
        outputs / rows * bytes + outputs % rows * self.row(inputs)
    }

    /// Byte of a weight, and the shift within it.
    const fn place(self, shape: (usize, usize), output: usize, input: usize) -> (usize, u32) {
        let (inputs, outputs) = shape;
        let (bytes, rows) = self.group(inputs);
        let (group, row) = (output / rows, output % rows);
        let whole = group < outputs / rows;
        let start = if whole { group * bytes } else { group * bytes + row * self.row(inputs) };
        match (self, whole) {
            (Self::Eight, true) => {
                let block = input / INPUT_GROUP * ROWS_8 * INPUT_GROUP;
                (start + block + row * INPUT_GROUP + input % INPUT_GROUP, 0)
            }
            (Self::Eight, false) => (start + input, 0),
            (Self::Four, true) => (start + input * ROWS_4 / 2 + row / 2, (row % 2 * 4) as u32),
            (Self::Four, false) => (start + input / 2, (input % 2 * 4) as u32),
        }
    }
}

/// `width` rounded up to whole groups of inputs.
pub const fn padded(width: usize) -> usize {
    width.next_multiple_of(INPUT_GROUP)
}

/// Packs a row-major matrix `[outputs, inputs]` into `out`: [`Bits::len`] bytes.
///
/// Nothing is written where `inputs` is 0, or beyond the end of `out`.
pub fn pack(bits: Bits, inputs: usize, weights: &[i8], out: &mut [u8]) {
    if inputs == 0 {
        return;
    }
    let shape = (inputs, weights.len() / inputs);
    let mask = (2 * bits.offset() - 1) as u8;
    // Padding counts as weight 0.
    out.fill(match bits {
        Bits::Eight => 0x80,
        Bits::Four => 0x88,
    });
    for (output, row) in weights.chunks_exact(inputs).enumerate() {
        for (input, &weight) in row.iter().enumerate() {
            let (byte, shift) = bits.place(shape, output, input);
            let stored = (i32::from(weight) + bits.offset()) as u8 & mask;
            if let Some(byte) = out.get_mut(byte) {
                *byte = (*byte & !(mask << shift)) | (stored << shift);
            }
        }
    }
}

impl Dense<'_> {
    /// One weight: for a reader that is in no hurry. 0 outside the matrix.
    pub fn weight(&self, output: usize, input: usize) -> i8 {
        let shape = (usize::from(self.inputs), usize::from(self.outputs));
        if input >= shape.0 || output >= shape.1 {
            return 0;
        }
        let (byte, shift) = self.bits.place(shape, output, input);
        let mask = 2 * self.bits.offset() - 1;
        self.weights
            .bytes()
            .get(byte)
            .map_or(0, |&byte| (((i32::from(byte) >> shift) & mask) - self.bits.offset()) as i8)
    }
}
