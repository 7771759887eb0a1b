//! Connections that clients open and do nothing with, where the process may open few files.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{SOON, hurry};
use crate::counting::{STOP_TIMEOUT, Setup, Writer};
use crate::support::program::take_environment;
use crate::support::{Program, eventually};

/// Files that the process may open: the soft limit of macOS, here the hard one, so that it cannot
/// be raised.
const FILES_MAX: usize = 256;

/// Connections that are opened and left alone.
const IDLE: usize = 400;

/// Files that the process has left for itself, at least, while they are open.
const SPARE_FILES: usize = 64;

/// Worker and API in one process count and answer others, while one client holds more connections
/// than the process may have files: its own connections come first, new ones to Kafka too.
#[test]
fn idle_connections_starve_neither_the_worker_nor_other_clients() {
    let mut setup = Setup::new(4);
    hurry(&mut setup);
    let mut writer = Writer::new(55);
    setup.produce(&writer.write(1_000));
    let mut run = few_files(&setup);
    setup.check(&writer);
    let address = address(&mut run);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let mut idle: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect();
    eventually("some of them are refused", SOON, || {
        let metrics = get(address, Ipv4Addr::new(127, 0, 0, 2), "/metrics")?;
        metrics.contains("\nseatmeter_http_connections_refused_total ").then_some(())
    });

    // Another member comes and goes, so that the worker opens and flushes partitions meanwhile.
    for _ in 0..2 {
        setup.produce(&writer.write(2_000));
        let mut other = setup.worker();
        other.wait_for_line("counting partition", SOON);
        setup.check(&writer);
        assert!(other.terminate(STOP_TIMEOUT).success());
        for path in ["/healthz", "/v1/ingest", "/v1/accounts/acct-0/licenses/usage"] {
            let answer = get(address, Ipv4Addr::new(127, 0, 0, 3), path).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        // The client keeps at it.
        for stream in &mut idle {
            if is_closed(stream) {
                *stream = TcpStream::connect(address).unwrap();
            }
        }
    }
    eventually("ready", SOON, || {
        get(address, Ipv4Addr::new(127, 0, 0, 3), "/readyz")?.contains(" 200 ").then_some(())
    });
    let files = std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    assert!(files <= FILES_MAX - SPARE_FILES, "{files} files are open");
    assert!(!run.stderr().contains("Too many open files"), "{}", run.stderr());

    drop(idle);
    eventually("the client has room again", SOON, || get(address, Ipv4Addr::LOCALHOST, "/healthz"));
    assert!(run.terminate(STOP_TIMEOUT).success());
}

/// Starts worker and API together, with few files to open.
#[track_caller]
fn few_files(setup: &Setup<'_>) -> Program {
    let run = setup.command(&["run"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {FILES_MAX}; exec \"$@\""), "sh"])
        .arg(run.get_program());
    command.args(run.get_args());
    take_environment(&mut command, &run);
    Program::spawn_with(command.stdin(Stdio::null()))
}

#[track_caller]
fn address(run: &mut Program) -> SocketAddr {
    let line = run.wait_for_line("listening", SOON);
    line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// The answer to a client that comes from this address; `None` where there is no room for it.
#[track_caller]
fn get(address: SocketAddr, client: Ipv4Addr, path: &str) -> Option<String> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::V4(client), 0).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(SOON)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // One that is refused may be reset.
    stream.read_to_string(&mut answer).ok()?;
    (!answer.starts_with("HTTP/1.1 503 Service Unavailable\r\nretry-after: 5")).then_some(answer)
}

/// Whether the server has closed it; what the server says before is read and forgotten.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
