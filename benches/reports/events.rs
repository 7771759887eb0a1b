//! Events that come in while reports are polled: a flush a second, as a worker writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use seatmeter::core::decode::decode;
use seatmeter::core::event::{Decoded, Record};
use seatmeter::core::lane::{Applied, Lane};
use seatmeter::core::rollup::{Progress, Source};
use seatmeter::store::{ProgressRow, Store};
use tokio::runtime::Handle;

use super::setting::Setting;

/// From one flush to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Organizations of the large account.
const ORGANIZATIONS: u32 = 2_020;

/// Events of a flush of one account.
const EVENTS: u32 = 200;

/// A partition whose events are counted and written as a worker does it.
pub(crate) struct Writer {
    store: Store,
    handle: Handle,
    source: Source,
    lane: Lane,
    random: ChaCha8Rng,
    next_offset: u64,
}

impl Writer {
    /// A partition of which nothing is counted yet.
    pub(crate) fn new(setting: &Setting) -> Self {
        static PARTITIONS: AtomicU32 = AtomicU32::new(1);
        let partition = PARTITIONS.fetch_add(1, Ordering::Relaxed);
        // The data of an earlier run may be kept, and what its partitions had counted.
        let topic_id = format!("bench-{}", std::process::id());
        let source = Source::new("usage-events", &topic_id, partition);
        let (store, handle) = (setting.store.clone(), setting.runtime.handle().clone());
        let seed = handle.block_on(store.user_key_seed()).expect("the schema is applied");
        let lane = Lane::new(source.clone(), Progress::default(), seed);
        let random = ChaCha8Rng::seed_from_u64(u64::from(partition));
        Self { store, handle, source, lane, random, next_offset: 0 }
    }

    /// A stream of random numbers for its next events.
    pub(crate) fn random(&mut self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.random.random())
    }

    /// Counts events as the next ones of the partition, in one flush.
    pub(crate) fn count(&mut self, events: &[String]) {
        self.handle.clone().block_on(self.flush(events));
    }

    async fn flush(&mut self, events: &[String]) {
        let batch: Vec<(Record<'_>, Decoded<'_>)> = events
            .iter()
            .zip(self.next_offset..)
            .map(|(event, offset)| {
                let record = Record {
                    offset,
                    timestamp_ms: Some(Utc::now().timestamp_millis()),
                    key: account_of(event).map(str::as_bytes),
                    payload: Some(event.as_bytes()),
                };
                let decoded = decode(&record);
                (record, decoded)
            })
            .collect();
        self.next_offset += u64::try_from(batch.len()).expect("a flush is small");
        let mut rest = &batch[..];
        loop {
            let missing = self.lane.missing(rest);
            let loaded = self.store.load(&self.source, &missing).await.expect("the store loads");
            self.lane.admit(&missing, loaded);
            match self.lane.apply(rest) {
                Applied::All => break,
                Applied::Blocked { index } | Applied::Gap { index } => rest = &rest[index..],
            }
        }
        let rows = self.lane.drain();
        let progress = rows.progress;
        assert_eq!(progress.accepted, progress.next_offset, "every event is a good one");
        self.store.write_rows(&[rows]).await.expect("the rows are written");
        let row = ProgressRow {
            source: self.source.clone(),
            progress,
            high_watermark: progress.next_offset,
            end_valid_for: Duration::from_secs(3_600),
            completes_flush: true,
        };
        self.store.write_progress(&[row]).await.expect("the progress is written");
    }
}

fn account_of(event: &str) -> Option<&str> {
    event.split("account_id\":\"").nth(1)?.split('"').next()
}

/// A feed that writes until it is dropped.
pub(crate) struct Feed {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Feeds events of one account: logins and tests, and sometimes a seat. Returns when the first
    /// flush is written: a new lane reads all seats of the account once, which a running one has
    /// done.
    pub(crate) fn start(setting: &Setting, account: &'static str) -> Self {
        Self::of(Writer::new(setting), EVENTS, move |random| {
            let kind = match random.random_range(0..100) {
                0..60 => "user.login",
                60..99 => "test.executed",
                _ => "license.assigned",
            };
            event(random, account, kind)
        })
    }

    /// Feeds so many events each second, from `event`. Returns when the first flush is written.
    pub(crate) fn of(
        mut writer: Writer,
        events_per_s: u32,
        event: impl Fn(&mut ChaCha8Rng) -> String + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let (flushed, first_flush) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut random = writer.random();
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let events: Vec<String> = (0..events_per_s).map(|_| event(&mut random)).collect();
                writer.count(&events);
                // Only the first flush is waited for.
                let _ = flushed.send(());
                next += INTERVAL;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        first_flush.recv().expect("the feed does not fail");
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the feed does not fail");
        }
    }
}

/// The kind of event that changes a report.
pub(crate) fn kind_for(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("licenses/usage") => "user.login",
        _ if path.starts_with("licenses/") => "license.assigned",
        _ if path.starts_with("organizations?") => "organization.updated",
        _ => "test.executed",
    }
}

/// A login in each organization of the account, now: a worker that has been running for a while has
/// met them all, and announces none of them again.
pub(crate) fn logins_everywhere(random: &mut ChaCha8Rng, account: &str) -> Vec<String> {
    (1..=ORGANIZATIONS).map(|user| event_of(user, random, account, "user.login")).collect()
}

/// An event of a random user of the account, now.
pub(crate) fn event(random: &mut ChaCha8Rng, account: &str, kind: &str) -> String {
    let user = random.random_range(1..=100_000_u32);
    event_of(user, random, account, kind)
}

fn event_of(user: u32, random: &mut ChaCha8Rng, account: &str, kind: &str) -> String {
    let organization = user % ORGANIZATIONS + 1;
    let data = format!(
        r#""organization_id":"{organization}","user_id":{user},"origin":"run","name":"O {user}""#
    );
    event_at(random, Utc::now(), account, kind, &data)
}

/// An event with these data besides the account.
pub(crate) fn event_at(
    random: &mut ChaCha8Rng,
    time: chrono::DateTime<Utc>,
    account: &str,
    kind: &str,
    data: &str,
) -> String {
    let id = random.random::<u64>();
    let time = time.to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/bench\",\"type\":\"{kind}\",\
         \"time\":\"{time}\",\"data\":{{\"account_id\":\"{account}\",{data}}}}}"
    )
}
