//! Handles one request: access, parsing, and execution by the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answer;
use super::body::{
    Incoming, STATEMENT_TIME_MAX, StatementText, boundary, read_form, read_statement,
};
use super::commands;
use super::connections::Peer;
use super::door::Door;
use super::effect::Effect;
use super::encoding::Encoding;
use super::engine::Engine;
use super::execute::{Data, Job, Reply, Statement};
use super::guard::{self, Guard};
use super::request::{self, Parsed};
use super::sentinel::Sentinel;
use super::sessions::{Lease, Sessions};
use super::statement::{self, Insert};
use super::unpack::Packing;
use super::values::ValuesWatch;
use crate::embedded::libchdb::EngineError;

/// Statements that run at once; further ones wait.
pub(super) const STATEMENTS_MAX: usize = 64;
/// Chunks of an INSERT's data that wait for the engine.
const PIECES_WAITING_MAX: usize = 4;

/// Bodies that are buffered at the same time, each up to a statement's length; further ones wait.
const READERS_MAX: usize = 32;

/// How often the cancellation of an abandoned statement is tried, and the pause between.
const CANCELS: u32 = 3;
const CANCEL_PAUSE: Duration = Duration::from_millis(200);

/// Shared state of requests.
pub(super) struct Server {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    permits: Arc<Semaphore>,
    /// Bounds the memory of buffered bodies.
    readers: Semaphore,
    sessions: Sessions,
    door: Door,
    /// `None` if statements may reach outside.
    guard: Option<Guard>,
}

/// Passes a request on unless a foreign web page has sent it.
pub(super) async fn refuse_web_pages(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Peer>,
    http: Request,
    next: Next,
) -> Response<Body> {
    match server.door.refuse_web_pages(&http, peer.local()) {
        Ok(()) => next.run(http).await,
        Err(error) => answer::failure(&error),
    }
}

/// Handles a request to the query interface.
pub(super) async fn answer_request(
    State(server): State<Arc<Server>>,
    Extension(peer): Extension<Peer>,
    http: Request,
) -> Response<Body> {
    let (head, body) = http.into_parts();
    if !matches!(head.method, Method::GET | Method::HEAD | Method::POST) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    // Like a server, it answers a ping of anybody.
    if head.method == Method::GET && head.uri.path() == "/" && head.uri.query().is_none() {
        return "Ok.\n".into_response();
    }
    let parsed = match server.admit(&head, &peer) {
        Ok(parsed) => parsed,
        Err(error) => {
            let rest = Incoming::new(body, Packing::default());
            return server.refuse(error, &peer, rest).await;
        }
    };
    let mut incoming = Incoming::new(body, parsed.packing);
    let query_id = parsed.query_id.clone();
    match server.answer(&head, parsed, &mut incoming).await {
        Ok(response) => answer::with_query_id(response, query_id),
        Err(error) => server.refuse(error, &peer, incoming).await,
    }
}

impl Server {
    pub(super) fn new(
        engine: Engine,
        sentinel: Arc<Sentinel>,
        sessions: Sessions,
        door: Door,
        guard: Option<Guard>,
    ) -> Server {
        Server {
            engine,
            sentinel,
            permits: Arc::new(Semaphore::new(STATEMENTS_MAX)),
            readers: Semaphore::new(READERS_MAX),
            sessions,
            door,
            guard,
        }
    }

