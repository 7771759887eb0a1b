//! Composition: what each command starts, in which order, and how it stops. One file per command.
//!
//! Results go to standard output, logs, progress and errors to standard error. A command ends with
//! exit status 0, or with 1 and one line that says what is wrong and the way out; wrong usage is
//! status 2.

mod alert_test;
mod alerts;
mod alerts_topic;
mod canary;
mod canary_rounds;
mod check_config;
mod clickhouse;
mod demo;
mod engine_password;
mod extent;
mod feed;
mod generate;
mod integrity;
mod logging;
mod migrate;
mod otlp;
mod output;
mod produce;
mod progress;
mod records;
mod rejections;
mod runtime;
mod sender;
mod service;
mod shell;
mod shutdown;
mod token;
mod topic_sample;
mod topic_settings;
mod verify;
mod verify_log;
mod verify_pass;
mod version;
mod window;

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::output::OutputClosed;
use self::runtime::{blocking, with_runtime, within_runtime};
use self::service::Role;
use self::version::version;
use crate::config::{self, Config};

/// Exact metering of seats and test quota: Kafka in, ClickHouse rollups, reports out.
#[derive(Debug, Parser)]
#[command(
    name = "seatmeter",
    version = version(),
    arg_required_else_help = true,
    propagate_version = true
)]
pub struct Cli {
    /// Configuration file; every option is in `check-config --defaults`, and
    /// SEATMETER__SECTION__KEY overrides one
    #[arg(long, global = true, env = "SEATMETER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Run(service::RunArgs),
    Worker(service::WorkerArgs),
    Api(service::ApiArgs),
    Migrate(migrate::Args),
    Produce(produce::Args),
    Generate(generate::Args),
    Verify(verify::Args),
    Canary(canary::Args),
    Alerts(alerts::Args),
    CheckConfig(check_config::Args),
    Clickhouse(clickhouse::Args),
    Token(token::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Runs the command to its end.
///
/// # Errors
///
/// What went wrong, with its causes: one line when printed by `{:#}`, except that a wrong
/// configuration has a line for each problem.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    raise_descriptor_limit();
    let load = || load_config(cli.config);
    let result = match cli.command {
        Command::Demo(args) => {
            engine_password::keep_from_process_list()?;
            let load = || demo::configure(&args, load()?);
            with_runtime(load, async |config, stop| demo::run(&args, config, stop).await)
        }
        Command::Run(_) => serve(load, Role::WorkerAndApi),
        Command::Worker(_) => serve(load, Role::Worker),
        Command::Api(_) => serve(load, Role::Api),
        Command::Migrate(args) => {
            with_runtime(load, async |config, _| migrate::run(&config, &args).await)
        }
        Command::Produce(args) => with_runtime(load, async |config, stop| {
            blocking(move || produce::run(&args, &config, &stop)).await
        }),
        Command::Generate(args) => within_runtime(async {
            let stop = shutdown::on_signals()?;
            blocking(move || generate::run(&args, load, &stop)).await
        }),
        Command::Verify(args) => {
            with_runtime(load, async |config, stop| verify::run(&args, &config, &stop).await)
        }
        Command::Canary(_) => {
            with_runtime(load, async |config, stop| canary::run(config, stop).await)
        }
        Command::Alerts(args) => {
            with_runtime(load, async |config, _| alerts::run(&args, &config).await)
        }
        Command::CheckConfig(args) => check_config::run(&args, load),
        Command::Clickhouse(args) => clickhouse::run(args),
        Command::Token(args) => token::run(&args, load),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
    };
    result.or_else(|error| if error.is::<OutputClosed>() { Ok(()) } else { Err(error) })
}

/// Raises the limit of open files to the hard limit: connections of clients must not use up the
/// files that the worker needs, and the engine has a file open per column. The inherited limit is
/// low (1,024, or 256), for programs that use `select`.
fn raise_descriptor_limit() {
    // If it cannot be raised, the limits of connections respect the current value.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

fn serve(load: impl FnOnce() -> anyhow::Result<Config>, role: Role) -> anyhow::Result<()> {
    with_runtime(load, async |config, stop| service::run(&config, role, stop).await)
}

/// The configuration from the file, if one is named, and the environment.
fn load_config(file: Option<PathBuf>) -> anyhow::Result<Config> {
    // An empty SEATMETER_CONFIG means none, as an empty variable does for most programs.
    let file = file.filter(|path| !path.as_os_str().is_empty());
    Ok(config::load(file.as_deref(), std::env::vars_os())?)
}
