//! The token endpoint of an authorization server, as a worker sees it: it may be down, refuse, or
//! give tokens.
//!
//! What it gives are unsecured tokens, which the tests' brokers accept.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::kafka::free_ports;
use super::secured_kafka::{Properties, SecuredKafka};

/// With what the client asks for tokens. The colon and the blank must not get lost on the way.
const CLIENT_ID: &str = "seat:meter";
const CLIENT_SECRET: &str = "open sesame-7262";
const SCOPE: &str = "kafka read";

/// What the endpoint answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// 401, `invalid_client`.
    Refuses,
    /// A token that lives so long.
    Gives(Duration),
    /// Such a token, after a pause.
    GivesLate(Duration, Duration),
}

/// An endpoint that is down until it is opened, and is never closed. It has the broker's
/// certificate.
pub(crate) struct TokenEndpoint {
    kafka: &'static SecuredKafka,
    port: u16,
    /// Whom the tokens name.
    user: String,
    mood: Arc<Mutex<Mood>>,
}

impl TokenEndpoint {
    pub(crate) fn down(kafka: &'static SecuredKafka, user: &str) -> TokenEndpoint {
        let [port] = free_ports();
        TokenEndpoint {
            kafka,
            port,
            user: user.to_owned(),
            mood: Arc::new(Mutex::new(Mood::Refuses)),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/token", self.port)
    }

    /// Properties of a client that asks here, and trusts the authority of this file to know the
    /// endpoint.
    pub(crate) fn properties(&self, ca_file: String) -> Properties {
        vec![
            ("security.protocol", "SASL_SSL".to_owned()),
            ("ssl.ca.location", self.kafka.ca_file()),
            ("https.ca.location", ca_file),
            ("sasl.mechanism", "OAUTHBEARER".to_owned()),
            ("sasl.oauthbearer.method", "oidc".to_owned()),
            ("sasl.oauthbearer.client.id", CLIENT_ID.to_owned()),
            ("sasl.oauthbearer.client.secret", CLIENT_SECRET.to_owned()),
            ("sasl.oauthbearer.scope", SCOPE.to_owned()),
            ("sasl.oauthbearer.token.endpoint.url", self.url()),
        ]
    }

    pub(crate) fn client_secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Answers from now on.
    #[track_caller]
    pub(crate) fn open(&self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let pem = std::fs::read(self.kafka.certificate_file()).unwrap();
        let chain = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
        let tls =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let tls = Arc::new(tls.with_single_cert(chain, key).unwrap());
        let (user, mood) = (self.user.clone(), Arc::clone(&self.mood));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mood = *mood.lock().unwrap();
                let user = user.clone();
                let connection = ServerConnection::new(Arc::clone(&tls)).unwrap();
                std::thread::spawn(move || {
                    answer(StreamOwned::new(connection, stream), &user, mood)
                });
            }
        });
    }
}

fn answer(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    user: &str,
    mood: Mood,
) -> std::io::Result<()> {
    let (head, body) = request(&mut stream)?;
    if let Mood::GivesLate(pause, _) = mood {
        std::thread::sleep(pause);
    }
    // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
    let credentials = STANDARD.encode("seat%3Ameter:open%20sesame%2D7262");
    let is_known = head.iter().any(|line| *line == format!("authorization: Basic {credentials}"));
    let is_form = body == "grant_type=client_credentials&scope=kafka+read"
        || body == "grant_type=client_credentials&scope=kafka%20read";
    let (status, answer) = match mood {
        Mood::Gives(life) | Mood::GivesLate(_, life) if is_known && is_form => {
            ("200 OK", json!({"access_token": token(user, life)}))
        }
        Mood::Gives(_) | Mood::GivesLate(..) => {
            ("400 Bad Request", json!({"error": format!("{head:?} {body}")}))
        }
        // Some repeat what they were told.
        Mood::Refuses => (
            "401 Unauthorized",
            json!({"error": "invalid_client", "error_description": format!("not with \
                {CLIENT_SECRET}")}),
        ),
    };
    let answer = answer.to_string();
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// The lines of a request's head, and its body.
fn request(stream: impl Read) -> std::io::Result<(Vec<String>, String)> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok((head, String::from_utf8_lossy(&body).into_owned()))
}

fn token(user: &str, life: Duration) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let claims = json!({"sub": user, "iat": now.as_secs(), "exp": (now + life).as_secs()});
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(json!({"alg": "none"}).to_string()), part(claims.to_string()))
}
