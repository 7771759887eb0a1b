//! The program as a child process.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{engine, patience, signal};

/// The output of an ended child ends within this time, unless another process holds it.
const OUTPUT_END: Duration = Duration::from_secs(20);

/// A running command of the program. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a child has printed so far.
#[derive(Clone, Debug)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// A command of the program, without configuration from the environment. Options are set by
/// `.env("SEATMETER__KAFKA__BROKERS", ...)`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(engine::exe());
    let kept = ["SEATMETER_CACHE_DIR"];
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("SEATMETER") && !kept.contains(&name.as_ref()) {
            command.env_remove(name.as_ref());
        }
    }
    // Tests read the log as people do; of JSON lines there are tests of their own.
    command.args(arguments).env("SEATMETER__LOG__FORMAT", "text");
    command
}

impl Program {
    /// Starts a command, such as `command(&["worker"]).env(...)`.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Program {
        Program::spawn_with(command.stdin(Stdio::null()))
    }

    /// Starts a command with input.
    #[track_caller]
    pub(crate) fn spawn_with(command: &mut Command) -> Program {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Program { child, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has printed to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a line, of stdout or stderr, that contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, part: &str, timeout: Duration) -> String {
        let timeout = patience(timeout);
        let deadline = Instant::now() + timeout;
        loop {
            let ended = !self.is_running();
            if let Some(line) = self.stdout.find(part).or_else(|| self.stderr.find(part)) {
                return line;
            }
            assert!(!ended, "it ended without saying {part:?}\n{}", self.said());
            assert!(
                Instant::now() < deadline,
                "it does not say {part:?} within {timeout:?}\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let timeout = patience(timeout);
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stdout.end();
                self.stderr.end();
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end within {timeout:?}\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGTERM and waits for the end.
    #[track_caller]
    pub(crate) fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(timeout)
    }

    /// Kills it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by name, such as `STOP` and `CONT`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    fn said(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "shown with the failure of the test, and only then")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
    }
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Lines { lines, reader: Arc::new(Mutex::new(Some(reader))) }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    fn find(&self, part: &str) -> Option<String> {
        self.lines.lock().unwrap().iter().find(|line| line.contains(part)).cloned()
    }

    /// Waits for the rest of what an ended child has printed.
    #[track_caller]
    fn end(&self) {
        let Some(reader) = self.reader.lock().unwrap().take() else { return };
        let deadline = Instant::now() + patience(OUTPUT_END);
        while !reader.is_finished() {
            assert!(
                Instant::now() < deadline,
                "a process that it has left behind holds its output\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        reader.join().unwrap();
    }
}

/// Gives a command the environment of the other, and takes from it what the other is not to have.
pub(crate) fn take_environment(command: &mut Command, other: &Command) {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}
