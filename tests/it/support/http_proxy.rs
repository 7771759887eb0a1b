//! An HTTP proxy between a program and a server, mostly ClickHouse, that simulates faulty networks,
//! load balancers and overloaded servers: delays requests, refuses them, cuts them half way, loses
//! the response or changes it.

use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Prefix of a request that identifies it: its head, and the statement of a form.
const BEGINNING_BYTES: usize = 8 * 1024;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// It is held back for so long.
    Delay(Duration),
    /// It is answered 503, and not forwarded.
    Refuse,
    /// The server gets half of it, then both connections break.
    CutRequest,
    /// It is executed, but the client gets half of the response's bytes, or none, and the
    /// connection breaks.
    CutAnswer,
    /// It is executed, but the connection breaks before the response.
    SwallowAnswer,
    /// It is executed, and the connection stays open without a response.
    Hang,
    /// It is executed, and its response is held back until requests pass again.
    HoldAnswer,
    /// It is executed, and the last digit of the first number of this name in its JSON response is
    /// another one.
    ChangeNumber(&'static str),
}

/// Which requests are affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) meddling: Meddling,
    /// Every so many requests; 1 means each.
    pub(crate) every: u64,
    /// Only requests with this text near their beginning.
    pub(crate) only: &'static str,
}

/// Forwards HTTP from a loopback port to a server, as long as this process lives.
#[derive(Clone)]
pub(crate) struct HttpProxy {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    target: String,
    /// Put before the parameters of each request; empty for none.
    profile: String,
    /// Texts of statements, and what stands in their place on the way to the server.
    edits: Vec<(String, String)>,
    rule: Mutex<Option<Rule>>,
    asked: AtomicU64,
    meddled: AtomicU64,
    held: AtomicU64,
}

impl HttpProxy {
    /// Forwards to a server such as `http://127.0.0.1:8123`.
    #[track_caller]
    pub(crate) fn to(url: &str) -> HttpProxy {
        HttpProxy::start(url, String::new(), Vec::new())
    }

    /// Simulates a profile of the ClickHouse user: these settings (`a=1&b=2`) hold for each
    /// request, unless the request sets them itself. They are put first, and the engine uses the
    /// last value of a setting.
    #[track_caller]
    pub(crate) fn with_profile(url: &str, settings: &str) -> HttpProxy {
        HttpProxy::start(url, format!("{settings}&"), Vec::new())
    }

    /// The same, with other texts in the statements that it forwards: simulates a server that has
    /// what the one behind it lacks.
    #[track_caller]
    pub(crate) fn with_edits(url: &str, settings: &str, edits: Vec<(String, String)>) -> HttpProxy {
        HttpProxy::start(url, format!("{settings}&"), edits)
    }

    #[track_caller]
    fn start(url: &str, profile: String, edits: Vec<(String, String)>) -> HttpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url_here = format!("http://{}", listener.local_addr().unwrap());
        let target = url.strip_prefix("http://").unwrap().to_owned();
        let state = Arc::new(State {
            target,
            profile,
            edits,
            rule: Mutex::default(),
            asked: AtomicU64::new(0),
            meddled: AtomicU64::new(0),
            held: AtomicU64::new(0),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                // Broken connections are expected here.
                std::thread::spawn(move || drop(state.serve(client)));
            }
        });
        HttpProxy { url: url_here, state }
    }

    /// Requests from now on are disturbed.
    pub(crate) fn set(&self, rule: Rule) {
        *self.state.rule.lock().unwrap() = Some(rule);
    }

    /// Requests from now on pass.
    pub(crate) fn clear(&self) {
        *self.state.rule.lock().unwrap() = None;
    }

    /// How many requests were disturbed so far.
    pub(crate) fn meddled(&self) -> u64 {
        self.state.meddled.load(Ordering::Relaxed)
    }

    /// How many answers are being held back.
    pub(crate) fn held(&self) -> u64 {
        self.state.held.load(Ordering::Relaxed)
    }
}

