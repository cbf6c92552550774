//! Results in C's layout; `fiberwalk.h` says what the fields mean.

use fiberwalk_runtime as runtime;

use crate::header;

const FW_CLASSIFICATION: i32 = header::number("FW_CLASSIFICATION = ") as i32;
const FW_REGRESSION: i32 = header::number("FW_REGRESSION = ") as i32;

/// `fw_prediction`.
#[repr(C)]
pub struct Prediction {
    kind: i32,
    out_of_distribution: bool,
    of: Of,
}

#[repr(C)]
union Of {
    classification: Classification,
    regression: Regression,
}

/// `fw_classification`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Classification {
    probabilities: *const f32,
    classes: usize,
    top: usize,
    probability: f32,
    entropy: f32,
    mutual_information: f32,
    expected_entropy: f32,
    set_threshold: f32,
    set_len: usize,
    sure: bool,
}

/// `fw_regression`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Regression {
    mean: f32,
    std: f32,
    epistemic_std: f32,
    lower: f32,
    upper: f32,
}

impl From<runtime::Prediction<'_>> for Prediction {
    fn from(prediction: runtime::Prediction<'_>) -> Self {
        match prediction {
            runtime::Prediction::Classification(class) => Self {
                kind: FW_CLASSIFICATION,
                out_of_distribution: class.out_of_distribution,
                of: Of { classification: class.into() },
            },
            runtime::Prediction::Regression(value) => Self {
                kind: FW_REGRESSION,
                out_of_distribution: value.out_of_distribution,
                of: Of { regression: value.into() },
            },
        }
    }
}

impl From<runtime::Classification<'_>> for Classification {
    fn from(class: runtime::Classification<'_>) -> Self {
        let (top, probability) = class.top();
        let in_set = class.set().map(|index| class.probabilities[index]);
        Self {
            probabilities: class.probabilities.as_ptr(),
            classes: class.probabilities.len(),
            top,
            probability,
            entropy: class.entropy,
            mutual_information: class.mutual_information,
            expected_entropy: class.expected_entropy,
            set_threshold: in_set.fold(f32::INFINITY, f32::min),
            set_len: class.set_len(),
            sure: class.is_sure(),
        }
    }
}

impl From<runtime::Regression> for Regression {
    fn from(value: runtime::Regression) -> Self {
        Self {
            mean: value.mean,
            std: value.std(),
            epistemic_std: value.epistemic_std(),
            lower: value.lower,
            upper: value.upper,
        }
    }
}
