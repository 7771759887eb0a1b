//! Whether tests may run, of 100,000 organizations, while the accounts go on to change.
//!
//! API and clients share a core; the engine, and what feeds it, have another one. The clients send
//! at fixed instants, whether the answers before have come or not, and times are reckoned from
//! these instants: so an answer that is late makes those behind it late too.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chrono::Utc;
use hdrhistogram::Histogram;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::events::{Feed, Writer, event_at};
use super::setting::{EMPTY, STANDINGS, Setting, join_api_core};

const ACCOUNTS: u32 = 20_000;
/// Of each account.
const ORGANIZATIONS: u32 = 5;
/// Tests that run meanwhile, each of a random organization.
const EVENTS_PER_S: u32 = 200;
/// Connections that the single checks come by.
const CONNECTIONS: u32 = 16;
/// Until all connections are made.
const CONNECTING: Duration = Duration::from_millis(500);
const WARMING: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_secs(15);
/// Checks of one request, where there are many.
const CHECKS: usize = 1_000;

/// Measures and prints the start, the memory, and the times of answers.
pub(crate) fn run() {
    let empty_mb = {
        let mut setting = Setting::prepare(EMPTY);
        setting.restart_api_on_one_core();
        first_answer(&setting);
        setting.api_memory_mb()
    };
    let mut setting = Setting::prepare(STANDINGS);
    for start in 1..=3 {
        setting.restart_api_on_one_core();
        let (began, before) = (Instant::now(), setting.engine_cpu_s());
        first_answer(&setting);
        println!(
            "start {start}: {} organizations held after {:.2} s, engine {:.2} s of CPU, memory \
            {} MB more than without any, {} MB at its peak",
            ACCOUNTS * ORGANIZATIONS,
            began.elapsed().as_secs_f64(),
            setting.engine_cpu_s() - before,
            setting.api_memory_mb() - empty_mb,
            setting.api_memory_peak_mb() - empty_mb,
        );
    }
    println!(
        "{:<34} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "can-run, ms", "p50", "p99", "p99.9", "max", "req/s", "API", "engine"
    );
    measure(&setting, "one, nobody else", CONNECTIONS, 50, one);
    let feed = Feed::of(Writer::new(&setting), EVENTS_PER_S, live);
    for per_second in [1_000, 5_000] {
        let name = format!("one, at {per_second} a second");
        measure(&setting, &name, CONNECTIONS, per_second, one);
    }
    for per_second in [10, 50] {
        measure(&setting, &format!("1,000, at {per_second} a second"), 2, per_second, many);
    }
    drop(feed);
}

/// Waits for the first answer of an API that has just started.
fn first_answer(setting: &Setting) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut client = Client::connect(setting);
    let deadline = Instant::now() + Duration::from_secs(120);
    while client.ask(&one(&mut random)) != 200 {
        assert!(Instant::now() < deadline, "the standings are read");
    }
}

/// A test of a random organization.
fn live(random: &mut ChaCha8Rng) -> String {
    let (account, organization) = anyone(random);
    let data = format!(r#""organization_id":"{organization}","origin":"run""#);
    event_at(random, Utc::now(), &account, "test.executed", &data)
}

fn anyone(random: &mut ChaCha8Rng) -> (String, String) {
    let account = random.random_range(0..ACCOUNTS);
    let organization = random.random_range(1..=ORGANIZATIONS);
    (format!("account-{account}"), format!("organization-{organization}"))
}

/// A request about one organization.
fn one(random: &mut ChaCha8Rng) -> Vec<u8> {
    let (account, organization) = anyone(random);
    let path = format!("/v1/accounts/{account}/organizations/{organization}/can-run?tests=3");
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A request about many.
fn many(random: &mut ChaCha8Rng) -> Vec<u8> {
    let checks: Vec<String> = (0..CHECKS)
        .map(|_| {
            let (account, organization) = anyone(random);
            format!(r#"{{"account_id":"{account}","organization_id":"{organization}","tests":3}}"#)
        })
        .collect();
    let body = format!(r#"{{"checks":[{}]}}"#, checks.join(","));
    let head = format!(
        "POST /v1/can-run HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn connect(setting: &Setting) -> Self {
        let stream = TcpStream::connect(setting.address()).expect("the API listens");
        stream.set_nodelay(true).expect("an option of TCP");
        Self { stream: BufReader::new(stream), body: Vec::new() }
    }

    /// The status of the answer.
    fn ask(&mut self, request: &[u8]) -> u16 {
        self.stream.get_mut().write_all(request).expect("the API reads");
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("the API answers");
            let text = line.trim_end();
            if let Some(rest) = text.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().expect("a status is a number");
            } else if let Some(rest) = text.strip_prefix("content-length: ") {
                length = rest.parse().expect("a length is a number");
            } else if text.is_empty() {
                break;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("the answer is whole");
        status
    }
}

/// Sends so many requests each second, and prints what they took.
fn measure(
    setting: &Setting,
    name: &str,
    connections: u32,
    per_second: u32,
    request: fn(&mut ChaCha8Rng) -> Vec<u8>,
) {
    send(setting, connections, per_second, WARMING, request);
    let before = (setting.api_cpu_s(), setting.engine_cpu_s());
    let times = send(setting, connections, per_second, ROUND, request);
    let share = |before: f64, after: f64| (after - before) / ROUND.as_secs_f64();
    let ms =
        |quantile| Duration::from_micros(times.value_at_quantile(quantile)).as_secs_f64() * 1000.0;
    println!(
        "{name:<34} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.0} {:>8.2} {:>8.2}",
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        f64::from(u32::try_from(times.len()).expect("some thousands")) / ROUND.as_secs_f64(),
        share(before.0, setting.api_cpu_s()),
        share(before.1, setting.engine_cpu_s()),
    );
}

fn send(
    setting: &Setting,
    connections: u32,
    per_second: u32,
    round: Duration,
    request: fn(&mut ChaCha8Rng) -> Vec<u8>,
) -> Histogram<u64> {
    let pause = Duration::from_secs(1) * connections / per_second;
    let began = Instant::now() + CONNECTING;
    let client = |number: u32| {
        join_api_core();
        let mut client = Client::connect(setting);
        let mut random = ChaCha8Rng::seed_from_u64(u64::from(number));
        let mut times = Histogram::<u64>::new(3).expect("three digits are fine");
        let mut due = began + pause * number / connections;
        while due < began + round {
            let request = request(&mut random);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            assert_eq!(client.ask(&request), 200);
            let elapsed = u64::try_from(due.elapsed().as_micros()).expect("not for ever");
            times.record(elapsed).expect("it grows as it has to");
            due += pause;
        }
        times
    };
    std::thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> =
            (0..connections).map(|number| scope.spawn(move || client(number))).collect();
        let mut all = Histogram::<u64>::new(3).expect("three digits are fine");
        for one in clients {
            all.add(one.join().expect("no client panics")).expect("of the same precision");
        }
        all
    })
}
