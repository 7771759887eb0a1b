//! Polling clients and their measurements.

use std::io::Read as _;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use hdrhistogram::Histogram;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::events::{self, Writer};
use super::setting::Setting;

/// The account whose reports are polled.
pub(crate) const ACCOUNT: &str = "acme";

/// How many clients poll.
const CLIENTS: u32 = 8;

/// Pause of a client between an answer and the next request; a dashboard polls every 10 s.
const PAUSE: Duration = Duration::from_millis(200);

/// Requests for the time of a report alone, and restarts for that of a cold one.
const ALONE: usize = 3;

/// Events after each of which the time of a report is taken.
const CHANGED: usize = 5;

/// After it no answer is from before the event: `http.look_max_age_ms`, and some more.
const LOOK_AGE_MAX: Duration = Duration::from_millis(300);

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

/// Gets a report; its status, its tag, and how long it took.
fn get(agent: &ureq::Agent, url: &str, tag: Option<&str>) -> (u16, String, Duration) {
    let mut request = agent.get(url);
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
    assert!(matches!(status, 200 | 304), "{url}: {status} {}", String::from_utf8_lossy(&body));
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
    get(&agent(), &setting.url(ACCOUNT, path), None).1
}

/// What one answer takes: the median time, and the engine's CPU time on average; milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) ms: f64,
    pub(crate) engine_ms: f64,
}

/// The cost of answers, each to a question of its own.
pub(crate) fn cost(setting: &Setting, urls: impl IntoIterator<Item = String>) -> Cost {
    let agent = agent();
    let before = setting.engine_cpu_s();
    let times: Vec<Duration> = urls.into_iter().map(|url| get(&agent, &url, None).2).collect();
    costs(times, setting.engine_cpu_s() - before)
}

fn costs(mut times: Vec<Duration>, engine_cpu_s: f64) -> Cost {
    times.sort_unstable();
    let count = f64::from(u32::try_from(times.len()).expect("a few"));
    Cost {
        ms: times[times.len() / 2].as_secs_f64() * 1000.0,
        engine_ms: engine_cpu_s * 1000.0 / count,
    }
}

/// The cost of a report as of instants that nobody has asked for.
pub(crate) fn alone(setting: &Setting, path: &str) -> Cost {
    let url = |_| {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let is_dated = !path.starts_with("organizations?");
        let instant = if is_dated { format!("&as_of={now}") } else { String::new() };
        setting.url(ACCOUNT, &format!("{path}{instant}").replace("?&", "?"))
    };
    cost(setting, (0..ALONE).map(url))
}

/// The cost of the first answer of an API that has just started.
pub(crate) fn cold(setting: &mut Setting, path: &str) -> Cost {
    let (mut times, mut engine_cpu_s) = (Vec::new(), 0.0);
    for _ in 0..ALONE {
        setting.restart_api();
        let before = setting.engine_cpu_s();
        times.push(get(&agent(), &setting.url(ACCOUNT, path), None).2);
        engine_cpu_s += setting.engine_cpu_s() - before;
    }
    costs(times, engine_cpu_s)
}

/// The cost of an answer that was kept until an event of the account was counted just before.
pub(crate) fn changed(setting: &Setting, path: &str) -> Cost {
    let agent = agent();
    let url = setting.url(ACCOUNT, path);
    let mut writer = Writer::new(setting);
    let mut random = writer.random();
    let (mut times, mut engine_cpu_s) = (Vec::new(), 0.0);
    writer.count(&events::logins_everywhere(&mut random, ACCOUNT));
    std::thread::sleep(LOOK_AGE_MAX);
    get(&agent, &url, None);
    for _ in 0..CHANGED {
        writer.count(&[events::event(&mut random, ACCOUNT, events::kind_for(path))]);
        std::thread::sleep(LOOK_AGE_MAX);
        let before = setting.engine_cpu_s();
        times.push(get(&agent, &url, None).2);
        engine_cpu_s += setting.engine_cpu_s() - before;
    }
    costs(times, engine_cpu_s)
}

/// Polls a report with all clients, each with the tag if one is given.
pub(crate) fn poll(setting: &Setting, path: &str, round: Duration, tag: Option<&str>) -> Figures {
    let url = setting.url(ACCOUNT, path);
    poll_each(CLIENTS, PAUSE, round, tag, |_| url.clone())
}

/// Polls with these clients; each makes a pause between an answer and its next question, which
/// `url` names.
pub(crate) fn poll_each(
    clients: u32,
    pause: Duration,
    round: Duration,
    tag: Option<&str>,
    url: impl Fn(&mut ChaCha8Rng) -> String + Sync,
) -> Figures {
    let end = Instant::now() + round;
    let client = |number: u32| {
        // Staggers the clients.
        std::thread::sleep(pause / clients * number);
        let agent = agent();
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(number));
        let mut histogram = Histogram::<u64>::new(3).expect("three digits are fine");
        let mut not_modified = 0;
        while Instant::now() < end {
            let (status, _, elapsed) = get(&agent, &url(&mut random), tag);
            let elapsed_us = u64::try_from(elapsed.as_micros()).expect("no answer takes for ever");
            histogram.record(elapsed_us).expect("it grows as it has to");
            not_modified += u64::from(status == 304);
            std::thread::sleep(pause);
        }
        (histogram, not_modified)
    };
    let mut all = Histogram::<u64>::new(3).expect("three digits are fine");
    let mut not_modified = 0;
    std::thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> =
            (0..clients).map(|number| scope.spawn(move || client(number))).collect();
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
    let mut response = agent().get(setting.url(ACCOUNT, path)).call().expect("the API answers");
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
