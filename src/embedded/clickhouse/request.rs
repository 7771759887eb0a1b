//! A parsed request of ClickHouse's HTTP interface: URL, headers and form fields.
//!
//! External tables, roles and encodings that are not known are refused by name, never ignored.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING};
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::refusals::{not_implemented, not_utf8};
use super::sessions::{TIMEOUT_DEFAULT, TIMEOUT_MAX, Wanted};
use super::unpack::{Content, Packing};
use crate::embedded::libchdb::EngineError;

/// Everything but the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The statement, or its beginning, from the URL or a form field.
    pub(super) query: String,
    pub(super) database: Option<String>,
    /// The output format of statements that name none.
    pub(super) default_format: Option<String>,
    /// Settings of this query, in order.
    pub(super) settings: Vec<(String, String)>,
    /// Values of `{name:Type}` placeholders, in ClickHouse's escaped form.
    pub(super) parameters: Vec<(String, String)>,
    /// The response is sent only after the query is over, so that a failure always has an HTTP
    /// status.
    pub(super) wait_end_of_query: bool,
    /// Reads only, as any GET.
    pub(super) readonly: bool,
    pub(super) credentials: Credentials,
    pub(super) session: Session,
    /// How the body is packed.
    pub(super) packing: Packing,
    /// The result is sent in ClickHouse's own compression.
    pub(super) compress: bool,
    /// The client's version of ClickHouse's protocol; 0 is none.
    pub(super) protocol_version: u64,
    /// The client's own name for the statement, which is sent back.
    pub(super) query_id: Option<String>,
}

/// The session of a request; without a name, the other fields are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    name: Option<String>,
    timeout: Option<Duration>,
    must_exist: bool,
    close: bool,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Parses method, query string and headers.
///
/// # Errors
///
/// A parameter that this server does not support, with ClickHouse's error code.
pub(super) fn parse(
    method: &Method,
    query_string: &str,
    headers: &HeaderMap,
) -> Result<Parsed, EngineError> {
    let mut parsed = Parsed {
        readonly: method == Method::GET || method == Method::HEAD,
        database: header(headers, "x-clickhouse-database"),
        default_format: header(headers, "x-clickhouse-format"),
        credentials: from_headers(headers)?,
        ..Parsed::default()
    };
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        parsed.packing.content = Content::of(encoding.to_str().unwrap_or("\u{fffd}"))?;
    }
    // The parser below would replace invalid bytes with U+FFFD. Separators are never part of a
    // character, so the whole is UTF-8 if its parts are.
    if percent_encoding::percent_decode_str(query_string).decode_utf8().is_err() {
        return Err(not_utf8("the URL"));
    }
    for (name, value) in url::form_urlencoded::parse(query_string.as_bytes()) {
        parsed.take(&name, value.into_owned())?;
    }
    Ok(parsed)
}

impl Parsed {
    /// Takes one parameter, of the URL or a form.
    pub(super) fn take(&mut self, name: &str, value: String) -> Result<(), EngineError> {
        match name {
            "query" => self.query = value,
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "user" => self.credentials.user = Some(value),
            "password" => self.credentials.password = Some(value),
            "wait_end_of_query" => self.wait_end_of_query = is_on(&value),
            // The engine assigns ids of its own.
            "query_id" => self.query_id = Some(value),
            // Ignored: there are no quotas, and buffering is done here.
            "quota_key" | "buffer_size" | "stacktrace" => {}
            "compress" => self.compress = is_on(&value),
            "decompress" => self.packing.frames = is_on(&value),
            "client_protocol_version" => {
                self.protocol_version = value.parse().map_err(|_| bad_value(name, &value))?;
            }
            "session_id" => self.session.name = Some(value),
            "session_timeout" => self.session.timeout = Some(session_timeout(&value)?),
            "session_check" => self.session.must_exist = is_on(&value),
            "close_session" => self.session.close = is_on(&value),
            "role" => return Err(not_implemented("roles (role)")),
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None if is_setting_name(name) => self.settings.push((name.to_owned(), value)),
                None => {
                    return Err(EngineError::new(
                        115,
                        "UNKNOWN_SETTING",
                        &format!("Unknown setting '{name}'"),
                    ));
                }
            },
        }
        Ok(())
    }
}

impl Parsed {
    /// Takes `readonly` out of the settings: what a session's connection is held to, it cannot be
    /// released from. The request then reads as a GET does.
    pub(super) fn read_without_setting(&mut self) {
        let readonly = self.settings.extract_if(.., |(name, _)| *name == "readonly");
        self.readonly |= readonly.fold(false, |on, (_, value)| on | is_on(&value));
    }
}

impl Session {
    /// The session that is asked for, if any.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        let name = self.name.clone().filter(|name| !name.is_empty())?;
        Some(Wanted {
            name,
            timeout: self.timeout.unwrap_or(TIMEOUT_DEFAULT),
            must_exist: self.must_exist,
            close: self.close,
        })
    }
}

