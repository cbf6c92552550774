//! Predicts from sensor rows as they come: a line of numbers in, a line of prediction out.
//!
//! ```text
//! serial-reader | fiberwalk-sensor model.fwk
//! ```
//!
//! A row has one number a feature, separated by commas, in the order that `fiberwalk inspect` lists
//! and in the units of the training data; of an image or a window one for every channel of every pixel or
//! step, the channels of the first one first. Every line is answered before the next one is read. The
//! first bad row ends the program with exit code 1 and a message that names line and field.
//!
//! This is all that a gateway needs: the runtime, and a file read at start.

mod row;
mod show;

use std::env;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use fiberwalk_runtime::Model;

/// Seed of drawn codes: that of `fiberwalk predict`.
const SEED: u64 = 0;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fiberwalk-sensor MODEL.fwk < ROWS");
        return ExitCode::from(2);
    };
    match answer_lines(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Answers every line of standard input with the model at `path`.
fn answer_lines(path: &Path) -> Result<(), String> {
    let file = path.display();
    let bytes = fs::read(path).map_err(|error| format!("cannot read {file}: {error}"))?;
    let model = Model::from_bytes(&bytes).map_err(|error| format!("{file}: {error}"))?;
    let inputs = row::Inputs::of(&model);
    let mut scratch = vec![0; model.scratch_len()];
    let mut out = io::stdout().lock();
    for (number, line) in (1..).zip(io::stdin().lock().lines()) {
        let at_line = |message: String| format!("line {number}: {message}");
        let line = line.map_err(|error| at_line(error.to_string()))?;
        let row = inputs.read(&line).map_err(at_line)?;
        let prediction = model
            .predict(&row, &mut model.codes(SEED), model.samples(), &mut scratch)
            .map_err(|error| at_line(error.to_string()))?;
        let shown = show::prediction(&model, &prediction);
        // Flushed, so that a pipe passes it on at once.
        match writeln!(out, "{shown}").and_then(|()| out.flush()) {
            Ok(()) => {}
            // Whoever reads has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
    Ok(())
}
