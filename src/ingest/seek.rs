//! Calls on partitions of the client, with the errors that librdkafka reports per partition.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Client;

/// Time limit of librdkafka's own thread for a seek, which usually takes microseconds.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// Partitions of the topic, each with this offset.
pub(super) fn partition_list(
    topic: &str,
    partitions: impl IntoIterator<Item = (u32, u64)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let partition = i32::try_from(partition).map_err(|_| unrepresentable("partition"))?;
        let offset = i64::try_from(offset).map_err(|_| unrepresentable("offset"))?;
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    }
    Ok(list)
}

fn unrepresentable(what: &str) -> KafkaError {
    KafkaError::Seek(format!("the {what} is beyond what Kafka can represent"))
}

/// The first error of any partition. librdkafka reports success for the call and hides failures in
/// the list: a seek right after an assignment without an offset looks successful, although nothing
/// was sought.
fn check(list: &TopicPartitionList) -> KafkaResult<()> {
    list.elements().iter().try_for_each(|element| {
        let failed = |error: KafkaError| {
            KafkaError::Seek(format!("partition {}: {error}", element.partition()))
        };
        element.error().map_err(failed)
    })
}

/// Makes `offset` the next one to fetch, and resumes the partition if it was paused. librdkafka
/// drops what was fetched before and is not in a batch yet.
pub(super) fn seek(client: &Client, topic: &str, partition: u32, offset: u64) -> KafkaResult<()> {
    let list = partition_list(topic, [(partition, offset)])?;
    let list = client.seek_partitions(list, SEEK_TIMEOUT)?;
    check(&list)?;
    client.resume(&list)?;
    check(&list)
}

/// Stops fetching partitions.
pub(super) fn pause(client: &Client, list: &TopicPartitionList) -> KafkaResult<()> {
    client.pause(list)?;
    check(list)
}
