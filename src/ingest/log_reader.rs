//! Reads a topic's partitions from given offsets to given ends, in batches as workers do, outside
//! the group: nothing is subscribed, committed or written.
//!
//! It decides nothing about a record: whoever reads gets every one, and says where reading ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio_util::sync::CancellationToken;

use super::client::{Client, consumer_properties};
use super::error::IngestError;
use super::librdkafka::{Message, PartitionEvent, Queue, forward_partition};
use super::polled_client::PolledClient;
use super::seek::{partition_list, pause, seek};
use super::topic::{AskError, Topic};
use crate::config::Config;
use crate::core::event::Record;
use crate::core::rollup::Source;

/// How long the brokers may stay silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The pause before a question is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// Records taken at once, at most: few enough to be in the processor's cache when they are freed.
const BATCH_RECORDS_MAX: usize = 1_000;

/// How long a batch may take to fill.
const BATCH_WAIT: Duration = Duration::from_millis(5);

/// Bytes of one answer for all partitions together, packed, that fetches ask for, about: they come
/// on top of what is queued.
const FETCHED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one partition in one answer, at least and at most: what a worker asks for, which spares
/// memory, and librdkafka's default, which spares the broker requests.
const FETCH_BYTES: (usize, usize) = (32 * 1024, 1024 * 1024);

/// What reads a partition.
pub trait ReadsPartition: Send {
    /// The partition.
    fn partition(&self) -> u32;

    /// The next offset to read.
    fn next_offset(&self) -> u64;

    /// Reading ends before this offset.
    fn end(&self) -> u64;

    /// Takes in the record at or behind [`next_offset`](Self::next_offset). False: offsets before
    /// it are missing, and a seek has to show that they are really absent.
    ///
    /// # Errors
    /// Whatever ends the reading.
    fn read(&mut self, record: &Record<'_>) -> anyhow::Result<bool>;

    /// The seek to the next offset succeeded.
    fn sought(&mut self);

    /// The log holds no more records before the end.
    fn pass_rest(&mut self);
}

/// The beginning and the end of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// The first offset that the log holds.
    pub first: u64,
    /// The offset of the next record.
    pub end: u64,
}

/// Asks the brokers of the configured topic, and reads it.
pub struct LogReader<'c> {
    config: &'c Config,
    /// The client that asks; `None` as long as there was no question since the last reading.
    asking: Mutex<Option<PolledClient>>,
    /// Clients that are being closed, which takes a tenth of a second.
    closing: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for LogReader<'_> {
    fn drop(&mut self) {
        // No client may outlive the program: it would use what the exit cleans up.
        for closing in lock(&self.closing).drain(..) {
            // The thread cannot panic: it only drops a client.
            let _ = closing.join();
        }
    }
}

impl<'c> LogReader<'c> {
    /// Connects.
    ///
    /// # Errors
    /// Where librdkafka refuses the configuration.
    pub fn connect(config: &'c Config) -> Result<Self, IngestError> {
        let asking = Mutex::new(Some(polled_client(config, 0)?));
        Ok(Self { config, asking, closing: Mutex::default() })
    }

    /// The sources of all partitions. Blocks.
    ///
    /// # Errors
    /// Where the topic does not exist, or the brokers do not answer for a minute.
    pub fn sources(&self) -> Result<Vec<Source>, IngestError> {
        let description = self.ask(Topic::describe_blocking)?;
        let name = &self.config.kafka.topic;
        let source = |partition| Source::new(name, &description.id, partition);
        Ok((0..description.partitions).map(source).collect())
    }

    /// Where a partition's log begins and ends. Blocks.
    ///
    /// # Errors
    /// Where the brokers do not answer for a minute.
    pub fn bounds(&self, partition: u32) -> Result<LogBounds, IngestError> {
        let marks = self.ask(|topic| topic.watermarks_blocking(partition))?;
        Ok(LogBounds { first: marks.low, end: marks.high })
    }

