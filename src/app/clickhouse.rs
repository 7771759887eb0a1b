//! `seatmeter clickhouse`: the embedded ClickHouse on its own, as an HTTP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;

use super::{engine_password, logging};
use crate::config::{Log, LogFormat, listen_address};
use crate::embedded::clickhouse::{ServeOptions, serve};
use crate::embedded::provision::engine_library;

/// Serve the embedded ClickHouse over HTTP
///
/// curl, Grafana and ClickHouse's clients use it as they use a server. The user is `default`; the
/// password is made at the first start, kept in the data folder (seatmeter-password), and part of
/// the address that is printed, unless --password names one. Example: curl
/// 'http://default:PASSWORD@127.0.0.1:8123/?query=SHOW+DATABASES'
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on, or its port alone; port 0 takes a free one. Without a password only
    /// loopback addresses are allowed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123",
        value_parser = listen_address)]
    listen: SocketAddr,

    /// Where the data is kept; by default in the user's data folder
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// The engine's library, libchdb.so 26.5 or newer; by default it is fetched by npm, once
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,

    #[command(flatten)]
    password: engine_password::PasswordArgs,

    /// Let statements reach files, programs and other hosts: file(), url(), s3(), INTO OUTFILE,
    /// dictionaries, BACKUP. They do so with the rights of whoever runs this
    #[arg(long)]
    allow_external: bool,

    /// A name or address by which clients may ask for this server, beside its own address and
    /// localhost; may be repeated
    #[arg(long = "host-name", value_name = "NAME")]
    host_names: Vec<String>,

    /// Stop when standard input is closed, so as not to outlive the process at its other end
    #[arg(long)]
    stop_with_stdin: bool,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    engine_password::keep_from_process_list()?;
    let _last_lines = logging::init(&Log { filter: "info".into(), format: LogFormat::Text })?;
    let data_dir = match args.data_dir {
        Some(named) => named,
        None => dirs::data_dir()
            .context("this user has no data folder; name one by --data-dir")?
            .join("seatmeter/clickhouse"),
    };
    serve(&ServeOptions {
        library: engine_library(args.library.as_deref())?,
        data_dir,
        listen: args.listen,
        password: args.password.given(),
        host_names: args.host_names,
        allow_external: args.allow_external,
        stop_with_stdin: args.stop_with_stdin,
    })
}
