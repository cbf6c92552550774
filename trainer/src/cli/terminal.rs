//! Progress on standard error: a bar where that is a terminal, elsewhere lines.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Observer, StageObserver};

/// How often a stage that has no bar says how far it is.
const EVERY: Duration = Duration::from_secs(10);
/// All bars that are shown.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows a bar a stage where standard error is a terminal; elsewhere a line a stage, and one every ten seconds
/// meanwhile.
pub struct Terminal;

/// A stage as it is shown.
struct Shown {
    bar: ProgressBar,
    name: String,
    started: Instant,
    said: Arc<Mutex<String>>,
    heartbeat: Mutex<Option<Heartbeat>>,
}

/// A thread that says something every so often, until it is dropped.
struct Heartbeat {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Observer for Terminal {
    fn stage(&self, name: &str, steps: usize) -> Box<dyn StageObserver> {
        let hidden = ProgressDrawTarget::hidden();
        let mut bar = ProgressBar::with_draw_target(Some(steps as u64), hidden);
        if stderr().is_terminal() {
            bar = BARS.add(bar);
        }
        let template = "{prefix:8} {wide_bar} {percent:>3}%  {per_sec:0} steps  {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        let (name, started, said) =
            (name.to_owned(), Instant::now(), Arc::<Mutex<String>>::default());
        let heartbeat = bar.is_hidden().then(|| {
            let (bar, name, said) = (bar.clone(), name.clone(), Arc::clone(&said));
            Heartbeat::every(EVERY, move || {
                let done = bar.position() as f64 / steps.max(1) as f64;
                let said = said.lock().unwrap_or_else(PoisonError::into_inner);
                line(&how_far(&name, started.elapsed(), done, &said));
            })
        });
        Box::new(Shown { bar, name, started, said, heartbeat: Mutex::new(heartbeat) })
    }

    fn note(&self, text: &str) {
        line(text);
    }
}

impl StageObserver for Shown {
    fn advance(&self, steps: usize) {
        self.bar.inc(steps as u64);
    }

    fn say(&self, text: &str) {
        text.clone_into(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
        self.bar.set_message(text.to_owned());
    }

    fn finish(&self, result: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        drop(self.heartbeat.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.bar.finish_and_clear();
        line(&format!("{:24} {seconds:6.1} s  {result}", self.name));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        BARS.remove(&self.bar);
    }
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
