//! The engine as a child process.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};

use super::door::USER;
use crate::embedded::provision;

/// Time limit for an engine to start; loading a large data directory takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Time limit for an engine to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Lines of its stderr that are kept for the message of a failed start.
const STDERR_LINES_MAX: usize = 20;
/// Passes the password to the engine: the environment of a process is not in the list of processes.
pub const PASSWORD_VARIABLE: &str = "SEATMETER_ENGINE_PASSWORD";
/// The text that the engine prints before its address.
const READY_PREFIX: &str = "listening on http://";

/// How to start an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The seatmeter binary.
    pub exe: PathBuf,
    pub data_dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// A `libchdb.so` to use instead of the provisioned one.
    pub library: Option<PathBuf>,
    /// The password of the user `default`; `None`: the engine generates one and keeps it with the
    /// data.
    pub password: Option<SecretString>,
    /// Statements may reach files, programs and other hosts.
    pub allow_external: bool,
}

/// A running engine. It stops when this is dropped, and when this process ends in any way, because
/// its standard input is a pipe from here.
#[derive(Debug)]
pub struct EngineProcess {
    options: EngineOptions,
    running: Option<Running>,
    place: Place,
}

/// Address and password of an engine.
#[derive(Clone, Debug)]
struct Place {
    address: SocketAddr,
    password: SecretString,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    complaints: Complaints,
}

impl EngineProcess {
    /// Starts an engine on a free loopback port and waits until it is ready.
    ///
    /// # Errors
    ///
    /// The library cannot be provisioned, or the engine does not start; its output is part of the
    /// message.
    pub fn spawn(exe: &Path, data_dir: &Path) -> Result<EngineProcess> {
        EngineProcess::start(EngineOptions {
            exe: exe.to_owned(),
            data_dir: data_dir.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            library: None,
            password: None,
            allow_external: false,
        })
    }

    /// Starts an engine as `options` say and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](EngineProcess::spawn).
    pub fn start(options: EngineOptions) -> Result<EngineProcess> {
        // Fetched here, where progress is shown; checked and loaded by the process that uses it.
        provision::fetch_engine_library(options.library.as_deref())?;
        let (running, place) = launch(&options, options.listen)?;
        Ok(EngineProcess { options, running: Some(running), place })
    }

    /// Its URL, such as `http://127.0.0.1:40123`. A restart keeps it.
    pub fn url(&self) -> String {
        format!("http://{}", self.place.address)
    }

    /// The same with user and password, as curl accepts it, unless the password was given by the
    /// user.
    pub fn url_to_print(&self) -> String {
        if self.has_named_password() {
            self.url()
        } else {
            format!("http://{USER}:{}@{}", self.place.password.expose_secret(), self.place.address)
        }
    }

    /// Whether the password was given by the user.
    pub fn has_named_password(&self) -> bool {
        self.options.password.is_some()
    }

    /// The password of the user `default`.
    pub fn password(&self) -> &SecretString {
        &self.place.password
    }

    /// Its process id; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    /// Why it is down, if it has ended by itself; `None` while it runs.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn failure(&mut self) -> Result<Option<String>> {
        let Some(running) = self.running.as_mut() else { return Ok(None) };
        let Some(status) = running.child.try_wait().context("cannot ask for the engine's state")?
        else {
            return Ok(None);
        };
        let last_words =
            self.running.take().map(|running| running.complaints.text()).unwrap_or_default();
        Ok(Some(format!("the embedded ClickHouse has ended ({status}): {last_words}")))
    }

    /// Kills it at once (SIGKILL), like a crash.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.child.kill().context("cannot kill the engine")?;
            running.child.wait().context("cannot wait for the engine to end")?;
        }
        Ok(())
    }

    /// Asks it to stop, waits, and kills it if it does not. Its exit status, if it was running.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn stop(&mut self) -> Result<Option<ExitStatus>> {
        let Some(mut running) = self.running.take() else { return Ok(None) };
        drop(running.stdin.take());
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) =
                running.child.try_wait().context("cannot wait for the engine to end")?
            {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                running.child.kill().context("cannot kill the engine")?;
                return running.child.wait().map(Some).context("cannot wait for the engine to end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it again after [`kill`](EngineProcess::kill) or [`stop`](EngineProcess::stop), on the
    /// same data and address.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let (running, place) = launch(&self.options, self.place.address)?;
        self.running = Some(running);
        self.place = place;
        Ok(())
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // Acknowledged data is written in any case, so there is nothing to wait for.
        if let Some(mut running) = self.running.take() {
            let ended = running.child.kill().and_then(|()| running.child.wait());
            if let Err(error) = ended {
                tracing::warn!(%error, "the engine process could not be stopped");
            }
        }
    }
}

