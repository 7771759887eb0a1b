//! Progress of long work: a bar on a terminal, periodic plain lines elsewhere. It shares standard
//! error with the logs: both are written through this module, so that neither breaks the other.

use std::io::{self, IsTerminal as _, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressStyle};

/// Time between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Time before the remaining time is estimated.
const LEFT_AFTER: Duration = Duration::from_secs(2);

/// Every bar that is shown.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Progress of one task.
pub(super) struct Progress {
    /// The work as a participle, such as `sending`.
    action: &'static str,
    /// The position of the end; `None` if unknown.
    total: Option<u64>,
    position: u64,
    started: Instant,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Starts at position 0.
    pub(super) fn new(action: &'static str, total: Option<u64>) -> Self {
        let started = Instant::now();
        let shown = if io::stderr().is_terminal() {
            Shown::Bar(bar(action, total))
        } else {
            Shown::Lines { last: started }
        };
        Self { action, total, position: 0, started, shown }
    }

    /// Work has come to `position` of the total, which is `records` records.
    pub(super) fn set(&mut self, position: u64, records: u64) {
        self.position = position;
        let seconds = self.started.elapsed().as_secs().max(1);
        let mut message = format!(
            "{}, {} per second",
            count_of(records, "record"),
            HumanCount(records / seconds)
        );
        if let Some(left) = self.left() {
            message.push_str(&format!(", {} left", HumanDuration(left)));
        }
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_message(message);
                bar.set_position(position);
            }
            Shown::Lines { last } if last.elapsed() >= LINE_INTERVAL => {
                *last = Instant::now();
                match self.total {
                    Some(total) => {
                        let percent = u128::from(position) * 100 / u128::from(total.max(1));
                        say(&format!("{}: {percent} %, {message}", self.action));
                    }
                    None => say(&format!("{}: {message}", self.action)),
                }
            }
            Shown::Lines { .. } => {}
        }
    }

    /// The time that the rest takes if it goes on like this; `None` at first, and where the end is
    /// not known.
    fn left(&self) -> Option<Duration> {
        let elapsed = self.started.elapsed();
        let rest = self.total?.checked_sub(self.position)?;
        if self.position == 0 || rest == 0 || elapsed < LEFT_AFTER {
            return None;
        }
        let seconds = elapsed.as_secs_f64() * rest as f64 / self.position as f64;
        Duration::try_from_secs_f64(seconds.ceil()).ok()
    }

    /// Adds records at the same position.
    pub(super) fn set_records(&mut self, records: u64) {
        self.set(self.position, records);
    }

    /// Removes the bar and prints the result.
    pub(super) fn finish(self, summary: &str) {
        drop(self);
        say(summary);
    }

    /// Duration of the work so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
            BARS.remove(bar);
        }
    }
}

fn bar(action: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{prefix} [{bar:30}] {percent:>3} %  {msg}"),
        None => (ProgressBar::new_spinner(), "{prefix} {spinner} {msg}"),
    };
    let style =
        ProgressStyle::with_template(template).expect("the templates above are well-formed");
    let bar = BARS.add(bar.with_style(style.progress_chars("=> ")).with_prefix(action));
    // Shown at once, and animated while nothing moves.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// `1 record`, `2,000 records`.
pub(super) fn count_of(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(number), if number == 1 { "" } else { "s" })
}

/// A line on standard error.
pub(super) fn say(line: &str) {
    // If standard error is closed, there is no reader.
    let _ = writeln!(StandardError, "{line}");
}

/// Standard error with bars, which are suspended while something else is written.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().lock().write(bytes))
    }

    fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        BARS.suspend(|| io::stderr().lock().write_fmt(text))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
