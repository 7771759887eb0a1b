//! Progress of a long step: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A running step; finished by [`done`](Step::done), and cleared silently when dropped before.
#[derive(Debug)]
pub(super) struct Step {
    spinner: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Prints the step to stderr.
    pub(super) fn start(what: &str) -> Step {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        if spinner.is_none() {
            say(what);
        }
        Step { spinner, started: Instant::now() }
    }

    /// Prints that the step is done.
    pub(super) fn done(mut self, what: &str) {
        let line = format!("{what} ({} s)", self.started.elapsed().as_secs());
        match self.spinner.take() {
            Some(spinner) => spinner.finish_with_message(line),
            None => say(&line),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

fn say(line: &str) {
    // If stderr is closed, there is no reader.
    drop(writeln!(std::io::stderr(), "seatmeter: {line}"));
}
