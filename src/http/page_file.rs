//! Files of the pages for people: their content security policy and their caching. The policy lets
//! a page load scripts and styles from this server alone, none of them inline.

use std::io::{self, Write};
use std::sync::LazyLock;

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Content below a hash never changes.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A page names the hashes, so it is asked for each time; its `ETag` makes that cheap.
pub(super) const ASK_EACH_TIME: &str = "no-cache";

/// Rights of a page: to load from this server, and to talk to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
    data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors ";

/// The policy that pages and their files are sent with.
#[derive(Clone)]
pub(super) struct PagePolicy(HeaderValue);

impl PagePolicy {
    /// The policy of pages that may be shown inside those of these origins; of none that is empty.
    pub(super) fn new(frame_ancestors: &[String]) -> Self {
        let ancestors = match frame_ancestors {
            [] => "'none'".to_owned(),
            origins => origins.join(" "),
        };
        // The configuration lets nothing but origins through.
        let policy = HeaderValue::from_str(&format!("{POLICY}{ancestors}"));
        Self(policy.unwrap_or(HeaderValue::from_static("default-src 'none'")))
    }
}

/// Hashing and compressing some megabytes, once each, must not hold up the API's requests.
pub(super) async fn aside(answer: impl FnOnce() -> Response + Send + 'static) -> Response {
    tokio::task::spawn_blocking(answer)
        .await
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Content, as it is and compressed, with all that its headers need.
pub(super) struct PageFile {
    content: Bytes,
    /// Made when it is first asked for.
    compressed: LazyLock<Option<Bytes>, Box<dyn FnOnce() -> Option<Bytes> + Send>>,
    media_type: &'static str,
    etag: String,
}

impl PageFile {
    pub(super) fn new(media_type: &'static str, content: Bytes) -> Self {
        let etag = format!("\"{}\"", hash([content.as_ref()]));
        let source = content.clone();
        let compressed: Box<dyn FnOnce() -> Option<Bytes> + Send> =
            Box::new(move || gzip(&source).ok());
        Self { content, compressed: LazyLock::new(compressed), media_type, etag }
    }

    pub(super) fn answer(
        &self,
        request: &HeaderMap,
        policy: &PagePolicy,
        cache_control: &'static str,
    ) -> Response {
        let etag =
            HeaderValue::from_str(&self.etag).expect("an etag is hexadecimal digits in quotes");
        let common: [(HeaderName, HeaderValue); 6] = [
            (ETAG, etag),
            (CACHE_CONTROL, HeaderValue::from_static(cache_control)),
            (VARY, HeaderValue::from_static("accept-encoding")),
            (CONTENT_SECURITY_POLICY, policy.0.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        if lists(request, &IF_NONE_MATCH, |known| known.trim_start_matches("W/") == self.etag) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let media_type = [(CONTENT_TYPE, HeaderValue::from_static(self.media_type))];
        if lists(request, &ACCEPT_ENCODING, accepts_gzip)
            && let Some(compressed) = self.compressed.as_ref()
        {
            let encoding = [(CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            return (common, media_type, encoding, compressed.clone()).into_response();
        }
        (common, media_type, self.content.clone()).into_response()
    }
}

/// Whether one of the comma-separated entries of the header is such.
fn lists(headers: &HeaderMap, name: &HeaderName, is_such: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| is_such(entry.trim()))
}

/// An entry of `Accept-Encoding` that names gzip and does not refuse it by a weight of zero.
fn accepts_gzip(entry: &str) -> bool {
    let mut parts = entry.split(';').map(str::trim);
    parts.next() == Some("gzip")
        && parts.all(|weight| !matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
}

fn gzip(content: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    Ok(encoder.finish()?.into())
}

/// The media type of a file by its ending.
pub(super) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Sixteen hexadecimal digits that change with the content. Each part counts with its length, so
/// that no two lists of parts look alike.
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hex::encode(&hasher.finalize()[..8])
}
