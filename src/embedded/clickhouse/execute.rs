//! Runs the statement of one request in its [place](super::place).
//!
//! Everything here blocks and is called from blocking threads.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::effect::{Effect, reading_only};
use super::encoding::Encoding;
use super::engine::Engine;
use super::framing::Framing;
use super::insertion::Insertion;
use super::items::is;
use super::lexer::Tokens;
use super::place::{Left, Place};
use super::request::Parsed;
use super::sentinel::Sentinel;
use super::sessions::Lease;
use super::statement::Kind;
use crate::embedded::libchdb::{Connection, EngineError, Output, ResultStream, Summary};

/// Chunks of a result that wait for a slow client, at most; each is about 65,000 rows.
const CHUNKS_WAITING_MAX: usize = 2;

/// The engine's refusal of a streaming SELECT for a statement of another kind, before it has run
/// anything.
const NOT_STREAMABLE: &str = "Streaming query is not supported";

/// A statement with its settings and parameters.
pub(super) struct Job {
    pub(super) request: Parsed,
    pub(super) statement: Statement,
    /// The change that it leaves in its session.
    pub(super) effect: Effect,
    /// Its session, if the request names one.
    pub(super) lease: Option<Lease>,
    /// How its result is written.
    pub(super) encoding: Encoding,
    /// A unique mark; see [`Engine::cancel`].
    pub(super) mark: String,
}

impl Job {
    /// It only reads, so it may be stopped when its client has left.
    pub(super) fn only_reads(&self) -> bool {
        match self.statement {
            Statement::Alone { kind, .. } => kind != Kind::Other || self.request.readonly,
            Statement::Insert { .. } => false,
        }
    }

    /// It leaves its connection as it was: it sets nothing, not even for itself.
    fn leaves_nothing(&self) -> bool {
        let sql = match &self.statement {
            Statement::Alone { kind: Kind::Other, .. } => return false,
            Statement::Alone { sql, .. } | Statement::Insert { sql, .. } => sql,
        };
        let mut items = Tokens::new(sql).map(|(token, range)| (token, &sql[range]));
        self.effect == Effect::Nothing && !items.any(|item| is(&item, "SETTINGS"))
    }
}

/// The statement to run.
pub(super) enum Statement {
    /// A statement that stands alone, with the format of its result.
    Alone { sql: Vec<u8>, format: String, kind: Kind },
    /// An INSERT, with the format of its data.
    Insert { sql: Vec<u8>, format: String, data: mpsc::Receiver<Data> },
}

/// A chunk of an INSERT's data. The end is explicit: a channel that closes without it cancels the
/// INSERT.
#[derive(Debug)]
pub(super) enum Data {
    Piece(Bytes),
    End,
}

/// The beginning of the reply.
#[derive(Debug)]
pub(super) enum Reply {
    /// The whole result.
    Whole(Output),
    /// A result that is still being computed. An error in it comes after rows have been sent.
    Chunks(mpsc::Receiver<Result<Vec<u8>, EngineError>>),
}

impl Engine {
    /// Runs a job and answers through `reply`; returns when the statement is over or its client has
    /// left.
    ///
    /// A statement that may have written is acknowledged only when the sentinel confirms it.
    pub(super) fn run(&self, mut job: Job, sentinel: &Sentinel, reply: ReplySender) {
        let only_reads = job.only_reads();
        // The client has left. A statement that may write is run anyway, as a server does.
        if only_reads && reply.is_closed() {
            return;
        }
        let leaves_nothing = job.leaves_nothing();
        let lease = job.lease.take();
        let place = Place::take(self, lease, &job.request, job.effect, &job.mark);
        let mut place = match place {
            Ok(place) => place,
            Err(error) => return Ending::Reply(reply, Err(error)).tell(Ok(())),
        };
        let ending = run_in(&mut place, job, sentinel, reply);
        // A result that was not fetched to its end may go on being computed.
        let nothing = leaves_nothing && matches!(ending, Ending::Reply(..));
        let left = Left { succeeded: ending.is_success(), wrote: !only_reads, nothing };
        // Only then is the session free, which the client's next request takes for granted.
        let left = place.leave(left);
        ending.tell(left);
    }
}

/// Receiver of the beginning of the reply.
pub(super) type ReplySender = oneshot::Sender<Result<Reply, EngineError>>;

/// The message that a statement is over, for its client.
enum Ending {
    /// The whole reply.
    Reply(ReplySender, Result<Reply, EngineError>),
    /// The end of the chunks, or the error in their place.
    Chunks(mpsc::Sender<Result<Vec<u8>, EngineError>>, Result<(), EngineError>),
}

impl Ending {
    fn is_success(&self) -> bool {
        match self {
            Ending::Reply(_, outcome) => outcome.is_ok(),
            Ending::Chunks(_, outcome) => outcome.is_ok(),
        }
    }

