//! How far a long run is: one line on standard error, where that is a terminal.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use crate::out::clean;

/// Between two changes of the line.
const PACE: Duration = Duration::from_millis(100);

/// The line; it is taken away when this is dropped.
pub(crate) struct Progress {
    shown: bool,
    last: Cell<Option<Instant>>,
    width: Cell<usize>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            shown: !quiet && io::stderr().is_terminal(),
            last: Cell::new(Some(Instant::now())),
            width: Cell::new(0),
        }
    }

    /// So much of all is done.
    pub(crate) fn at(&self, done: u64, all: u64) {
        let share = (done.min(all) as f64 / all.max(1) as f64 * 100.0) as u64;
        self.say(|| format!("{share:3} %"));
    }

    /// What is looked at now.
    pub(crate) fn on(&self, what: &str) {
        self.say(|| what.chars().take(60).collect());
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if !self.shown || self.last.get().is_some_and(|t| t.elapsed() < PACE) {
            return;
        }
        self.last.set(Some(Instant::now()));
        self.write(&clean(&text()));
    }

    fn write(&self, text: &str) {
        let gap = " ".repeat(self.width.get().saturating_sub(text.width()));
        let _ = write!(io::stderr(), "\r{text}{gap}\r");
        self.width.set(text.width());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width.get() > 0 {
            self.write("");
        }
    }
}
