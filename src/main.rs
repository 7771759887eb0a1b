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
            let _ = writeln!(std::io::stderr(), "seatmeter: {error:#}");
            ExitCode::FAILURE
        }
    }
}
