//! The command line. What each command does is in `app`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use seatmeter::app::{self, Cli};

/// Time limit for saying why the process ends.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    match app::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format!("seatmeter: {}", one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Says why the process ends. It ends even if standard error cannot be written to.
fn tell(last_words: String) {
    let (done, is_done) = mpsc::channel();
    let telling = thread::spawn(move || {
        // Without standard error there is no place for a message.
        let _ = writeln!(std::io::stderr(), "{last_words}");
        let _ = done.send(());
    });
    if is_done.recv_timeout(LAST_WORDS_TIMEOUT).is_ok() {
        let _ = telling.join();
    }
}

/// The error and its causes. Some errors quote their cause already; it is not said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}
