//! Whether a network that was trained elsewhere fits the data that it is to walk on.

use crate::data::Rows;
use crate::network::{Architecture, outputs, softmax};
use crate::task::{AnyTask, Classes, Classification, Likelihood, Targets};

/// Most training rows that are looked at, evenly spread: more tell no more.
const MOST_ROWS: usize = 4096;
/// Another order of the classes is told where it makes the NLL smaller than this share.
const FAR_BETTER: f64 = 0.5;
/// Probabilities below this are taken as this, about the smallest number of single precision.
const LEAST: f64 = 1e-37;

/// Tells that `theta` predicts the training rows, standardised, worse than a constant does, or that it would predict
/// them far better with its classes in another order; none where it fits.
pub fn misfit(
    architecture: &Architecture,
    theta: &[f32],
    training: &Rows,
    task: &AnyTask,
) -> Option<String> {
    let step = training.len().div_ceil(MOST_ROWS).max(1);
    let rows = training.subset(&(0..training.len()).step_by(step).collect::<Vec<_>>());
    let values = outputs(architecture, theta, &rows.x.to_batch());
    match (&rows.targets, task) {
        (Targets::Classification(targets), AnyTask::Classification(Classification { classes })) => {
            let constant = rows.targets.constant_nll(Likelihood::CATEGORICAL);
            of_classes(values, targets, classes, constant)
        }
        (Targets::Regression(targets), _) => of_numbers(&values, targets),
        _ => None,
    }
}

/// Outputs `[C, rows]` against classes.
fn of_classes(
    mut values: Vec<f32>,
    targets: &Classes,
    names: &[String],
    constant: f64,
) -> Option<String> {
    let (rows, count) = (targets.labels.len(), names.len());
    softmax(&mut values, rows);
    // For each class and each output the mean of −log p over all rows of the class, times their share.
    let mut costs = vec![0.0; count * count];
    for (row, &label) in targets.labels.iter().enumerate() {
        for output in 0..count {
            let p = f64::from(values[output * rows + row]).max(LEAST);
            costs[label as usize * count + output] -= p.ln() / rows as f64;
        }
    }
    let own: f64 = (0..count).map(|class| costs[class * count + class]).sum();
    let best: Vec<usize> = costs
        .chunks_exact(count)
        .map(|costs| (0..count).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0))
        .collect();
    let mut order = vec![None; count];
    for (class, &output) in best.iter().enumerate() {
        order[output] = Some(names[class].clone());
    }
    let other: f64 =
        best.iter().enumerate().map(|(class, &output)| costs[class * count + output]).sum();
    // Several classes with the same best output leave another without a class.
    let order = order.into_iter().collect::<Option<Vec<String>>>();
    let order = order.filter(|_| other < FAR_BETTER * own);
    if own <= constant && order.is_none() {
        return None;
    }
    let found = format!(
        "its NLL on {rows} training rows is {own:.3} nats, where the frequencies of the classes alone have {constant:.3}"
    );
    Some(match order {
        Some(order) => format!(
            "{found}. Its outputs seem to be of the classes in another order, with which it would be {other:.3}: import \
             it with outputs.classes = {order:?} in its `description`"
        ),
        None => format!(
            "{found}. Likely causes: its classes have another order (outputs.classes of a description), its inputs were \
             normalised (inputs.mean, inputs.std), features have another order (inputs.names), or the rows of maps \
             another layout"
        ),
    })
}

/// Outputs against standardised values, `[rows]`.
fn of_numbers(values: &[f32], targets: &[f32]) -> Option<String> {
    let squares = values.iter().zip(targets).map(|(f, y)| f64::from(f - y).powi(2));
    let error = (squares.sum::<f64>() / targets.len() as f64).sqrt();
    // The standard deviation of the target is 1 in these units.
    (error.is_nan() || error > 1.0).then(|| {
        format!(
            "its error on {} training rows is {error:.3} standard deviations of the target, where the mean alone has 1. \
             Likely causes: its target was normalised (outputs.mean and outputs.std of a description), its inputs were \
             normalised (inputs.mean, inputs.std), features have another order (inputs.names), or the rows of maps \
             another layout",
            targets.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["c0", "c1", "c10", "c2"];

    /// Logits of a network that is sure that row i is of class `order[i % 4]`.
    fn told(order: [usize; 4], sure: f32) -> Option<String> {
        let rows = 40;
        let mut values = vec![0.0; 4 * rows];
        for row in 0..rows {
            values[order[row % 4] * rows + row] = sure;
        }
        let targets = Classes { labels: (0..rows as u32).map(|row| row % 4).collect(), classes: 4 };
        of_classes(values, &targets, &NAMES.map(str::to_owned), 4f64.ln())
    }

    #[test]
    fn another_order_of_classes_is_found_and_named() {
        assert_eq!(told([0, 1, 2, 3], 8.0), None);
        let told_order = told([0, 1, 3, 2], 8.0).expect("the classes were sorted as text");
        let expected = "outputs.classes = [\"c0\", \"c1\", \"c2\", \"c10\"]";
        assert!(told_order.contains(expected), "{told_order}");
        let told_nothing = told([1, 1, 1, 1], 8.0).expect("it gives one class to all");
        assert!(told_nothing.contains("Likely causes"), "{told_nothing}");
    }

    #[test]
    fn numbers_farther_off_than_the_mean_are_told() {
        let targets = [1.0, -1.0, 1.0, -1.0];
        assert_eq!(of_numbers(&[0.9, -0.8, 1.1, -1.0], &targets), None);
        assert!(of_numbers(&[30.0, 31.0, 30.0, 31.0], &targets).is_some());
        assert!(of_numbers(&[f32::NAN; 4], &targets).is_some());
    }
}
