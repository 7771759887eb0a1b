//! What became of the records, by partition and hour of record time.

use serde::Serialize;
use utoipa::ToSchema;

use super::cursor;
use super::query::{BadParameter, Query};
use super::value::Timestamp;
use crate::core::audit::{HourCounts, RecordHour};

/// Rows of a page, at most.
const PAGE_ROWS_MAX: usize = 1_000;

/// Hours that are answered where no range is asked for, the present one included.
const HOURS_DEFAULT: u32 = 24;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// Which hours are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRequest {
    /// The first hour.
    pub from: RecordHour,
    /// The last hour, inclusive.
    pub to: RecordHour,
    /// Where the page before ended.
    pub after: Option<AuditPosition>,
    scope: String,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditPosition {
    /// The hour.
    pub hour: RecordHour,
    /// The least partition in it that was not told yet.
    pub next_partition: u64,
}

/// One hour of one partition, as the store gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHour {
    /// The partition.
    pub partition: u32,
    /// The hour.
    pub hour: RecordHour,
    /// Outcomes of its records.
    pub counts: HourCounts,
    /// Whether a later hour of the partition has been counted past.
    pub is_complete: bool,
}

impl AuditRequest {
    /// Rows that are to be read: one more than a page has tells whether there are more.
    pub const ROWS_READ_MAX: usize = PAGE_ROWS_MAX + 1;

    /// Parses a query at the instant `now_ms`, milliseconds since 1970 UTC.
    ///
    /// # Errors
    /// Where a parameter is at fault.
    pub fn parse(mut query: Query, now_ms: i64) -> Result<Self, BadParameter> {
        let from = take_hour(&mut query, "from")?;
        let to = take_hour(&mut query, "to")?;
        let scope = format!("audit {from:?} {to:?}");
        let last = to.unwrap_or_else(|| now_ms.div_euclid(HOUR_MS));
        let first = from.unwrap_or_else(|| last - i64::from(HOURS_DEFAULT) + 1);
        if first > last {
            return Err(BadParameter::new("from", "It lies after `to`, which is now by default."));
        }
        let after = query.take_parsed("cursor", |cursor| {
            let position = cursor::unseal(&scope, cursor);
            position
                .map(|(hour, next_partition)| AuditPosition {
                    hour: RecordHour(hour).min(RecordHour::LAST),
                    next_partition,
                })
                .ok_or_else(|| "Not a next_cursor of this query.".to_owned())
        })?;
        query.finish()?;
        let hour = |hour: i64| RecordHour::of(Some(hour.saturating_mul(HOUR_MS)));
        Ok(Self { from: hour(first), to: hour(last), after, scope })
    }
}

/// Takes the beginning of an hour, in hours since 1970 UTC.
fn take_hour(query: &mut Query, name: &str) -> Result<Option<i64>, BadParameter> {
    let Some(time_ms) = query.take_instant(name)? else { return Ok(None) };
    if time_ms % HOUR_MS != 0 {
        return Err(BadParameter::new(name, "Not a whole hour in UTC."));
    }
    Ok(Some(time_ms / HOUR_MS))
}

/// What became of the records of an hour in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditedPartitionHour {
    /// The topic.
    #[schema(example = "usage-events")]
    pub topic: String,
    /// The partition.
    #[schema(example = 0)]
    pub partition: u32,
    /// The hour in which Kafka stamped the records; that of 1970 has those without a stamp.
    pub hour: Timestamp,
    /// Events counted.
    #[schema(example = 4086)]
    pub accepted: u64,
    /// Records that are not events; they are in `rejected_events`, each with its reason.
    #[schema(example = 74)]
    pub rejected: u64,
    /// `test.executed` events that repeat another one's id.
    #[schema(example = 66)]
    pub duplicates: u64,
    /// Tombstones.
    #[schema(example = 0)]
    pub skipped: u64,
    /// Tests run on the platform, of the accepted events.
    #[schema(example = 1200)]
    pub tests_run: u64,
    /// Tests whose results were uploaded, of the accepted events.
    #[schema(example = 300)]
    pub tests_uploaded: u64,
    /// Of the accepted records in any order, 16 hexadecimal digits: the sum modulo 2^64 of
    /// `xxh3_64(le64(xxh3_64(account_id)) + le64(offset) + id)`, where `le64` is eight bytes, the
    /// least significant first.
    #[schema(example = "9c37a02e5d1f4b60", pattern = "^[0-9a-f]{16}$")]
    pub checksum: String,
    /// Whether a later hour of the partition has been counted past. A late record may come all the
    /// same: producers stamp them.
    #[schema(example = true)]
    pub complete: bool,
}

