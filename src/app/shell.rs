//! `seatmeter completions` and `seatmeter man`: the command line, told to shells and readers.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Command;
use clap_complete::Shell;

use super::output::written;
use super::progress::say;

/// Print a shell's completions for this program
///
/// Such as: seatmeter completions bash > ~/.local/share/bash-completion/completions/seatmeter
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print a manual page of this program
///
/// Such as: seatmeter man demo | man -l -
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command whose page to print; by default that of the whole program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    output_dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, mut program: Command) -> anyhow::Result<()> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    written(std::io::stdout().lock().write_all(&script))
}

pub(super) fn man(args: &ManArgs, mut program: Command) -> anyhow::Result<()> {
    let unbuilt = program.clone();
    // Subcommands get their whole names.
    program.build();
    if let Some(folder) = &args.output_dir {
        let cannot_write = || format!("cannot write manual pages to {}", folder.display());
        std::fs::create_dir_all(folder).with_context(cannot_write)?;
        clap_mangen::generate_to(unbuilt, folder).with_context(cannot_write)?;
        say(&format!("manual pages written to {}", folder.display()));
        return Ok(());
    }
    let command = match &args.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => bail!("there is no command {name:?}; `seatmeter --help` lists them"),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).context("cannot make a manual page")?;
    written(std::io::stdout().lock().write_all(&page))
}
