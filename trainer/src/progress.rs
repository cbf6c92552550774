//! What the user sees while long work goes on.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
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
    /// A bar where standard error is a terminal; elsewhere a line a stage, and one every ten seconds meanwhile.
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
    said: Arc<Mutex<Said>>,
    heartbeat: Option<Heartbeat>,
}

/// How often a stage that has no bar says how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// A thread that says something every so often, until it is dropped.
struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    fn every(interval: Duration, say: impl Fn() + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                say();
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
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
        let (name, started, said) =
            (name.to_owned(), Instant::now(), Arc::<Mutex<Said>>::default());
        let heartbeat = (shown && bar.is_hidden()).then(|| {
            let (bar, name, said) = (bar.clone(), name.clone(), Arc::clone(&said));
            Heartbeat::every(EVERY, move || {
                let done = bar.position() as f64 / total.max(1) as f64;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).to_string();
                line(&how_far(&name, started.elapsed(), done, &said));
            })
        });
        Stage { bar, name, started, shown, said, heartbeat }
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
        self.bar.set_message(said.to_string());
    }

    /// Ends the stage; `result` says what came out of it.
    pub fn finish(mut self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.heartbeat = None;
        self.bar.finish_and_clear();
        if self.shown {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let validation =
                said.validation.as_ref().map_or_else(String::new, |nll| format!(", {nll}"));
            line(&format!("{:24} {seconds:6.1} s  {result}{validation}", self.name));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> =
            [&self.part, &self.validation].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&parts.join(", "))
    }
}

/// How far a stage is of which this share is done; `said` is what it says of itself.
fn how_far(name: &str, elapsed: Duration, done: f64, said: &str) -> String {
    let seconds = elapsed.as_secs_f64();
    let left = match done > 0.0 && done < 1.0 {
        true => {
            format!("{:.0}%, about {:.0} s left", 100.0 * done, seconds * (1.0 - done) / done)
        }
        false => "under way".to_owned(),
    };
    let said = if said.is_empty() { String::new() } else { format!("; {said}") };
    format!("{name:24} {seconds:6.1} s  {left}{said}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_without_a_bar_says_how_far_it_is() {
        let told = |done, said| how_far("walk", Duration::from_secs(30), done, said);
        assert_eq!(told(0.25, ""), "walk                       30.0 s  25%, about 90 s left");
        assert_eq!(
            told(0.0, "group 1/4"),
            "walk                       30.0 s  under way; group 1/4"
        );
    }

    #[test]
    fn a_heartbeat_ends_when_it_is_dropped() {
        let (say, said) = mpsc::channel();
        let heartbeat = Heartbeat::every(Duration::from_millis(1), move || {
            let _ = say.send(());
        });
        said.recv().expect("it beats");
        said.recv().expect("and again");
        drop(heartbeat);
        assert!(said.iter().count() < 1000, "it ended, and with it the channel");
    }
}