    /// The offset of the first record stamped at this time or later, milliseconds since 1970 UTC;
    /// `None` where there is none. Blocks.
    ///
    /// # Errors
    /// Where the brokers do not answer.
    pub fn offset_at(&self, partition: u32, time_ms: i64) -> Result<Option<u64>, IngestError> {
        let failed = |error: rdkafka::error::KafkaError| client_error(error.to_string());
        let number = i32::try_from(partition).map_err(|error| client_error(error.to_string()))?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.config.kafka.topic, number, Offset::Offset(time_ms))
            .map_err(failed)?;
        let client = self.asking()?;
        let found = client.offsets_for_times(list, SILENCE_MAX).map_err(failed)?;
        Ok(found.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        }))
    }

    /// Reads every partition to its end, on so many threads. `after` is called after each batch of
    /// a partition with the number of records in it. Blocks; ends early when `stop` is cancelled.
    ///
    /// # Errors
    /// Where a partition cannot be read, the brokers are silent for a minute, or a reader fails.
    pub fn read<R: ReadsPartition>(
        &self,
        threads: usize,
        readers: &mut [R],
        stop: &CancellationToken,
        after: impl Fn(u64) + Sync,
    ) -> anyhow::Result<()> {
        let readers: Vec<&mut R> =
            readers.iter_mut().filter(|reader| reader.next_offset() < reader.end()).collect();
        if readers.is_empty() {
            return Ok(());
        }
        // The client that asked is seldom needed again: it is closed while the log is read.
        self.close(lock(&self.asking).take());
        let polled = polled_client(self.config, readers.len())?;
        let client = Arc::clone(&polled.client);
        let topic = &self.config.kafka.topic;
        let count = threads.clamp(1, readers.len());
        let starts = readers.iter().map(|reader| (reader.partition(), reader.next_offset()));
        let starts = partition_list(topic, starts)?;
        let mut readings = Vec::new();
        let unread = |reader: &&mut R| reader.end().saturating_sub(reader.next_offset());
        for (thread, reader) in even_shares(readers, unread, count) {
            let queue = Queue::new(Arc::clone(&client));
            forward_partition(&client, topic, reader.partition(), &queue.target())?;
            readings.push(Reading { thread, reader, queue, is_sought: false });
        }
        client.assign(&starts)?;
        let reading = Threads {
            topic,
            client: &client,
            free: Mutex::new(readings),
            has_failed: AtomicBool::new(false),
            stop,
        };
        let after = &after;
        let read = std::thread::scope(|scope| {
            let reading = &reading;
            let threads: Vec<_> =
                (0..count).map(|own| scope.spawn(move || reading.run(own, after))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        });
        drop(reading);
        drop(client);
        self.close(Some(polled));
        read
    }

    /// The client that asks.
    fn asking(&self) -> Result<Arc<Client>, IngestError> {
        let mut asking = lock(&self.asking);
        let client = match asking.take() {
            Some(client) => client,
            None => polled_client(self.config, 0)?,
        };
        Ok(Arc::clone(&asking.insert(client).client))
    }

    /// Closes a client aside.
    fn close(&self, client: Option<PolledClient>) {
        let closing = client.map(|client| std::thread::spawn(move || drop(client)));
        lock(&self.closing).extend(closing);
    }

    /// Asks until there is an answer, for a minute at most.
    fn ask<T>(&self, question: impl Fn(&Topic) -> Result<T, AskError>) -> Result<T, IngestError> {
        let kafka = &self.config.kafka;
        let topic = Topic::new(&kafka.topic, &kafka.brokers, self.asking()?);
        let deadline = Instant::now() + SILENCE_MAX;
        let mut missing = 0;
        loop {
            let error = match question(&topic) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // A topic that was just created is unknown to some brokers for a moment.
            missing += u32::from(matches!(error, AskError::Missing(_)));
            let is_final = matches!(error, AskError::Denied { .. }) || missing > 3;
            if is_final || Instant::now() >= deadline {
                return Err(client_error(error.to_string()));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Deals items out to so many threads, at least one; returns each with its thread. The longest come
/// first, to whom has the least, so that the threads end at about the same time.
fn even_shares<T>(
    mut items: Vec<T>,
    length: impl Fn(&T) -> u64,
    threads: usize,
) -> Vec<(usize, T)> {
    items.sort_by_key(|item| std::cmp::Reverse(length(item)));
    let mut dealt = vec![0; threads];
    let deal = |item: T| {
        let least = (0..threads).min_by_key(|&thread| dealt[thread]).unwrap_or(0);
        dealt[least] += length(&item);
        (least, item)
    };
    items.into_iter().map(deal).collect()
}

/// A partition that is read, by one thread at a time.
struct Reading<'r, R> {
    /// The thread that reads it, whose core has its state in the cache.
    thread: usize,
    reader: &'r mut R,
    queue: Queue,
    /// A seek has shown that gaps are real.
    is_sought: bool,
}

impl<R: ReadsPartition> Reading<'_, R> {
    /// Offsets to be read yet.
    fn unread(&self) -> u64 {
        self.reader.end().saturating_sub(self.reader.next_offset())
    }

    /// How much a thread is to read it before others: its own first; of these, those with a whole
    /// batch at hand, and of these the one with most to read, so that all end at about the same
    /// time.
    fn urgency(&self, thread: usize) -> (bool, bool, u64) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (unread, fetched) = (self.unread(), count(self.queue.len()));
        let is_ready = fetched >= count(BATCH_RECORDS_MAX).min(unread);
        (self.thread == thread, is_ready, if is_ready { unread } else { fetched })
    }
}

/// What the threads share. Each takes a partition, reads a batch of it and puts it back, so that
/// one that has read its own can go on with another's.
struct Threads<'r, R> {
    topic: &'r str,
    client: &'r Arc<Client>,
    /// Partitions that no thread reads just now.
    free: Mutex<Vec<Reading<'r, R>>>,
    /// A thread has failed.
    has_failed: AtomicBool,
    stop: &'r CancellationToken,
}

