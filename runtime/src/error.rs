//! Why a prediction could not be made.

use core::fmt;

/// Why [`Model::predict`](crate::Model::predict) refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PredictError {
    /// The input has another number of features than the model.
    InputLen {
        /// Features expected.
        expected: usize,
        /// Features found.
        found: usize,
    },
    /// An input is NaN or infinite.
    InputNotFinite {
        /// Index of the feature.
        index: usize,
    },
    /// The scratch buffer is too short.
    ScratchTooSmall {
        /// Words expected.
        expected: usize,
        /// Words found.
        found: usize,
    },
    /// No sample was asked for, or none was added before the session's end.
    NoSamples,
    /// More samples were asked for than codes are stored, or than
    /// [`MAX_SAMPLES`](fiberwalk_formats::MAX_SAMPLES).
    TooManySamples {
        /// Samples that there are.
        available: usize,
        /// Number of the sample that was asked for, from 1.
        asked: usize,
    },
    /// The model has no trunk, so that only stored codes can be used.
    NoTrunk,
}

impl fmt::Display for PredictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InputLen { expected, found } => {
                write!(f, "found {found} input features, expected {expected}")
            }
            Self::InputNotFinite { index } => write!(f, "input feature {index} is not finite"),
            Self::ScratchTooSmall { expected, found } => {
                write!(f, "found {found} words of scratch, expected at least {expected}")
            }
            Self::NoSamples => f.write_str("found 0 samples, expected at least 1"),
            Self::TooManySamples { available, asked } => write!(
                f,
                "sample {asked} was asked for, there are {available}: \
                 ask for fewer samples, or draw codes where the file's own run out"
            ),
            Self::NoTrunk => {
                f.write_str("the file has no trunk: only its stored codes can be used")
            }
        }
    }
}

impl core::error::Error for PredictError {}