    /// Tells it. `left`: whether the place could be left in order.
    fn tell(self, left: Result<(), EngineError>) {
        // If the client has left, nothing is left to do.
        match self {
            Ending::Reply(reply, outcome) => {
                drop(reply.send(outcome.and_then(|reply| left.map(|()| reply))));
            }
            Ending::Chunks(chunks, outcome) => {
                if let Err(error) = outcome.and(left) {
                    drop(chunks.blocking_send(Err(error)));
                }
            }
        }
    }
}

fn run_in(place: &mut Place, job: Job, sentinel: &Sentinel, reply: ReplySender) -> Ending {
    let only_reads = job.only_reads();
    let (encoding, request) = (job.encoding, &job.request);
    let parameters = &request.parameters;
    let confirmed = |output: Output| {
        if only_reads { Ok(output) } else { sentinel.confirm().map(|()| output) }
    };
    let outcome = match job.statement {
        Statement::Insert { sql, format, mut data } => {
            insert(place.connection(), &sql, &format, parameters, &mut data)
                .map(|summary| Output { bytes: Vec::new(), summary })
        }
        Statement::Alone { mut sql, format, kind } => {
            // Elsewhere the connection itself is held to reading.
            if request.readonly && place.is_kept() && job.effect == Effect::Nothing {
                match reading_only(&sql, kind) {
                    Ok(reading) => sql = reading,
                    Err(error) => return Ending::Reply(reply, Err(error)),
                }
            }
            let may_stream = kind == Kind::StreamedSelect && !request.wait_end_of_query;
            let framing = Framing::of(&format).filter(|_| may_stream);
            if let Some(framing) = framing {
                match place.connection().stream(&sql, &format, parameters) {
                    Ok(stream) => return stream_out(stream, framing, encoding, reply),
                    Err(error) if error.message.contains(NOT_STREAMABLE) => {}
                    Err(error) => return Ending::Reply(reply, Err(error)),
                }
            }
            place.connection().query(&sql, &format, parameters)
        }
    };
    let whole = outcome.and_then(confirmed).and_then(|output| encoded(output, encoding));
    Ending::Reply(reply, whole.map(Reply::Whole))
}

fn encoded(output: Output, encoding: Encoding) -> Result<Output, EngineError> {
    Ok(Output { bytes: encoding.apply(output.bytes)?, ..output })
}

fn insert(
    connection: &mut Connection,
    sql: &[u8],
    format: &str,
    parameters: &[(String, String)],
    data: &mut mpsc::Receiver<Data>,
) -> Result<Summary, EngineError> {
    let mut insertion = Insertion::begin(connection, sql, format, parameters)?;
    loop {
        match data.blocking_recv() {
            Some(Data::Piece(piece)) => insertion.append(&piece)?,
            Some(Data::End) => return insertion.finish(),
            None => {
                return Err(EngineError::new(
                    210,
                    "NETWORK_ERROR",
                    "The data of an INSERT broke off",
                ));
            }
        }
    }
}

fn stream_out(
    stream: ResultStream<'_>,
    framing: Framing,
    encoding: Encoding,
    reply: ReplySender,
) -> Ending {
    let mut chunks = Chunks { stream, framing, encoding };
    // Two chunks before the response: a small result then has a length, and an early error its HTTP
    // status.
    let (first, second) = match chunks.first_two() {
        Ok((first, None)) => return Ending::Reply(reply, Ok(Reply::Whole(first))),
        Ok((first, Some(second))) => (first.bytes, second),
        Err(error) => return Ending::Reply(reply, Err(error)),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    // A client that has left closes the channel; returning drops the stream, which cancels the
    // query.
    let is_there = reply.send(Ok(Reply::Chunks(receiver))).is_ok()
        && sender.blocking_send(Ok(first)).is_ok()
        && sender.blocking_send(Ok(second)).is_ok();
    if !is_there {
        return Ending::Chunks(sender, Ok(()));
    }
    loop {
        match chunks.next() {
            Ok(Some(chunk)) => {
                if sender.blocking_send(Ok(chunk)).is_err() {
                    return Ending::Chunks(sender, Ok(()));
                }
            }
            Ok(None) => return Ending::Chunks(sender, Ok(())),
            Err(error) => return Ending::Chunks(sender, Err(error)),
        }
    }
}

/// The chunks of a result, as they are sent.
struct Chunks<'connection> {
    stream: ResultStream<'connection>,
    framing: Framing,
    encoding: Encoding,
}

impl Chunks<'_> {
    fn first_two(&mut self) -> Result<(Output, Option<Vec<u8>>), EngineError> {
        let first = self.stream.next_chunk()?.unwrap_or_default();
        let second = self.next()?;
        Ok((encoded(first, self.encoding)?, second))
    }

    /// A chunk after the first, without its header.
    fn next(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        let Some(mut chunk) = self.stream.next_chunk()? else { return Ok(None) };
        let header_bytes = self.framing.header_bytes(&chunk.bytes).ok_or_else(|| {
            EngineError::new(
                1001,
                "STD_EXCEPTION",
                "A chunk of the result does not begin with the header of its format",
            )
        })?;
        chunk.bytes.drain(..header_bytes);
        self.encoding.apply(chunk.bytes).map(Some)
    }
}