impl<'r, R: ReadsPartition> Threads<'r, R> {
    fn run(&self, own: usize, after: impl Fn(u64)) -> anyhow::Result<()> {
        let result = self.read(own, after);
        if result.is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn read(&self, own: usize, after: impl Fn(u64)) -> anyhow::Result<()> {
        let mut heard = Instant::now();
        while let Some(mut reading) = self.take(own) {
            let records = self.read_batch(&mut reading)?;
            if reading.unread() > 0 {
                self.free().push(reading);
            } else {
                self.leave(reading.reader.partition())?;
            }
            if records > 0 {
                heard = Instant::now();
            } else if heard.elapsed() > SILENCE_MAX {
                let cause = self.client.context().last_error();
                let cause = cause.unwrap_or_else(|| "no record came for a minute".to_owned());
                return Err(client_error(cause).into());
            }
            after(records);
        }
        Ok(())
    }

    fn free(&self) -> MutexGuard<'_, Vec<Reading<'r, R>>> {
        lock(&self.free)
    }

    /// The partition to be read next. `None` where reading ends, or other threads have all that is
    /// left: partitions only ever become fewer.
    fn take(&self, thread: usize) -> Option<Reading<'r, R>> {
        if self.stop.is_cancelled() || self.has_failed.load(Ordering::Relaxed) {
            return None;
        }
        let mut free = self.free();
        let next = (0..free.len()).max_by_key(|&place| free[place].urgency(thread))?;
        let mut next = free.swap_remove(next);
        next.thread = thread;
        Some(next)
    }

