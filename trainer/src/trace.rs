//! How a stage went: what was measured at checkpoints along its steps, and the files that keep it.

use anyhow::bail;

use crate::checkpoints::Checkpoints;
use crate::run_dir::RunDir;
use crate::tensors::TensorFile;

/// Steps that a float counts exactly, and the most that a stage can have.
const MOST_STEPS: f32 = 16_777_216.0;
/// Name of the checkpoints, `[1, T]`, in the file of a trace.
const STEPS: &str = "steps";

/// Curves over the steps of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Steps done at every checkpoint, `[T]`.
    pub steps: Vec<usize>,
    /// The curves of each name asked for, `[curves][T]`.
    pub curves: Vec<Vec<Vec<f32>>>,
}

impl Trace {
    /// Writes named curves, each `[curves][T]` over the `T` checkpoints.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(
        dir: &RunDir,
        file: &str,
        checkpoints: &Checkpoints,
        curves: &[(&str, &[Vec<f32>])],
    ) -> anyhow::Result<()> {
        let steps = [checkpoints.steps().iter().map(|&step| step as f32).collect()];
        let all: Vec<(&str, &[Vec<f32>])> =
            [(STEPS, steps.as_slice())].into_iter().chain(curves.iter().copied()).collect();
        dir.write_measurements(file, &all)
    }

    /// Reads the curves of these names; nothing where the run was made before traces were kept.
    ///
    /// # Errors
    /// The file cannot be read or lacks one of the curves.
    pub fn read(dir: &RunDir, file: &str, names: &[&str]) -> anyhow::Result<Option<Self>> {
        if !dir.has(file) {
            return Ok(None);
        }
        let tensors = TensorFile::open(&dir.path(file))?;
        let steps = tensors.values(STEPS, 0..1)?;
        let counts = |step: &f32| step.fract() == 0.0 && (0.0..=MOST_STEPS).contains(step);
        if !steps.is_sorted_by(|one, next| one < next) || !steps.iter().all(counts) {
            bail!("{}: its steps are no ascending whole numbers", dir.path(file).display());
        }
        let steps: Vec<usize> = steps.into_iter().map(|step| step as usize).collect();
        let read = |name: &&str| {
            let [rows, columns] = tensors.shape(name)?;
            if columns != steps.len() {
                bail!(
                    "{}: {name} has {columns} columns, expected {}",
                    dir.path(file).display(),
                    steps.len()
                );
            }
            tensors.curves(name, 0..rows)
        };
        let curves = names.iter().map(read).collect::<anyhow::Result<_>>()?;
        Ok(Some(Self { steps, curves }))
    }
}

/// One value of what was measured at every checkpoint, a curve a trace: `[traces][T]`.
pub fn curves<'a, T: 'a>(
    traces: impl Iterator<Item = &'a [T]>,
    value: impl Fn(&T) -> f64,
) -> Vec<Vec<f32>> {
    traces.map(|trace| trace.iter().map(|measured| value(measured) as f32).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_comes_back_and_may_be_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = RunDir::create(folder.path()).expect("empty folder");
        assert_eq!(Trace::read(&dir, "trace", &["nll"]).expect("none"), None);
        // A descent that diverged.
        let nll = vec![vec![2.5, 1.0, f32::INFINITY]];
        Trace::write(&dir, "trace", &Checkpoints::of(2), &[("nll", &nll)]).expect("writable");
        let trace = Trace::read(&dir, "trace", &["nll"]).expect("readable").expect("there");
        assert_eq!(trace, Trace { steps: vec![0, 1, 2], curves: vec![nll] });
        assert!(Trace::read(&dir, "trace", &["distance"]).is_err());
        for steps in [[0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [-1.0, 0.0, 1.0], [0.0, 1.0, 1e9]] {
            let rows = [steps.to_vec()];
            dir.write_tensors("trace", &[(STEPS, &rows), ("nll", &rows)]).expect("writable");
            let message = Trace::read(&dir, "trace", &["nll"]).expect_err("no steps").to_string();
            assert!(message.contains("ascending whole numbers"), "{message}");
        }
    }
}
