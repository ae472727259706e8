//! How work goes on, told while it does: bars on a terminal, a line per change elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::note;

/// Tells on standard error how several things go.
pub(crate) struct Progress {
    display: Display,
}

enum Display {
    Bars { all: MultiProgress, by_name: Mutex<HashMap<String, ProgressBar>> },
    Lines { last: Mutex<HashMap<String, String>> },
    Silent,
}

impl Progress {
    /// The display that fits standard error.
    pub(crate) fn new(quiet: bool) -> Self {
        let display = if quiet {
            Display::Silent
        } else if std::io::stderr().is_terminal() {
            Display::Bars { all: MultiProgress::new(), by_name: Mutex::default() }
        } else {
            Display::Lines { last: Mutex::default() }
        };
        Progress { display }
    }

    /// Tells that of `name` so much of `total` is done, and what else there is to know.
    pub(crate) fn show(&self, name: &str, done: u64, total: u64, detail: &str) {
        match &self.display {
            Display::Bars { all, by_name } => {
                let mut bars = locked(by_name);
                let bar = bars.entry(name.to_owned()).or_insert_with(|| all.add(new_bar(name)));
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(detail.to_owned());
            }
            Display::Lines { last } => {
                let line = format!("{name}: {done}/{total} {detail}");
                let before = locked(last).insert(name.to_owned(), line.clone());
                if before.as_ref() != Some(&line) {
                    note(line);
                }
            }
            Display::Silent => {}
        }
    }

    /// Leaves the bars as they are, so that what is printed next comes below them.
    pub(crate) fn finish(&self) {
        if let Display::Bars { by_name, .. } = &self.display {
            locked(by_name).values().for_each(ProgressBar::abandon);
        }
    }
}

fn new_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:30!} [{bar:30}] {pos}/{len} {msg}");
    // The template is a constant that parses; the default style is as good as an error here.
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::no_length().with_style(style).with_prefix(name.to_owned())
}

/// A panic elsewhere leaves what is shown as good as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
