//! The listener: accepts connections, and lets the open requests finish when it is told to stop.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::route::{operations_router, router};
use super::state::ApiState;

/// How long a client may take to send a request's head, and how long an idle connection is kept. It bounds what a
/// client that sends nothing can hold.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest request head, bytes; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long open requests may take to finish after the shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after an `accept` that failed, as it does when file descriptors run out: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until `shutdown` is cancelled; then accepts no more, and waits for the open requests, but not for
/// ever.
///
/// # Errors
/// Where the listener's address cannot be told.
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> anyhow::Result<()> {
    serve_router(listener, router(state), shutdown).await
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
    serve_router(listener, operations_router(state), shutdown).await
}

async fn serve_router(listener: TcpListener, router: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the API's listener has no address")?;
    tracing::info!(%address, "listening");
    let service = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        serve_connection(stream, service.clone(), &graceful);
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still open when the API stopped");
    }
    Ok(())
}

fn serve_connection(stream: TcpStream, service: TowerToHyperService<Router>, graceful: &GracefulShutdown) {
    // Answers are small and polled for; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
}
