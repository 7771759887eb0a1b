//! A TCP proxy in front of a broker, which can cut all connections and block new ones for a while.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections from a loopback port to another one, as long as this process lives.
#[derive(Clone)]
pub(crate) struct TcpProxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    target: AtomicU16,
    is_closed: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl TcpProxy {
    /// Listens; [`forward_to`](TcpProxy::forward_to) sets the target.
    #[track_caller]
    pub(crate) fn start() -> TcpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A blocked connection is closed at once.
                let _ = accepting.connect(client);
            }
        });
        TcpProxy { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn forward_to(&self, port: u16) {
        self.state.target.store(port, Ordering::Relaxed);
    }

    /// Breaks every connection; new ones are let through.
    pub(crate) fn cut(&self) {
        for connection in self.state.open.lock().unwrap().drain(..) {
            // The other end may have closed it already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Breaks every connection and every new one, until [`open`](TcpProxy::open).
    pub(crate) fn close(&self) {
        self.state.is_closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Lets connections through again.
    pub(crate) fn open(&self) {
        self.state.is_closed.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn connect(&self, client: TcpStream) -> std::io::Result<()> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let server = TcpStream::connect(("127.0.0.1", self.target.load(Ordering::Relaxed)))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            self.open.lock().unwrap().push(stream.try_clone()?);
        }
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || pump(from_client, to_server));
        std::thread::spawn(move || pump(server, client));
        if self.is_closed.load(Ordering::SeqCst) {
            // It was closed between the check and the connection.
            self.open
                .lock()
                .unwrap()
                .drain(..)
                .for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
        }
        Ok(())
    }
}

/// Copies until one side is closed, then closes the other.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
