//! A deep ensemble as it would run on a board: every member is a `.fwk` file whose layers are all frozen,
//! so that one sample is its prediction, and the runtime's predictions are averaged.

use std::ffi::OsStr;
use std::fs;
use std::iter::Sum;
use std::path::Path;

use anyhow::Context;
use fiberwalk_formats::{Artifact, CodeSource, Reading, decode};

use super::{Baseline, Ensemble, Fitted, Problem, Sizes};
use crate::costs::footprint::Work;
use crate::costs::instructions::{Core, Operations};
use crate::data::Schema;
use crate::engine::{Draws, Predictor};
use crate::export::NetworkExport;
use crate::latent::ProbeSource;
use crate::network::Batch;
use crate::run_dir::write_atomically;
use crate::task::{Calibration, Predictive};

/// A deep ensemble whose members are artifacts of int8.
#[derive(Clone, Debug)]
pub struct EnsembleArtifact {
    /// The ensemble in floats.
    pub ensemble: Ensemble,
    /// Columns and normalisation that the problem's rows are in.
    pub schema: Schema,
    /// Type of raw readings that the board feeds; none for floats.
    pub reading: Option<Reading>,
    /// Coverage that the files name.
    pub coverage: f64,
}

impl EnsembleArtifact {
    /// The file of one member. Its ranges are measured on `inputs`. It is left without calibration: what
    /// is calibrated is the members' average.
    fn file(
        &self,
        theta: &[f32],
        problem: &Problem<'_>,
        inputs: &Batch,
    ) -> anyhow::Result<Vec<u8>> {
        let network = NetworkExport {
            architecture: problem.architecture,
            theta,
            inputs,
            schema: &self.schema,
            calibration: Calibration::of(problem.likelihood),
            coverage: self.coverage,
            reading: self.reading,
            seed: problem.seed,
        };
        network.to_bytes()
    }
}

impl Baseline for EnsembleArtifact {
    /// The rest is the run's.
    fn sizes(&self) -> Sizes {
        self.ensemble.sizes()
    }

    fn fit(&self, problem: &Problem<'_>) -> anyhow::Result<Fitted> {
        let thetas = problem.maps(self.ensemble.members)?;
        let Problem { architecture, set, likelihood, device, seed, .. } = *problem;
        let x = &set.inputs();
        let source = ProbeSource { device, x, architecture, likelihood, particles: &thetas, seed };
        let pool = source.for_ranges()?;
        let file = |theta: &Vec<f32>| self.file(theta, problem, &pool.probes.batch);
        let files = thetas.iter().map(file).collect::<anyhow::Result<_>>()?;
        Ok(Fitted::Artifacts(Artifacts { files, schema: self.schema.clone() }))
    }
}

/// An equal mixture of artifacts.
pub struct Artifacts {
    /// A `.fwk` file a member.
    files: Vec<Vec<u8>>,
    schema: Schema,
}

impl Artifacts {
    /// The runtime's predictive at every row of `batch`, averaged over the files.
    pub(super) fn predictive(&self, batch: &Batch) -> anyhow::Result<Predictive> {
        let raw = self.schema.original(&batch.to_rows());
        let predict = |file: &Vec<u8>| -> anyhow::Result<Predictive> {
            let predictor = Predictor::from_artifact(file.clone(), Draws::default())?;
            Ok(self.schema.task.uncalibrated(&predictor.predict(&raw)?))
        };
        let mut members = self.files.iter().map(predict);
        let first = members.next().context("an ensemble has at least one member")??;
        let mix = |mixture: Predictive, (count, member): (usize, anyhow::Result<_>)| {
            Ok(mixture.mixed(count, &member?, 1))
        };
        (1..).zip(members).try_fold(first, mix)
    }

    /// Bytes of all files.
    pub(super) fn flash_bytes(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }

    /// Multiply-accumulates of a prediction by all files.
    pub(super) fn products(&self) -> usize {
        self.sum(|artifact| Work::of(artifact).of_samples(1))
    }

    /// Instructions of a prediction by all files on a kind of core.
    pub(super) fn instructions(&self, core: Core) -> f64 {
        self.sum(|artifact| {
            core.instructions(&Operations::of(artifact, CodeSource::Stored).of_samples(1))
        })
    }

    /// A sum over the files.
    fn sum<T: Sum>(&self, of: impl Fn(&Artifact<'_>) -> T) -> T {
        let decoded = self.files.iter().map(|file| decode(file));
        decoded.map(|artifact| of(&artifact.expect("the format's own encoder wrote it"))).sum()
    }

    /// Writes `member-1.fwk` and so on, and `calibration.json`: what their average is calibrated by; members of a
    /// larger ensemble that was there are removed. Returns the files' names.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path, calibration: Calibration) -> anyhow::Result<Vec<String>> {
        let text = serde_json::to_vec_pretty(&calibration)?;
        let members = self.files.iter().enumerate();
        let mut files: Vec<(String, &Vec<u8>)> =
            members.map(|(index, file)| (name_of_member(index + 1), file)).collect();
        files.push(("calibration.json".to_owned(), &text));
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if number_of_member(&entry.file_name()).is_some_and(|number| number > self.files.len())
            {
                fs::remove_file(entry.path())?;
            }
        }
        for (name, bytes) in &files {
            write_atomically(&folder.join(name), bytes)?;
        }
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }
}

/// Name of a member's file, numbered from 1.
fn name_of_member(number: usize) -> String {
    format!("member-{number}.fwk")
}

