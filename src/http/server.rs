//! The listener: accepts connections, and lets the open requests finish when it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::connections::{Admitted, ConnectionBounds, Connections};
use super::operations::metrics_router;
use super::reset::ResetOnFailure;
use super::state::ApiState;
use crate::config;
use crate::http::router::{operations_router, router};
use crate::telemetry::http as telemetry;

/// The longest request head, bytes; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Time limit for open requests to finish after the shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after an `accept` that failed, as it does when file descriptors run out: without it the
/// loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answer to a connection for which there is no room.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: \
        0\r\n\r\n";

/// Serves the API until `shutdown` is cancelled; then accepts no more, and waits for the open
/// requests, but not for ever.
///
/// # Errors
/// Where the listener's address cannot be told.
pub async fn serve(
    listener: TcpListener,
    state: ApiState,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let limits = Limits::of(&state);
    serve_router(listener, router(state), limits, shutdown).await
}

/// As [`serve`], but health and metrics alone.
///
/// # Errors
/// As [`serve`].
pub async fn serve_operations(
    listener: TcpListener,
    state: ApiState,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let limits = Limits::of(&state);
    serve_router(listener, operations_router(state), limits, shutdown).await
}

/// Serves `/healthz` and the metrics that `render` gives, for a process without a store, until
/// `shutdown` is cancelled.
///
/// # Errors
/// As [`serve`].
pub async fn serve_metrics(
    listener: TcpListener,
    http: &config::Http,
    render: impl Fn() -> String + Clone + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let bounds = ConnectionBounds::new(http.connections_max, http.connections_per_peer_max);
    let limits = Limits {
        connections: Connections::new(bounds),
        keep_alive_timeout: http.keep_alive_timeout,
    };
    serve_router(listener, metrics_router(render), limits, shutdown).await
}

/// Limits of connections.
struct Limits {
    connections: Connections,
    /// How long a client may take to send a request's head, and how long an idle connection is
    /// kept.
    keep_alive_timeout: Duration,
}

impl Limits {
    fn of(state: &ApiState) -> Self {
        Self {
            connections: Connections::new(state.connections()),
            keep_alive_timeout: state.keep_alive_timeout(),
        }
    }
}

async fn serve_router(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the API's listener has no address")?;
    telemetry::listening(&address);
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    telemetry::connection_not_accepted(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        match limits.connections.admit(peer.ip()) {
            Some(admitted) => {
                serve_connection(
                    stream,
                    router.clone(),
                    limits.keep_alive_timeout,
                    admitted,
                    &graceful,
                );
            }
            None => {
                telemetry::connection_refused();
                // A client that does not read gets no answer: the server does not wait for it.
                let _ = stream.try_write(FULL);
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        telemetry::requests_cut_off();
    }
    Ok(())
}

fn serve_connection(
    stream: TcpStream,
    router: Router,
    keep_alive_timeout: Duration,
    admitted: Admitted,
    graceful: &GracefulShutdown,
) {
    // Answers are small and polled for; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let has_failed = Arc::new(AtomicBool::new(false));
    let stream = ResetOnFailure::new(stream, Arc::clone(&has_failed));
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        answer(router.clone(), request, Arc::clone(&has_failed))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(keep_alive_timeout)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        let _admitted = admitted;
        if let Err(error) = watched.await {
            telemetry::connection_broken(&error);
        }
    });
}

/// Answers a request. To HTTP/1.0 a body of unknown length ends with the connection, so one that
/// breaks off would look whole: such a connection is marked, and reset instead of being closed.
async fn answer(
    router: Router,
    request: Request<hyper::body::Incoming>,
    has_failed: Arc<AtomicBool>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    let is_old = request.version() == Version::HTTP_10;
    let response = router.oneshot(request.map(Body::new)).await?;
    if !is_old {
        return Ok(response);
    }
    Ok(response.map(|body| {
        Body::new(body.map_err(move |error| {
            has_failed.store(true, Ordering::Release);
            error
        }))
    }))
}
