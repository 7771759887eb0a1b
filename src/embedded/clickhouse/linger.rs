//! Closing a connection on whose request more is still to come.
//!
//! If a server answers and closes while its client still sends, the system tells the client that
//! the connection broke, and the answer is lost. So the sending half is closed first, and what
//! still comes is read and discarded for a while.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// Bytes that are still read at most, and for how long.
const BYTES_MAX: usize = 256 * 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes that are discarded at once.
const DISCARDED_BYTES: usize = 16 * 1024;

/// Whether a connection is closed so; switched on by a request that is answered before it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Linger(Arc<AtomicBool>);

impl Linger {
    pub(super) fn switch_on(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A connection that lingers where it is told to.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    linger: Linger,
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Closing {
    bytes_left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream, linger: Linger) -> Lingering {
        Lingering { stream, linger, closing: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes the sending half, and waits for the client's end where the connection lingers.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Lingering { stream, linger, closing } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        if !linger.is_on() {
            return Poll::Ready(Ok(()));
        }
        let closing = closing.get_or_insert_with(|| Closing {
            bytes_left: BYTES_MAX,
            deadline: Box::pin(sleep(TIME_MAX)),
        });
        if closing.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut discarded = [0; DISCARDED_BYTES];
            let mut buffer = ReadBuf::new(&mut discarded);
            // A client that has left is as good as one that has sent all.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            let bytes = buffer.filled().len();
            closing.bytes_left = closing.bytes_left.saturating_sub(bytes);
            if read.is_err() || bytes == 0 || closing.bytes_left == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
