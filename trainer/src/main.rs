//! The `fiberwalk` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use fiberwalk::excerpt::cut;

/// Characters of an error that are shown; names and fields in it are cut before.
const LONGEST_ERROR: usize = 4000;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, causes included, that does nothing to a terminal, whatever a file or its name holds.
            let line = format!("{error:#}").replace(['\n', '\r'], " ");
            eprintln!("error: {}", cut(&line, LONGEST_ERROR));
            ExitCode::FAILURE
        }
    }
}