fn launch(options: &EngineOptions, listen: SocketAddr) -> Result<(Running, Place)> {
    let mut child = command(options, listen)
        // Ctrl-C goes to the whole process group. The engine must outlive the process that flushes
        // into it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", options.exe.display()))?;
    let stdin = child.stdin.take();
    let complaints =
        Complaints::collect(child.stderr.take().context("the engine process has no stderr")?);
    let stdout = child.stdout.take().context("the engine process has no stdout")?;
    let mut running = Running { child, stdin, complaints };
    match wait_until_ready(stdout, options.password.as_ref()) {
        Ok(place) => {
            running.complaints.log();
            Ok((running, place))
        }
        Err(error) => {
            running.child.kill().context("cannot kill the engine")?;
            let status = running.child.wait().context("cannot wait for the engine to end")?;
            bail!(
                "the embedded ClickHouse does not start: {error:#} ({status}); it says: {}",
                running.complaints.text()
            );
        }
    }
}

fn command(options: &EngineOptions, listen: SocketAddr) -> Command {
    let mut command = Command::new(&options.exe);
    command.arg("clickhouse").arg("--data-dir").arg(&options.data_dir);
    command.args(["--listen", &listen.to_string(), "--stop-with-stdin"]);
    if let Some(library) = &options.library {
        command.arg("--library").arg(library);
    }
    if options.allow_external {
        command.arg("--allow-external");
    }
    match &options.password {
        Some(password) => command.env(PASSWORD_VARIABLE, password.expose_secret()),
        None => command.env_remove(PASSWORD_VARIABLE),
    };
    // Sets the engine's time zone: in UTC its output is the same on every machine.
    command.env("TZ", "UTC");
    command
}

fn wait_until_ready(
    stdout: impl Read + Send + 'static,
    named: Option<&SecretString>,
) -> Result<Place> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let mut reader = BufReader::new(stdout);
        let outcome = reader.read_line(&mut line).map(|_| line);
        // The receiver is gone after the timeout.
        drop(sender.send(outcome));
    });
    let line = match receiver.recv_timeout(START_TIMEOUT) {
        Ok(line) => line.context("cannot read its output")?,
        Err(RecvTimeoutError::Timeout) => {
            bail!("it is not ready after {} s", START_TIMEOUT.as_secs())
        }
        Err(RecvTimeoutError::Disconnected) => bail!("its output cannot be read"),
    };
    place_of(line.trim(), named).with_context(|| {
        if line.is_empty() {
            "it ended at once".to_owned()
        } else {
            format!("unexpected output {:?}", line.trim())
        }
    })
}

/// The URL in a line, with the password if it was generated.
fn place_of(line: &str, named: Option<&SecretString>) -> Option<Place> {
    let place = line.strip_prefix(READY_PREFIX)?;
    let (address, password) = match place.rsplit_once('@') {
        Some((credentials, address)) => (
            address,
            SecretString::from(credentials.strip_prefix(USER)?.strip_prefix(':')?.to_owned()),
        ),
        None => (place, named?.clone()),
    };
    Some(Place { address: address.parse().ok()?, password })
}

/// The last lines of a child's stderr. Those of a child that is ready go to the log too; of one
/// that does not start, its message alone says them.
#[derive(Debug)]
struct Complaints {
    said: Arc<Mutex<Said>>,
    reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    is_logged: bool,
}

impl Complaints {
    fn collect(stderr: impl Read + Send + 'static) -> Complaints {
        let said = Arc::new(Mutex::new(Said::default()));
        let kept = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = lock(&kept);
                if kept.is_logged {
                    complain(&line);
                }
                if kept.lines.len() == STDERR_LINES_MAX {
                    kept.lines.pop_front();
                }
                kept.lines.push_back(line);
            }
        });
        Complaints { said, reader }
    }

    /// Logs the lines so far, and those to come.
    fn log(&self) {
        let mut said = lock(&self.said);
        said.lines.iter().for_each(|line| complain(line));
        said.is_logged = true;
    }

    /// All lines, once the child has ended.
    fn text(self) -> String {
        // The lines stay valid if the reader panicked.
        drop(self.reader.join());
        lock(&self.said).lines.make_contiguous().join("\n")
    }
}

fn complain(line: &str) {
    tracing::warn!(target: "seatmeter::engine", "{line}");
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}
