//! The `fiberwalk` command.

mod cli;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use fiberwalk::excerpt::cut;

/// Characters of an error that are shown; names and fields in it are cut before.
const LONGEST_ERROR: usize = 4000;

fn is_closed_pipe(cause: &(dyn Error + 'static)) -> bool {
    let error = cause.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has had enough.
        Err(error) if error.chain().any(is_closed_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, causes included, that does nothing to a terminal, whatever a file or its name holds.
            let line = format!("{error:#}").replace(['\n', '\r'], " ");
            eprintln!("error: {}", cut(&line, LONGEST_ERROR));
            ExitCode::FAILURE
        }
    }
}
