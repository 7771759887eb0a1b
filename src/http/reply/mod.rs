//! Replies: JSON with an entity tag, and CSV.

pub(super) mod problem;
pub(super) mod stream;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::core::calendar::Day;
use crate::http::reply::problem::Problem;
use crate::http::request::list_field::elements;
use crate::report::csv::BYTE_ORDER_MARK;
use crate::report::value::Timestamp;
use crate::telemetry::http as telemetry;

/// The media type of CSV exports.
pub(in crate::http) const CSV: &str = "text/csv; charset=utf-8; header=present";

/// The form in which a report is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Form {
    Json,
    Csv(CsvFile),
}

/// The file that a CSV export is saved as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct CsvFile {
    /// Its name without the day and the ending.
    pub(in crate::http) name: &'static str,
    /// Whether it begins with a byte order mark, as spreadsheets want it that take a file without
    /// one for an older code page.
    pub(in crate::http) byte_order_mark: bool,
}

/// A report whose bytes are at hand, JSON without `data_through`, or 304 where the caller has it
/// already. The entity tag is a hash of those bytes: it does not move with every flush, and is a
/// weak one for that reason.
pub(in crate::http) fn whole(
    headers: &HeaderMap,
    form: Form,
    today: Day,
    tag: &str,
    report: &[u8],
    data_through: Option<Timestamp>,
) -> Result<Response, Problem> {
    match form {
        Form::Csv(_) if is_known(headers, tag) => Ok(not_modified(tag)),
        Form::Csv(file) => {
            let mark = if file.byte_order_mark { BYTE_ORDER_MARK } else { b"" };
            Ok(csv_stream(tag, file, today, Body::from([mark, report].concat())))
        }
        Form::Json => json(headers, tag, report, data_through),
    }
}

fn json(
    headers: &HeaderMap,
    tag: &str,
    report: &[u8],
    data_through: Option<Timestamp>,
) -> Result<Response, Problem> {
    if is_known(headers, tag) {
        return Ok(not_modified(tag));
    }
    let fields = report.strip_suffix(b"}").unwrap_or(report);
    let body = [fields, b",\"data_through\":", &serialized(&data_through)?, b"}"].concat();
    Ok(tagged(tag, (StatusCode::OK, [(CONTENT_TYPE, "application/json")], body)))
}

/// A report that tells in other places too how fresh it is: `undated` is what its tag is a hash of.
pub(in crate::http) fn json_tagged_by<T: Serialize>(
    headers: &HeaderMap,
    undated: &impl Serialize,
    report: &T,
    data_through: Option<Timestamp>,
) -> Result<Response, Problem> {
    json(headers, &entity_tag(&serialized(undated)?), &serialized(report)?, data_through)
}

/// A CSV whose lines, and the mark before them, come one after another. `today`, the day in the
/// account's zone, is part of its name.
pub(in crate::http) fn csv_stream(tag: &str, file: CsvFile, today: Day, body: Body) -> Response {
    let disposition = format!("attachment; filename=\"{}-{today}.csv\"", file.name);
    let headers = [(CONTENT_TYPE, CSV), (CONTENT_DISPOSITION, &disposition)];
    tagged(tag, (StatusCode::OK, headers, body))
}

/// A report as JSON that is written as its rows come.
pub(in crate::http) fn json_stream(tag: &str, body: Body) -> Response {
    tagged(tag, (StatusCode::OK, [(CONTENT_TYPE, "application/json")], body))
}

pub(in crate::http) fn serialized<T: Serialize>(value: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| {
        telemetry::report_unwritable(&error);
        Problem::internal()
    })
}

/// The tag of an answer with these bytes.
pub(in crate::http) fn entity_tag(bytes: &[u8]) -> String {
    tag_of(Sha256::new_with_prefix(bytes))
}

/// The tag of an answer whose bytes have been hashed.
pub(in crate::http) fn tag_of(hash: Sha256) -> String {
    format!("W/\"{}\"", hex::encode(&hash.finalize()[..16]))
}

/// Whether `If-None-Match` names the tag; the comparison is weak, as RFC 9110 (13.1.2) asks for.
pub(in crate::http) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known: Vec<&str> = values.flat_map(|value| elements(value, ',')).collect();
    known == ["*"] || known.iter().any(|known| opaque(known) == opaque(tag))
}

/// 304, for a caller who has the answer already.
pub(in crate::http) fn not_modified(tag: &str) -> Response {
    tagged(tag, StatusCode::NOT_MODIFIED)
}

fn tagged(tag: &str, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, value);
    }
    revalidated(&mut response);
    response
}

/// A caller's cache may keep the answer for itself, and has to ask before it uses it.
fn revalidated(response: &mut Response) {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("authorization, accept, accept-encoding"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let tag = entity_tag(b"{}");
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            is_known(&headers, &tag)
        };
        let strong = tag.trim_start_matches("W/");
        assert!(known(&tag));
        assert!(known(strong));
        assert!(known("*"));
        assert!(known(&format!("\"other\", {tag}")));
        assert!(known(&format!("\"a,b\", {tag}")));
        assert!(!known("\"something else\", *"));
        assert!(!known("\"other\""));
        assert!(!known("\"a,*,b\""), "a star within a tag is none");
        assert!(!known(&format!("\"a,{},b\"", strong.trim_matches('"'))));
        assert!(!known(strong.trim_matches('"')));
        assert!(!is_known(&HeaderMap::new(), &tag));
    }
}
