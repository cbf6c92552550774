//! How a call ended: C's `fw_status`.

use core::ffi::CStr;

use fiberwalk_runtime::{DecodeError, PredictError};

use crate::header;

/// One of the numbers below; C may pass any other.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Status(i32);

/// Constants with the names and numbers of the header, and their text.
macro_rules! statuses {
    ($($name:ident: $text:literal,)*) => {
        $(pub const $name: Status =
            Status(header::number(concat!(stringify!($name), " = ")) as i32);)*

        impl Status {
            /// In words.
            pub const fn text(self) -> &'static CStr {
                match self {
                    $($name => $text,)*
                    _ => c"unknown status",
                }
            }
        }
    };
}

statuses! {
    FW_OK: c"ok",
    FW_NULL_POINTER: c"a pointer is null",
    FW_MISALIGNED: c"a pointer is not aligned to its type",
    FW_NOT_INITIALISED: c"the model is not initialised",
    FW_NOT_A_MODEL: c"not a .fwk file",
    FW_UNKNOWN_VERSION: c"the file is of an unknown format version",
    FW_CORRUPT: c"the file is corrupt",
    FW_INVALID_MODEL: c"the file contradicts itself",
    FW_WRONG_INPUT_LEN: c"wrong number of inputs",
    FW_INPUT_NOT_FINITE: c"an input is not finite",
    FW_SCRATCH_TOO_SMALL: c"the scratch is too small",
    FW_NO_SAMPLES: c"no samples were asked for",
    FW_TOO_MANY_SAMPLES: c"more samples were asked for than codes are stored",
    FW_OTHER: c"unknown error",
}

impl Status {
    /// How `call` ends.
    pub fn of(call: impl FnOnce() -> Result<(), Self>) -> Self {
        call().err().unwrap_or(FW_OK)
    }
}

impl From<DecodeError> for Status {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::WrongMagic => FW_NOT_A_MODEL,
            DecodeError::UnknownVersion { .. } | DecodeError::UnknownFlags { .. } => {
                FW_UNKNOWN_VERSION
            }
            DecodeError::Truncated { .. }
            | DecodeError::TrailingBytes { .. }
            | DecodeError::BadCrc { .. } => FW_CORRUPT,
            _ => FW_INVALID_MODEL,
        }
    }
}

impl From<PredictError> for Status {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::InputLen { .. } => FW_WRONG_INPUT_LEN,
            PredictError::InputNotFinite { .. } => FW_INPUT_NOT_FINITE,
            PredictError::ScratchTooSmall { .. } => FW_SCRATCH_TOO_SMALL,
            PredictError::NoSamples => FW_NO_SAMPLES,
            PredictError::TooManySamples { .. } => FW_TOO_MANY_SAMPLES,
            // A file that draws codes has a trunk for them: `NoTrunk` cannot happen.
            _ => FW_OTHER,
        }
    }
}
