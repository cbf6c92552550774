//! Rows set aside: for calibration, and for cross-validation.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{Rows, Target, Targets};
use crate::random::{Purpose, stream};

/// Fewest rows that anything is trained on.
const MIN_TRAINING_ROWS: usize = 20;

/// Row indices of the training and the calibration part, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Rows that weights and hyper-parameters are fitted to.
    pub training: Vec<usize>,
    /// Rows that conformal and out-of-distribution thresholds are set on.
    pub calibration: Vec<usize>,
}

/// Sets aside `fraction` of the rows for calibration, at least as many as a conformal threshold at
/// `coverage` needs; classes keep their shares. A class is never absent from the training part.
///
/// # Errors
/// A message that says how many rows are needed.
pub fn split(target: &Target, fraction: f64, coverage: f64, seed: u64) -> Result<Split, String> {
    // Rounding must not ask for one row more.
    let needed = (1.0 / (1.0 - coverage) - 1e-6).ceil() as usize;
    let n = target.len();
    let wanted = ((fraction * n as f64).round() as usize).max(needed);
    if n < MIN_TRAINING_ROWS + wanted {
        return Err(format!(
            "found {n} rows, expected at least {}: {MIN_TRAINING_ROWS} to train and {wanted} to \
             calibrate at coverage {coverage}",
            MIN_TRAINING_ROWS + wanted
        ));
    }
    let (training, calibration) = set_aside(target, wanted, Purpose::Split, seed);
    Ok(Split { training, calibration })
}

/// Indices of at most `most` of `rows` rows, evenly spaced.
pub fn evenly(rows: usize, most: usize) -> Vec<usize> {
    let count = rows.min(most);
    (0..count).map(|index| index * rows / count).collect()
}

/// Indices of the training and of the test rows, ascending: `fraction` of the rows are to test on;
/// classes keep their shares, and none is absent from the training part.
pub fn test_split(target: &Target, fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let wanted = (fraction * target.len() as f64).round() as usize;
    set_aside(target, wanted, Purpose::Test, seed)
}

/// The rows that stay and the `wanted` that are set aside, ascending.
fn set_aside(
    target: &Target,
    wanted: usize,
    purpose: Purpose,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let labels: Vec<u32> = match target {
        Target::Classes(labels, _) => labels.clone(),
        Target::Values(values) => vec![0; values.len()],
    };
    let n = labels.len();
    let order = stratified_order(&labels, purpose, seed);
    // Taking every n/wanted-th row of an order sorted by class keeps the classes' shares.
    let mut aside = vec![false; n];
    for index in 0..wanted {
        aside[order[index * n / wanted]] = true;
    }
    let mut left = vec![0usize; labels.iter().max().map_or(0, |&class| class as usize + 1)];
    (0..n).filter(|&row| !aside[row]).for_each(|row| left[labels[row] as usize] += 1);
    for row in 0..n {
        if aside[row] && left[labels[row] as usize] == 0 {
            aside[row] = false;
            left[labels[row] as usize] += 1;
        }
    }
    (0..n).partition(|&row| !aside[row])
}

