//! Cross-validation: what is chosen or calibrated on rows that were not trained on.

use crate::data::{Rows, evenly, folds};
use crate::descent::TrainingSet;
use crate::network::Batch;
use crate::task::{Predictive, Targets};

/// Parts that the rows are cut into; a fold holds one of them out.
const PARTS: usize = 5;

/// Training and held-out rows of one fold.
pub struct Fold {
    /// Rows to fit to.
    pub training: TrainingSet,
    /// Inputs held out.
    pub held_out: Batch,
    /// Their targets.
    pub targets: Targets,
}

/// Most rows that a fold holds out and evaluates.
const MOST_HELD_OUT: usize = 20_000;

/// Folds that are evaluated: with many rows a few parts say enough.
pub fn fold_count(rows: usize) -> usize {
    match rows {
        ..=400 => PARTS,
        401..=1000 => 3,
        1001..=4000 => 2,
        _ => 1,
    }
}

/// Cuts `rows` into folds, the same for the same seed. `batch_rows` is that of a [`TrainingSet`].
pub fn cross_validation(rows: &Rows, batch_rows: usize, seed: u64) -> Vec<Fold> {
    let parts = folds(rows, PARTS, seed);
    parts
        .iter()
        .take(fold_count(rows.len()))
        // Few groups leave some empty.
        .filter(|part| !part.is_empty())
        .map(|part| {
            let mut inside = vec![false; rows.len()];
            part.iter().for_each(|&row| inside[row] = true);
            let rest: Vec<usize> = (0..rows.len()).filter(|&row| !inside[row]).collect();
            let evaluated: Vec<usize> =
                evenly(part.len(), MOST_HELD_OUT).into_iter().map(|at| part[at]).collect();
            let (training, held_out) = (rows.subset(&rest), rows.subset(&evaluated));
            let targets = &training.targets;
            Fold {
                training: TrainingSet::new(&training.x, targets, batch_rows, seed),
                held_out: held_out.x.to_batch(),
                targets: held_out.targets,
            }
        })
        .collect()
}

/// Held-out targets of all folds, in order.
pub fn held_out_targets(folds: &[Fold]) -> Targets {
    let mut all = folds[0].targets.clone();
    folds[1..].iter().for_each(|fold| all.append(fold.targets.clone()));
    all
}

/// Predictives of all folds' held-out rows, in order.
///
/// # Errors
/// The errors of `predict`.
pub fn predict_held_out(
    folds: &[Fold],
    predict: impl Fn(usize, &Fold) -> anyhow::Result<Predictive>,
) -> anyhow::Result<Predictive> {
    let mut all = predict(0, &folds[0])?;
    for (index, fold) in folds.iter().enumerate().skip(1) {
        all.append(predict(index, fold)?);
    }
    Ok(all)
}
