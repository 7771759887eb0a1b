//! Whether the topic's newest records show accounts in two partitions at once, as two producers
//! with different partitioners make them. Only keys are read: the key is the account.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::topic_settings::Finding;
use crate::config;
use crate::ingest::probe_properties;

/// Newest records that are read of each partition, at most.
const PARTITION_RECORDS_MAX: i64 = 5_000;

/// Newest records that are read in all.
const RECORDS_MAX: i64 = 200_000;

/// Time limit for the brokers to answer a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit of the reading. Records that arrive later are ignored.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for one record.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Accounts that are named, at most.
const NAMES_MAX: usize = 5;

/// First and last timestamp of an account's records in each partition, by key.
type Sample = BTreeMap<Vec<u8>, BTreeMap<i32, (i64, i64)>>;

/// Checks the newest records. Finds nothing if the topic cannot be read: the check of its settings
/// reports why.
pub(super) async fn look(kafka: &config::Kafka) -> Option<Finding> {
    let own = kafka.clone();
    let sample = tokio::task::spawn_blocking(move || read(&own)).await.ok()?.ok()?;
    judge(&kafka.topic, &sample)
}

/// Reads keys and timestamps of the newest records of every partition, outside any group.
fn read(kafka: &config::Kafka) -> Result<Sample, KafkaError> {
    let consumer: BaseConsumer = probe_properties(kafka).create()?;
    let metadata = consumer.fetch_metadata(Some(&kafka.topic), ANSWER_TIMEOUT)?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
        .map(|partition| partition.id())
        .collect();
    let share =
        i64::try_from(partitions.len()).map_or(1, |partitions| RECORDS_MAX / partitions.max(1));
    let records_max = share.clamp(1, PARTITION_RECORDS_MAX);
    let (mut starts, mut ends) = (TopicPartitionList::new(), BTreeMap::new());
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(&kafka.topic, partition, ANSWER_TIMEOUT)?;
        let start = (high - records_max).max(low);
        if start < high {
            starts.add_partition_offset(&kafka.topic, partition, Offset::Offset(start))?;
            ends.insert(partition, high);
        }
    }
    consumer.assign(&starts)?;
    let mut sample = Sample::new();
    let deadline = Instant::now() + READ_TIMEOUT;
    while !ends.is_empty() && Instant::now() < deadline {
        let record = match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(record)) => record,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.remove(&partition);
                continue;
            }
            Some(Err(_)) | None => continue,
        };
        let partition = record.partition();
        if ends.get(&partition).is_some_and(|end| record.offset() + 1 >= *end) {
            ends.remove(&partition);
        }
        if let (Some(key), Some(time_ms)) = (record.key(), record.timestamp().to_millis()) {
            let times = sample
                .entry(key.to_vec())
                .or_default()
                .entry(partition)
                .or_insert((time_ms, time_ms));
            *times = (times.0.min(time_ms), times.1.max(time_ms));
        }
    }
    Ok(sample)
}

/// An account that moved once, with all records of one partition sent before those of the other, is
/// correct.
fn judge(topic: &str, sample: &Sample) -> Option<Finding> {
    let is_split = |partitions: &BTreeMap<i32, (i64, i64)>| {
        let mut times: Vec<(i64, i64)> = partitions.values().copied().collect();
        times.sort_unstable();
        times.windows(2).any(|pair| pair[0].1 >= pair[1].0)
    };
    let split: Vec<_> = sample.iter().filter(|(_, partitions)| is_split(partitions)).collect();
    if split.is_empty() {
        return None;
    }
    let name = |(key, partitions): &(&Vec<u8>, &BTreeMap<i32, (i64, i64)>)| {
        let partitions: Vec<&i32> = partitions.keys().collect();
        format!("{:?} in partitions {partitions:?}", String::from_utf8_lossy(key))
    };
    let names: Vec<String> = split.iter().take(NAMES_MAX).map(name).collect();
    let more = if split.len() > names.len() { ", …" } else { "" };
    Some(Finding::Warning(format!(
        "topic {topic:?} has accounts in several partitions at once ({} of {} in its newest \
        records: {}{more}): they cannot be counted exactly; let all producers use one partitioner \
        (config/runbook.md: An account in two partitions)",
        split.len(),
        sample.len(),
        names.join(", "),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition, and the times of the first and the last record of an account in it.
    type Times = (i32, i64, i64);

    fn sample(accounts: &[(&str, &[Times])]) -> Sample {
        let times = |partitions: &[Times]| {
            partitions.iter().map(|&(at, first, last)| (at, (first, last))).collect()
        };
        accounts
            .iter()
            .map(|(account, partitions)| (account.as_bytes().to_vec(), times(partitions)))
            .collect()
    }

    #[test]
    fn accounts_in_two_partitions_at_once_are_a_warning() {
        assert_eq!(judge("t", &Sample::new()), None);
        let fine = sample(&[("one", &[(0, 1, 9)]), ("moved", &[(3, 1, 4), (0, 5, 9)])]);
        assert_eq!(judge("t", &fine), None);
        let found =
            judge("t", &sample(&[("one", &[(0, 1, 9)]), ("acme", &[(0, 5, 9), (3, 1, 6)])]))
                .unwrap()
                .to_string();
        let expected = "warning: topic \"t\" has accounts in several partitions at once (1 of 2 in \
            its newest records: \"acme\" in partitions [0, 3]): they cannot be counted exactly";
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn a_few_of_many_are_named() {
        let names: Vec<String> = (0..9).map(|number| format!("a{number}")).collect();
        let partitions = [(0, 1, 2), (1, 2, 2)];
        let accounts: Vec<(&str, &[Times])> =
            names.iter().map(|name| (name.as_str(), &partitions[..])).collect();
        let found = judge("t", &sample(&accounts)).unwrap().to_string();
        assert!(
            found.contains("9 of 9") && found.contains("\"a4\" in partitions [0, 1], …)"),
            "{found}"
        );
    }
}