/// What became of the records, hour by hour of record time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuditReport {
    /// Oldest first, then by partition; an hour without records has no row.
    pub hours: Vec<AuditedPartitionHour>,
    /// For the next page; null where there is none.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl AuditReport {
    /// A page of the hours, of which one more was read than it may have.
    pub fn assemble(request: &AuditRequest, topic: &str, mut rows: Vec<PartitionHour>) -> Self {
        let has_more = rows.len() > PAGE_ROWS_MAX;
        rows.truncate(PAGE_ROWS_MAX);
        let next_cursor = rows.last().filter(|_| has_more).map(|last| {
            let position = serde_json::json!([last.hour.0, u64::from(last.partition) + 1]);
            cursor::seal(&request.scope, &position)
        });
        let hours = rows.into_iter().map(|row| AuditedPartitionHour::new(topic, &row)).collect();
        Self { hours, next_cursor }
    }
}

impl AuditedPartitionHour {
    fn new(topic: &str, row: &PartitionHour) -> Self {
        let HourCounts { accepted, rejected, duplicates, skipped, .. } = row.counts;
        let HourCounts { tests_run, tests_uploaded, checksum, .. } = row.counts;
        Self {
            topic: topic.to_owned(),
            partition: row.partition,
            hour: Timestamp(row.hour.start_ms()),
            accepted,
            rejected,
            duplicates,
            skipped,
            tests_run,
            tests_uploaded,
            checksum: format!("{checksum:016x}"),
            complete: row.is_complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01 09:12:33 UTC.
    const NOW_MS: i64 = 1_772_356_353_000;

    fn parse(query: &str) -> Result<(i64, i64), String> {
        let query = Query::parse(Some(query)).unwrap();
        let hours_ago = |hour: RecordHour| (NOW_MS - hour.start_ms()) / HOUR_MS;
        AuditRequest::parse(query, NOW_MS)
            .map(|request| (hours_ago(request.from), hours_ago(request.to)))
            .map_err(|fault| fault.parameter)
    }

    #[test]
    fn the_last_24_hours_are_the_default() {
        assert_eq!(parse(""), Ok((23, 0)));
        assert_eq!(parse("from=2026-03-01T05:00:00Z"), Ok((4, 0)));
        assert_eq!(parse("to=2026-03-01T09:00:00%2B01:00"), Ok((24, 1)));
        assert_eq!(parse("from=2026-03-01T08:00:00Z&to=2026-03-01T08:00:00Z"), Ok((1, 1)));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        let check = |query: &str, parameter: &str| {
            assert_eq!(parse(query), Err(parameter.to_owned()), "{query}");
        };
        check("from=2026-03-01T05:30:00Z", "from");
        check("to=2026-03-01T05:00:00.001Z", "to");
        check("to=2026-03-01T05:00:00%2B05:30", "to");
        check("to=2026-03-01", "to");
        check("from=2026-03-01T10:00:00Z", "from");
        check("from=2026-03-01T05:00:00Z&to=2026-03-01T04:00:00Z", "from");
        check("limit=5", "limit");
        check("cursor=x", "cursor");
    }

    #[test]
    fn any_instant_names_hours_that_there_may_be() {
        let query = Query::parse(Some("from=0001-01-01T00:00:00Z&to=9999-12-31T23:00:00Z"));
        let request = AuditRequest::parse(query.unwrap(), NOW_MS).unwrap();
        assert_eq!((request.from, request.to), (RecordHour(0), RecordHour::LAST));
    }

    #[test]
    fn a_page_leads_to_the_next_one_of_the_same_query() {
        let row = |number: u32| PartitionHour {
            partition: number % 2,
            hour: RecordHour(500_000 + number / 2),
            counts: HourCounts { checksum: 0xab, ..HourCounts::default() },
            is_complete: true,
        };
        let of = |query: &str| AuditRequest::parse(Query::parse(Some(query)).unwrap(), NOW_MS);
        let request = of("").unwrap();
        let report = AuditReport::assemble(&request, "t", (0..1_001).map(row).collect());
        assert_eq!(report.hours.len(), 1_000);
        assert_eq!(report.hours[0].checksum, "00000000000000ab");
        let cursor = report.next_cursor.unwrap();
        let after = of(&format!("cursor={cursor}")).unwrap().after;
        let expected = AuditPosition { hour: RecordHour(500_499), next_partition: 2 };
        assert_eq!(after, Some(expected));
        let other = of(&format!("to=2026-03-01T08:00:00Z&cursor={cursor}"));
        assert_eq!(other.unwrap_err().parameter, "cursor");
        let whole = AuditReport::assemble(&request, "t", (0..1_000).map(row).collect());
        assert_eq!(whole.next_cursor, None);
    }
}
