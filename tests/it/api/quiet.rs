//! Polls are answered without a look at the parts as long as the embedded engine tells that nothing was written, and see
//! what is written all the same: by the next poll, whatever is running when.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{Answer, Api, RUNTIME, event};
use crate::support::engine::KEY_LINE;
use crate::support::http_proxy::{HttpProxy, Meddling, Rule};
use crate::support::{Database, PrivateEngine, eventually, unique};

const LONG: Duration = Duration::from_secs(60);
const PATH: &str = "/v1/accounts/a/licenses/history?from=2026-03-01&to=2026-03-31";
/// What a look at the parts asks for.
const PARTS: &str = "system.parts";

/// An API that reaches its engine through a proxy. The engine is its own: those that share one run statements that spoil
/// its count.
struct Setup {
    api: Api,
    proxy: HttpProxy,
    engine: PrivateEngine,
    database: String,
}

impl Setup {
    fn start() -> Self {
        let engine = PrivateEngine::start();
        let proxy = HttpProxy::to(&engine.process.url());
        let through_proxy = Database { url: proxy.url.clone(), name: unique("test") };
        let database = through_proxy.name.clone();
        let setup = Self { api: Api::on(through_proxy, |_| {}), proxy, engine, database };
        setup.purchase(1, 1);
        setup
    }

    /// The account has so many seats from a day on.
    fn purchase(&self, day: u32, seats: u32) {
        let time = format!("2026-03-{day:02}T00:00:00Z");
        let event = event("license.purchased", &time, &json!({"account_id": "a", "seats": seats}));
        let rows = RUNTIME.block_on(self.api.drained(&[event]));
        RUNTIME.block_on(self.api.store.write_rows(&[rows])).unwrap();
    }

    fn tag(&self) -> String {
        let answer = self.api.get(PATH);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("etag").unwrap().to_owned()
    }

    fn poll(&self, tag: &str) -> Answer {
        self.api.request("GET", PATH, &[("if-none-match", tag)])
    }

    /// The next poll has the seats.
    #[track_caller]
    fn check_seen(&self, tag: &str, seats: u32) -> String {
        let answer = self.poll(tag);
        assert_eq!(answer.status, 200, "the poll after {seats} seats were written");
        assert_eq!(answer.json()["points"][30]["purchased"], seats);
        answer.header("etag").unwrap().to_owned()
    }

    /// Meddles with looks at the parts.
    fn meddle(&self, meddling: Meddling) {
        self.proxy.set(Rule { meddling, every: 1, only: PARTS });
    }

    /// Looks at the parts while so many polls get 304, and how many of them the clock alone explains.
    fn looks_of(&self, polls: u64) -> (u64, u64) {
        let tag = self.tag();
        self.meddle(Meddling::Delay(Duration::ZERO));
        let (before, started) = (self.proxy.meddled(), Instant::now());
        for _ in 0..polls {
            assert_eq!(self.poll(&tag).status, 304);
        }
        let seconds = started.elapsed().as_secs();
        (self.proxy.meddled() - before, 3 * (seconds + 1) + 1)
    }
}

#[test]
fn polls_while_nothing_is_written_do_not_look_at_the_parts() {
    let setup = Setup::start();
    let (looks, by_the_clock) = setup.looks_of(300);
    // Two looks a second are the watch's.
    assert!(looks <= by_the_clock, "{looks} looks, and {by_the_clock} may be");
    assert!(by_the_clock < 150, "the machine is too slow for this test");
    // Where the engine cannot tell, each poll looks.
    setup.api.sql("ALTER TABLE quota_usage_state DELETE WHERE account_id = 'nobody' SETTINGS mutations_sync = 2");
    assert_eq!(RUNTIME.block_on(setup.api.store.writes()), None);
    let (looks, _) = setup.looks_of(100);
    assert!(looks >= 100, "{looks}");
}

#[test]
fn each_row_is_seen_by_the_very_next_poll() {
    let setup = Setup::start();
    let mut tag = setup.tag();
    for seats in 2..30 {
        setup.purchase(seats, seats);
        tag = setup.check_seen(&tag, seats);
        assert_eq!(setup.poll(&tag).status, 304);
    }
}

