//! Why bytes are not an artifact.

use core::error::Error;
use core::fmt;

use crate::geometry::Shape;

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Index of the layer that it belongs to, if any.
    pub layer: Option<u8>,
}

/// Why [`decode`](crate::decode) refused a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// The first four bytes are not those of a `.fwk` file.
    WrongMagic,
    /// Written in a format version that this reader does not know.
    UnknownVersion {
        /// Version in the file.
        found: u16,
    },
    /// Reserved header flags are set.
    UnknownFlags {
        /// Flags in the file.
        found: u16,
    },
    /// The file is shorter than its header says.
    Truncated {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Bytes follow the end of the artifact.
    TrailingBytes {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The CRC-32 does not match: the file is corrupt.
    BadCrc {
        /// Checksum in the header.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// The body is not the postcard encoding of an artifact, or it has more than
    /// [`MAX_LAYERS`](crate::MAX_LAYERS) layers.
    Malformed,
    /// The bytes of an array end within an element.
    PartialElement {
        /// Which array.
        field: Field,
        /// Bytes in the array.
        bytes: usize,
        /// Bytes of one element.
        element: usize,
    },
    /// An array has another length than the shapes ask for.
    WrongLength {
        /// Which array.
        field: Field,
        /// Elements expected.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// A matrix does not take as many inputs as the output before it is wide.
    ShapeMismatch {
        /// Which matrix.
        field: Field,
        /// Width expected.
        expected: usize,
        /// Width found.
        found: usize,
    },
    /// A map has another shape than the one that is added to it.
    WrongShape {
        /// What is added.
        field: Field,
        /// Shape expected.
        expected: Shape,
        /// Shape found.
        found: Shape,
    },
    /// A window is larger than the map, its padding included.
    DoesNotFit {
        /// Which window.
        field: Field,
        /// The map that it lies on.
        map: Shape,
    },
    /// A layer's window, skip, pooling, weights and factors do not go together.
    WrongBlock {
        /// Which of them.
        field: Field,
        /// What would go, in words.
        expected: &'static str,
    },
    /// An integer is outside its range.
    OutOfRange {
        /// Which integer.
        field: Field,
        /// Smallest value allowed.
        min: i32,
        /// Largest value allowed.
        max: i32,
        /// The integer; [`i32::MAX`] where it is larger than that.
        found: i32,
    },
    /// A float is outside its range. Its value is left out, so that a board that prints the
    /// message needs no formatting of floats.
    FloatOutOfRange {
        /// Which float.
        field: Field,
        /// Index in its array, or 0.
        index: usize,
        /// The range in words.
        expected: &'static str,
    },
    /// A float is NaN or infinite.
    NotFinite {
        /// Which float.
        field: Field,
        /// Index in its array, or 0.
        index: usize,
    },
    /// Only hidden layers have an activation, and only the last one has logits or a value.
    WrongActivation {
        /// Index of the layer.
        layer: u8,
    },
    /// A classifier ends in logits, a regressor in a value.
    WrongOutput,
    /// Codes are drawn by default, but no trunk turns them into modulations.
    NoTrunk,
    /// Fewer codes are stored than the default number of samples asks for.
    TooFewCodes {
        /// Codes expected.
        expected: usize,
        /// Codes found.
        found: usize,
    },
    /// The length of the scratch buffer is not what the shapes need.
    ScratchLen {
        /// Words expected.
        expected: usize,
        /// Words found.
        found: usize,
    },
}

/// Why [`encode`](crate::encode) wrote no artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// [`decode`](crate::decode) would refuse the artifact.
    Invalid(DecodeError),
    /// The buffer is too small.
    BufferTooSmall {
        /// Length of the buffer, bytes.
        found: usize,
    },
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "layer {layer}: {}", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} x {}", self.height, self.width, self.channels)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongMagic => f.write_str("not a .fwk file: it does not start with \"FBWK\""),
            Self::UnknownVersion { found } => write!(
                f,
                "format version {found} is unknown, expected {}: use a fiberwalk that knows it",
                crate::VERSION
            ),
            Self::UnknownFlags { found } => {
                write!(
                    f,
                    "header flags are {found:#06x}, expected 0 or 1: use a fiberwalk that knows them"
                )
            }
            Self::Truncated { expected, found } => {
                write!(f, "the file is truncated: found {found} bytes, expected {expected}")
            }
            Self::TrailingBytes { expected, found } => {
                write!(f, "bytes follow the artifact: found {found} bytes, expected {expected}")
            }
            Self::BadCrc { expected, found } => write!(
                f,
                "the file is corrupt: CRC-32 {found:#010x}, the header says {expected:#010x}"
            ),
            Self::Malformed => {
                write!(f, "the body is not an artifact of format version {}", crate::VERSION)
            }
            Self::PartialElement { field, bytes, element } => {
                write!(f, "{field}: found {bytes} bytes, expected a multiple of {element}")
            }
            Self::WrongLength { field, expected, found } => {
                write!(f, "{field}: found {found} elements, expected {expected}")
            }
            Self::ShapeMismatch { field, expected, found } => {
                write!(f, "{field}: found {found} inputs, expected {expected}")
            }
            Self::WrongShape { field, expected, found } => {
                write!(f, "{field}: found a map of {found}, expected {expected}")
            }
            Self::DoesNotFit { field, map } => {
                write!(f, "{field}: found one that does not fit on a map of {map}, expected a smaller one")
            }
            Self::WrongBlock { field, expected } => write!(f, "{field}: expected {expected}"),
            Self::OutOfRange { field, min, max, found } => {
                write!(f, "{field}: found {found}, expected {min} to {max}")
            }
            Self::FloatOutOfRange { field, index, expected } => {
                write!(f, "{field}: element {index} is out of range, expected {expected}")
            }
            Self::NotFinite { field, index } => {
                write!(f, "{field}: element {index} is NaN or infinite")
            }
            Self::WrongActivation { layer } => write!(
                f,
                "layer {layer}: expected an activation on hidden layers, logits or a value on the last"
            ),
            Self::WrongOutput => {
                f.write_str("the output is of another task than the last layer: expected logits for classes, a value for a number")
            }
            Self::NoTrunk => f.write_str("codes are drawn by default, expected a trunk for them"),
            Self::TooFewCodes { expected, found } => {
                write!(f, "stored codes: found {found}, expected at least {expected}")
            }
            Self::ScratchLen { expected, found } => {
                write!(f, "length of the scratch buffer: found {found} words, expected {expected}")
            }
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "the artifact is not valid: {error}"),
            Self::BufferTooSmall { found } => {
                write!(f, "the artifact does not fit into a buffer of {found} bytes")
            }
        }
    }
}

impl Error for DecodeError {}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::BufferTooSmall { .. } => None,
        }
    }
}
