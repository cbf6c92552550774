//! Predictions as a CSV file, row by row.

use std::io::{self, Write};
use std::path::Path;

use crate::data::Data;
use crate::engine::Predictor;
use crate::run_dir::write_in_parts;
use crate::task::{AnyTask, Predictions};

/// Predicts every row, image or window of `data` and writes a line each to the file `path`, some thousand rows at a
/// time. What cannot be predicted of the first of them is told before anything is written.
///
/// # Errors
/// Other features than the model's, a prediction that fails, or a file that cannot be written.
pub fn write_predictions(predictor: &Predictor, data: &Data, path: &Path) -> anyhow::Result<()> {
    let Predictor { schema, .. } = predictor;
    let raw = schema.read(&data.source, data.target_or(&schema.target))?;
    let mut parts = predictor.predict_in_parts(&raw);
    let mut first = parts.next().transpose()?;
    write_in_parts(path, &mut |file| {
        let mut csv = PredictionWriter::new(file, &schema.task)?;
        for part in first.take().map(Ok).into_iter().chain(&mut parts) {
            csv.write(&part.map_err(io::Error::other)?)?;
        }
        csv.finish()
    })
}

/// Writes a line a prediction. Of a class: `p(NAME)` for every class, `class`, which is the likeliest,
/// `entropy`, `mutual_information`, `set` and `out_of_distribution`; the classes of a set are separated by `|`, and a
/// backslash stands before a `|` or a backslash in a name. Of a number: `mean`, `std`, `epistemic_std`, `lower`,
/// `upper` and `out_of_distribution`. A verdict is `true` or `false`.
struct PredictionWriter<'t, W: Write> {
    csv: csv::Writer<W>,
    task: &'t AnyTask,
}

impl<'t, W: Write> PredictionWriter<'t, W> {
    /// Writes the header.
    ///
    /// # Errors
    /// `out` cannot be written to.
    fn new(out: W, task: &'t AnyTask) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(task.columns()).map_err(failed)?;
        Ok(Self { csv, task })
    }

    /// Writes some rows.
    ///
    /// # Errors
    /// `out` cannot be written to.
    fn write(&mut self, predictions: &Predictions) -> io::Result<()> {
        for row in 0..predictions.len() {
            self.csv.write_record(predictions.fields(self.task, row)).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes what is not written yet.
    ///
    /// # Errors
    /// `out` cannot be written to.
    fn finish(mut self) -> io::Result<()> {
        self.csv.flush()
    }
}

/// The error of the file, so that a closed pipe is known as one.
fn failed(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Classification, classification};

    #[test]
    fn classes_have_their_names_everywhere() {
        let classes = ["1", "a|b", "c,\\d"].map(str::to_owned).to_vec();
        let task = Classification { classes }.into();
        let part = |p: [f32; 3], set: &[usize]| -> Predictions {
            let predictions = classification::Predictions {
                classes: 3,
                probabilities: p.to_vec(),
                entropy: vec![0.5],
                mutual_information: vec![0.25],
                sets: vec![set.to_vec()],
                out_of_distribution: vec![set.is_empty()],
            };
            predictions.into()
        };
        let mut bytes = Vec::new();
        let mut writer = PredictionWriter::new(&mut bytes, &task).expect("a vector grows");
        for part in [part([0.125, 0.75, 0.125], &[1, 2]), part([0.375, 0.25, 0.375], &[])] {
            writer.write(&part).expect("a vector grows");
        }
        writer.finish().expect("a vector grows");
        assert_eq!(
            String::from_utf8(bytes).expect("text"),
            "p(1),p(a|b),\"p(c,\\d)\",class,entropy,mutual_information,set,out_of_distribution\n\
             0.125,0.75,0.125,a|b,0.5,0.25,\"a\\|b|c,\\\\d\",false\n\
             0.375,0.25,0.375,1,0.5,0.25,,true\n"
        );
    }
}
