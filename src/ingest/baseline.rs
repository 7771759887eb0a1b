//! The baseline of a worker's cost: reads a topic in batches as the workers do, without decoding or
//! counting.
//!
//! This cost is the lower bound for a worker; `cargo bench --bench pipeline` compares the two. It
//! is not a member of the group, commits nothing and writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Client, Context, consumer_properties};
use super::error::IngestError;
use super::librdkafka::{Message, Queue, forward_partition};
use crate::config::Config;

/// Reads the first `records` records of a topic with as many threads as a worker, and passes each
/// payload to `touch`.
///
/// # Errors
///
/// librdkafka refuses the configuration, does not know a partition, or reports an error instead of
/// a record.
pub fn read_batches(
    config: &Config,
    partitions: u32,
    records: u64,
    touch: impl Fn(&[u8]) + Sync,
) -> Result<(), IngestError> {
    let client_error = |reason: String| IngestError::Client { reason };
    let properties = consumer_properties(&config.kafka, &config.ingest);
    let client = Client::from_config_and_context(&properties, Context::of(&config.kafka))
        .map_err(|error| IngestError::ClientConfig(error.to_string()))?;
    let client = Arc::new(client);
    let topic = &config.kafka.topic;
    let mut queues: Vec<Queue> =
        (0..config.ingest.worker_threads).map(|_| Queue::new(Arc::clone(&client))).collect();
    let mut assignment = TopicPartitionList::new();
    for (partition, queue) in (0..partitions).zip((0..queues.len()).cycle()) {
        forward_partition(&client, topic, partition, &queues[queue].target())
            .map_err(|error| client_error(error.to_string()))?;
        let number = i32::try_from(partition).map_err(|error| client_error(error.to_string()))?;
        assignment
            .add_partition_offset(topic, number, Offset::Beginning)
            .map_err(|error| client_error(error.to_string()))?;
    }
    client.assign(&assignment).map_err(|error| client_error(error.to_string()))?;

    let read = AtomicU64::new(0);
    let (limits, read, touch) = (&config.ingest, &read, &touch);
    std::thread::scope(|scope| {
        let threads: Vec<_> = queues
            .iter_mut()
            .map(|queue| {
                scope.spawn(move || {
                    while read.load(Ordering::Relaxed) < records {
                        let batch = queue.take(limits.batch_records_max, limits.batch_wait);
                        let mut taken = 0;
                        for message in batch.messages() {
                            match message {
                                Message::Record { record, .. } => {
                                    touch(record.payload.unwrap_or_default())
                                }
                                Message::Event(event) => return Err(client_error(event.text)),
                            }
                            taken += 1;
                        }
                        read.fetch_add(taken, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}
