//! Polling clients and their measurements.

use std::io::Read as _;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use hdrhistogram::Histogram;

use super::setting::Setting;

/// How many clients poll.
const CLIENTS: u32 = 8;

/// Pause of a client between an answer and the next request; a dashboard polls every 10 s.
const PAUSE: Duration = Duration::from_millis(200);

/// Requests for the time of a report alone.
const ALONE: usize = 3;

/// Measurements of the clients.
pub(crate) struct Figures {
    histogram: Histogram<u64>,
    pub(crate) answers: u64,
    pub(crate) not_modified: u64,
    pub(crate) per_second: f64,
}

impl Figures {
    /// The quantile, milliseconds.
    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.histogram.value_at_quantile(quantile)).as_secs_f64() * 1000.0
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// Gets a report of the account; its status, its tag, and how long it took.
fn get(
    agent: &ureq::Agent,
    setting: &Setting,
    path: &str,
    tag: Option<&str>,
) -> (u16, String, Duration) {
    let mut request = agent.get(format!("{}{path}", setting.base));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let started = Instant::now();
    let mut response = request.call().expect("the API answers");
    let body = response
        .body_mut()
        .with_config()
        .limit(1 << 30)
        .read_to_vec()
        .expect("the answer is whole");
    let elapsed = started.elapsed();
    let status = response.status().as_u16();
    assert!(matches!(status, 200 | 304), "{path}: {status} {}", String::from_utf8_lossy(&body));
    let tag = response
        .headers()
        .get("etag")
        .and_then(|tag| tag.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    (status, tag, elapsed)
}

/// The entity tag of a report.
pub(crate) fn tag(setting: &Setting, path: &str) -> String {
    get(&agent(), setting, path, None).1
}

/// The median time of a report that was not requested before, milliseconds.
pub(crate) fn alone(setting: &Setting, path: &str) -> (f64, f64) {
    let agent = agent();
    let before = setting.engine_cpu_s();
    let mut times: Vec<Duration> = (0..ALONE)
        .map(|_| {
            let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
            let instant = if path.starts_with("organizations?") {
                String::new()
            } else {
                format!("&as_of={now}")
            };
            get(&agent, setting, &format!("{path}{instant}").replace("?&", "?"), None).2
        })
        .collect();
    let cpu_ms = (setting.engine_cpu_s() - before) * 1000.0 / ALONE as f64;
    times.sort_unstable();
    (times[ALONE / 2].as_secs_f64() * 1000.0, cpu_ms)
}

/// Polls a report with all clients, each with the tag if one is given.
pub(crate) fn poll(setting: &Setting, path: &str, round: Duration, tag: Option<&str>) -> Figures {
    let end = Instant::now() + round;
    let client = |number: u32| {
        // Staggers the clients.
        std::thread::sleep(PAUSE / CLIENTS * number);
        let agent = agent();
        let mut histogram = Histogram::<u64>::new(3).expect("three digits are fine");
        let mut not_modified = 0;
        while Instant::now() < end {
            let (status, _, elapsed) = get(&agent, setting, path, tag);
            let elapsed_us = u64::try_from(elapsed.as_micros()).expect("no answer takes for ever");
            histogram.record(elapsed_us).expect("it grows as it has to");
            not_modified += u64::from(status == 304);
            std::thread::sleep(PAUSE);
        }
        (histogram, not_modified)
    };
    let mut all = Histogram::<u64>::new(3).expect("three digits are fine");
    let mut not_modified = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        for one in clients {
            let (histogram, unchanged) = one.join().expect("no client panics");
            all.add(histogram).expect("they have the same precision");
            not_modified += unchanged;
        }
    });
    let answers = all.len();
    let per_second =
        f64::from(u32::try_from(answers).expect("a few thousand")) / round.as_secs_f64();
    Figures { histogram: all, answers, not_modified, per_second }
}

/// Reads an export to its end: rows, bytes, milliseconds to the first byte and to the last.
pub(crate) fn export(setting: &Setting, path: &str) -> (usize, f64, f64, f64) {
    let started = Instant::now();
    let mut response =
        agent().get(format!("{}{path}", setting.base)).call().expect("the API answers");
    let mut reader = response.body_mut().as_reader();
    let mut chunk = vec![0; 64 * 1024];
    let (mut rows, mut bytes, mut first_ms) = (0, 0.0, None);
    loop {
        let read = reader.read(&mut chunk).expect("the export is whole");
        if read == 0 {
            break;
        }
        first_ms.get_or_insert_with(|| started.elapsed().as_secs_f64() * 1000.0);
        rows += chunk[..read].iter().filter(|&&byte| byte == b'\n').count();
        bytes += f64::from(u32::try_from(read).expect("a chunk"));
    }
    (rows - 1, bytes, first_ms.unwrap_or_default(), started.elapsed().as_secs_f64() * 1000.0)
}
