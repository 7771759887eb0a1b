//! Whether anything was written: what the embedded engine tells of itself, without a query.
//!
//! A ClickHouse server tells no such thing, and is asked only now and then. Nothing is ever made up here: an answer that is
//! not understood, or none, tells nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use secrecy::ExposeSecret as _;
use url::Url;

use super::client::Store;
use crate::config;

/// Where it is asked for, below the URL of the server.
const PATH: &str = "writes";
/// How long the answer may take, at most: it is there to save the few milliseconds of a query.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a server that does not tell is left in peace.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest answer.
const ANSWER_BYTES_MAX: usize = 256;

/// How many statements that may write an engine had begun and ended at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writes {
    /// What no other process has.
    engine: String,
    begun: u64,
    ended: u64,
}

impl Writes {
    /// Whether no statement that may write was running.
    pub fn are_over(&self) -> bool {
        self.begun == self.ended
    }

    /// Whether no statement that may write has begun in between. If those of one of the two were over, nothing was written
    /// from that moment to the other one.
    pub fn begun_as_at(&self, other: &Writes) -> bool {
        self.engine == other.engine && self.begun == other.begun
    }

    /// Understands what an engine answers: `engine NAME begun NUMBER ended NUMBER`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let ["engine", engine, "begun", begun, "ended", ended] = words[..] else { return None };
        Some(Self { engine: engine.to_owned(), begun: begun.parse().ok()?, ended: ended.parse().ok()? })
    }
}

/// The place to ask at.
pub(super) struct WritesTeller {
    http: HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    /// Until when a server that did not tell is not asked again.
    silent_until: Mutex<Option<Instant>>,
}

/// What an answer comes to.
enum Said {
    Writes(Writes),
    /// That the server does not tell, and will not do so in a moment.
    Nothing,
    /// Nothing that says anything about the next time.
    Trouble,
}

impl WritesTeller {
    /// The place at the server of this URL, to be asked as the configured user.
    ///
    /// # Errors
    /// Where the URL has no path, or user or password do not fit into a header.
    pub(super) fn new(
        http: HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
        url: &Url,
        config: &config::ClickHouse,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        let user = HeaderValue::from_str(&config.user).context("clickhouse.user cannot be sent by HTTP")?;
        let mut password = HeaderValue::from_str(config.password.expose_secret())
            .context("clickhouse.password cannot be sent by HTTP")?;
        password.set_sensitive(true);
        headers.insert("x-clickhouse-user", user);
        headers.insert("x-clickhouse-key", password);
        Ok(Self { http, uri: place(url)?, headers, silent_until: Mutex::default() })
    }

    fn is_silent(&self) -> bool {
        self.silent_until().is_some_and(|until| Instant::now() < until)
    }

    fn silent_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.silent_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self) -> Said {
        let mut request = Request::new(Empty::new());
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        let Ok(response) = self.http.request(request).await else { return Said::Trouble };
        let status = response.status();
        match Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await {
            Ok(body) => said(status, &String::from_utf8_lossy(&body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => said(status, ""),
            Err(_) => Said::Trouble,
        }
    }
}

fn said(status: StatusCode, text: &str) -> Said {
    match Writes::parse(text).filter(|_| status == StatusCode::OK) {
        Some(writes) => Said::Writes(writes),
        None if status.is_server_error() => Said::Trouble,
        None => Said::Nothing,
    }
}

/// The URL's path goes before ours, its query stays.
fn place(url: &Url) -> anyhow::Result<Uri> {
    let fault = || format!("clickhouse.url = '{url}' is no URL of a server");
    let mut place = url.clone();
    let Ok(mut path) = place.path_segments_mut() else { anyhow::bail!(fault()) };
    path.pop_if_empty().push(PATH);
    drop(path);
    place.as_str().parse().with_context(fault)
}

impl Store {
    /// How many statements that may write the server has begun and ended by now; `None` where it cannot tell. That is so
    /// with any ClickHouse but the embedded one, and with that one as soon as a statement has run whose effects may come
    /// after its end. It takes no longer than a second, or the request timeout if that is shorter.
    pub async fn writes(&self) -> Option<Writes> {
        let teller = self.writes_teller();
        if teller.is_silent() {
            return None;
        }
        let limit = PATIENCE.min(self.target().request_timeout);
        let said = tokio::time::timeout(limit, teller.ask()).await.unwrap_or(Said::Nothing);
        match said {
            Said::Writes(writes) => Some(writes),
            Said::Trouble => None,
            Said::Nothing => {
                *teller.silent_until() = Some(Instant::now() + PAUSE);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(engine: &str, begun: u64, ended: u64) -> Writes {
        Writes { engine: engine.to_owned(), begun, ended }
    }

    #[test]
    fn an_answer_is_understood_whole_or_not_at_all() {
        assert_eq!(Writes::parse("engine 7f begun 12 ended 11\n"), Some(writes("7f", 12, 11)));
        for other in [
            "",
            "untold\n",
            "engine 7f begun 12 ended",
            "engine 7f begun 12 ended -1",
            "engine 7f begun x ended 1",
            "engine 7f begun 12 ended 11 or so",
            "<html>engine 7f begun 12 ended 11</html>",
        ] {
            assert_eq!(Writes::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_trouble_is_asked_again_at_once() {
        let good = "engine 7f begun 12 ended 11";
        assert!(matches!(said(StatusCode::OK, good), Said::Writes(_)));
        assert!(matches!(said(StatusCode::NOT_FOUND, good), Said::Nothing));
        assert!(matches!(said(StatusCode::OK, "untold"), Said::Nothing));
        assert!(matches!(said(StatusCode::BAD_GATEWAY, ""), Said::Trouble));
    }

    #[test]
    fn begun_as_at_means_the_same_engine_and_no_new_statement() {
        assert!(writes("a", 2, 2).begun_as_at(&writes("a", 2, 1)));
        assert!(!writes("a", 3, 3).begun_as_at(&writes("a", 2, 2)));
        assert!(!writes("b", 2, 2).begun_as_at(&writes("a", 2, 2)));
        assert!(writes("a", 2, 2).are_over() && !writes("a", 2, 1).are_over());
    }

    fn check_place(url: &str, expected: &str) {
        assert_eq!(place(&Url::parse(url).unwrap()).unwrap().to_string(), expected, "{url}");
    }

    #[test]
    fn the_place_keeps_path_and_query_of_the_url() {
        check_place("http://ch:8123", "http://ch:8123/writes");
        check_place("http://ch:8123/", "http://ch:8123/writes");
        check_place("https://ch/behind/a/proxy/?token=a%20b", "https://ch/behind/a/proxy/writes?token=a%20b");
        assert!(place(&Url::parse("mailto:ch").unwrap()).is_err());
    }
}
