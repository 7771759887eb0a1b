//! The HTTP server: routes, access, reading requests, starting and stopping.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::answer;
use super::execute::{Data, Engine, Job, Reply, Statement};
use super::lock::DataDirLock;
use super::request::{self, Parsed, not_implemented};
use super::sentinel::Sentinel;
use super::statement::{self, HEAD_BYTES_MAX, Insert, Scan};
use crate::embedded::libchdb::{EngineError, Library};

/// Statements that run at once; further ones wait.
const STATEMENTS_MAX: usize = 64;
/// The text of a statement that stands alone, at most (the engine's own `max_query_size` is 256 KiB unless raised).
const STATEMENT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pieces of an INSERT's data that wait for the engine.
const PIECES_WAITING_MAX: usize = 4;
/// How long a client may fall silent within a request's body.
const BODY_IDLE_MAX: Duration = Duration::from_secs(60);
/// How much of a body is still read after its INSERT has failed, so that the client comes to read the answer.
const DRAINED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long running statements may take to end after the server was told to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// Where the engine keeps its data; created where missing, used by one process at a time.
    pub data_dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The password of the user `default`; without one, only loopback addresses may be listened on.
    pub password: Option<SecretString>,
    /// Stop when standard input ends: the parent process holds its other end, so the engine never outlives it.
    pub stop_with_stdin: bool,
}

/// Serves until SIGTERM or SIGINT. Prints the line `listening on http://ADDRESS` to stdout when ready.
///
/// It builds its own async runtime, so it is called from plain code; and the process should end soon after it returns,
/// since the engine starts only once in a process.
///
/// # Errors
///
/// One clear line each: a library that cannot be loaded, a data directory that cannot be used or is in use, an engine that
/// does not start, an address that cannot be listened on or is not loopback without a password.
pub fn serve(options: &ServeOptions) -> Result<()> {
    if options.password.is_none() && !options.listen.ip().is_loopback() {
        bail!(
            "refusing to listen on {}: without a password only loopback addresses are allowed; set a password, or listen \
             on 127.0.0.1",
            options.listen
        );
    }
    let _lock = DataDirLock::take(&options.data_dir)?;
    let library = Library::load(&options.library)
        .context("give a libchdb.so by --library FILE, or use an external ClickHouse (clickhouse.url)")?;
    let engine = Engine::new(library, &options.data_dir);
    let stop = Stop::default();
    let on_failure = stop.clone();
    let sentinel = Sentinel::start(engine.clone(), move || on_failure.because_of_failure())
        .map_err(|error| start_failure(&options.data_dir, &error))?;
    let sentinel = Arc::new(sentinel);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(STATEMENTS_MAX + 8)
        .thread_name("engine-http")
        .build()
        .context("cannot start the threads of the HTTP server")?;
    let outcome = runtime.block_on(listen(options, engine, Arc::clone(&sentinel), &stop));
    runtime.shutdown_timeout(Duration::from_secs(1));
    if stop.failed.load(Ordering::Acquire) {
        // Closing the engine would write more.
        std::mem::forget(sentinel);
        bail!(
            "the ClickHouse engine could not write to {} and has stopped, so that nothing is lost: free some space on the \
             disk and start it again; what was acknowledged is kept",
            options.data_dir.display()
        );
    }
    outcome
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
        "the ClickHouse engine does not start on {}: {error} (its own reason, if any, is in the lines above); check that \
         the directory is writable, its disk not full, and its data from the same or an older version",
        data_dir.display()
    )
}

async fn listen(options: &ServeOptions, engine: Engine, sentinel: Arc<Sentinel>, stop: &Stop) -> Result<()> {
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!("cannot listen on {}; is the port in use? choose another by --listen", options.listen)
    })?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    let stop = &stop.token;
    stop_on_signals(stop.clone())?;
    if options.stop_with_stdin {
        stop_with_stdin(stop.clone());
    }
    let server = Arc::new(Server {
        engine: engine.clone(),
        sentinel,
        permits: Arc::new(Semaphore::new(STATEMENTS_MAX)),
        password: options.password.as_ref().map(|password| digest(password.expose_secret())),
    });
    let router = Router::new()
        .route("/ping", get(|| async { "Ok.\n" }))
        .route("/replicas_status", get(|| async { "Ok.\n" }))
        .route("/", axum::routing::any(answer_request))
        .route("/query", axum::routing::any(answer_request))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page; queries go to /\n") })
        .with_state(server);
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "listening on http://{address}")
            .and_then(|()| stdout.flush())
            .context("cannot write to stdout")?;
    }
    // Delayed small packets would add 40 ms to an answer. Where the option cannot be set, the server is merely slower.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
        if let Err(error) = tokio::task::spawn_blocking(move || engine.cancel_all()).await.unwrap_or(Ok(())) {
            tracing::warn!(%error, "statements that are still running could not be cancelled");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        served = async { serving.await } => served.context("the HTTP server failed"),
        () = overdue => Ok(()),
    }
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

