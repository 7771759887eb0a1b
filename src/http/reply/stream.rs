//! Answers that are written as their rows come, in constant memory.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;

use crate::http::places::Place;
use crate::store::StoreError;
use crate::telemetry::http as telemetry;

/// Chunks that wait for a slow reader, at most.
const CHUNKS_WAITING_MAX: usize = 2;

/// A body of the chunks. An error, or a reader that takes nothing for as long as `patience`, ends
/// it; the answer then breaks off instead of looking whole. The place among the exports is held
/// until the end.
pub(in crate::http) fn body(
    place: Place,
    chunks: impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static,
    patience: Duration,
) -> Body {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::spawn(send(place, chunks, sender, patience));
    // The compression layer polls a body again after its end, which an unfold answers with a panic.
    Body::from_stream(
        stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)))
            .fuse(),
    )
}

async fn send(
    _place: Place,
    chunks: impl Stream<Item = Result<Bytes, StoreError>> + Send,
    sender: mpsc::Sender<io::Result<Bytes>>,
    patience: Duration,
) {
    let mut chunks = std::pin::pin!(chunks);
    loop {
        // A reader that has gone wants no more rows: dropping the query stops it.
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            () = sender.closed() => None,
        };
        let chunk = match chunk {
            None => return,
            Some(Ok(chunk)) => Ok(chunk),
            Some(Err(error)) => {
                telemetry::answer_broken_off(&error);
                Err(io::Error::other("the answer broke off"))
            }
        };
        let last = chunk.is_err();
        if sender.send_timeout(chunk, patience).await.is_err() {
            telemetry::answer_given_up();
            return;
        }
        if last {
            return;
        }
    }
}
