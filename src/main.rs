//! The command line. What each command does is in `app`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use seatmeter::app::{self, Cli};

fn main() -> ExitCode {
    match app::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "seatmeter: {}", one_line(&error));
            ExitCode::FAILURE
        }
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