/// A thread of its own: reading stdin by tokio would keep the runtime from shutting down.
fn stop_with_stdin(stop: CancellationToken) {
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while matches!(std::io::stdin().read(&mut ignored), Ok(length) if length > 0) {}
        stop.cancel();
    });
}

struct Server {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    permits: Arc<Semaphore>,
    /// SHA-256, so that comparing takes the same time for any guess.
    password: Option<[u8; 32]>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

async fn answer_request(State(server): State<Arc<Server>>, http: Request) -> Response<Body> {
    match server.answer(http).await {
        Ok(response) => response,
        Err(error) => answer::failure(&error),
    }
}

impl Server {
    async fn answer(&self, http: Request) -> Result<Response<Body>, EngineError> {
        let started = Instant::now();
        let (head, body) = http.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        self.refuse_web_pages(&head.headers)?;
        let mut parsed = request::parse(&head.method, head.uri.query().unwrap_or(""), &head.headers)?;
        let mut body = Incoming { stream: body.into_data_stream() };
        if let Some(boundary) = boundary(&head.headers) {
            read_form(&mut parsed, &mut body, boundary).await?;
            body = Incoming { stream: Body::empty().into_data_stream() };
        }
        self.check_password(&parsed)?;
        if head.method == Method::GET && head.uri.path() == "/" && parsed.query.is_empty() {
            return Ok("Ok.\n".into_response());
        }
        match read_statement(&parsed.query, &mut body).await? {
            Text::Insert { insert, first } => self.insert(parsed, insert, first, body, started).await,
            Text::Alone(text) => self.run_alone(parsed, &text, started).await,
        }
    }

    /// A page in the user's own browser can reach a loopback port. It cannot hide its origin, nor, if it renamed itself to
    /// 127.0.0.1 by DNS, the name that it was loaded from.
    fn refuse_web_pages(&self, headers: &HeaderMap) -> Result<(), EngineError> {
        if self.password.is_some() {
            return Ok(());
        }
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        if headers.contains_key(ORIGIN) || !is_local_name(host) {
            let text = "Requests from web pages are refused as long as the engine has no password";
            return Err(EngineError::new(497, "ACCESS_DENIED", text));
        }
        Ok(())
    }

    fn check_password(&self, parsed: &Parsed) -> Result<(), EngineError> {
        let user = parsed.credentials.user.as_deref().filter(|user| !user.is_empty()).unwrap_or("default");
        let given = parsed.credentials.password.as_deref().unwrap_or("");
        let accepted = match self.password {
            Some(expected) => digest(given) == expected,
            None => true,
        };
        if user == "default" && accepted {
            return Ok(());
        }
        let text = format!("{user}: Authentication failed: password is incorrect, or there is no user with such name");
        Err(EngineError::new(516, "AUTHENTICATION_FAILED", &text))
    }

