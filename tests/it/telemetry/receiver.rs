//! A receiver of OTLP over HTTP that keeps what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Path and body of each request.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

pub(super) struct Receiver {
    address: SocketAddr,
    requests: Requests,
}

impl Receiver {
    /// Refuses the first request under this path.
    pub(super) fn start(refused_once: &'static str) -> Receiver {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Requests::default();
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            let is_refused = Arc::new(Mutex::new(Some(refused_once)));
            for stream in listener.incoming().map_while(Result::ok) {
                let (kept, is_refused) = (Arc::clone(&kept), Arc::clone(&is_refused));
                std::thread::spawn(move || serve(stream, &kept, &is_refused));
            }
        });
        Receiver { address, requests }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bodies of the requests under this path that were not refused.
    pub(super) fn received(&self, path: &str) -> Vec<Value> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|(of, _)| of == path).map(|(_, body)| body.clone()).collect()
    }
}

/// Answers the requests of a connection until it ends.
fn serve(stream: TcpStream, kept: &Requests, refused_once: &Mutex<Option<&str>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_ascii_lowercase());
        }
        assert!(head.contains(&"content-type: application/json".to_owned()), "{head:?}");
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let path = head[0].split(' ').nth(1).unwrap().to_owned();
        let mut refused = refused_once.lock().unwrap();
        let status = if *refused == Some(path.as_str()) {
            *refused = None;
            "503 Service Unavailable"
        } else {
            kept.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
            "200 OK"
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\n{{}}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
