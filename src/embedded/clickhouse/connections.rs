//! Accepting connections, and what a client may cost before it has shown who it is: bytes, headers, connections and time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Layer as _;

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 512;
/// How long a client may take to send a request's head, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest request head, bytes; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Headers of a request; more are answered with 431.
const HEADERS_MAX: usize = 100;
/// Pause after an `accept` that failed, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// This end of a connection, as each of its requests knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalAddress(pub(super) IpAddr);

/// Serves until `stop` is cancelled, then waits for the requests that are open.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => (stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        serve_connection(stream, place, router.clone(), &graceful);
    }
    drop(listener);
    graceful.shutdown().await;
}

fn serve_connection(
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    router: Router,
    graceful: &GracefulShutdown,
) {
    // A connection that is gone already has no addresses.
    let Ok(local) = stream.local_addr() else { return };
    let service = TowerToHyperService::new(Extension(LocalAddress(local.ip().to_canonical())).layer(router));
    // Delayed small packets would add 40 ms to an answer. Where the option cannot be set, the server is merely slower.
    drop(stream.set_nodelay(true));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    tokio::spawn(async move {
        // A client that has gone, or that sends no HTTP, is no event here.
        drop(connection.await);
        drop(place);
    });
}
