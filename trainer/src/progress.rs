//! What the user sees while long work goes on.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::debug;

use crate::excerpt::cut;

/// Characters of a line that is said.
const LONGEST_NOTE: usize = 4000;
/// All bars that are shown.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

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
    shown: bool,
    said: Mutex<Said>,
}

/// What a stage says of itself beside its bar.
#[derive(Default)]
struct Said {
    part: Option<String>,
    validation: Option<String>,
}

impl Progress {
    /// Starts a stage of `total` steps.
    pub fn stage(self, name: &str, total: usize) -> Stage {
        debug!(steps = total, "{name} begins");
        let hidden = ProgressDrawTarget::hidden();
        let mut bar = ProgressBar::with_draw_target(Some(total as u64), hidden);
        let shown = self == Self::Shown;
        if shown && stderr().is_terminal() {
            bar = BARS.add(bar);
        }
        let template = "{prefix:8} {wide_bar} {percent:>3}%  {per_sec:0} steps  {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Stage { bar, name: name.to_owned(), started: Instant::now(), shown, said: Mutex::default() }
    }

    /// A line for the user.
    pub fn note(self, text: &str) {
        if self == Self::Shown {
            // Names of columns and files may be in it.
            text.lines().for_each(|text| line(&cut(text, LONGEST_NOTE)));
        }
    }
}

impl Stage {
    /// Counts steps as done.
    pub fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    /// Names the part of the stage that is under way.
    pub fn part(&self, name: String) {
        self.say(|said| said.part = Some(name));
    }

    /// Shows the mean NLL of held-out rows at this point, nats.
    pub fn validated(&self, nll: f64) {
        self.say(|said| said.validation = Some(format!("validation NLL {nll:.4}")));
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut said);
        let parts: Vec<&str> =
            [&said.part, &said.validation].into_iter().flatten().map(String::as_str).collect();
        self.bar.set_message(parts.join(", "));
    }

    /// Ends the stage; `result` says what came out of it.
    pub fn finish(self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
        if self.shown {
            let said = self.said.into_inner().unwrap_or_else(PoisonError::into_inner);
            let validation = said.validation.map_or_else(String::new, |nll| format!(", {nll}"));
            line(&format!("{:24} {seconds:6.1} s  {result}{validation}", self.name));
        }
    }
}

/// Standard error for lines from elsewhere, such as a log: bars make way for each write.
#[derive(Clone, Copy, Debug, Default)]
pub struct BesideBars;

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}

/// Takes the bars away for good, for a program that is about to end.
pub fn hide() {
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// A line on standard error; where that is closed nobody misses it.
fn line(text: &str) {
    let _ = BesideBars.write_all(format!("{text}\n").as_bytes());
}