impl State {
    /// Serves one connection, until something breaks it.
    fn serve(&self, client: TcpStream) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        let mut server: Option<BufReader<TcpStream>> = None;
        loop {
            let request = self.edited(self.with_profile(read_message(&mut client)?));
            let meddling = self.meddling(&request);
            match meddling {
                Some(Meddling::Refuse) => {
                    let answer =
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9\r\n\r\nnot today";
                    client.get_mut().write_all(answer.as_bytes())?;
                    continue;
                }
                Some(Meddling::Delay(delay)) => std::thread::sleep(delay),
                _ => {}
            }
            if server.is_none() {
                server = Some(BufReader::new(TcpStream::connect(&self.target)?));
            }
            let Some(upstream) = &mut server else { continue };
            if meddling == Some(Meddling::CutRequest) {
                upstream.get_mut().write_all(&request[..request.len() / 2])?;
                upstream.get_mut().shutdown(Shutdown::Both)?;
                return client.get_mut().shutdown(Shutdown::Both);
            }
            upstream.get_mut().write_all(&request)?;
            let mut answer = read_message(upstream)?;
            match meddling {
                Some(Meddling::SwallowAnswer) => return client.get_mut().shutdown(Shutdown::Both),
                Some(Meddling::CutAnswer) => {
                    client.get_mut().write_all(&answer[..answer.len() / 2])?;
                    return client.get_mut().shutdown(Shutdown::Both);
                }
                // Until the client times out and closes.
                Some(Meddling::Hang) => return read_message(&mut client).map(drop),
                Some(Meddling::HoldAnswer) => {
                    self.held.fetch_add(1, Ordering::Relaxed);
                    while self.rule.lock().unwrap().is_some() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    self.held.fetch_sub(1, Ordering::Relaxed);
                    client.get_mut().write_all(&answer)?;
                }
                Some(Meddling::ChangeNumber(name)) => {
                    change_number(&mut answer, name);
                    client.get_mut().write_all(&answer)?;
                }
                _ => client.get_mut().write_all(&answer)?,
            }
        }
    }

    /// The request with the profile's settings before its own, if it is for the engine.
    fn with_profile(&self, mut request: Vec<u8>) -> Vec<u8> {
        if !self.profile.is_empty()
            && let Some(start) = request.windows(2).position(|bytes| bytes == b"/?")
            && !request[..start].contains(&b'\n')
        {
            request.splice(start + 2..start + 2, self.profile.bytes());
        }
        request
    }

    /// The request with its edits, if its body is a statement: rows that are inserted come in
    /// chunks.
    fn edited(&self, request: Vec<u8>) -> Vec<u8> {
        const LENGTH: &str = "content-length: ";
        let Ok(text) = std::str::from_utf8(&request) else { return request };
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return request };
        let length = format!("{LENGTH}{}", body.len());
        if self.edits.is_empty() || body.is_empty() || !head.contains(&length) {
            return request;
        }
        let edit = |body: String, (from, to): &(String, String)| body.replace(from, to);
        let body = self.edits.iter().fold(body.to_owned(), edit);
        let head = head.replace(&length, &format!("{LENGTH}{}", body.len()));
        format!("{head}\r\n\r\n{body}").into_bytes()
    }

    fn meddling(&self, request: &[u8]) -> Option<Meddling> {
        let rule = (*self.rule.lock().unwrap())?;
        let beginning = &request[..request.len().min(BEGINNING_BYTES)];
        let only = rule.only.as_bytes();
        if !only.is_empty() && !beginning.windows(only.len()).any(|text| text == only) {
            return None;
        }
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if !number.is_multiple_of(rule.every) {
            return None;
        }
        self.meddled.fetch_add(1, Ordering::Relaxed);
        Some(rule.meddling)
    }
}

/// Changes a number without changing the message's length.
fn change_number(message: &mut [u8], name: &str) {
    let field = format!("\"{name}\":");
    let Some(at) = message.windows(field.len()).position(|part| part == field.as_bytes()) else {
        return;
    };
    let digits = &mut message[at + field.len()..];
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if let Some(last) = digits[..length].last_mut() {
        *last = b'0' + (*last - b'0' + 5) % 10;
    }
}

/// Reads a whole request or response: head, and a body of either kind.
fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let line = read_line(stream, &mut message)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
        }
        is_chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
        if line.is_empty() {
            break;
        }
    }
    if !is_chunked {
        read_bytes(stream, length, &mut message)?;
        return Ok(message);
    }
    loop {
        let line = read_line(stream, &mut message)?;
        let size =
            usize::from_str_radix(line.trim_end(), 16).map_err(|_| ErrorKind::InvalidData)?;
        // The chunk, or the end of all chunks; a line end follows either.
        read_bytes(stream, size + 2, &mut message)?;
        if size == 0 {
            return Ok(message);
        }
    }
}

fn read_line(stream: &mut BufReader<TcpStream>, message: &mut Vec<u8>) -> std::io::Result<String> {
    let start = message.len();
    if stream.read_until(b'\n', message)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&message[start..]).into_owned())
}

fn read_bytes(
    stream: &mut BufReader<TcpStream>,
    length: usize,
    message: &mut Vec<u8>,
) -> std::io::Result<()> {
    let start = message.len();
    message.resize(start + length, 0);
    stream.read_exact(&mut message[start..])
}
