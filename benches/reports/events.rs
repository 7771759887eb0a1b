//! Events that come in while reports are polled: a flush a second, as a worker writes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use seatmeter::core::decode::decode;
use seatmeter::core::event::{Decoded, Record};
use seatmeter::core::lane::{Applied, Lane};
use seatmeter::core::rollup::{Progress, Source};
use seatmeter::store::{ProgressRow, Store};

use super::setting::Setting;

/// Events of a flush.
const EVENTS: u64 = 200;

/// A feed that writes until it is dropped.
pub(crate) struct Feed {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Feeds events of the account: logins and tests, and sometimes a seat. Returns when the first
    /// flush is written: a new lane reads all seats of the account once, which a running one has
    /// done.
    pub(crate) fn start(setting: &Setting, account: &'static str) -> Self {
        static PARTITIONS: AtomicU32 = AtomicU32::new(1);
        let source =
            Source::new("usage-events", "bench", PARTITIONS.fetch_add(1, Ordering::Relaxed));
        let over = Arc::new(AtomicBool::new(false));
        let (store, handle, stop) =
            (setting.store.clone(), setting.runtime.handle().clone(), Arc::clone(&over));
        let (flushed, first_flush) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut random = ChaCha8Rng::seed_from_u64(u64::from(source.partition()));
            let seed = handle.block_on(store.user_key_seed()).expect("the schema is applied");
            let mut lane = Lane::new(source.clone(), Progress::default(), seed);
            let mut offset = 0;
            while !stop.load(Ordering::Relaxed) {
                let events: Vec<String> =
                    (0..EVENTS).map(|_| event(&mut random, account)).collect();
                handle.block_on(flush(&store, &source, &mut lane, &events, offset));
                offset += EVENTS;
                // Only the first flush is waited for.
                let _ = flushed.send(());
                std::thread::sleep(Duration::from_secs(1));
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

fn event(random: &mut ChaCha8Rng, account: &str) -> String {
    let user = random.random_range(1..=100_000_u32);
    let organization = user % 2020 + 1;
    let kind = match random.random_range(0..100) {
        0..60 => "user.login",
        60..99 => "test.executed",
        _ => "license.assigned",
    };
    let id = random.random::<u64>();
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"{kind}","time":"{time}","data":{{"account_id":"{account}","organization_id":"{organization}","user_id":{user},"origin":"run"}}}}"#
    )
}

async fn flush(
    store: &Store,
    source: &Source,
    lane: &mut Lane,
    events: &[String],
    first_offset: u64,
) {
    let account =
        events.first().and_then(|event| event.split("account_id\":\"").nth(1)?.split('"').next());
    let batch: Vec<(Record<'_>, Decoded<'_>)> = events
        .iter()
        .zip(first_offset..)
        .map(|(event, offset)| {
            let record = Record {
                offset,
                timestamp_ms: Some(Utc::now().timestamp_millis()),
                key: account.map(str::as_bytes),
                payload: Some(event.as_bytes()),
            };
            let decoded = decode(&record);
            (record, decoded)
        })
        .collect();
    let mut rest = &batch[..];
    loop {
        let missing = lane.missing(rest);
        let loaded = store.load(source, &missing).await.expect("the store loads");
        lane.admit(&missing, loaded);
        match lane.apply(rest) {
            Applied::All => break,
            Applied::Blocked { index } | Applied::Gap { index } => rest = &rest[index..],
        }
    }
    let rows = lane.drain();
    let progress = rows.progress;
    assert_eq!(progress.accepted, progress.next_offset, "every event is a good one");
    store.write_rows(&[rows]).await.expect("the rows are written");
    let row = ProgressRow {
        source: source.clone(),
        progress,
        high_watermark: progress.next_offset,
        end_valid_for: Duration::from_secs(3_600),
        completes_flush: true,
    };
    store.write_progress(&[row]).await.expect("the progress is written");
}