/// Number of the member that a file of this name is; none of another file.
fn number_of_member(name: &OsStr) -> Option<usize> {
    let number = name.to_str()?.strip_prefix("member-")?.strip_suffix(".fwk")?.parse().ok()?;
    (name == name_of_member(number).as_str()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::linear::Linear;
    use crate::data::{Column, Layout, Series};
    use crate::descent::{Schedule, TrainingSet};
    use crate::device::Device;
    use crate::network::{Activation, Architecture};
    use crate::task::{
        AnyTask, Classification, Likelihood, Regression, Targets, Temperature, classification,
        regression,
    };

    fn schema(task: AnyTask) -> Schema {
        Schema {
            layout: Layout::Columns(["a", "b"].map(|name| Column::Number(name.into())).to_vec()),
            mean: vec![10.0, -3.0],
            std: vec![4.0, 0.5],
            target: "y".to_owned(),
            task,
            series: Series::default(),
        }
    }

    fn artifacts(task: AnyTask) -> EnsembleArtifact {
        let ensemble = Ensemble { members: 3 };
        EnsembleArtifact { ensemble, schema: schema(task), reading: None, coverage: 0.9 }
    }

    /// Float ensemble and artifacts at some rows, and the artifacts.
    fn both(method: &EnsembleArtifact, problem: &Problem<'_>) -> ([Predictive; 2], Artifacts) {
        let batch = Batch::from_rows(&[0.0, 0.0, 1.0, -0.5, -2.0, 1.5, 0.3, 0.8], 2);
        let float = method.ensemble.fit(problem).expect("the processor");
        let float = float.predictive(problem, &batch).expect("the processor");
        let fitted = method.fit(problem).expect("within the format's limits");
        let Fitted::Artifacts(artifacts) = fitted else { panic!("artifacts") };
        ([float, artifacts.predictive(&batch).expect("valid")], artifacts)
    }

    /// A class by the side of a parabola; the steps of int8 logits are far smaller than 0.02.
    #[test]
    fn artifacts_classify_as_the_float_ensemble_does_and_cost_their_bytes() {
        let x: Vec<f32> = (0..120)
            .flat_map(|row| [(row * 37 % 120) as f32 / 30.0 - 2.0, row as f32 / 30.0 - 2.0])
            .collect();
        let labels = x.chunks_exact(2).map(|x| u32::from(x[1] > x[0] * x[0] - 1.0)).collect();
        let targets = Targets::classes(labels, 2);
        let architecture = Architecture::perceptron(&[2, 8, 2], Activation::Tanh);
        let problem = Problem {
            architecture: &architecture,
            set: &TrainingSet::of(&x, 2, &targets, 1000, 0),
            likelihood: Likelihood::CATEGORICAL,
            prior_precision: &[1.0, 1.0],
            schedule: Schedule { steps: 200, learning_rate: 0.02 },
            seed: 1,
            device: &Device::Cpu,
        };
        let classes = ["below", "above"].map(str::to_owned).to_vec();
        let method = artifacts(AnyTask::Classification(Classification { classes }));
        let ([float, int8], artifacts) = both(&method, &problem);
        let (
            Predictive::Classification(classification::Predictive {
                probabilities: exact,
                expected_entropy: exact_entropy,
                ..
            }),
            Predictive::Classification(classification::Predictive {
                probabilities,
                expected_entropy,
                ..
            }),
        ) = (float, int8)
        else {
            panic!("classification");
        };
        for (found, exact) in probabilities.iter().zip(&exact) {
            assert!((found - exact).abs() < 0.02, "{probabilities:?} {exact:?}");
        }
        for (found, exact) in expected_entropy.iter().zip(&exact_entropy) {
            assert!((found - exact).abs() < 0.05, "{expected_entropy:?} {exact_entropy:?}");
        }

        let folder = tempfile::tempdir().expect("temporary folder");
        // One of a larger ensemble, and files that no ensemble wrote.
        let others = ["member-12.fwk", "member-012.fwk", "member-best.fwk"];
        for name in others {
            fs::write(folder.path().join(name), "").expect("writable");
        }
        artifacts
            .write(folder.path(), Calibration::Classification(Temperature(0.8)))
            .expect("writable");
        let bytes = |member| {
            let path = folder.path().join(format!("member-{member}.fwk"));
            fs::metadata(path).expect("written").len() as usize
        };
        assert_eq!(others.map(|name| folder.path().join(name).exists()), [false, true, true]);
        assert_eq!(artifacts.flash_bytes(), bytes(1) + bytes(2) + bytes(3));
        // Three members of 2 · 8 + 8 · 2.
        assert_eq!(artifacts.products(), 96);
    }

    /// All members of a linear model are its posterior mean: the average is, to a step of int8, and they
    /// hardly differ.
    #[test]
    fn artifacts_regress_as_the_float_ensemble_does() {
        let linear = Linear::new();
        let method = artifacts(AnyTask::Regression(Regression { mean: 50.0, std: 8.0 }));
        let ([float, int8], _) = both(&method, &linear.problem());
        let (
            Predictive::Regression(regression::Predictive { mean: exact, .. }),
            Predictive::Regression(regression::Predictive { mean, variance }),
        ) = (float, int8)
        else {
            panic!("regression");
        };
        for ((found, exact), variance) in mean.iter().zip(&exact).zip(&variance) {
            assert!((found - exact).abs() < 0.03, "{mean:?} {exact:?}");
            assert!(*variance < 1e-3, "{variance}");
        }
    }
}
