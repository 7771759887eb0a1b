//! Reads a topic's partitions from given offsets to given ends, in batches as workers do, outside
//! the group: nothing is subscribed, committed or written.
//!
//! It decides nothing about a record: whoever reads gets every one, and says where reading ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// How long a batch may take to fill.
const BATCH_WAIT: Duration = Duration::from_millis(20);

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

/// A connection to the brokers of the configured topic.
pub struct LogReader<'c> {
    config: &'c Config,
    topic: Topic,
    client: PolledClient,
}

impl<'c> LogReader<'c> {
    /// Connects.
    ///
    /// # Errors
    /// Where librdkafka refuses the configuration.
    pub fn connect(config: &'c Config) -> Result<Self, IngestError> {
        let client = polled_client(config)?;
        let kafka = &config.kafka;
        let topic = Topic::new(&kafka.topic, &kafka.brokers, Arc::clone(&client.client));
        Ok(Self { config, topic, client })
    }

    /// The sources of all partitions. Blocks.
    ///
    /// # Errors
    /// Where the topic does not exist, or the brokers do not answer for a minute.
    pub fn sources(&self) -> Result<Vec<Source>, IngestError> {
        let description = self.ask(|| self.topic.describe_blocking())?;
        let name = &self.config.kafka.topic;
        let source = |partition| Source::new(name, &description.id, partition);
        Ok((0..description.partitions).map(source).collect())
    }

