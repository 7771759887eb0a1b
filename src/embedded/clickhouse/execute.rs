//! Runs the statement of one request on its own connection.
//!
//! Everything here blocks and is called from blocking threads. A connection per request costs 0.4
//! ms and keeps requests apart: settings, the current database and temporary tables end with it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::access::DEFAULT_DATABASE;
use super::framing::Framing;
use super::request::Parsed;
use super::sentinel::Sentinel;
use super::statement::Kind;
use crate::embedded::libchdb::{Connection, EngineError, Library, Output, ResultStream, Summary};

/// Chunks of a result that wait for a slow client, at most; each is about 65,000 rows.
const CHUNKS_WAITING_MAX: usize = 2;

/// Settings of every connection, before the request's own. INSERTs are acknowledged when they are
/// written, times without a zone are UTC on any machine, the engine's extras beyond a server's SQL
/// are off, and INSERTs fail (code 243) while 64 MiB of the disk are still free.
const BASE_SETTINGS: &str = "SET async_insert = 0, session_timezone = 'UTC', implicit_select = 0, \
    allow_introspection_functions = 0, \
     min_free_disk_bytes_to_perform_insert = 67108864";

/// The setting that holds a query's comment.
const LOG_COMMENT: &str = "log_comment";

/// The engine's refusal of a streaming SELECT for a statement of another kind, before it has run
/// anything.
const NOT_STREAMABLE: &str = "Streaming query is not supported";

/// The engine on its data directory.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    library: Library,
    data_dir: PathBuf,
    /// The permissions of its user; see [`access`](super::access).
    access_file: PathBuf,
}

/// A statement with its settings and parameters.
pub(super) struct Job {
    pub(super) request: Parsed,
    pub(super) statement: Statement,
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
}

/// What to run.
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
    pub(super) fn new(library: Library, data_dir: &Path, access_file: PathBuf) -> Engine {
        Engine { library, data_dir: data_dir.to_owned(), access_file }
    }

    /// Opens a connection, and starts the engine with the first one.
    pub(super) fn connect(&self) -> Result<Connection, EngineError> {
        // If tables were loaded in the background, the first queries after a start would miss some
        // of them.
        let arguments = [
            format!("--path={}", self.data_dir.display()),
            format!("--config-file={}", self.access_file.display()),
            format!("--database={DEFAULT_DATABASE}"),
            "--async_load_databases=0".to_owned(),
            "--async_load_system_database=0".to_owned(),
        ];
        let mut connection = self.library.connect(&arguments)?;
        connection.query(BASE_SETTINGS.as_bytes(), "Null", &[])?;
        Ok(connection)
    }

    /// Runs a job and answers through `reply`; returns when the statement is over or its client has
    /// left.
    ///
    /// A statement that may have written is acknowledged only when the sentinel confirms it.
    pub(super) fn run(
        &self,
        job: Job,
        sentinel: &Sentinel,
        reply: oneshot::Sender<Result<Reply, EngineError>>,
    ) {
        let mut connection = match self.session(&job) {
            Ok(connection) => connection,
            Err(error) => return answer(reply, Err(error)),
        };
        let only_reads = job.only_reads();
        // The client has left. A statement that may write is run anyway, as a server does.
        if only_reads && reply.is_closed() {
            return;
        }
        let parameters = &job.request.parameters;
        match job.statement {
            Statement::Insert { sql, format, mut data } => {
                let outcome = insert(&mut connection, &sql, &format, parameters, &mut data);
                drop(connection);
                let outcome = outcome.and_then(|summary| sentinel.confirm().map(|()| summary));
                answer(
                    reply,
                    outcome.map(|summary| Reply::Whole(Output { bytes: Vec::new(), summary })),
                );
            }
            Statement::Alone { sql, format, kind } => {
                let may_stream = kind == Kind::StreamedSelect && !job.request.wait_end_of_query;
                let framing = Framing::of(&format).filter(|_| may_stream);
                if let Some(framing) = framing {
                    match connection.stream(&sql, &format, parameters) {
                        Ok(stream) => return stream_out(stream, framing, reply),
                        Err(error) if error.message.contains(NOT_STREAMABLE) => {}
                        Err(error) => return answer(reply, Err(error)),
                    }
                }
                let outcome = connection.query(&sql, &format, parameters);
                drop(connection);
                let confirmed = |output| {
                    if only_reads { Ok(output) } else { sentinel.confirm().map(|()| output) }
                };
                answer(reply, outcome.and_then(confirmed).map(Reply::Whole));
            }
        }
    }

    /// Asks every running statement to stop, when the server stops.
    pub(super) fn cancel_all(&self) -> Result<(), EngineError> {
        self.connect()?.query(b"KILL QUERY WHERE 1 ASYNC", "Null", &[]).map(drop)
    }

    /// Asks the statement with that mark to stop, if it runs.
    pub(super) fn cancel(&self, mark: &str) -> Result<(), EngineError> {
        let statement = format!(
            "KILL QUERY WHERE endsWith(Settings['log_comment'], {}) ASYNC",
            quoted(mark, '\'')
        );
        self.connect()?.query(statement.as_bytes(), "Null", &[]).map(drop)
    }

    fn session(&self, job: &Job) -> Result<Connection, EngineError> {
        let request = &job.request;
        let mut connection = self.connect()?;
        if let Some(database) = request.database.as_deref().filter(|name| !name.is_empty()) {
            connection.query(format!("USE {}", quoted(database, '`')).as_bytes(), "Null", &[])?;
        }
        let readonly = request.readonly.then(|| ("readonly".to_owned(), "2".to_owned()));
        // The engine assigns query ids itself, so a query is identified by a mark after the comment
        // of the request.
        let comment = request.settings.iter().rev().find(|(name, _)| name == LOG_COMMENT);
        let comment = comment
            .map_or_else(|| job.mark.clone(), |(_, comment)| format!("{comment} {}", job.mark));
        let marked = [(LOG_COMMENT.to_owned(), comment)];
        let settings: Vec<String> = request
            .settings
            .iter()
            .chain(&marked)
            .chain(readonly.as_ref())
            .map(|(name, value)| format!("{name} = {}", quoted(value, '\'')))
            .collect();
        connection.query(format!("SET {}", settings.join(", ")).as_bytes(), "Null", &[])?;
        Ok(connection)
    }
}

fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push(quote);
    quoted
}

fn answer(reply: oneshot::Sender<Result<Reply, EngineError>>, outcome: Result<Reply, EngineError>) {
    // The client has left and the statement is over: nothing is left to do.
    drop(reply.send(outcome));
}

fn insert(
    connection: &mut Connection,
    sql: &[u8],
    format: &str,
    parameters: &[(String, String)],
    data: &mut mpsc::Receiver<Data>,
) -> Result<Summary, EngineError> {
    let mut stream = connection.insert(sql, format, parameters)?;
    loop {
        match data.blocking_recv() {
            Some(Data::Piece(piece)) => stream.append(&piece)?,
            Some(Data::End) => return stream.finish(),
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
    mut stream: ResultStream<'_>,
    framing: Framing,
    reply: oneshot::Sender<Result<Reply, EngineError>>,
) {
    // Two chunks before the response: a small result then has a length, and an early error its HTTP
    // status.
    let (first, second) = match first_two(&mut stream, framing) {
        Ok((first, None)) => return answer(reply, Ok(Reply::Whole(first))),
        Ok((first, Some(second))) => (first.bytes, second),
        Err(error) => return answer(reply, Err(error)),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    if reply.send(Ok(Reply::Chunks(receiver))).is_err() {
        return;
    }
    if sender.blocking_send(Ok(first)).is_err() || sender.blocking_send(Ok(second)).is_err() {
        return;
    }
    loop {
        let chunk = match next(&mut stream, framing) {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        // A client that has left closes the channel; returning drops the stream, which cancels the
        // query.
        if chunk.is_err() || sender.is_closed() {
            drop(sender.blocking_send(chunk));
            return;
        }
        if sender.blocking_send(chunk).is_err() {
            return;
        }
    }
}

fn first_two(
    stream: &mut ResultStream<'_>,
    framing: Framing,
) -> Result<(Output, Option<Vec<u8>>), EngineError> {
    let first = stream.next_chunk()?.unwrap_or_default();
    let second = next(stream, framing)?;
    Ok((first, second))
}

/// A chunk after the first, without its header.
fn next(stream: &mut ResultStream<'_>, framing: Framing) -> Result<Option<Vec<u8>>, EngineError> {
    let Some(mut chunk) = stream.next_chunk()? else { return Ok(None) };
    let header_bytes = framing.header_bytes(&chunk.bytes).ok_or_else(|| {
        EngineError::new(
            1001,
            "STD_EXCEPTION",
            "A chunk of the result does not begin with the header of its format",
        )
    })?;
    chunk.bytes.drain(..header_bytes);
    Ok(Some(chunk.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_quoted() {
        assert_eq!(quoted("a`b", '`'), r"`a\`b`");
        assert_eq!(quoted(r"it's \", '\''), r"'it\'s \\'");
    }
}
