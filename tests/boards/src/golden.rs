//! What a board's result and the host's must have in common: every bit.

use fiberwalk_runtime::Classification;

use crate::cases::Case;
use crate::model::CLASSES;

/// Where a result differs from the host's: what, the host's bits, the bits here.
pub fn differences(
    case: &Case,
    class: &Classification<'_>,
) -> impl Iterator<Item = (&'static str, u32, u32)> {
    let mutual_information = class.mutual_information.to_bits();
    let set = class.set().fold(0, |set, class| set | 1 << class);
    let out_of_distribution = class.out_of_distribution.into();
    let scalars = [
        ("number of classes", CLASSES.len() as u32, class.probabilities.len() as u32),
        ("entropy", case.entropy, class.entropy.to_bits()),
        ("mutual information", case.mutual_information, mutual_information),
        ("expected entropy", case.expected_entropy, class.expected_entropy.to_bits()),
        ("prediction set", case.set, set),
        ("out of distribution", case.out_of_distribution.into(), out_of_distribution),
        ("sure", case.sure.into(), class.is_sure().into()),
    ];
    let bits = class.probabilities.iter().map(|p| p.to_bits());
    let probabilities = case.probabilities.iter().zip(bits);
    probabilities
        .map(|(&host, here)| ("probability", host, here))
        .chain(scalars)
        .filter(|(_, host, here)| host != here)
}
