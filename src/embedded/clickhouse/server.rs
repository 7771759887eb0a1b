//! The HTTP server: routes, starting and stopping.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{any, get};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::door::{Door, USER};
use super::engine::Engine;
use super::guard::Guard;
use super::handler::{STATEMENTS_MAX, Server, answer_request, refuse_web_pages};
use super::lock::{DataDirLock, Use};
use super::sentinel::Sentinel;
use super::sessions::Sessions;
use super::{access, confine, connections, password};
use crate::embedded::libchdb::{EngineError, Library, end_process};

/// Time limit for running statements to end after the stop request.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Interval at which idle sessions are looked for.
const SESSIONS_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// Where the engine keeps its data; created where missing, used by one process at a time.
    pub data_dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The password of the user `default`. Without one, or with an empty one, only loopback
    /// addresses are allowed, and a random password is generated, kept in the data directory and
    /// printed with the address.
    pub password: Option<SecretString>,
    /// Names and addresses by which clients may call this server, beside its own address, loopback
    /// ones and `localhost`.
    pub host_names: Vec<String>,
    /// Statements may reach files, programs and other hosts, with the rights of this process.
    pub allow_external: bool,
    /// Stop when standard input ends: the parent process holds its other end, so the engine never
    /// outlives it.
    pub stop_with_stdin: bool,
}

/// Serves until SIGTERM or SIGINT. Prints the line `listening on http://ADDRESS` to stdout when
/// ready, with `default:PASSWORD@` before the address if the password was generated here.
///
/// It builds its own async runtime, so it is called from plain code; and the process should end
/// soon after it returns, since the engine starts only once in a process. A write that fails ends
/// the process here, with status 1.
///
/// # Errors
///
/// One clear line each: a library that cannot be loaded, a data directory that cannot be used or is
/// in use, an engine that does not start, an address that cannot be listened on or is not loopback
/// without a password.
pub fn serve(options: &ServeOptions) -> Result<()> {
    let named = options.password.clone().filter(|password| !password.expose_secret().is_empty());
    if named.is_none() && !options.listen.ip().is_loopback() {
        bail!(
            "refusing to listen on {}: without a password only loopback addresses are allowed; set \
            one by --password or SEATMETER_ENGINE_PASSWORD, or listen on 127.0.0.1",
            options.listen
        );
    }
    let _lock = DataDirLock::take(&options.data_dir, Use::Engine)?;
    let library = Library::load(&options.library).context(
        "give a libchdb.so by --library FILE, or use an external ClickHouse (clickhouse.url)",
    )?;
    let access_file = prepare(options, library)?;
    let engine = Engine::new(library, &options.data_dir, access_file);
    let stop = Stop::default();
    let on_failure = stop.clone();
    let sentinel = Sentinel::start(engine.clone(), move || on_failure.because_of_failure())
        .map_err(|error| start_failure(&options.data_dir, &error))?;
    let sentinel = Arc::new(sentinel);
    let guard = if options.allow_external {
        None
    } else {
        Some(Guard::of(&engine).map_err(|error| start_failure(&options.data_dir, &error))?)
    };
    let (password, credentials) = match named {
        Some(named) => (named, String::new()),
        None => {
            let made = password::of_data_dir(&options.data_dir)?;
            let credentials = format!("{USER}:{}@", made.expose_secret());
            (made, credentials)
        }
    };
    let door = Door::new(&password, &options.host_names, options.listen.ip());
    let sessions = Sessions::default();
    let server = Server::new(engine.clone(), Arc::clone(&sentinel), sessions.clone(), door, guard);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(STATEMENTS_MAX + 8)
        .thread_name("engine-http")
        .build()
        .context("cannot start the threads of the HTTP server")?;
    let outcome = runtime.block_on(async {
        tokio::spawn(end_idle_sessions(sessions.clone()));
        listen(options, engine.clone(), server, &credentials, &stop).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    if stop.failed.load(Ordering::Acquire) {
        // Closing the engine would write more.
        std::mem::forget(sentinel);
        // If standard error is closed, there is no reader left.
        let _ = writeln!(
            std::io::stderr(),
            "seatmeter: the ClickHouse engine could not write to {} and has stopped, so that \
            nothing is lost: free some \
             space on the disk and start it again; what was acknowledged is kept",
            options.data_dir.display()
        );
        end_process(1);
    }
    // The engine stops with its last connection, which is the sentinel's.
    sessions.end_all();
    engine.idle().close();
    outcome
}

/// Prepares the data folder and this process for the engine; returns the file of its permissions.
fn prepare(options: &ServeOptions, library: Library) -> Result<PathBuf> {
    // Older libraries do not tell their version.
    let is_before_26_7 = library.version().is_none();
    let access_file = access::write(&options.data_dir, options.allow_external, is_before_26_7)?;
    access::define_default_database(&options.data_dir)?;
    if !options.allow_external {
        let files = match is_before_26_7 {
            true => confine::read_before_26_7(&options.library),
            false => Vec::new(),
        };
        // Before the engine starts its threads.
        confine::confine(&options.data_dir, &files);
    }
    Ok(access_file)
}

async fn end_idle_sessions(sessions: Sessions) {
    loop {
        tokio::time::sleep(SESSIONS_LOOK_INTERVAL).await;
        let sessions = sessions.clone();
        drop(tokio::task::spawn_blocking(move || sessions.end_idle()).await);
    }
}

/// The reason to stop.
#[derive(Clone, Debug, Default)]
struct Stop {
    token: CancellationToken,
    /// A write has failed.
    failed: Arc<AtomicBool>,
}

impl Stop {
    fn because_of_failure(&self) {
        self.failed.store(true, Ordering::Release);
        self.token.cancel();
    }
}

fn start_failure(data_dir: &Path, error: &EngineError) -> anyhow::Error {
    anyhow::anyhow!(
        "the ClickHouse engine does not start on {}: {error} (its own reason, if any, is in the \
        lines above); check that the directory is writable, its disk not full, and its data from \
        the same or an older version",
        data_dir.display()
    )
}

/// `credentials` stand before the address where it is printed.
async fn listen(
    options: &ServeOptions,
    engine: Engine,
    server: Server,
    credentials: &str,
    stop: &Stop,
) -> Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; is the port in use? choose another by --listen",
            options.listen
        )
    })?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    let stop = &stop.token;
    stop_on_signals(stop.clone())?;
    if options.stop_with_stdin {
        stop_with_stdin(stop.clone());
    }
    let server = Arc::new(server);
    let router = Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        .route("/", any(answer_request))
        .route("/query", any(answer_request))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page; queries go to /\n") })
        .layer(middleware::from_fn_with_state(Arc::clone(&server), refuse_web_pages))
        .with_state(server);
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "listening on http://{credentials}{address}")
            .and_then(|()| stdout.flush())
            .context("cannot write to stdout")?;
    }
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
        if let Err(error) =
            tokio::task::spawn_blocking(move || engine.cancel_all()).await.unwrap_or(Ok(()))
        {
            tracing::warn!(%error, "statements that are still running could not be cancelled");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        () = connections::serve(listener, router, stop.clone()) => {}
        () = overdue => {}
    }
    Ok(())
}

fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// A separate thread: reading stdin with tokio would keep the runtime from shutting down.
fn stop_with_stdin(stop: CancellationToken) {
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(length) if length > 0) {}
        stop.cancel();
    });
}