    /// Reads a batch, and returns the number of its records.
    fn read_batch(&self, reading: &mut Reading<'_, R>) -> anyhow::Result<u64> {
        let Reading { reader, queue, is_sought, .. } = reading;
        let mut has_gap = false;
        let mut records = 0;
        let batch = queue.take(BATCH_RECORDS_MAX, BATCH_WAIT);
        for message in batch.messages() {
            if has_gap || reader.next_offset() >= reader.end() {
                break;
            }
            match message {
                // The last offsets before the end seem to hold no record.
                Message::Record { record, .. } if record.offset >= reader.end() => match *is_sought
                {
                    true => reader.pass_rest(),
                    false => has_gap = true,
                },
                Message::Record { record, .. } => {
                    records += 1;
                    has_gap = !reader.read(&record)?;
                }
                Message::Event(event) => has_gap = is_doubtful_end(*reader, *is_sought, &event)?,
            }
        }
        drop(batch);
        if has_gap {
            seek(self.client, self.topic, reader.partition(), reader.next_offset())?;
            reader.sought();
            *is_sought = true;
        }
        Ok(records)
    }

    /// Fetches no more of a partition that is read: a fetch of nothing but these would wait at the
    /// broker, and those that are not read yet behind it.
    fn leave(&self, partition: u32) -> anyhow::Result<()> {
        pause(self.client, &partition_list(self.topic, [(partition, 0)])?)?;
        Ok(())
    }
}

/// Whether the log seems to hold nothing more before the end of what is read, which a seek has to
/// show again.
fn is_doubtful_end<R: ReadsPartition>(
    reader: &mut R,
    is_sought: bool,
    event: &PartitionEvent,
) -> anyhow::Result<bool> {
    if event.code != RDKafkaErrorCode::PartitionEOF {
        let text = format!("partition {}: {}", event.partition, event.text);
        return Err(client_error(text).into());
    }
    let is_end = reader.next_offset() < reader.end()
        && event.offset.is_some_and(|offset| offset >= reader.end());
    if is_end && is_sought {
        reader.pass_rest();
        return Ok(false);
    }
    Ok(is_end)
}

/// What is locked here is whole between two calls, also if a thread panicked meanwhile.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn client_error(reason: String) -> IngestError {
    IngestError::Unreadable { reason }
}

/// A client that tells where the log of a partition ends, and reads so many partitions.
fn polled_client(config: &Config, partitions: usize) -> Result<PolledClient, IngestError> {
    let mut properties = consumer_properties(&config.kafka, &config.ingest);
    properties.set("enable.partition.eof", "true");
    let preferred = [
        // A backlog is read, so an empty answer of a partition should not hold the others up.
        ("fetch.wait.max.ms", "10".to_owned()),
        ("fetch.queue.backoff.ms", "5".to_owned()),
        ("fetch.message.max.bytes", fetch_bytes(partitions).to_string()),
    ];
    for (name, value) in preferred {
        if !config.kafka.properties.contains_key(name) {
            properties.set(name, value);
        }
    }
    PolledClient::new(&config.kafka, &properties)
        .map_err(|error| IngestError::ClientConfig(error.to_string()))
}

/// Bytes of one partition in one answer, where so many are read.
fn fetch_bytes(partitions: usize) -> usize {
    (FETCHED_BYTES_MAX / partitions.max(1)).clamp(FETCH_BYTES.0, FETCH_BYTES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_partitions_are_fetched_in_smaller_pieces() {
        assert_eq!([0, 4, 8, 5_000].map(fetch_bytes), [1 << 20, 1 << 20, 1 << 19, 1 << 15]);
    }

    #[test]
    fn threads_get_about_as_much_to_read() {
        let dealt = even_shares(vec![4_u64, 9, 7, 5, 0], |&length| length, 2);
        assert_eq!(dealt, [(0, 9), (1, 7), (1, 5), (0, 4), (1, 0)]);
        assert_eq!(even_shares(vec![3_u64], |&length| length, 1), [(0, 3)]);
    }
}
