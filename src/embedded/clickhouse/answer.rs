//! HTTP responses: status, headers and body like those of a ClickHouse server.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::encoding::Encoding;
use crate::embedded::libchdb::{EngineError, Output, Summary};

/// The response to a finished statement.
pub(super) fn whole(output: Output, format: &str, elapsed: Duration) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    describe(&mut response, format);
    set(&mut response, "x-clickhouse-summary", &summary_json(output.summary, elapsed));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(output.bytes.len()));
    *response.body_mut() = Body::from(output.bytes);
    response
}

/// The response to a statement whose result is still being computed.
///
/// If it fails now, the client has the status 200 already. The error then follows the rows in the
/// form that ClickHouse's clients recognize, marked by a tag from the headers, and the connection
/// is cut, so that no client takes the rows for complete.
pub(super) fn chunks(
    receiver: mpsc::Receiver<Result<Vec<u8>, EngineError>>,
    format: &str,
    encoding: Encoding,
) -> Response<Body> {
    let tag = exception_tag();
    let mut response = Response::new(Body::empty());
    describe(&mut response, format);
    set(&mut response, "x-clickhouse-exception-tag", &tag);
    let state = Sending { receiver, tag, encoding, failed: None };
    *response.body_mut() = Body::from_stream(stream::unfold(state, Sending::step));
    response
}

/// The response to a statement that failed before anything was sent.
pub(super) fn failure(error: &EngineError) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", error.message)));
    *response.status_mut() = status(error.code);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    set(&mut response, "x-clickhouse-exception-code", &error.code.to_string());
    response
}

/// Names the statement as its client did, or by a name that nobody else has.
pub(super) fn with_query_id(mut response: Response<Body>, given: Option<String>) -> Response<Body> {
    let id = given.filter(|id| !id.is_empty()).unwrap_or_else(exception_tag);
    set(&mut response, "x-clickhouse-query-id", &id);
    response
}

struct Sending {
    receiver: mpsc::Receiver<Result<Vec<u8>, EngineError>>,
    tag: String,
    encoding: Encoding,
    failed: Option<String>,
}

impl Sending {
    async fn step(mut self) -> Option<(io::Result<Bytes>, Sending)> {
        if let Some(message) = self.failed.take() {
            // hyper flushes its buffer when the body is not ready, and drops it when the body
            // fails.
            tokio::task::yield_now().await;
            return Some((Err(io::Error::other(message)), self));
        }
        loop {
            return match self.receiver.recv().await? {
                Ok(chunk) if chunk.is_empty() => continue,
                Ok(chunk) => Some((Ok(Bytes::from(chunk)), self)),
                Err(error) => {
                    let text = self.encoding.apply_to_error(tagged(&error.message, &self.tag));
                    self.failed = Some(error.message);
                    Some((Ok(Bytes::from(text)), self))
                }
            };
        }
    }
}

/// An error within a result, in the form of ClickHouse 25.11 and later.
fn tagged(message: &str, tag: &str) -> String {
    let line = format!("{message}\n");
    format!("\r\n__exception__\r\n{tag}\r\n{line}{} {tag}\r\n__exception__\r\n", line.len())
}

/// 16 random hex digits, which no result contains by chance.
fn exception_tag() -> String {
    format!("{:016x}", RandomState::new().hash_one(Instant::now()))
}

fn describe(response: &mut Response<Body>, format: &str) {
    let content_type = match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedWithNames"
        | "TSVWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNamesAndTypes" => "text/tab-separated-values; charset=UTF-8",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" => "application/json; charset=UTF-8",
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONCompactEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "Native"
        | "RowBinary"
        | "RowBinaryWithNames"
        | "RowBinaryWithNamesAndTypes"
        | "Parquet"
        | "Arrow"
        | "ArrowStream" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    set(response, "x-clickhouse-format", format);
    set(response, "x-clickhouse-timezone", "UTC");
}

fn set(response: &mut Response<Body>, name: &'static str, value: &str) {
    // A format's name is a word of the statement; if it is not valid in a header, the header is
    // omitted.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn summary_json(summary: Summary, elapsed: Duration) -> String {
    let figures = [
        ("read_rows", summary.read_rows),
        ("read_bytes", summary.read_bytes),
        ("written_rows", summary.written_rows),
        ("written_bytes", summary.written_bytes),
        ("total_rows_to_read", 0),
        ("result_rows", summary.result_rows),
        ("result_bytes", summary.result_bytes),
        ("elapsed_ns", u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)),
    ];
    let fields: Vec<String> =
        figures.iter().map(|(name, figure)| format!("\"{name}\":\"{figure}\"")).collect();
    format!("{{{}}}", fields.join(","))
}

/// ClickHouse's HTTP status for an error code (its `exceptionCodeToHTTPStatus`).
pub(super) fn status(code: u32) -> StatusCode {
    match code {
        194 => StatusCode::UNAUTHORIZED,
        192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
        6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
        | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
        46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
        229 => StatusCode::PAYLOAD_TOO_LARGE,
        48 => StatusCode::NOT_IMPLEMENTED,
        76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        381 => StatusCode::LENGTH_REQUIRED,
        159 => StatusCode::REQUEST_TIMEOUT,
        779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_server() {
        for (code, expected) in [
            (62, 400),
            (60, 404),
            (81, 404),
            (516, 403),
            (194, 401),
            (241, 500),
            (243, 500),
            (159, 408),
        ] {
            assert_eq!(status(code).as_u16(), expected, "code {code}");
        }
    }

    #[test]
    fn an_error_amid_rows_has_its_length_and_tag() {
        assert_eq!(
            tagged("Code: 1. x", "abcdefghijklmnop"),
            "\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 1. x\n11 \
            abcdefghijklmnop\r\n__exception__\r\n"
        );
    }

    #[test]
    fn tags_differ() {
        assert_ne!(exception_tag(), exception_tag());
        assert_eq!(exception_tag().len(), 16);
    }
}
