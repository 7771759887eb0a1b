//! Accepts connections, and limits clients that are not authenticated yet: bytes, headers,
//! connections and time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use super::linger::{Linger, Lingering};

/// Connections at once. A further one takes the place of the oldest whose client has not shown the
/// password, and waits where all have.
const CONNECTIONS_MAX: usize = 512;
/// Time limit of a request's head and of an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest request head, bytes; a longer one gets status 431.
const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Headers of a request; more get status 431.
const HEADERS_MAX: usize = 100;
/// Pause after a failed `accept`, as when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection, as each of its requests knows it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    local: IpAddr,
    number: u64,
    strangers: Strangers,
    linger: Linger,
}

impl Peer {
    /// This end of the connection.
    pub(super) fn local(&self) -> IpAddr {
        self.local
    }

    /// It has shown the password, and keeps its place from now on.
    pub(super) fn keep_place(&self) {
        self.strangers.lock().remove(&self.number);
    }

    /// A request of it is answered before its body has been read: the connection is closed with
    /// care.
    pub(super) fn linger(&self) {
        self.linger.switch_on();
    }
}

/// Connections whose clients have not shown the password, by the order of their coming.
#[derive(Clone, Debug, Default)]
struct Strangers(Arc<Mutex<BTreeMap<u64, CancellationToken>>>);

impl Strangers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, CancellationToken>> {
        // The map is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_off_oldest(&self) {
        if let Some((_, cut_off)) = self.lock().pop_first() {
            cut_off.cancel();
        }
    }
}

/// Serves until `stop` is cancelled, then waits for open requests.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    serve_at_most(CONNECTIONS_MAX, listener, router, stop).await;
}

async fn serve_at_most(
    connections_max: usize,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(connections_max));
    let strangers = Strangers::default();
    for number in 0.. {
        let accepted = async {
            let (stream, _) = listener.accept().await?;
            if places.available_permits() == 0 {
                strangers.cut_off_oldest();
            }
            // The semaphore is never closed.
            Ok::<_, std::io::Error>((stream, Arc::clone(&places).acquire_owned().await.ok()))
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        // A connection that is gone already has no addresses.
        let Ok(local) = stream.local_addr() else { continue };
        let peer = Peer {
            local: local.ip().to_canonical(),
            number,
            strangers: strangers.clone(),
            linger: Linger::default(),
        };
        serve_connection(stream, place, peer, router.clone(), &graceful);
    }
    drop(listener);
    graceful.shutdown().await;
}

fn serve_connection(
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    peer: Peer,
    router: Router,
    graceful: &GracefulShutdown,
) {
    let cut_off = CancellationToken::new();
    peer.strangers.lock().insert(peer.number, cut_off.clone());
    let service = TowerToHyperService::new(Extension(peer.clone()).layer(router));
    // Delayed small packets would add 40 ms to a response. If the option cannot be set, the server
    // is only slower.
    drop(stream.set_nodelay(true));
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let stream = TokioIo::new(Lingering::new(stream, peer.linger.clone()));
    let connection = graceful.watch(builder.serve_connection(stream, service).into_owned());
    tokio::spawn(async move {
        // A client that has left, or does not send HTTP, is not reported.
        tokio::select! {
            () = cut_off.cancelled() => {}
            _ = connection => {}
        }
        peer.keep_place();
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Begins a request, or sends one whole, and hands out the connection.
    async fn send(address: std::net::SocketAddr, text: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(text.as_bytes()).await.unwrap();
        connection
    }

    async fn first_line(connection: &mut TcpStream) -> String {
        let mut answer = vec![0; 15];
        match connection.read_exact(&mut answer).await {
            Ok(_) => String::from_utf8(answer).unwrap(),
            Err(_) => "cut off".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_oldest_stranger_makes_room() {
        const BEGUN: &str = "GET / HTTP/1.1\r\nHost: ";
        const KNOWN: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let router = Router::new()
            .route("/", get(|Extension(peer): Extension<Peer>| async move { peer.keep_place() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_at_most(3, listener, router, CancellationToken::new()));

        let started = Instant::now();
        let mut known = send(address, KNOWN).await;
        assert_eq!(first_line(&mut known).await, "HTTP/1.1 200 OK");
        let mut oldest = send(address, BEGUN).await;
        let mut younger = send(address, BEGUN).await;
        let mut newest = send(address, KNOWN).await;
        assert_eq!(first_line(&mut newest).await, "HTTP/1.1 200 OK");
        assert_eq!(first_line(&mut oldest).await, "cut off");
        // Otherwise it would have come to its place when the time of the others was over.
        assert!(started.elapsed() < HEAD_TIMEOUT, "{:?}", started.elapsed());
        younger.write_all(b"localhost\r\n\r\n").await.unwrap();
        assert_eq!(first_line(&mut younger).await, "HTTP/1.1 200 OK");
        // A connection that has shown the password is never cut off for another one.
        let mut waiting = send(address, KNOWN).await;
        drop(newest);
        assert_eq!(first_line(&mut waiting).await, "HTTP/1.1 200 OK");
    }
}
