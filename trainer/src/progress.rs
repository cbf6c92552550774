//! Progress of long work, told to whoever watches it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::debug;

use crate::excerpt::cut;

/// Characters of a line that is said.
const LONGEST_NOTE: usize = 4000;

/// Shows long work to somebody: on a terminal, in a notebook.
pub trait Observer: Send + Sync {
    /// Shows a stage of so many steps that begins, until what comes back is dropped.
    fn stage(&self, name: &str, steps: usize) -> Box<dyn StageObserver>;

    /// Shows a line.
    fn note(&self, line: &str);
}

/// Shows one stage of the work.
pub trait StageObserver: Send + Sync {
    /// Counts so many more steps as done; called by several threads.
    fn advance(&self, steps: usize);

    /// Shows what the stage says of itself now: the part that is under way, the NLL of held-out rows.
    fn say(&self, text: &str);

    /// Shows what came of the stage, which is done.
    fn finish(&self, result: &str);
}

/// Where progress goes: to an observer, or to nobody.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Observer>>);

/// One stage of the work.
pub struct Stage {
    observer: Option<Box<dyn StageObserver>>,
    said: Mutex<Said>,
}

/// Parts of the line that a stage says of itself.
#[derive(Default)]
struct Said {
    part: Option<String>,
    validation: Option<String>,
}

impl Progress {
    /// Tells nobody.
    pub const QUIET: Self = Self(None);

    /// Tells this observer.
    pub fn to(observer: impl Observer + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Whether somebody is told.
    pub(crate) const fn is_watched(&self) -> bool {
        self.0.is_some()
    }

    /// Starts a stage of so many steps.
    pub(crate) fn stage(&self, name: &str, steps: usize) -> Stage {
        debug!(steps, "{name} begins");
        let observer = self.0.as_ref().map(|observer| observer.stage(name, steps));
        Stage { observer, said: Mutex::default() }
    }

    /// Says something to the user.
    pub(crate) fn note(&self, text: &str) {
        if let Some(observer) = &self.0 {
            // Names of columns and files may be in it.
            text.lines().for_each(|line| observer.note(&cut(line, LONGEST_NOTE)));
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_watched() { "Progress(watched)" } else { "Progress(quiet)" })
    }
}

impl Stage {
    /// Counts steps as done.
    pub fn advance(&self, steps: usize) {
        if let Some(observer) = &self.observer {
            observer.advance(steps);
        }
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
        if let Some(observer) = &self.observer {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut said);
            observer.say(&said.to_string());
        }
    }

    /// Ends the stage; `result` says what came out of it.
    pub fn finish(self, result: &str) {
        if let Some(observer) = self.observer {
            let said = self.said.into_inner().unwrap_or_else(PoisonError::into_inner);
            let validation = said.validation.map_or_else(String::new, |nll| format!(", {nll}"));
            observer.finish(&format!("{result}{validation}"));
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> =
            [&self.part, &self.validation].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it is told.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Kept {
        fn keep(&self, line: String) {
            self.0.lock().expect("kept").push(line);
        }
    }

    impl Observer for Kept {
        fn stage(&self, name: &str, steps: usize) -> Box<dyn StageObserver> {
            self.keep(format!("{name}, {steps} steps"));
            Box::new(self.clone())
        }

        fn note(&self, line: &str) {
            self.keep(line.to_owned());
        }
    }

    impl StageObserver for Kept {
        fn advance(&self, steps: usize) {
            self.keep(format!("+{steps}"));
        }

        fn say(&self, text: &str) {
            self.keep(text.to_owned());
        }

        fn finish(&self, result: &str) {
            self.keep(result.to_owned());
        }
    }

    #[test]
    fn an_observer_is_told_all_there_is_to_say() {
        let kept = Kept::default();
        let progress = Progress::to(kept.clone());
        progress.note("one\ntwo\u{1b}[2J");
        let stage = progress.stage("walk", 20);
        stage.part("group 1/2".to_owned());
        stage.advance(7);
        stage.validated(0.25);
        stage.finish("64 particles");
        let told = kept.0.lock().expect("kept").join("; ");
        assert!(told.starts_with("one; two") && !told.contains('\u{1b}'), "{told}");
        let rest = "walk, 20 steps; group 1/2; +7; group 1/2, validation NLL 0.2500; 64 particles, validation NLL \
                    0.2500";
        assert!(told.ends_with(rest), "{told}");
    }
}
