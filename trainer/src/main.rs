//! The `fiberwalk` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    fiberwalk::command()
}
