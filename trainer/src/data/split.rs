//! Rows set aside: for calibration, and for cross-validation.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Rows, Target};
use crate::random::{Purpose, stream};
use crate::task::{Classes, Targets};

/// Most rows that are set aside for calibration: a threshold is hardly more exact on more.
const MOST_CALIBRATION_ROWS: usize = 10_000;

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

/// Sets aside `fraction` of the rows for calibration, up to 10,000 and at least as many as a conformal
/// threshold at `coverage` needs; classes keep their shares. A class is never absent from the training part. With
/// `groups: [n]` no group is in both parts.
///
/// # Errors
/// A message that says how many rows, or groups, are needed.
pub fn split(
    target: &Target,
    groups: Option<&[u32]>,
    fraction: f64,
    coverage: f64,
    seed: u64,
) -> Result<Split, String> {
    // Rounding must not ask for one row more.
    let needed = (1.0 / (1.0 - coverage) - 1e-6).ceil() as usize;
    let n = target.len();
    let share = (fraction * n as f64).round() as usize;
    let wanted = share.min(MOST_CALIBRATION_ROWS).max(needed);
    if n < MIN_TRAINING_ROWS + wanted {
        return Err(format!(
            "found {n} rows, expected at least {}: {MIN_TRAINING_ROWS} to train and {wanted} to \
             calibrate at coverage {coverage}",
            MIN_TRAINING_ROWS + wanted
        ));
    }
    let (training, calibration) = match groups {
        None => set_aside(target, wanted, Purpose::Split, seed)?,
        Some(groups) => {
            let parts = set_groups_aside(target, groups, wanted, Purpose::Split, seed)?;
            if parts.0.len() < MIN_TRAINING_ROWS {
                return Err(format!(
                    "whole groups leave {} rows to train on, expected at least {MIN_TRAINING_ROWS}: more                      or smaller groups are needed",
                    parts.0.len()
                ));
            }
            parts
        }
    };
    // Whole groups can be many more.
    let fewer = evenly(calibration.len(), MOST_CALIBRATION_ROWS.max(needed));
    let calibration = fewer.into_iter().map(|at| calibration[at]).collect();
    Ok(Split { training, calibration })
}

/// Indices of at most `most` of `rows` rows, evenly spaced.
pub fn evenly(rows: usize, most: usize) -> Vec<usize> {
    let count = rows.min(most);
    (0..count).map(|index| index * rows / count).collect()
}

/// Indices of the training and of the test rows, ascending: `fraction` of the rows are to test on;
/// classes keep their shares, and none is absent from the training part. With `groups: [n]` no group is in both
/// parts.
///
/// # Errors
/// A message that says which groups, or classes, are needed.
pub fn test_split(
    target: &Target,
    groups: Option<&[u32]>,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let wanted = (fraction * target.len() as f64).round() as usize;
    match groups {
        None => set_aside(target, wanted, Purpose::Test, seed),
        Some(groups) => set_groups_aside(target, groups, wanted, Purpose::Test, seed),
    }
}

/// Indices of `wanted` rows in the order of their classes, which keep their shares.
pub(super) fn stratified(
    target: &Target,
    wanted: usize,
    purpose: Purpose,
    seed: u64,
) -> Vec<usize> {
    let labels = labels(target);
    let order = stratified_order(&labels, purpose, seed);
    // Taking every n/wanted-th row of an order sorted by class keeps the classes' shares.
    (0..wanted).map(|index| order[index * labels.len() / wanted]).collect()
}

/// Class of every row; one and the same for numbers.
fn labels(target: &Target) -> Vec<u32> {
    match target {
        Target::Classes(labels, _) => labels.clone(),
        Target::Values(values) => vec![0; values.len()],
    }
}

/// The rows that stay and the `wanted` that are set aside, ascending; fewer of these where a class would have none
/// left, but at least one.
fn set_aside(
    target: &Target,
    wanted: usize,
    purpose: Purpose,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let labels = labels(target);
    let n = labels.len();
    let mut aside = vec![false; n];
    stratified(target, wanted, purpose, seed).into_iter().for_each(|row| aside[row] = true);
    let mut left = vec![0usize; labels.iter().max().map_or(0, |&class| class as usize + 1)];
    (0..n).filter(|&row| !aside[row]).for_each(|row| left[labels[row] as usize] += 1);
    for row in 0..n {
        if aside[row] && left[labels[row] as usize] == 0 {
            aside[row] = false;
            left[labels[row] as usize] += 1;
        }
    }
    let (stay, aside): (Vec<usize>, Vec<usize>) = (0..n).partition(|&row| !aside[row]);
    if aside.is_empty() {
        return Err(format!(
            "of {n} rows none can be set aside to calibrate or test on: a row of every class has to stay; more rows \
             of the rare classes are needed"
        ));
    }
    Ok((stay, aside))
}