    async fn run_alone(&self, parsed: Parsed, text: &[u8], started: Instant) -> Result<Response<Body>, EngineError> {
        let alone = statement::alone(text);
        match alone.count {
            0 => return Err(EngineError::new(62, "SYNTAX_ERROR", "Syntax error: Empty query")),
            1 => {}
            _ => return Err(EngineError::new(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")),
        }
        let format = alone.format.or_else(|| parsed.default_format.clone()).unwrap_or_else(|| "TabSeparated".into());
        let statement = Statement::Alone { sql: alone.sql, format: format.clone(), kind: alone.kind };
        match self.start(Job { request: parsed, statement }).await?.await {
            Ok(Ok(Reply::Whole(output))) => Ok(answer::whole(output, &format, started.elapsed())),
            Ok(Ok(Reply::Chunks(receiver))) => Ok(answer::chunks(receiver, &format)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(broke_off()),
        }
    }

    async fn insert(
        &self,
        parsed: Parsed,
        insert: Insert,
        first: Bytes,
        mut body: Incoming,
        started: Instant,
    ) -> Result<Response<Body>, EngineError> {
        let (sender, data) = mpsc::channel(PIECES_WAITING_MAX);
        let statement = Statement::Insert { sql: insert.sql, format: insert.format.clone(), data };
        let mut reply = self.start(Job { request: parsed, statement }).await?;
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            if !bytes.is_empty() && sender.send(Data::Piece(bytes)).await.is_err() {
                // The engine has given up. A client reads the answer only when it has sent its body.
                body.drain().await;
                return Err(failure_of(reply.await));
            }
            // An error here drops the sender without an end, which cancels the INSERT.
            piece = body.next().await?;
        }
        // If the engine has given up meanwhile, its reply says why.
        drop(sender.send(Data::End).await);
        match (&mut reply).await {
            Ok(Ok(Reply::Whole(output))) => Ok(answer::whole(output, &insert.format, started.elapsed())),
            outcome => Err(failure_of(outcome)),
        }
    }

    async fn start(&self, job: Job) -> Result<oneshot::Receiver<Result<Reply, EngineError>>, EngineError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| broke_off())?;
        let (sender, receiver) = oneshot::channel();
        let (engine, sentinel) = (self.engine.clone(), Arc::clone(&self.sentinel));
        tokio::task::spawn_blocking(move || {
            engine.run(job, &sentinel, sender);
            drop(permit);
        });
        Ok(receiver)
    }
}

/// A host name of a request that no DNS server has made up: an address, or localhost.
fn is_local_name(host: &str) -> bool {
    // An address with a port, or either without one; IPv6 is in brackets.
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let name = without_port.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(without_port);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

fn broke_off() -> EngineError {
    EngineError::new(1001, "STD_EXCEPTION", "The engine broke off the statement")
}

fn failure_of(outcome: Result<Result<Reply, EngineError>, oneshot::error::RecvError>) -> EngineError {
    match outcome {
        Ok(Err(error)) => error,
        _ => broke_off(),
    }
}

/// The text of a request: its statement, and what is known of the data behind it.
enum Text {
    Alone(Vec<u8>),
    Insert { insert: Insert, first: Bytes },
}

/// Reads as much of the body as belongs to the statement. A line break stands between the URL's part of a statement and the
/// body, as in ClickHouse.
async fn read_statement(query: &str, body: &mut Incoming) -> Result<Text, EngineError> {
    let mut text = query.as_bytes().to_vec();
    let mut piece = body.next().await?;
    if !text.is_empty() && piece.is_some() {
        text.push(b'\n');
    }
    loop {
        if let Some(piece) = &piece {
            text.extend_from_slice(piece);
        }
        let complete = piece.is_none();
        match statement::scan(&text, complete) {
            Scan::Insert(insert) => {
                let first = Bytes::copy_from_slice(&text[insert.data_at..]);
                return Ok(Text::Insert { insert, first });
            }
            Scan::Alone if complete => return Ok(Text::Alone(text)),
            Scan::More if text.len() > HEAD_BYTES_MAX => {
                let message = format!("The head of an INSERT is longer than {HEAD_BYTES_MAX} bytes");
                return Err(EngineError::new(62, "SYNTAX_ERROR", &message));
            }
            Scan::Alone => {
                return read_rest(text, body).await.map(Text::Alone);
            }
            Scan::More => piece = body.next().await?,
        }
    }
}

async fn read_rest(mut text: Vec<u8>, body: &mut Incoming) -> Result<Vec<u8>, EngineError> {
    while let Some(piece) = body.next().await? {
        text.extend_from_slice(&piece);
        if text.len() > STATEMENT_BYTES_MAX {
            let message = format!("A statement is longer than {STATEMENT_BYTES_MAX} bytes");
            return Err(EngineError::new(229, "QUERY_IS_TOO_LARGE", &message));
        }
    }
    Ok(text)
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().and_then(|value| multer::parse_boundary(value).ok())
}

/// Takes the fields of a `multipart/form-data` body for parameters, the statement among them.
async fn read_form(parsed: &mut Parsed, body: &mut Incoming, boundary: String) -> Result<(), EngineError> {
    let bytes = read_rest(Vec::new(), body).await?;
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from(bytes)) });
    let mut form = multer::Multipart::new(stream, boundary);
    let bad = |error: multer::Error| EngineError::new(36, "BAD_ARGUMENTS", &format!("Bad form data: {error}"));
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.file_name().is_some() {
            return Err(not_implemented("files in a form (external tables)"));
        }
        let name = field.name().unwrap_or("").to_owned();
        let value = field.text().await.map_err(bad)?;
        parsed.take(&name, value)?;
    }
    Ok(())
}

/// A request's body.
struct Incoming {
    stream: BodyDataStream,
}

impl Incoming {
    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        match tokio::time::timeout(BODY_IDLE_MAX, self.stream.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => {
                Err(EngineError::new(210, "NETWORK_ERROR", &format!("The request's body broke off: {error}")))
            }
            Err(_) => Err(EngineError::new(209, "SOCKET_TIMEOUT", "The request's body stopped coming")),
        }
    }

    async fn drain(&mut self) {
        let mut drained_bytes = 0;
        while let Ok(Some(piece)) = self.next().await {
            drained_bytes += piece.len();
            if drained_bytes > DRAINED_BYTES_MAX {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_dns_cannot_give_are_local() {
        for host in ["localhost", "LOCALHOST:8123", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8123"] {
            assert!(is_local_name(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8123", "", "[::1].evil", "127.0.0.1.evil:80"] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
