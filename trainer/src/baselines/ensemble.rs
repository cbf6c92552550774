//! Deep ensembles (Lakshminarayanan, Pritzel & Blundell 2017): MAP from several initialisations.

use super::{Baseline, Fitted, Problem, Sizes, sizes};

/// An ensemble under the problem's own prior, without adversarial training.
#[derive(Clone, Copy, Debug)]
pub struct Ensemble {
    /// Members M.
    pub members: usize,
}

impl Baseline for Ensemble {
    fn sizes(&self) -> Sizes {
        sizes([("members", self.members as f64)])
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        Ok(Fitted::Networks(problem.maps(self.members)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;

    /// A linear model has one mode, which is its posterior mean: all members must end there.
    #[test]
    fn members_of_a_linear_model_are_its_posterior_mean() {
        let linear = Linear::new();
        let fitted = Ensemble { members: 4 }.fit(&linear.problem()).expect("the processor");
        let Fitted::Networks(members) = fitted else { panic!("networks") };
        assert_eq!(members.len(), 4);
        for member in &members {
            for (found, expected) in member.iter().zip(linear.mean.iter()) {
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{member:?}");
            }
        }
        assert_ne!(members[0], members[1], "initialisations differ");
    }
}
