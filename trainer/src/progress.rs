//! What the user sees while long work goes on.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How to show progress, on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar where standard error is a terminal, a line a stage elsewhere.
    Shown,
    /// Nothing.
    Quiet,
}

/// One stage of the work.
pub struct Stage {
    bar: ProgressBar,
    name: String,
    started: Instant,
    lines: bool,
}

impl Progress {
    /// Starts a stage of `total` steps.
    pub fn stage(self, name: &str, total: usize) -> Stage {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(total as u64),
            if self == Self::Shown && terminal {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        let template = "{msg:24} {bar:32} {percent:>3}%  {per_sec} steps  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        let lines = self == Self::Shown && !terminal;
        Stage { bar, name: name.to_owned(), started: Instant::now(), lines }
    }

    /// A line for the user.
    pub fn note(self, text: &str) {
        if self == Self::Shown {
            eprintln!("{text}");
        }
    }
}

impl Stage {
    /// Counts steps as done.
    pub fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// Ends the stage; `result` says what came out of it.
    pub fn finish(self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        if self.lines || !self.bar.is_hidden() {
            eprintln!("{:24} {seconds:6.1} s  {result}", self.name);
        }
    }
}