/// Rows of one group, and how many of each class.
struct Group {
    rows: Vec<usize>,
    classes: Vec<usize>,
}

/// The groups of all rows, shuffled.
fn shuffled_groups(labels: &[u32], groups: &[u32], purpose: Purpose, seed: u64) -> Vec<Group> {
    let count = |values: &[u32]| values.iter().max().map_or(0, |&largest| largest as usize + 1);
    let classes = count(labels);
    let empty = || Group { rows: Vec::new(), classes: vec![0; classes] };
    let mut all: Vec<Group> = (0..count(groups)).map(|_| empty()).collect();
    for (row, (&label, &group)) in labels.iter().zip(groups).enumerate() {
        let group = &mut all[group as usize];
        group.rows.push(row);
        group.classes[label as usize] += 1;
    }
    all.retain(|group| !group.rows.is_empty());
    all.shuffle(&mut stream(seed, purpose, 0));
    all
}

/// The rows that stay and those that are set aside, ascending: whole groups of at least `wanted` rows, their
/// classes' shares as near to those of all rows as groups that are asked one after another allow. Two groups
/// and a row of every class stay, so that folds can hold one out.
fn set_groups_aside(
    target: &Target,
    groups: &[u32],
    wanted: usize,
    purpose: Purpose,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), String> {
    let labels = labels(target);
    let all = shuffled_groups(&labels, groups, purpose, seed);
    let number = all.len();
    let mut left = all.iter().fold(Vec::new(), |mut sums: Vec<usize>, group| {
        sums.resize(group.classes.len(), 0);
        sums.iter_mut().zip(&group.classes).for_each(|(sum, count)| *sum += count);
        sums
    });
    let share = wanted as f64 / labels.len() as f64;
    // What each class still lacks among the rows set aside; below 0 once there are more than its share.
    let mut lack: Vec<f64> = left.iter().map(|&count| share * count as f64).collect();
    let (mut aside, mut rows) = (Vec::new(), 0);
    // At first groups that bring the shares nearer, then any.
    let mut waiting = all;
    for nearer in [true, false] {
        let mut passed = Vec::new();
        for group in waiting {
            let gain = group.classes.iter().zip(&lack).map(|(&count, lack)| {
                let count = count as f64;
                count * (2.0 * lack - count)
            });
            let fits = rows < wanted && (!nearer || gain.sum::<f64>() > 0.0);
            let spare =
                group.classes.iter().zip(&left).all(|(&count, &left)| count == 0 || left > count);
            if !(fits && spare && number - aside.len() > 2) {
                passed.push(group);
                continue;
            }
            rows += group.rows.len();
            for (class, &count) in group.classes.iter().enumerate() {
                lack[class] -= count as f64;
                left[class] -= count;
            }
            aside.push(group);
        }
        waiting = passed;
    }
    if rows < wanted {
        return Err(format!(
            "found {number} groups, of which {rows} rows can be set aside, expected {wanted}: two groups and a \
             row of every class have to stay; more groups are needed"
        ));
    }
    let rows_of = |groups: Vec<Group>| {
        let mut rows: Vec<usize> = groups.into_iter().flat_map(|group| group.rows).collect();
        rows.sort_unstable();
        rows
    };
    Ok((rows_of(waiting), rows_of(aside)))
}

/// Shares whole groups out over folds: the largest first, each to the fold that has least of its classes.
fn group_folds(labels: &[u32], groups: &[u32], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut all = shuffled_groups(labels, groups, Purpose::Folds, seed);
    all.sort_by_key(|group| std::cmp::Reverse(group.rows.len()));
    let classes = all.first().map_or(0, |group| group.classes.len());
    let mut held = vec![vec![0usize; classes]; count];
    let mut folds: Vec<Vec<usize>> = vec![Vec::new(); count];
    for group in all {
        let crowded = |fold: usize| -> usize {
            group.classes.iter().zip(&held[fold]).map(|(own, held)| own * held).sum()
        };
        let least = (0..count).min_by_key(|&fold| (crowded(fold), folds[fold].len())).unwrap_or(0);
        held[least].iter_mut().zip(&group.classes).for_each(|(held, own)| *held += own);
        folds[least].extend(group.rows);
    }
    folds
}

