//! When a stage is measured along its steps.

/// Checkpoints of a long stage, besides its start.
const CHECKPOINTS: usize = 40;

/// The steps after which a stage is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints(Vec<usize>);

impl Checkpoints {
    /// Never.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The start, the end and evenly spaced steps between them, 41 in all; in a short stage every step.
    pub fn of(steps: usize) -> Self {
        let count = CHECKPOINTS.min(steps);
        Self((0..=count).map(|index| index * steps / count.max(1)).collect())
    }

    /// Steps done at every checkpoint, ascending.
    pub fn steps(&self) -> &[usize] {
        &self.0
    }

    /// Whether one is after so many steps.
    pub fn has(&self, done: usize) -> bool {
        self.0.binary_search(&done).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_even_and_include_both_ends() {
        assert_eq!(Checkpoints::of(3).steps(), [0, 1, 2, 3]);
        let long = Checkpoints::of(1010);
        assert_eq!(long.steps().len(), 41);
        assert_eq!((long.steps()[0], long.steps()[1], long.steps()[40]), (0, 25, 1010));
        assert!(long.has(25) && !long.has(26));
        assert!(long.steps().windows(2).all(|pair| (25..=26).contains(&(pair[1] - pair[0]))));
    }
}
