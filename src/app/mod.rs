//! Composition: what each command starts, in which order, and how it stops. One file per command.
//!
//! Results go to standard output, logs, progress and errors to standard error. A command ends with exit status 0, or with
//! 1 and one line that says what is wrong and the way out; wrong usage is status 2.

mod check_config;
mod logging;
mod output;
mod token;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use self::output::OutputClosed;
use crate::config::{self, Config};

/// Exact metering of seats and test quota: Kafka in, ClickHouse rollups, reports out.
#[derive(Debug, Parser)]
#[command(name = "seatmeter", version, arg_required_else_help = true, propagate_version = true)]
pub struct Cli {
    /// Configuration file; every option is in `check-config --defaults`, and SEATMETER__SECTION__KEY overrides one
    #[arg(long, global = true, env = "SEATMETER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    CheckConfig(check_config::Args),
    Token(token::Args),
}

/// Runs the command to its end.
///
/// # Errors
///
/// What went wrong, with its causes: one line when printed by `{:#}`, except that a wrong configuration has a line for each
/// problem.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let load = || load_config(cli.config);
    let result = match cli.command {
        Command::CheckConfig(args) => check_config::run(&args, load),
        Command::Token(args) => token::run(&args, load),
    };
    result.or_else(|error| if error.is::<OutputClosed>() { Ok(()) } else { Err(error) })
}

/// The configuration from the file, if one is named, and the environment.
fn load_config(file: Option<PathBuf>) -> anyhow::Result<Config> {
    // An empty SEATMETER_CONFIG means none, as an empty variable does for most programs.
    let file = file.filter(|path| !path.as_os_str().is_empty());
    Ok(config::load(file.as_deref(), std::env::vars_os())?)
}

/// The runtime of the commands that wait for more than one thing.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the async runtime")
}
