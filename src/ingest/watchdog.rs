//! Ends the process if one of its threads or flushes is stuck.
//!
//! The Kafka client polls on its own thread, so the group keeps a member whose workers are stuck:
//! nothing else would notice. A restart is safe at any moment.
//!
//! Whatever blocks the other threads may block the report too. So the end is scheduled before it is
//! reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::librdkafka::end_process;
use super::messages::{Fatal, FatalSender};
use crate::telemetry::events;
use crate::telemetry::health::Health;

/// Interval between a task's heartbeats.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// Interval between checks of the heartbeats.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Time limit for the process to end by itself, which only logs the reason, before it is forced to.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Exit status of a process that could not end by itself; `EX_SOFTWARE` of sysexits.
const EXIT_STUCK: i32 = 70;

/// The component on `/readyz`.
const COMPONENT: &str = "threads";

/// A thread's signs of life.
#[derive(Debug)]
pub(super) struct Heartbeat {
    name: String,
    beats: AtomicU64,
    /// The thread has ended in order.
    is_over: AtomicBool,
}

impl Heartbeat {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, beats: AtomicU64::new(0), is_over: AtomicBool::new(false) })
    }

    /// A sign of life.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// The thread's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The thread has ended.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Does the work, with signs of life as long as its task is scheduled: not while it blocks its
/// thread, and not while others block all threads of the runtime. Waiting counts as a sign of life.
pub(super) async fn beating<T>(heartbeat: Arc<Heartbeat>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut beats = tokio::time::interval(BEAT_INTERVAL);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                heartbeat.end();
                return done;
            }
            _ = beats.tick() => heartbeat.beat(),
        }
    }
}

/// Number of checks for which a thread has been silent. Not in clock time: a process that was
/// stopped and continued has missed no check.
struct Silence {
    beats: u64,
    looks: u64,
}

/// Result of a check.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    Alive,
    /// Silent for more than half of the limit.
    Late,
    Stuck,
}

impl Silence {
    fn look(&mut self, beats: u64, looks_max: u64) -> Sign {
        self.looks = if beats == self.beats { self.looks + 1 } else { 0 };
        self.beats = beats;
        match self.looks {
            looks if looks >= looks_max => Sign::Stuck,
            looks if looks >= looks_max.div_ceil(2) => Sign::Late,
            _ => Sign::Alive,
        }
    }
}

/// Watches the threads until all have ended. One that shows no sign of life for `limit` ends the
/// process.
pub(super) fn watch(
    threads: &[Arc<Heartbeat>],
    limit: Duration,
    health: &Health,
    fatal: &FatalSender,
) {
    let looks_max = limit.as_secs().max(1);
    let mut silences: Vec<Silence> =
        threads.iter().map(|_| Silence { beats: 0, looks: 0 }).collect();
    let mut is_late = false;
    loop {
        std::thread::sleep(LOOK_INTERVAL);
        let mut late = None;
        let mut watched = 0;
        for (thread, silence) in threads.iter().zip(&mut silences) {
            if thread.is_over.load(Ordering::Relaxed) {
                continue;
            }
            watched += 1;
            match silence.look(thread.beats.load(Ordering::Relaxed), looks_max) {
                Sign::Alive => {}
                Sign::Late => late = Some((thread, silence.looks)),
                Sign::Stuck => return end_by(thread, silence.looks, health, fatal),
            }
        }
        if watched == 0 {
            return;
        }
        match late {
            Some((thread, seconds)) => {
                is_late = true;
                health.not_ready(
                    COMPONENT,
                    format!("thread {} has shown no sign of life for {seconds} s", thread.name),
                );
            }
            None if is_late => {
                is_late = false;
                health.ready(COMPONENT);
            }
            None => {}
        }
    }
}

fn end_by(thread: &Heartbeat, seconds: u64, health: &Health, fatal: &FatalSender) {
    health.not_ready(COMPONENT, format!("thread {} is stuck; the process ends", thread.name));
    fatal.send(Fatal::ThreadStuck { thread: thread.name.clone(), seconds });
    let name = thread.name.clone();
    std::thread::spawn(move || events::thread_stuck(&name, seconds));
    std::thread::sleep(LAST_GRACE);
    // The thread that was to end the process is stuck as well.
    end_process(EXIT_STUCK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_grows_by_looks_and_ends_with_a_beat() {
        let mut silence = Silence { beats: 0, looks: 0 };
        assert_eq!(silence.look(1, 4), Sign::Alive);
        assert_eq!(silence.look(1, 4), Sign::Alive);
        assert_eq!(silence.look(1, 4), Sign::Late);
        assert_eq!(silence.look(2, 4), Sign::Alive);
        for _ in 0..3 {
            assert_ne!(silence.look(2, 4), Sign::Stuck);
        }
        assert_eq!(silence.look(2, 4), Sign::Stuck);
    }

    const VARIABLE: &str = "SEATMETER_TEST_WATCHDOG";

    #[test]
    fn a_process_that_nobody_ends_is_ended() {
        let mut process = std::process::Command::new(std::env::current_exe().unwrap());
        process
            .args(["--exact", "ingest::watchdog::tests::as_process", "--ignored"])
            .env(VARIABLE, "1");
        assert_eq!(process.output().unwrap().status.code(), Some(EXIT_STUCK));
    }

    #[test]
    #[ignore = "no test, but a process whose threads hang"]
    fn as_process() {
        if std::env::var_os(VARIABLE).is_none() {
            return;
        }
        // Kept, but never read: the thread that should end the process hangs too.
        let (fatal, _unread) = tokio::sync::mpsc::unbounded_channel();
        let silent = [Heartbeat::new("silent".to_owned())];
        std::thread::spawn(move || {
            watch(&silent, Duration::from_secs(1), &Health::new(), &FatalSender(fatal))
        });
        std::thread::sleep(Duration::from_secs(60));
    }

    #[tokio::test]
    async fn work_that_waits_beats_and_work_that_blocks_does_not() {
        let heartbeat = Heartbeat::new("work".to_owned());
        let beats = || heartbeat.beats.load(Ordering::Relaxed);
        beating(Arc::clone(&heartbeat), async {
            tokio::time::sleep(BEAT_INTERVAL * 2).await;
            let waited = beats();
            assert!(waited > 0);
            std::thread::sleep(BEAT_INTERVAL * 2);
            assert_eq!(beats(), waited);
        })
        .await;
        assert!(heartbeat.is_over.load(Ordering::Relaxed));
    }
}
