//! Addresses to listen on, as people write them.

use std::net::{Ipv4Addr, SocketAddr};

/// Reads an IP address and a port, `localhost` and a port, or a port alone; the last two mean
/// 127.0.0.1.
///
/// # Errors
///
/// The expected form.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = match text.rsplit_once(':') {
        None => Some(text),
        Some((host, port)) => host.eq_ignore_ascii_case("localhost").then_some(port),
    };
    let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    port.and_then(|port| port.parse().ok()).map(local).ok_or_else(|| {
        "expected an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080; localhost:8080 \
        or 8080 for this machine alone; 0.0.0.0:8080 for all networks"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:80", "[::1]:80"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("LOCALHOST:0", "127.0.0.1:0"),
            ("8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(
                listen_address(text).map(|address| address.to_string()).as_deref(),
                Ok(expected)
            );
        }
        for text in ["", ":8080", "localhost", "localhost:", "65536", "+80", "a.example:80", "::1:"]
        {
            assert!(listen_address(text).is_err(), "{text}");
        }
    }
}
