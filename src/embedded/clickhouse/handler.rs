//! Answering one request: who may ask, what is asked, and handing it to the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answer;
use super::body::{Incoming, Text, boundary, read_form, read_statement};
use super::effect::effect_of;
use super::execute::{Data, Engine, Job, Reply, Statement};
use super::request::{self, Parsed};
use super::sentinel::Sentinel;
use super::statement::{self, Insert};
use super::writes::Writes;
use crate::embedded::libchdb::EngineError;

/// Statements that run at once; further ones wait.
pub(super) const STATEMENTS_MAX: usize = 64;
/// Pieces of an INSERT's data that wait for the engine.
const PIECES_WAITING_MAX: usize = 4;

/// How often a statement that nobody waits for is cancelled, and the pause in between.
const CANCELS: u32 = 3;
const CANCEL_PAUSE: Duration = Duration::from_millis(200);

/// What requests are answered from.
pub(super) struct Server {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    permits: Arc<Semaphore>,
    writes: Writes,
    /// SHA-256, so that comparing takes the same time for any guess.
    password: Option<[u8; 32]>,
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Answers a request to the query interface.
pub(super) async fn answer_request(State(server): State<Arc<Server>>, http: Request) -> Response<Body> {
    match server.answer(http).await {
        Ok(response) => response,
        Err(error) => answer::failure(&error),
    }
}

/// Answers how many statements that may write have begun and ended, or that this cannot be told.
pub(super) async fn answer_writes(State(server): State<Arc<Server>>, http: Request) -> Response<Body> {
    let (head, _) = http.into_parts();
    let accepted = server.parse(&head).and_then(|parsed| server.check_password(&parsed));
    match accepted {
        Ok(()) => ([(CACHE_CONTROL, "no-store")], format!("{}\n", server.writes)).into_response(),
        Err(error) => answer::failure(&error),
    }
}

impl Server {
    /// Without a password, everybody who can connect may ask; web pages may not.
    pub(super) fn new(engine: Engine, sentinel: Arc<Sentinel>, password: Option<&SecretString>) -> Server {
        Server {
            engine,
            sentinel,
            permits: Arc::new(Semaphore::new(STATEMENTS_MAX)),
            writes: Writes::new(),
            password: password.map(|password| digest(password.expose_secret())),
        }
    }

    async fn answer(&self, http: Request) -> Result<Response<Body>, EngineError> {
        let started = Instant::now();
        let (head, body) = http.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let mut parsed = self.parse(&head)?;
        let mut body = Incoming::new(body);
        if let Some(boundary) = boundary(&head.headers) {
            read_form(&mut parsed, &mut body, boundary).await?;
            body = Incoming::new(Body::empty());
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

    /// Parses what is not the body, unless a web page asks. A form may still bring the password.
    fn parse(&self, head: &Parts) -> Result<Parsed, EngineError> {
        self.refuse_web_pages(&head.headers)?;
        request::parse(&head.method, head.uri.query().unwrap_or(""), &head.headers)
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
        let job = Job { request: parsed, statement, mark: new_mark() };
        // Dropped with this future, which hyper drops when the client closes the connection.
        let mut abandoned = Abandoned::of(&self.engine, &job);
        let reply = self.start(job).await?.await;
        abandoned.answered();
        match reply {
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
        let mut reply = self.start(Job { request: parsed, statement, mark: new_mark() }).await?;
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
        let writing = self.writes.begin(effect_of(&job.request, &job.statement));
        tokio::task::spawn_blocking(move || {
            engine.run(job, &sentinel, sender);
            // Only now, as the engine may have gone on writing for a client that has left.
            drop(writing);
            drop(permit);
        });
        Ok(receiver)
    }
}

fn new_mark() -> String {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    format!("seatmeter-{}.", MARKS.fetch_add(1, Ordering::Relaxed))
}

/// Stops a statement that only reads when nobody waits for its answer any more.
struct Abandoned {
    engine: Engine,
    /// Of a statement that runs, and may be stopped.
    mark: Option<String>,
}

impl Abandoned {
    fn of(engine: &Engine, job: &Job) -> Abandoned {
        Abandoned { engine: engine.clone(), mark: job.only_reads().then(|| job.mark.clone()) }
    }

    fn answered(&mut self) {
        self.mark = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(mark) = self.mark.take() else { return };
        let engine = self.engine.clone();
        let cancel = move || {
            // A statement that is only just being prepared is not known by its mark yet.
            for _ in 0..CANCELS {
                if let Err(error) = engine.cancel(&mark) {
                    tracing::warn!(%error, "a statement that nobody waits for could not be cancelled");
                }
                std::thread::sleep(CANCEL_PAUSE);
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(cancel));
        }
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
