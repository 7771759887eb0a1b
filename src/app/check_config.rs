//! `seatmeter check-config`.

use std::io::Write as _;

use super::output::written;
use crate::config::{self, Config};

/// Validate the configuration and print what is in effect, secrets masked
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print every option with its default and a comment instead
    #[arg(long)]
    defaults: bool,
}

pub(super) fn run(args: &Args, load: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.defaults {
        return written(out.write_all(config::DEFAULTS.as_bytes()));
    }
    let effective = load()?.to_string();
    written(out.write_all(effective.as_bytes()))
}