fn session_timeout(value: &str) -> Result<Duration, EngineError> {
    let invalid = |text: &str| EngineError::new(374, "INVALID_SESSION_TIMEOUT", text);
    let seconds: u64 =
        value.parse().map_err(|_| invalid(&format!("Invalid session timeout: '{value}'")))?;
    let max = TIMEOUT_MAX.as_secs();
    if seconds > max {
        let text = format!("Session timeout '{seconds}' is larger than the maximum, {max} seconds");
        return Err(invalid(&text));
    }
    Ok(Duration::from_secs(seconds))
}

fn bad_value(name: &str, value: &str) -> EngineError {
    EngineError::new(36, "BAD_ARGUMENTS", &format!("{name} is no number: '{value}'"))
}

fn is_on(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

fn is_setting_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn from_headers(headers: &HeaderMap) -> Result<Credentials, EngineError> {
    let Some(authorization) = headers.get(AUTHORIZATION) else {
        return Ok(Credentials {
            user: header(headers, "x-clickhouse-user"),
            password: header(headers, "x-clickhouse-key"),
        });
    };
    let bad = || {
        EngineError::new(
            516,
            "AUTHENTICATION_FAILED",
            "Invalid authentication: only HTTP Basic is taken",
        )
    };
    let encoded = authorization.to_str().ok().and_then(|value| {
        let (scheme, encoded) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(encoded.trim())
    });
    let decoded = BASE64.decode(encoded.ok_or_else(bad)?).map_err(|_| bad())?;
    let text = String::from_utf8(decoded).map_err(|_| bad())?;
    let (user, password) = text.split_once(':').ok_or_else(bad)?;
    Ok(Credentials { user: Some(user.to_owned()), password: Some(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn parsed(query_string: &str) -> Parsed {
        parse(&Method::POST, query_string, &HeaderMap::new()).unwrap()
    }

    fn check_refused(query_string: &str, code: u32, part: &str) {
        let error = parse(&Method::POST, query_string, &HeaderMap::new()).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
    }

    #[test]
    fn parameters_find_their_places() {
        let found = parsed(
            "query=SELECT+1&database=d&default_format=JSON&param_x=%EF%BB%BFa%5Ctb&max_threads=2&\
            wait_end_of_query=1&query_id=q",
        );
        assert_eq!(found.query, "SELECT 1");
        assert_eq!(found.database.as_deref(), Some("d"));
        assert_eq!(found.default_format.as_deref(), Some("JSON"));
        assert_eq!(found.parameters, [("x".to_owned(), "\u{feff}a\\tb".to_owned())]);
        assert_eq!(found.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert!(found.wait_end_of_query && !found.readonly);
    }

    #[test]
    fn a_get_only_reads() {
        assert!(parse(&Method::GET, "", &HeaderMap::new()).unwrap().readonly);
    }

    #[test]
    fn what_it_does_not_do_is_refused() {
        check_refused("session_timeout=3601", 374, "3600");
        check_refused("session_timeout=x", 374, "'x'");
        check_refused("client_protocol_version=x", 36, "client_protocol_version");
        check_refused("role=r", 48, "role");
        check_refused("a%27b=1", 115, "a'b");
        check_refused("query=SELECT+%FF", 36, "UTF-8");
        check_refused("param_x=%C3&param_y=%A9", 36, "UTF-8");
        assert_eq!(parsed("compress=0&decompress=0"), Parsed::default());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(parse(&Method::POST, "", &headers).unwrap_err().code, 48);
    }

    #[test]
    fn a_session_is_asked_for_by_its_name() {
        assert_eq!(parsed("session_timeout=5&session_check=1").session.wanted(), None);
        assert_eq!(parsed("session_id=").session.wanted(), None);
        let wanted = |query_string: &str| parsed(query_string).session.wanted().unwrap();
        let plain = Wanted {
            name: "a b".into(),
            timeout: TIMEOUT_DEFAULT,
            must_exist: false,
            close: false,
        };
        assert_eq!(wanted("session_id=a+b"), plain);
        let mut request = parsed("session_id=a&readonly=1&max_threads=2");
        request.read_without_setting();
        assert!(request.readonly && request.settings.len() == 1, "{request:?}");
        let all =
            Wanted { timeout: Duration::from_secs(5), must_exist: true, close: true, ..plain };
        let asked = "session_id=a+b&session_timeout=5&session_check=1&close_session=1";
        assert_eq!(wanted(asked), all);
    }

    #[test]
    fn credentials_come_from_basic_or_headers_or_url() {
        let mut headers = HeaderMap::new();
        headers.insert("x-clickhouse-user", HeaderValue::from_static("u"));
        headers.insert("x-clickhouse-key", HeaderValue::from_static("k"));
        let found = from_headers(&headers).unwrap();
        assert_eq!((found.user.as_deref(), found.password.as_deref()), (Some("u"), Some("k")));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Basic ZGVmYXVsdDphOmI="));
        let found = from_headers(&headers).unwrap();
        assert_eq!(
            (found.user.as_deref(), found.password.as_deref()),
            (Some("default"), Some("a:b"))
        );
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(from_headers(&headers).unwrap_err().code, 516);
        let found = parsed("user=default&password=p").credentials;
        assert_eq!(
            (found.user.as_deref(), found.password.as_deref()),
            (Some("default"), Some("p"))
        );
    }
}
