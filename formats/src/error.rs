//! Why bytes are not an artifact.

use core::fmt;

/// Why [`decode`](crate::decode) refused a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The body is not the postcard encoding of an artifact.
    Malformed,
    /// An array has another length than the shapes ask for.
    WrongLength {
        /// Which array.
        field: &'static str,
        /// Elements expected.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// A layer's input is not as wide as the output before it.
    ShapeMismatch {
        /// Index of the layer.
        layer: usize,
        /// Width expected.
        expected: usize,
        /// Width found.
        found: usize,
    },
    /// A number is outside its range.
    OutOfRange {
        /// Which number.
        field: &'static str,
    },
    /// A number is NaN or infinite.
    NotFinite {
        /// Which number.
        field: &'static str,
    },
    /// Only hidden layers have a tanh or ReLU, only the last one is the identity.
    WrongActivation {
        /// Index of the layer.
        layer: usize,
    },
}

/// Why [`encode`](crate::encode) wrote nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The artifact breaks a rule that decoding checks.
    Invalid(DecodeError),
    /// The buffer is too small.
    BufferTooSmall,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WrongMagic => f.write_str("not a .fwk file: it does not start with \"FBWK\""),
            Self::UnknownVersion { found } => write!(
                f,
                "format version {found} is unknown, expected {}: update fiberwalk",
                crate::VERSION
            ),
            Self::UnknownFlags { found } => {
                write!(f, "header flags {found:#06x} are unknown, expected 0: update fiberwalk")
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
            Self::Malformed => f.write_str("the body is not a version 1 artifact"),
            Self::WrongLength { field, expected, found } => {
                write!(f, "{field}: found {found} elements, expected {expected}")
            }
            Self::ShapeMismatch { layer, expected, found } => {
                write!(f, "layer {layer} takes {found} inputs, expected {expected}")
            }
            Self::OutOfRange { field } => write!(f, "{field} is out of range"),
            Self::NotFinite { field } => write!(f, "{field} is NaN or infinite"),
            Self::WrongActivation { layer } => {
                write!(f, "layer {layer} has an activation that does not belong there")
            }
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "the artifact is not valid: {error}"),
            Self::BufferTooSmall => f.write_str("the buffer is too small for the artifact"),
        }
    }
}

impl core::error::Error for DecodeError {}
impl core::error::Error for EncodeError {}