#[test]
fn a_row_written_while_the_parts_are_listed_is_seen_by_the_next_poll() {
    let setup = Setup::start();
    let tag = setup.tag();
    // The watch lists the parts, and hears of it only after the row was written.
    setup.meddle(Meddling::HoldAnswer);
    eventually("a look has begun", LONG, || (setup.proxy.held() > 0).then_some(()));
    setup.purchase(2, 2);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| setup.check_seen(&tag, 2));
        // The poll waits for the look, so that it comes before the next one.
        std::thread::sleep(Duration::from_millis(100));
        setup.proxy.clear();
        next.join().unwrap();
    });
}

#[test]
fn a_row_of_an_insert_that_was_running_while_the_parts_were_listed_is_seen_by_the_next_poll() {
    let setup = Setup::start();
    let mut tag = setup.tag();
    for seats in 2..8 {
        let mut insert = Insert::begin(&setup);
        eventually("it has begun", LONG, || {
            let writes = RUNTIME.block_on(setup.api.store.writes()).unwrap();
            (!writes.are_over()).then_some(())
        });
        // Looks that end while the INSERT runs.
        setup.meddle(Meddling::Delay(Duration::ZERO));
        let before = setup.proxy.meddled();
        while setup.proxy.meddled() < before + 2 {
            assert_eq!(setup.poll(&tag).status, 304);
        }
        insert.row(seats);
        insert.end();
        tag = setup.check_seen(&tag, seats);
    }
}

/// What an API that has polled before makes of an engine that was started anew, as often as it counts to the same number.
#[test]
fn an_engine_that_was_started_anew_is_asked_anew() {
    let mut setup = Setup::start();
    let mut tag = setup.tag();
    for seats in 2..5 {
        assert_eq!(setup.poll(&tag).status, 304);
        setup.engine.process.restart().unwrap();
        let answer = eventually("the API reaches it again", LONG, || {
            let answer = setup.poll(&tag);
            (answer.status == 304).then_some(answer)
        });
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        setup.purchase(seats, seats);
        tag = setup.check_seen(&tag, seats);
    }
}

/// A table that is emptied counts its blocks anew after the next start of the engine, and so does one that is restored.
#[test]
fn rows_under_the_names_of_others_are_seen_by_the_next_poll() {
    let mut setup = Setup::start();
    let tag = setup.tag();
    // Nobody looks at the parts meanwhile.
    setup.meddle(Meddling::Refuse);
    setup.api.sql("TRUNCATE TABLE license_facts");
    // By so much at least two starts are told apart.
    std::thread::sleep(Duration::from_secs(3));
    setup.engine.process.restart().unwrap();
    eventually("it is reached again", LONG, || RUNTIME.block_on(setup.api.store.account_context("a")).ok());
    setup.purchase(1, 2);
    setup.proxy.clear();
    setup.check_seen(&tag, 2);
}

/// An INSERT of a purchase whose data comes bit by bit.
struct Insert(TcpStream);

impl Insert {
    fn begin(setup: &Setup) -> Self {
        let url = setup.engine.process.url();
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        let sql = "INSERT+INTO+license_facts+FORMAT+TSV";
        let head = format!("POST /?database={}&query={sql} HTTP/1.1\r\n{KEY_LINE}Host: localhost", setup.database);
        stream.write_all(format!("{head}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes()).unwrap();
        // Data is what shows the engine that the head is over.
        let mut insert = Self(stream);
        insert.send("b\t\t2026-03-01 00:00:00.000\tusage-events//9\t1\t1\n");
        insert
    }

    fn row(&mut self, seats: u32) {
        self.send(&format!("a\t\t2026-03-{seats:02} 00:00:00.000\tusage-events//9\t{seats}\t{seats}\n"));
    }

    fn send(&mut self, data: &str) {
        self.0.write_all(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes()).unwrap();
    }

    fn end(mut self) {
        self.0.write_all(b"0\r\n\r\n").unwrap();
        let mut line = String::new();
        BufReader::new(self.0).read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
    }
}