    /// Where a partition's log begins and ends. Blocks.
    ///
    /// # Errors
    /// Where the brokers do not answer for a minute.
    pub fn bounds(&self, partition: u32) -> Result<LogBounds, IngestError> {
        let marks = self.ask(|| self.topic.watermarks_blocking(partition))?;
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
        let found = self.client.client.offsets_for_times(list, SILENCE_MAX).map_err(failed)?;
        Ok(found.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        }))
    }

    /// Reads every partition to its end, on so many threads. `after` is called after each batch of
    /// a partition's thread with the number of records in it. Blocks; ends early when `stop` is
    /// cancelled.
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
        let polled = polled_client(self.config)?;
        let topic = &self.config.kafka.topic;
        let count = threads.clamp(1, readers.len());
        let queues: Vec<Queue> =
            (0..count).map(|_| Queue::new(Arc::clone(&polled.client))).collect();
        let starts = readers.iter().map(|reader| (reader.partition(), reader.next_offset()));
        let starts = partition_list(topic, starts)?;
        let mut shares: Vec<BTreeMap<u32, &mut R>> = (0..count).map(|_| BTreeMap::new()).collect();
        let unread = |reader: &&mut R| reader.end().saturating_sub(reader.next_offset());
        for (share, reader) in even_shares(readers, unread, count) {
            let target = queues[share].target();
            forward_partition(&polled.client, topic, reader.partition(), &target)?;
            shares[share].insert(reader.partition(), reader);
        }
        polled.client.assign(&starts)?;
        let failed = AtomicBool::new(false);
        let (config, failed, after, client) = (self.config, &failed, &after, &polled.client);
        std::thread::scope(|scope| {
            let threads: Vec<_> = queues
                .into_iter()
                .zip(shares)
                .map(|(queue, readers)| {
                    let sought = BTreeSet::new();
                    let thread = Thread { config, client, readers, sought, failed, stop };
                    scope.spawn(move || thread.run(queue, after))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }

    /// Asks until there is an answer, for a minute at most.
    fn ask<T>(&self, question: impl Fn() -> Result<T, AskError>) -> Result<T, IngestError> {
        let deadline = Instant::now() + SILENCE_MAX;
        let mut missing = 0;
        loop {
            let error = match question() {
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

/// One thread's share of the partitions.
struct Thread<'r, R> {
    config: &'r Config,
    client: &'r Arc<Client>,
    readers: BTreeMap<u32, &'r mut R>,
    /// Partitions whose gaps a seek has shown to be real.
    sought: BTreeSet<u32>,
    /// Another thread has failed.
    failed: &'r AtomicBool,
    stop: &'r CancellationToken,
}

impl<R: ReadsPartition> Thread<'_, R> {
    fn run(mut self, mut queue: Queue, after: impl Fn(u64)) -> anyhow::Result<()> {
        let result = self.read(&mut queue, after);
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn read(&mut self, queue: &mut Queue, after: impl Fn(u64)) -> anyhow::Result<()> {
        let mut heard = Instant::now();
        while !self.readers.is_empty() {
            if self.stop.is_cancelled() || self.failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let mut gaps = Vec::new();
            let mut records = 0;
            let batch = queue.take(self.config.ingest.batch_records_max, BATCH_WAIT);
            for message in batch.messages() {
                match message {
                    Message::Record { partition, record, .. } => {
                        let Some(reader) = self.readers.get_mut(&partition) else { continue };
                        if gaps.contains(&partition) || reader.next_offset() >= reader.end() {
                            continue;
                        }
                        if record.offset >= reader.end() {
                            // The last offsets before the end seem to hold no record.
                            if self.sought.contains(&partition) {
                                reader.pass_rest();
                            } else {
                                gaps.push(partition);
                            }
                            continue;
                        }
                        records += 1;
                        if !reader.read(&record)? {
                            gaps.push(partition);
                        }
                    }
                    Message::Event(event) => {
                        if self.is_doubtful_end(&event)? {
                            gaps.push(event.partition);
                        }
                    }
                }
            }
            drop(batch);
            for partition in gaps {
                self.seek(partition)?;
            }
            self.leave_ended()?;
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

    /// Whether the log seems to hold nothing more before the end of what is read, which a seek has
    /// to show again.
    fn is_doubtful_end(&mut self, event: &PartitionEvent) -> anyhow::Result<bool> {
        let Some(reader) = self.readers.get_mut(&event.partition) else { return Ok(false) };
        if event.code != RDKafkaErrorCode::PartitionEOF {
            let text = format!("partition {}: {}", event.partition, event.text);
            return Err(client_error(text).into());
        }
        let is_end = reader.next_offset() < reader.end()
            && event.offset.is_some_and(|offset| offset >= reader.end());
        if is_end && self.sought.contains(&event.partition) {
            reader.pass_rest();
            return Ok(false);
        }
        Ok(is_end)
    }

    /// Fetches no more of the partitions that are read: a fetch of nothing but these would wait at
    /// the broker, and those that are not read yet behind it.
    fn leave_ended(&mut self) -> anyhow::Result<()> {
        let is_ended = |reader: &R| reader.next_offset() >= reader.end();
        let ended = self.readers.iter().filter(|(_, reader)| is_ended(reader));
        let ended: Vec<u32> = ended.map(|(partition, _)| *partition).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let list = ended.iter().map(|partition| (*partition, 0));
        pause(self.client, &partition_list(&self.config.kafka.topic, list)?)?;
        self.readers.retain(|partition, _| !ended.contains(partition));
        Ok(())
    }

    fn seek(&mut self, partition: u32) -> anyhow::Result<()> {
        let Some(reader) = self.readers.get_mut(&partition) else { return Ok(()) };
        seek(self.client, &self.config.kafka.topic, partition, reader.next_offset())?;
        reader.sought();
        self.sought.insert(partition);
        Ok(())
    }
}

fn client_error(reason: String) -> IngestError {
    IngestError::Unreadable { reason }
}

/// A client that tells where the log of a partition ends.
fn polled_client(config: &Config) -> Result<PolledClient, IngestError> {
    let mut properties = consumer_properties(&config.kafka, &config.ingest);
    properties.set("enable.partition.eof", "true");
    // A backlog is read, so an empty answer of a partition should not hold the others up.
    for (name, value) in [("fetch.wait.max.ms", "10"), ("fetch.queue.backoff.ms", "5")] {
        if !config.kafka.properties.contains_key(name) {
            properties.set(name, value);
        }
    }
    PolledClient::new(&config.kafka, &properties)
        .map_err(|error| IngestError::ClientConfig(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_get_about_as_much_to_read() {
        let dealt = even_shares(vec![4_u64, 9, 7, 5, 0], |&length| length, 2);
        assert_eq!(dealt, [(0, 9), (1, 7), (1, 5), (0, 4), (1, 0)]);
        assert_eq!(even_shares(vec![3_u64], |&length| length, 1), [(0, 3)]);
    }
}
