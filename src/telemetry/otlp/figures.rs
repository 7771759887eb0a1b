//! Metrics, from Prometheus' text to OTLP: counters as cumulative sums, and histograms and
//! summaries as such.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::exporting::{Exporting, attribute, nanoseconds};
use super::families::{Family, Labels, Sample, families};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u32 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`: the value is not known.
const NOT_RECORDED: u32 = 1;

/// The body of a request to `/v1/metrics`, of what `/metrics` would answer at `now`.
pub fn metrics_request(of: &Exporting, text: &str, now: SystemTime) -> Value {
    let times = Times { since: nanoseconds(of.since), now: nanoseconds(now) };
    let metrics: Vec<Value> =
        families(text).iter().filter_map(|family| metric(family, &times)).collect();
    json!({ "resourceMetrics": [{
        "resource": of.resource(),
        "scopeMetrics": [{ "scope": { "name": "seatmeter" }, "metrics": metrics }],
    }]})
}

/// Of every data point.
struct Times {
    since: String,
    now: String,
}

impl Times {
    fn point(&self, labels: &[(String, String)]) -> Value {
        let attributes: Vec<Value> =
            labels.iter().map(|(name, value)| attribute(name, value)).collect();
        json!({
            "attributes": attributes,
            "startTimeUnixNano": self.since,
            "timeUnixNano": self.now,
        })
    }
}

fn metric(family: &Family, times: &Times) -> Option<Value> {
    let numbers = || {
        let point = |sample: &Sample| number(times.point(&sample.labels), sample.value);
        family.samples.iter().map(point).collect::<Vec<_>>()
    };
    let (kind, data) = match family.kind.as_str() {
        "counter" => {
            let points = numbers();
            let sum = json!({
                "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true,
            });
            ("sum", sum)
        }
        "gauge" => ("gauge", json!({ "dataPoints": numbers() })),
        "histogram" => {
            let points = distributions(family, "le", |point, steps| buckets(point, &steps), times);
            ("histogram", json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }))
        }
        "summary" => {
            let points = distributions(family, "quantile", quantiles, times);
            ("summary", json!({ "dataPoints": points }))
        }
        _ => return None,
    };
    let mut metric = json!({ "name": family.name, "description": family.help });
    metric[kind] = data;
    Some(metric)
}

/// A point with its value.
fn number(mut point: Value, value: f64) -> Value {
    if value.is_nan() {
        point["flags"] = json!(NOT_RECORDED);
    } else {
        point["asDouble"] = double(value);
    }
    point
}

/// Protobuf's JSON has words for what JSON has no numbers for.
fn double(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// (bound or quantile, value) of each line of a series, in their order.
type Steps = Vec<(f64, f64)>;

/// A point for each series of a histogram or summary, whose lines differ by the label `step`.
fn distributions(
    family: &Family,
    step: &str,
    fill: impl Fn(&mut Value, Steps),
    times: &Times,
) -> Vec<Value> {
    let mut series: BTreeMap<Labels, (Steps, f64, f64)> = BTreeMap::new();
    for Sample { name, labels, value } in &family.samples {
        let (steps, rest): (Labels, Labels) =
            labels.iter().cloned().partition(|(label, _)| label == step);
        let (into, sum, count) = series.entry(rest).or_default();
        match name.strip_prefix(&family.name) {
            Some("_sum") => *sum = *value,
            Some("_count") => *count = *value,
            _ => {
                let at = steps.first().map(|(_, at)| at.replace("+Inf", "inf"));
                into.extend(at.and_then(|at| at.parse().ok()).map(|at: f64| (at, *value)));
            }
        }
    }
    let point = |(labels, (steps, sum, count)): (Labels, (Steps, f64, f64))| {
        let mut point = times.point(&labels);
        point["sum"] = double(sum);
        point["count"] = json!(whole(count));
        fill(&mut point, steps);
        point
    };
    series.into_iter().map(point).collect()
}

/// Prometheus counts what is below each bound, OTLP what lies between them.
fn buckets(point: &mut Value, steps: &[(f64, f64)]) {
    let below = |index: usize| index.checked_sub(1).map_or(0.0, |before| steps[before].1);
    let between = steps.iter().enumerate().map(|(index, (_, upto))| whole(upto - below(index)));
    point["bucketCounts"] = between.collect();
    let bounds = steps.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
    point["explicitBounds"] = bounds.map(double).collect();
}

fn quantiles(point: &mut Value, steps: Steps) {
    let value = |(quantile, value)| {
        let (quantile, value) = (double(quantile), double(value));
        json!({ "quantile": quantile, "value": value })
    };
    point["quantileValues"] = steps.into_iter().map(value).collect();
}

/// A number of things. 64-bit integers are strings in Protobuf's JSON.
fn whole(number: f64) -> String {
    format!("{:.0}", number.max(0.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TEXT: &str = "\
# HELP c_total Things, by kind
# TYPE c_total counter
c_total{kind=\"a\"} 3
c_total{kind=\"b\"} 0

# TYPE g gauge
g 0.5
g{of=\"nothing\"} NaN
g{of=\"all\"} +Inf

# TYPE h histogram
h_bucket{route=\"/x\",le=\"0.1\"} 2
h_bucket{route=\"/x\",le=\"1\"} 2
h_bucket{route=\"/x\",le=\"+Inf\"} 5
h_sum{route=\"/x\"} 7.5
h_count{route=\"/x\"} 5
# TYPE s summary
s{quantile=\"0.5\"} 0.7
s{quantile=\"0.99\"} NaN
s_sum 9
s_count 4
";

    fn found() -> Value {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let of = Exporting { version: "0", instance: "i".to_owned(), since };
        let now = since + Duration::from_secs(1);
        metrics_request(&of, TEXT, now)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].clone()
    }

    #[test]
    fn counters_and_gauges_keep_their_labels_and_values() {
        let found = found();
        let counter = &found[0];
        assert_eq!(counter["name"], "c_total");
        assert_eq!(counter["description"], "Things, by kind");
        assert_eq!(counter["sum"]["isMonotonic"], true);
        let first = &counter["sum"]["dataPoints"][0];
        assert_eq!(first["asDouble"], 3.0);
        assert_eq!(first["attributes"][0], attribute("kind", "a"));
        assert_eq!(first["startTimeUnixNano"], "1000000000");
        assert_eq!(first["timeUnixNano"], "2000000000");
        let gauges = &found[1]["gauge"]["dataPoints"];
        assert_eq!(gauges[0]["asDouble"], 0.5);
        assert_eq!((&gauges[1]["asDouble"], &gauges[1]["flags"]), (&Value::Null, &json!(1)));
        assert_eq!(gauges[2]["asDouble"], "Infinity");
    }

    #[test]
    fn histograms_count_what_lies_between_the_bounds() {
        let found = found();
        let point = &found[2]["histogram"]["dataPoints"][0];
        assert_eq!(point["attributes"], json!([attribute("route", "/x")]));
        assert_eq!(point["explicitBounds"], json!([0.1, 1.0]));
        assert_eq!(point["bucketCounts"], json!(["2", "0", "3"]));
        assert_eq!((&point["sum"], &point["count"]), (&json!(7.5), &json!("5")));
        let summary = &found[3]["summary"]["dataPoints"][0];
        assert_eq!(summary["quantileValues"][0], json!({ "quantile": 0.5, "value": 0.7 }));
        assert_eq!(summary["quantileValues"][1]["value"], "NaN");
        assert_eq!(summary["count"], "4");
        assert_eq!(found[4], Value::Null);
    }
}
