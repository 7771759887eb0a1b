//! What the program tells of itself: the log's lines, and what it exports by OTLP.

mod receiver;

use std::time::Duration;

use serde_json::Value;

use self::receiver::Receiver;
use crate::counting::{COUNT_TIMEOUT, STOP_TIMEOUT, Setup, ask};
use crate::support::{Kafka, Program, eventually, unique};

/// The caller's trace.
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

/// How long an export may take to arrive; the machine may be busy with other tests.
const SOON: Duration = Duration::from_secs(30);

/// Asks the API for a report, with and without the flag that the trace is recorded.
#[track_caller]
fn ask_traced(api: &mut Program, path: &str, flags: &str) {
    let line = api.wait_for_line("listening", STOP_TIMEOUT);
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let request = ureq::get(format!("http://{address}{path}"))
        .header("traceparent", format!("00-{TRACE_ID}-{PARENT_ID}-{flags}"));
    request.call().unwrap();
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let attributes = of["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    Some(value["stringValue"].as_str().or(value["intValue"].as_str())?.to_owned())
}

/// The value of a metric's first point.
fn metric(export: &Value, name: &str) -> Option<f64> {
    let metrics = export["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array()?;
    let metric = metrics.iter().find(|metric| metric["name"] == name)?;
    let data = [&metric["sum"], &metric["gauge"]].into_iter().find(|data| data.is_object())?;
    data["dataPoints"][0]["asDouble"].as_f64()
}

/// The receiver refuses the first metrics; the API does not wait for it.
#[test]
fn a_request_of_a_trace_and_the_metrics_arrive_by_otlp() {
    let receiver = Receiver::start("/v1/metrics");
    let mut setup = Setup::new(1);
    setup.set("TELEMETRY__OTLP_ENDPOINT", receiver.url());
    setup.set("TELEMETRY__OTLP_INTERVAL_MS", 1_000);
    let mut api = Program::spawn(&mut setup.command(&["api"]));
    api.wait_for_line("cannot export by OTLP: ", SOON);
    api.wait_for_line("the export by OTLP works again", SOON);
    ask_traced(&mut api, "/v1/ingest", "00");
    ask_traced(&mut api, "/v1/accounts?search=secret", "01");
    let span =
        eventually("the span arrives", SOON, || receiver.received("/v1/traces").into_iter().next());
    assert_eq!(
        attribute(&span["resourceSpans"][0]["resource"], "service.name").unwrap(),
        "seatmeter"
    );
    let spans = span["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 1, "the other trace is not recorded: {spans:?}");
    let span = &spans[0];
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&TRACE_ID.into(), &PARENT_ID.into()));
    assert_eq!(span["name"], "GET /v1/accounts");
    assert_eq!(attribute(span, "http.response.status_code").unwrap(), "200");
    assert!(!span.to_string().contains("secret"), "{span}");

    let exported = eventually("a metric of that request arrives", SOON, || {
        let exports = receiver.received("/v1/metrics");
        exports.into_iter().find(|export| {
            metric(export, "seatmeter_build_info") == Some(1.0)
                && export.to_string().contains("\"/v1/accounts\"")
        })
    });
    assert_eq!(metric(&exported, "seatmeter_otlp_lost_spans_total"), Some(0.0));
    assert!(
        ask(&mut api, "/metrics").1.contains("seatmeter_otlp_failures_total{signal=\"metrics\"} 1")
    );
    assert!(api.terminate(STOP_TIMEOUT).success());
}

/// Each line is an object with the name of what happened; on request it is text.
#[test]
fn the_log_has_json_lines_where_nobody_looks_and_text_on_request() {
    let setup = Setup::new(1);
    let mut json = Program::spawn(setup.command(&["api"]).env_remove("SEATMETER__LOG__FORMAT"));
    let line = json.wait_for_line("listening", SOON);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"]["event"], "listening");
    assert!(line["fields"]["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert!(json.terminate(STOP_TIMEOUT).success());
    for line in json.stderr().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["fields"]["event"].is_string(), "{line}");
    }
    let mut text = Program::spawn(&mut setup.command(&["api"]));
    let line = text.wait_for_line("listening", SOON);
    assert!(line.contains(" listening event=\"listening\" address=127.0.0.1:"), "{line}");
    assert!(text.terminate(STOP_TIMEOUT).success());
}

#[test]
fn a_worker_tells_how_long_the_topic_keeps_its_records() {
    if Kafka::shared().is_mock() {
        // The mock cluster has no settings.
        return;
    }
    for (retention_ms, told) in [("3600000", "3600"), ("-1", "inf")] {
        let topic = unique("retention");
        Kafka::shared().create_topic(&topic, 1, &[("retention.ms", retention_ms)]);
        let mut setup = Setup::new(1);
        setup.set("KAFKA__TOPIC", &topic);
        let mut worker = setup.worker();
        eventually("the retention is told", COUNT_TIMEOUT, || {
            let text = ask(&mut worker, "/metrics").1;
            let line = format!("seatmeter_topic_retention_seconds {told}");
            text.lines().any(|found| found.eq_ignore_ascii_case(&line)).then_some(())
        });
        assert!(worker.terminate(STOP_TIMEOUT).success());
    }
}