/// Shares the rows out over `count` folds of nearly equal size; classes keep their shares. Rows with the
/// same features stay together, lest a fold hold out what was trained on: without that a set with copies of
/// rows chooses what remembers them, and noise as small as the copies have. Where most rows repeat, as with a
/// few categories, new rows will too, and they are shared out as they come. Groups stay together in any case;
/// with fewer groups than folds some folds are empty, the last ones.
pub fn folds(rows: &Rows, count: usize, seed: u64) -> Vec<Vec<usize>> {
    let labels = match &rows.targets {
        Targets::Classification(Classes { labels, .. }) => labels.clone(),
        Targets::Regression(values) => vec![0; values.len()],
    };
    if let Some(groups) = &rows.groups {
        let mut folds = group_folds(&labels, groups, count, seed);
        folds.iter_mut().for_each(|fold| fold.sort_unstable());
        folds.sort_by_key(Vec::is_empty);
        return folds;
    }
    let order = stratified_order(&labels, Purpose::Folds, seed);
    // What is the same has the same hash; of a billion rows two others have one with a chance of 3%.
    let hash = |row: usize| -> u64 {
        let mut hash = DefaultHasher::new();
        rows.x.row(row).iter().for_each(|x| hash.write_u32(x.to_bits()));
        hash.finish()
    };
    let hashes: Vec<u64> = (0..rows.len()).into_par_iter().map(hash).collect();
    let mut first: HashMap<u64, usize> = HashMap::new();
    for (index, &row) in order.iter().enumerate() {
        first.entry(hashes[row]).or_insert(index % count);
    }
    let together = 2 * first.len() > rows.len();
    let mut folds = vec![Vec::new(); count];
    for (index, row) in order.into_iter().enumerate() {
        let fold = if together { first[&hashes[row]] } else { index % count };
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
    use super::super::Inputs;
    use super::*;

    /// Rows of one feature.
    fn rows(x: Vec<f32>, targets: Targets, groups: Option<Vec<u32>>) -> Rows {
        Rows { x: Inputs::standardised(x, 1), targets, groups }
    }

    #[test]
    fn parts_are_disjoint_complete_and_stratified() {
        let labels: Vec<u32> = (0..200).map(|row| u32::from(row % 4 == 0)).collect();
        let target = Target::Classes(labels.clone(), vec!["a".into(), "b".into()]);
        let split = split(&target, None, 0.1, 0.9, 3).expect("enough rows");
        assert_eq!(split.calibration.len(), 20);
        assert_eq!(split.calibration.iter().filter(|&&row| labels[row] == 1).count(), 5);
        let mut all = [split.training, split.calibration].concat();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());

        let x: Vec<f32> = (0..200).map(|row| row as f32).collect();
        let rows = rows(x, Targets::classes(labels, 2), None);
        let folds = folds(&rows, 5, 3);
        assert!(folds.iter().all(|fold| fold.len() == 40));
    }

    #[test]
    fn copies_of_a_row_are_held_out_together_unless_most_rows_are_copies() {
        let spread = |x: &dyn Fn(usize) -> f32| -> Vec<usize> {
            let x: Vec<f32> = (0..120).map(x).collect();
            let targets = Targets::Regression(vec![0.0; 120]);
            let rows = rows(x, targets, None);
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
        let (training, test) = test_split(&target, None, 0.3, 0).expect("rows");
        assert_eq!((training.len(), test.len()), (70, 30));
        assert_eq!(test.iter().filter(|&&row| labels[row] == 1).count(), 6);
        assert!(training.iter().all(|row| !test.contains(row)));
        assert_ne!(test, test_split(&target, None, 0.3, 1).expect("rows").1);
        assert_eq!(test, test_split(&target, None, 0.3, 0).expect("rows").1);
    }

    #[test]
    fn some_rows_are_always_set_aside() {
        // Ten classes of one row between as many of three: every fourth row, in the order of classes, is alone.
        let labels = (0..20u32).flat_map(|class| vec![class; if class % 2 == 0 { 1 } else { 3 }]);
        let names = (0..20).map(|class| class.to_string()).collect();
        let target = Target::Classes(labels.collect(), names);
        let message = split(&target, None, 0.25, 0.9, 0).expect_err("none can be set aside");
        assert!(message.contains("of 40 rows none can be set aside"), "{message}");
        let one = Target::Values(vec![1.0]);
        assert!(test_split(&one, None, 0.3, 0).is_err());
    }

    #[test]
    fn a_rare_class_stays_in_training() {
        let mut labels = vec![0; 60];
        labels[17] = 1;
        let target = Target::Classes(labels, vec!["a".into(), "b".into()]);
        for seed in 0..50 {
            let split = split(&target, None, 0.3, 0.9, seed).expect("enough rows");
            assert!(split.training.contains(&17));
        }
    }

    #[test]
    fn groups_stay_whole_and_classes_keep_their_shares() {
        // 30 groups of 8 rows, a quarter of them of class 1.
        let labels: Vec<u32> = (0..240).map(|row| u32::from(row % 4 == 0)).collect();
        let groups: Vec<u32> = (0..240).map(|row| row / 8).collect();
        let of = |rows: &[usize]| -> Vec<u32> {
            let mut of: Vec<u32> = rows.iter().map(|&row| groups[row]).collect();
            of.dedup();
            of
        };
        let target = Target::Classes(labels.clone(), vec!["a".into(), "b".into()]);
        let Split { training, calibration } =
            split(&target, Some(&groups), 0.2, 0.9, 3).expect("enough groups");
        assert_eq!((training.len(), calibration.len()), (192, 48));
        assert!(of(&calibration).iter().all(|group| !of(&training).contains(group)));
        assert_eq!(calibration.iter().filter(|&&row| labels[row] == 1).count(), 12);
        let (rest, test) = test_split(&target, Some(&groups), 0.3, 3).expect("enough groups");
        assert!(of(&test).iter().all(|group| !of(&rest).contains(group)) && test.len() == 72);

        let targets = Targets::classes(labels, 2);
        let rows = rows(vec![0.0; 240], targets, Some(groups.clone()));
        let folds = folds(&rows, 5, 3);
        assert!(folds.iter().all(|fold| fold.len() == 48 && of(fold).len() == 6), "{folds:?}");
    }

    #[test]
    fn groups_of_one_class_are_shared_out_by_class() {
        // 20 groups of 4 rows; every second is of class 1.
        let groups: Vec<u32> = (0..80).map(|row| row / 4).collect();
        let labels: Vec<u32> = groups.iter().map(|group| group % 2).collect();
        let target = Target::Classes(labels.clone(), vec!["a".into(), "b".into()]);
        let ones = |rows: &[usize]| rows.iter().filter(|&&row| labels[row] == 1).count();
        let split = split(&target, Some(&groups), 0.2, 0.9, 0).expect("enough groups");
        assert_eq!((split.calibration.len(), ones(&split.calibration)), (16, 8));
        let targets = Targets::classes(labels.clone(), 2);
        let rows = rows(vec![0.0; 80], targets, Some(groups));
        for fold in folds(&rows, 5, 0) {
            assert_eq!((fold.len(), ones(&fold)), (16, 8));
        }
    }

    #[test]
    fn too_few_groups_are_refused_and_few_leave_folds_empty() {
        let target = Target::Values(vec![0.0; 60]);
        let two: Vec<u32> = (0..60).map(|row| row / 30).collect();
        let message = split(&target, Some(&two), 0.2, 0.9, 0).expect_err("two groups");
        assert!(message.contains("found 2 groups"), "{message}");
        let targets = Targets::Regression(vec![0.0; 60]);
        let rows = rows(vec![0.0; 60], targets, Some(two));
        let lengths: Vec<usize> = folds(&rows, 5, 0).iter().map(Vec::len).collect();
        assert_eq!(lengths, [30, 30, 0, 0, 0]);
    }

    #[test]
    fn too_few_rows_are_refused_with_the_number_needed() {
        let target = Target::Values(vec![0.0; 25]);
        let message = split(&target, None, 0.1, 0.9, 0).expect_err("25 rows");
        assert!(message.contains("found 25 rows, expected at least 30"), "{message}");
    }
}
