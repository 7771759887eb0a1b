//! Why a broker's certificate is not accepted. OpenSSL reports the refusal to librdkafka without
//! the reason; so the reason is found by a separate handshake, with another library, which is never
//! used for anything else.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

/// Time limit of each step of the handshake.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// A fault of a broker's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not signed by a trusted authority.
    UnknownAuthority,
    /// It has expired, at this time if known.
    Expired(Option<String>),
    /// It is not valid yet.
    NotValidYet(Option<String>),
    /// It is for these names, none of which is the broker's.
    OtherHost(Vec<String>),
    /// Anything else, in the library's words.
    Other(String),
}

/// Which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trusted {
    /// `ssl.ca.location`.
    File(String),
    /// `ssl.ca.pem`.
    Pem(String),
    /// Those of the system.
    System,
}

/// Paths of the system's authorities, as in OpenSSL.
const SYSTEM_FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Checks the certificate of `host:port`. `None` if it has no fault, or the check failed. Blocks
/// for a few seconds at most.
pub(super) fn look(address: &str, trusted: &Trusted) -> Option<Fault> {
    let host = address.rsplit_once(':')?.0.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(trusted.roots()?)
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut socket =
        TcpStream::connect_timeout(&address.to_socket_addrs().ok()?.next()?, STEP_TIMEOUT).ok()?;
    socket.set_read_timeout(Some(STEP_TIMEOUT)).ok()?;
    socket.set_write_timeout(Some(STEP_TIMEOUT)).ok()?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut socket) {
            return fault(&error);
        }
    }
    None
}

fn fault(error: &io::Error) -> Option<Fault> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Fault::UnknownAuthority,
        CertificateError::Expired => Fault::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => Fault::Expired(day(*not_after)),
        CertificateError::NotValidYet => Fault::NotValidYet(None),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Fault::NotValidYet(day(*not_before))
        }
        CertificateError::NotValidForName => Fault::OtherHost(Vec::new()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Fault::OtherHost(presented.iter().map(|name| plain_name(name)).collect())
        }
        other => Fault::Other(other.to_string()),
    })
}

/// The name in `DnsName("kafka.example")` and the like.
fn plain_name(presented: &str) -> String {
    presented.split('"').nth(1).unwrap_or(presented).to_owned()
}

fn day(time: UnixTime) -> Option<String> {
    let seconds = i64::try_from(time.as_secs()).ok()?;
    Some(DateTime::from_timestamp(seconds, 0)?.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

impl Trusted {
    /// The authorities; `None` if they cannot be read, which librdkafka reports better.
    fn roots(&self) -> Option<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::File(path) if Path::new(path).is_dir() => {
                for entry in std::fs::read_dir(path).ok()?.flatten() {
                    add_file(&mut roots, &entry.path());
                }
            }
            Self::File(path) => add_file(&mut roots, Path::new(path)),
            Self::Pem(text) => add(&mut roots, text.as_bytes()),
            Self::System => {
                SYSTEM_FILES.iter().for_each(|path| add_file(&mut roots, Path::new(path)))
            }
        }
        (!roots.is_empty()).then_some(roots)
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "ssl.ca.location = {path:?}"),
            Self::Pem(_) => write!(f, "ssl.ca.pem"),
            Self::System => {
                write!(f, "the system's authorities; name the right one by ssl.ca.location")
            }
        }
    }
}

/// Adds the certificates of a PEM file; none if it is not one.
fn add_file(roots: &mut RootCertStore, path: &Path) {
    if let Ok(text) = std::fs::read(path) {
        add(roots, &text);
    }
}

fn add(roots: &mut RootCertStore, pem: &[u8]) {
    for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
        // A certificate that this library cannot read is not diagnosed.
        let _ = roots.add(certificate);
    }
}