    /// The answer to a request that failed. A client that is still sending gets it too.
    async fn refuse(&self, error: EngineError, peer: &Peer, mut rest: Incoming) -> Response<Body> {
        let error = if self.guard.is_some() { guard::explained(error) } else { error };
        let mut response = answer::failure(&error);
        if !rest.ends_soon().await {
            peer.linger();
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn answer(
        &self,
        head: &Parts,
        mut parsed: Parsed,
        body: &mut Incoming,
    ) -> Result<Response<Body>, EngineError> {
        let started = Instant::now();
        let text = tokio::time::timeout(STATEMENT_TIME_MAX, self.read(head, &mut parsed, body));
        let text = text.await.map_err(|_| {
            EngineError::new(209, "SOCKET_TIMEOUT", "The statement took too long to come")
        })??;
        if head.method == Method::GET && head.uri.path() == "/" && parsed.query.is_empty() {
            return Ok("Ok.\n".into_response());
        }
        match text {
            StatementText::Insert { insert, first } => {
                self.insert(parsed, insert, first, body, started).await
            }
            StatementText::Alone(text) => self.run_alone(parsed, &text, started).await,
        }
    }

    /// Reads the statement, and the other fields of a form.
    async fn read(
        &self,
        head: &Parts,
        parsed: &mut Parsed,
        body: &mut Incoming,
    ) -> Result<StatementText, EngineError> {
        let _reading = self.readers.acquire().await.map_err(|_| broke_off())?;
        if let Some(boundary) = boundary(&head.headers) {
            read_form(parsed, body, boundary).await?;
        }
        if parsed.session.wanted().is_some() {
            parsed.read_without_setting();
        }
        read_statement(&parsed.query, body).await
    }

    /// Parses the head and checks the password: the body of an unauthenticated request is never
    /// looked at.
    fn admit(&self, head: &Parts, peer: &Peer) -> Result<Parsed, EngineError> {
        let parsed = request::parse(&head.method, head.uri.query().unwrap_or(""), &head.headers)?;
        self.door.check_password(&parsed.credentials)?;
        peer.keep_place();
        Ok(parsed)
    }

    /// Takes the session that a request names.
    fn lease(&self, request: &Parsed) -> Result<Option<Lease>, EngineError> {
        request.session.wanted().map(|wanted| self.sessions.lease(wanted)).transpose()
    }

    /// Refuses a statement that reaches outside, or that writes by a GET.
    fn check(&self, request: &Parsed, text: &[u8]) -> Result<(), EngineError> {
        commands::check_no_commands(text)?;
        if request.readonly {
            commands::check_reads(text)?;
        }
        self.guard.as_ref().map_or(Ok(()), |guard| guard.check(text, &request.parameters))
    }

    async fn run_alone(
        &self,
        parsed: Parsed,
        text: &[u8],
        started: Instant,
    ) -> Result<Response<Body>, EngineError> {
        let alone = statement::alone(text);
        match alone.count {
            0 => return Err(EngineError::new(62, "SYNTAX_ERROR", "Syntax error: Empty query")),
            1 => {}
            _ => {
                return Err(EngineError::new(
                    62,
                    "SYNTAX_ERROR",
                    "Syntax error (Multi-statements are not allowed)",
                ));
            }
        }
        self.check(&parsed, text)?;
        let format = alone
            .format
            .or_else(|| parsed.default_format.clone())
            .unwrap_or_else(|| "TabSeparated".into());
        let encoding = Encoding::of(&parsed, &format);
        let statement =
            Statement::Alone { sql: alone.sql, format: format.clone(), kind: alone.kind };
        let lease = self.lease(&parsed)?;
        let effect = Effect::of(text);
        let job = Job { request: parsed, statement, effect, lease, encoding, mark: new_mark() };
        // Dropped with this future, which hyper drops when the client disconnects.
        let mut abandoned = Abandoned::of(&self.engine, &job);
        let reply = self.start(job).await?.await;
        abandoned.answered();
        match reply {
            Ok(Ok(Reply::Whole(output))) => Ok(answer::whole(output, &format, started.elapsed())),
            Ok(Ok(Reply::Chunks(receiver))) => Ok(answer::chunks(receiver, &format, encoding)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(broke_off()),
        }
    }

    async fn insert(
        &self,
        parsed: Parsed,
        insert: Insert,
        first: Bytes,
        body: &mut Incoming,
        started: Instant,
    ) -> Result<Response<Body>, EngineError> {
        self.check(&parsed, &insert.sql)?;
        let may_hold_sql = self.guard.is_some() && insert.format.eq_ignore_ascii_case("Values");
        let mut watch = may_hold_sql.then(ValuesWatch::default);
        let (sender, data) = mpsc::channel(PIECES_WAITING_MAX);
        let statement = Statement::Insert { sql: insert.sql, format: insert.format.clone(), data };
        let lease = self.lease(&parsed)?;
        let (effect, encoding) = (Effect::Nothing, Encoding::default());
        let job = Job { request: parsed, statement, effect, lease, encoding, mark: new_mark() };
        let mut reply = self.start(job).await?;
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            if let Some(Err(error)) = watch.as_mut().map(|watch| watch.look(&bytes)) {
                return Err(error);
            }
            if !bytes.is_empty() && sender.send(Data::Piece(bytes)).await.is_err() {
                // The engine has failed.
                return Err(failure_of(reply.await));
            }
            // An error here drops the sender without an end, which cancels the INSERT.
            piece = body.next().await?;
        }
        // If the engine has failed meanwhile, its reply gives the reason.
        drop(sender.send(Data::End).await);
        match (&mut reply).await {
            Ok(Ok(Reply::Whole(output))) => {
                Ok(answer::whole(output, &insert.format, started.elapsed()))
            }
            outcome => Err(failure_of(outcome)),
        }
    }

    async fn start(
        &self,
        job: Job,
    ) -> Result<oneshot::Receiver<Result<Reply, EngineError>>, EngineError> {
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

fn new_mark() -> String {
    static MARKS: AtomicU64 = AtomicU64::new(0);
    format!("seatmeter-{}.", MARKS.fetch_add(1, Ordering::Relaxed))
}

/// Stops a statement that only reads when its client has left.
struct Abandoned {
    engine: Engine,
    /// The mark of a running statement that may be stopped.
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
            // A statement that is still being prepared does not show its mark yet.
            for _ in 0..CANCELS {
                if let Err(error) = engine.cancel(&mark) {
                    tracing::warn!(%error, "a statement that nobody waits for could not be \
                        cancelled");
                }
                std::thread::sleep(CANCEL_PAUSE);
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(cancel));
        }
    }
}

fn broke_off() -> EngineError {
    EngineError::new(1001, "STD_EXCEPTION", "The engine broke off the statement")
}

fn failure_of(
    outcome: Result<Result<Reply, EngineError>, oneshot::error::RecvError>,
) -> EngineError {
    match outcome {
        Ok(Err(error)) => error,
        _ => broke_off(),
    }
}
