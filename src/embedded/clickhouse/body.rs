//! Reading a request's body: the statement, the data behind it, or a form.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::refusals::{not_implemented, not_utf8};
use super::request::Parsed;
use super::statement::{self, HEAD_BYTES_MAX, Insert, Scan};
use super::unpack::{Packing, Pieces, unpacked};
use crate::embedded::libchdb::EngineError;

/// The text of a statement that stands alone, at most (the engine's own `max_query_size` is 256 KiB
/// unless raised).
const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Time limit for the statement, or a form, to arrive, even if bytes keep coming.
pub(super) const STATEMENT_TIME_MAX: Duration = Duration::from_secs(120);
/// Fields of a form.
const FIELDS_MAX: usize = 1000;
/// Longest pause of a client within a request's body.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How much of a refused request's body is read before the answer, and for how long. A client that
/// has sent no more than that keeps its connection.
const REST_BYTES_MAX: usize = 64 * 1024;
const REST_TIME_MAX: Duration = Duration::from_millis(100);

/// The text of a request: its statement, and the beginning of the data after it.
pub(super) enum StatementText {
    Alone(Vec<u8>),
    Insert { insert: Insert, first: Bytes },
}

/// Reads as much of the body as belongs to the statement. A line break separates the URL's part of
/// a statement from the body, as in ClickHouse.
pub(super) async fn read_statement(
    query: &str,
    body: &mut Incoming,
) -> Result<StatementText, EngineError> {
    let mut text = query.as_bytes().to_vec();
    let mut piece = body.next().await?;
    if !text.is_empty() && piece.is_some() {
        text.push(b'\n');
    }
    loop {
        if let Some(piece) = &piece {
            text.extend_from_slice(piece);
        }
        let complete = piece.is_none();
        match statement::scan(&text, complete) {
            Scan::Insert(insert) => {
                let first = Bytes::copy_from_slice(&text[insert.data_at..]);
                return Ok(StatementText::Insert { insert, first });
            }
            Scan::Alone if complete => return Ok(StatementText::Alone(text)),
            Scan::More if text.len() > HEAD_BYTES_MAX => {
                let message =
                    format!("The head of an INSERT is longer than {HEAD_BYTES_MAX} bytes");
                return Err(EngineError::new(62, "SYNTAX_ERROR", &message));
            }
            Scan::Alone => {
                return read_rest(text, body).await.map(StatementText::Alone);
            }
            Scan::More => piece = body.next().await?,
        }
    }
}

async fn read_rest(mut text: Vec<u8>, body: &mut Incoming) -> Result<Vec<u8>, EngineError> {
    while let Some(piece) = body.next().await? {
        text.extend_from_slice(&piece);
        if text.len() > STATEMENT_BYTES_MAX {
            let message = format!("A statement is longer than {STATEMENT_BYTES_MAX} bytes");
            return Err(EngineError::new(229, "QUERY_IS_TOO_LARGE", &message));
        }
    }
    Ok(text)
}

/// The boundary of a form, if the body is one.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE)?.to_str().ok().and_then(|value| multer::parse_boundary(value).ok())
}

/// Reads the fields of a `multipart/form-data` body as parameters, including the statement.
pub(super) async fn read_form(
    parsed: &mut Parsed,
    body: &mut Incoming,
    boundary: String,
) -> Result<(), EngineError> {
    let bytes = read_rest(Vec::new(), body).await?;
    let stream =
        futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(Bytes::from(bytes)) });
    let mut form = multer::Multipart::new(stream, boundary);
    let bad = |error: multer::Error| {
        EngineError::new(36, "BAD_ARGUMENTS", &format!("Bad form data: {error}"))
    };
    let mut fields = 0;
    while let Some(field) = form.next_field().await.map_err(bad)? {
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(EngineError::new(
                36,
                "BAD_ARGUMENTS",
                &format!("A form has more than {FIELDS_MAX} fields"),
            ));
        }
        if field.file_name().is_some() {
            return Err(not_implemented("files in a form (external tables)"));
        }
        let name = field.name().unwrap_or("").to_owned();
        // The caller is authenticated before a body is read.
        if matches!(name.as_str(), "user" | "password") {
            return Err(not_implemented(&format!(
                "{name} in a form; send it in the address or by a header"
            )));
        }
        // Not `text()`, which strips a byte order mark from the value: the query would be for
        // another account's id.
        let value = field.bytes().await.map_err(bad)?;
        let value = String::from_utf8(value.into()).map_err(|_| not_utf8(&name))?;
        parsed.take(&name, value)?;
    }
    Ok(())
}

/// A request's body.
pub(super) struct Incoming {
    pieces: Pieces,
    has_ended: bool,
}

impl Incoming {
    pub(super) fn new(body: Body, packing: Packing) -> Incoming {
        Incoming { pieces: unpacked(body, packing), has_ended: false }
    }

    /// The next chunk; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        if self.has_ended {
            return Ok(None);
        }
        match tokio::time::timeout(IDLE_MAX, self.pieces.next()).await {
            Ok(Some(piece)) => piece.map(Some),
            Ok(None) => {
                self.has_ended = true;
                Ok(None)
            }
            Err(_) => {
                Err(EngineError::new(209, "SOCKET_TIMEOUT", "The request's body stopped coming"))
            }
        }
    }

    /// Reads on for a moment; whether the end was reached.
    pub(super) async fn ends_soon(&mut self) -> bool {
        let rest = async {
            let mut read_bytes = 0;
            while let Ok(Some(piece)) = self.next().await {
                read_bytes += piece.len();
                if read_bytes > REST_BYTES_MAX {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(REST_TIME_MAX, rest).await);
        self.has_ended
    }
}
