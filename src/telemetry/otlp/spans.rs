//! Spans of requests.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::exporting::{Exporting, attribute, nanoseconds};

/// `SPAN_KIND_SERVER`.
const KIND_SERVER: u32 = 2;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u32 = 2;
/// The lowest status by which the server, not the caller, is at fault.
const SERVER_ERROR: u16 = 500;

/// The span of the caller that a request belongs to, from a `traceparent` header as
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/) defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub parent_id: String,
    /// Whether the caller records the trace.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Version, trace id, parent id and flags, lower-case hexadecimal. A later version may have
    /// more fields. `None` where it is not one, which is to be ignored.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.split('-');
        let mut next = |length: usize| {
            let field = fields.next()?;
            let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            (field.len() == length && is_hex).then_some(field)
        };
        let (version, trace_id, parent_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
        let has_end = version != "00" || fields.next().is_none();
        if version == "ff" || !has_end || is_zero(trace_id) || is_zero(parent_id) {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            is_sampled: flags & 1 == 1,
        })
    }
}

/// A request that was answered. Its path, query and headers are left out: they name accounts and
/// people, and hold tokens.
#[derive(Clone, Debug)]
pub struct ServerSpan {
    pub parent: TraceParent,
    pub began: SystemTime,
    pub took: Duration,
    pub method: String,
    /// The endpoint's pattern.
    pub route: String,
    pub status: u16,
    /// The answer's `x-request-id`, by which the log is searched.
    pub request_id: String,
}

impl ServerSpan {
    fn to_json(&self) -> Value {
        let Self { parent, began, took, method, route, status, request_id } = self;
        let mut span = json!({
            "traceId": parent.trace_id,
            "spanId": new_span_id(),
            "parentSpanId": parent.parent_id,
            "name": format!("{method} {route}"),
            "kind": KIND_SERVER,
            "startTimeUnixNano": nanoseconds(*began),
            "endTimeUnixNano": nanoseconds(*began + *took),
            "attributes": [
                attribute("http.request.method", method),
                attribute("http.route", route),
                attribute("seatmeter.request_id", request_id),
                {
                    "key": "http.response.status_code",
                    "value": { "intValue": status.to_string() }
                },
            ],
        });
        if *status >= SERVER_ERROR {
            span["status"] = json!({ "code": STATUS_ERROR });
        }
        span
    }
}

/// Random, and not the id that means none.
fn new_span_id() -> String {
    let mut id = [0; 8];
    match getrandom::fill(&mut id) {
        Ok(()) if id != [0; 8] => hex::encode(id),
        // A span is no more than a hint, so it need not fail for want of random numbers.
        Ok(()) | Err(_) => "0000000000000001".to_owned(),
    }
}

/// The body of a request to `/v1/traces`.
pub fn traces_request(of: &Exporting, spans: &[ServerSpan]) -> Value {
    let spans: Vec<Value> = spans.iter().map(ServerSpan::to_json).collect();
    json!({ "resourceSpans": [{
        "resource": of.resource(),
        "scopeSpans": [{ "scope": { "name": "seatmeter" }, "spans": spans }],
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_known_by_a_header_of_the_standard() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (header, sampled) in [
            (format!("00-{id}-00f067aa0ba902b7-01"), Some(true)),
            (format!("00-{id}-00f067aa0ba902b7-02"), Some(false)),
            (format!("cc-{id}-00f067aa0ba902b7-03-what-comes"), Some(true)),
            (format!("00-{id}-00f067aa0ba902b7-01-more"), None),
            (format!("ff-{id}-00f067aa0ba902b7-01"), None),
            (format!("00-{id}-0000000000000000-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()), None),
            (format!("00-{id}-00f067aa0ba902b7"), None),
            (String::new(), None),
        ] {
            let found = TraceParent::parse(&header);
            assert_eq!(found.as_ref().map(|parent| parent.is_sampled), sampled, "{header}");
            assert!(found.is_none_or(|parent| parent.trace_id == id), "{header}");
        }
    }

    #[test]
    fn a_span_is_of_its_caller_and_names_no_path() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = ServerSpan {
            parent: TraceParent::parse(header).unwrap(),
            began: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            took: Duration::from_millis(250),
            method: "GET".to_owned(),
            route: "/v1/accounts/{account_id}/quota".to_owned(),
            status: 503,
            request_id: "r-1".to_owned(),
        };
        let found = span.to_json();
        assert_eq!(found["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(found["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(found["spanId"].as_str().unwrap().len(), 16);
        assert_ne!(found["spanId"], span.to_json()["spanId"]);
        assert_eq!(found["name"], "GET /v1/accounts/{account_id}/quota");
        assert_eq!(found["startTimeUnixNano"], "1500000000");
        assert_eq!(found["endTimeUnixNano"], "1750000000");
        assert_eq!(found["status"]["code"], 2);
        let good = ServerSpan { status: 404, ..span }.to_json();
        assert_eq!(good["status"], Value::Null);
    }
}