/// Shares the rows out over `count` folds of nearly equal size; classes keep their shares. Rows with the
/// same features stay together, lest a fold hold out what was trained on: without that a set with copies of
/// rows chooses what remembers them, and noise as small as the copies have. Where most rows repeat, as with a
/// few categories, new rows will too, and they are shared out as they come.
pub fn folds(rows: &Rows, count: usize, seed: u64) -> Vec<Vec<usize>> {
    let labels = match &rows.targets {
        Targets::Classes { labels, .. } => labels.clone(),
        Targets::Values(values) => vec![0; values.len()],
    };
    let order = stratified_order(&labels, Purpose::Folds, seed);
    let width = (rows.x.len() / rows.n.max(1)).max(1);
    let features = |row: usize| -> Vec<u32> {
        rows.x[row * width..(row + 1) * width].iter().map(|x| x.to_bits()).collect()
    };
    let mut first: HashMap<Vec<u32>, usize> = HashMap::new();
    for (index, &row) in order.iter().enumerate() {
        first.entry(features(row)).or_insert(index % count);
    }
    let together = 2 * first.len() > rows.n;
    let mut folds = vec![Vec::new(); count];
    for (index, row) in order.into_iter().enumerate() {
        let fold = if together { first[&features(row)] } else { index % count };
        folds[fold].push(row);
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// All rows, shuffled within their class, one class after another.
fn stratified_order(labels: &[u32], purpose: Purpose, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut stream(seed, purpose, 0));
    order.sort_by_key(|&row| labels[row]);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_complete_and_stratified() {
        let labels: Vec<u32> = (0..200).map(|row| u32::from(row % 4 == 0)).collect();
        let target = Target::Classes(labels.clone(), vec!["a".into(), "b".into()]);
        let split = split(&target, 0.1, 0.9, 3).expect("enough rows");
        assert_eq!(split.calibration.len(), 20);
        assert_eq!(split.calibration.iter().filter(|&&row| labels[row] == 1).count(), 5);
        let mut all = [split.training, split.calibration].concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());

        let x = (0..200).map(|row| row as f32).collect();
        let rows = Rows { x, n: 200, targets: Targets::Classes { labels, classes: 2 } };
        let folds = folds(&rows, 5, 3);
        assert!(folds.iter().all(|fold| fold.len() == 40));
    }

    #[test]
    fn copies_of_a_row_are_held_out_together_unless_most_rows_are_copies() {
        let spread = |x: &dyn Fn(usize) -> f32| -> Vec<usize> {
            let x = (0..120).map(x).collect();
            let rows = Rows { x, n: 120, targets: Targets::Values(vec![0.0; 120]) };
            let folds = folds(&rows, 5, 1);
            let mut all = folds.concat();
            all.sort_unstable();
            assert_eq!(all, (0..120).collect::<Vec<_>>());
            assert!(folds.iter().all(|fold| fold.len() > 12), "{folds:?}");
            // Folds that hold one of rows 0, 3, 6 and 9.
            (0..5).filter(|&fold| folds[fold].iter().any(|&row| row % 3 == 0 && row < 12)).collect()
        };
        // Rows 0, 3, 6 and 9 are copies.
        let copies = spread(&|row| if row % 3 == 0 && row < 12 { -1.0 } else { row as f32 });
        assert_eq!(copies.len(), 1);
        // Of two categories.
        assert!(spread(&|row| (row % 2) as f32).len() > 1);
    }

    #[test]
    fn test_rows_are_a_stratified_share_and_differ_by_seed() {
        let labels: Vec<u32> = (0..100).map(|row| u32::from(row % 5 == 0)).collect();
        let target = Target::Classes(labels.clone(), vec!["a".into(), "b".into()]);
        let (training, test) = test_split(&target, 0.3, 0);
        assert_eq!((training.len(), test.len()), (70, 30));
        assert_eq!(test.iter().filter(|&&row| labels[row] == 1).count(), 6);
        assert!(training.iter().all(|row| !test.contains(row)));
        assert_ne!(test, test_split(&target, 0.3, 1).1);
        assert_eq!(test, test_split(&target, 0.3, 0).1);
    }

    #[test]
    fn a_rare_class_stays_in_training() {
        let mut labels = vec![0; 60];
        labels[17] = 1;
        let target = Target::Classes(labels, vec!["a".into(), "b".into()]);
        for seed in 0..50 {
            let split = split(&target, 0.3, 0.9, seed).expect("enough rows");
            assert!(split.training.contains(&17));
        }
    }

    #[test]
    fn too_few_rows_are_refused_with_the_number_needed() {
        let target = Target::Values(vec![0.0; 25]);
        let message = split(&target, 0.1, 0.9, 0).expect_err("25 rows");
        assert!(message.contains("found 25 rows, expected at least 30"), "{message}");
    }
}
