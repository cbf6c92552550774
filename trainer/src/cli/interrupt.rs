//! Ctrl-C and, on Unix, SIGTERM: what is finished stays, and the user is told how to go on.

use std::env;
use std::ffi::OsString;
use std::io::{Write, stderr};
use std::path::PathBuf;

use super::terminal;
use crate::run_dir::hold_writes;

/// Way to go on with an interrupted command.
pub struct Resumption {
    /// Path that is there once there is something to go on with.
    pub begun: PathBuf,
    /// A flag that the command needs besides the user's own arguments.
    pub flag: Option<&'static str>,
}

impl Resumption {
    /// From now on an interruption lets files be written to their end, says how to go on and exits
    /// with 128 plus the signal's number. A second one exits at once.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn on_interruption(self) -> anyhow::Result<()> {
        let command = command(env::args_os().collect(), self.flag);
        listen(move || {
            let _held = hold_writes();
            terminal::hide();
            let message: &[&[u8]] = match self.begun.exists() {
                true => &[b"interrupted; go on with: ", &command, b"\n"],
                false => &[b"interrupted before there was anything to go on with\n"],
            };
            // Where standard error is closed nobody misses it.
            let _ = stderr().write_all(&message.concat());
        })
    }
}

/// Calls `farewell` and exits at the first interruption.
#[cfg(unix)]
fn listen(farewell: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::{flag, iterator::Signals, low_level};
    use std::sync::{Arc, atomic::AtomicBool};

    let signals = [SIGINT, SIGTERM];
    let code = |signal| 128 + signal;
    let again = Arc::new(AtomicBool::new(false));
    for signal in signals {
        // In this order: the first one finds the flag down, and raises it.
        flag::register_conditional_shutdown(signal, code(signal), Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
    }
    let mut pending = Signals::new(signals)?;
    std::thread::spawn(move || {
        if let Some(signal) = pending.forever().next() {
            farewell();
            // At once: other threads are still at work.
            low_level::exit(code(signal));
        }
    });
    Ok(())
}

/// Calls `farewell` and exits at the first interruption, as if it were a SIGINT.
#[cfg(windows)]
fn listen(farewell: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    ctrlc::set_handler(move || {
        farewell();
        std::process::exit(130);
    })?;
    Ok(())
}

/// The user's command with `flag`, unless it has that already, quoted for a shell.
fn command(mut words: Vec<OsString>, flag: Option<&str>) -> Vec<u8> {
    if let Some(flag) = flag.filter(|&flag| words.iter().all(|word| word != flag)) {
        // What follows two dashes is never a flag.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.insert(end, flag.into());
    }
    let words = words.iter().map(|word| word.as_encoded_bytes());
    shlex::bytes::try_join(words).expect("an argument holds no NUL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_command_back() {
        let told = |words: &[&str]| {
            let words = words.iter().map(OsString::from).collect();
            String::from_utf8(command(words, Some("--resume"))).expect("as given")
        };
        assert_eq!(told(&["fiberwalk", "train", "a.csv"]), "fiberwalk train a.csv --resume");
        assert_eq!(told(&["f", "train", "--resume", "a.csv"]), "f train --resume a.csv");
        assert_eq!(told(&["f", "train", "--", "-a.csv"]), "f train --resume -- -a.csv");
        let odd = ["f", "train", "it's $HOME.csv", "--target", ""];
        let read = shlex::split(&told(&odd)).expect("quoted");
        assert_eq!((&read[..5], read[5].as_str()), (&odd.map(String::from)[..], "--resume"));
    }
}
