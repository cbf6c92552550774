//! The `fiberwalk` command.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, causes included.
            eprintln!("error: {}", format!("{error:#}").replace(['\n', '\r'], " "));
            ExitCode::FAILURE
        }
    }
}
