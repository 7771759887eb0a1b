//! A receiver of webhooks that checks signatures and fails as often as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use standardwebhooks::Webhook;
use tempfile::TempDir;

/// The signing secret.
pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver on a port of its own.
pub(super) struct Receiver {
    port: u16,
    state: Arc<State>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    /// The bodies that were acknowledged, by id.
    taken: Mutex<BTreeMap<String, Vec<String>>>,
    requests: AtomicUsize,
    /// How often each event was tried, by id.
    attempts: Mutex<BTreeMap<String, usize>>,
    /// Of so many attempts at an event one is acknowledged; 0: none.
    takes_every: AtomicUsize,
    /// Some request was not signed as it should be.
    is_forged: AtomicBool,
}

impl Receiver {
    /// One that acknowledges every so manieth attempt at an event.
    pub(super) fn start(takes_every: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        state.takes_every.store(takes_every, Ordering::SeqCst);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || served.serve(stream));
            }
        });
        Self { port, state, folder }
    }

    /// From now on every so manieth attempt at an event is acknowledged.
    pub(super) fn take_every(&self, requests: usize) {
        self.state.takes_every.store(requests, Ordering::SeqCst);
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?from=seatmeter", self.port)
    }

    pub(super) fn secret_file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    /// The option `alerts.webhooks` with this receiver alone; `more` are options of it.
    pub(super) fn option(&self, more: &str) -> String {
        let (url, file) = (self.url(), self.secret_file());
        format!("[{{ url = '{url}', secret_file = '{}'{more} }}]", file.display())
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// The events that were acknowledged, by id. Of each, all bodies must have been the same.
    #[track_caller]
    pub(super) fn events(&self) -> BTreeMap<String, Value> {
        assert!(!self.state.is_forged.load(Ordering::SeqCst), "a signature is wrong");
        let taken = self.state.taken.lock().unwrap();
        let event = |(id, bodies): (&String, &Vec<String>)| {
            assert!(bodies.iter().all(|body| *body == bodies[0]), "{id}: {bodies:?}");
            let event: Value = serde_json::from_str(&bodies[0]).unwrap();
            assert_eq!(event["id"], id.as_str());
            (id.clone(), event)
        };
        taken.iter().map(event).collect()
    }

    /// What the events say, in the order of the text: account, organization, rule, line, month and
    /// state. No two ids may say the same of one arming.
    #[track_caller]
    pub(super) fn told(&self) -> Vec<String> {
        let events = self.events();
        let mut told: Vec<String> = events.values().map(named).collect();
        told.sort_unstable();
        told
    }
}

/// What an event says.
fn named(event: &Value) -> String {
    let data = &event["data"];
    let text = |field: &str| data[field].as_str().unwrap_or("-").to_owned();
    let (account, rule, line) = (text("account_id"), text("rule"), text("line"));
    let kind = event["type"].as_str().unwrap();
    assert_eq!(kind, format!("seatmeter.alert.{rule}"));
    format!("{account} {} {rule} {line} {}", text("organization_id"), text("state"))
}

impl State {
    /// Serves the requests of a connection.
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut writer = stream;
        while let Some((headers, body)) = read_request(&mut reader) {
            self.requests.fetch_add(1, Ordering::SeqCst);
            let every = self.takes_every.load(Ordering::SeqCst);
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            let number = {
                let mut attempts = self.attempts.lock().unwrap();
                let number = attempts.entry(id.clone()).or_default();
                *number += 1;
                *number - 1
            };
            let is_taken = every > 0 && number % every == every - 1;
            let signer = Webhook::new(SECRET).unwrap();
            if signer.verify(body.as_bytes(), &headers).is_err() {
                self.is_forged.store(true, Ordering::SeqCst);
            }
            if is_taken {
                self.taken.lock().unwrap().entry(id.clone()).or_default().push(body);
            }
            // Some of those that fail are answered with a redirect, which must not be followed.
            let status = match (is_taken, id.as_bytes()[0] % 4) {
                (true, _) => "204 No Content\r\n",
                (false, 0) => "302 Found\r\nlocation: /elsewhere\r\n",
                (false, _) => "500 Internal Server Error\r\n",
            };
            let answer = format!("HTTP/1.1 {status}content-length: 0\r\n\r\n");
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(ureq::http::HeaderMap, String)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    assert!(line.starts_with("POST /hook?from=seatmeter "), "{line}");
    let mut headers = ureq::http::HeaderMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        let name: ureq::http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, String::from_utf8(body).unwrap()))
}
