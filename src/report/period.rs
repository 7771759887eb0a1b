//! The range of a report, cut into buckets in the account's time zone, as it stands at an instant.

use super::query::{BadParameter, Query};
use crate::core::calendar::{Day, Interval, Zone, bucket_count, buckets, day_of, day_start};

/// The most buckets that a report has.
pub const BUCKETS_MAX: usize = 1000;

/// Days that a report covers where `from` is not given.
const DEFAULT_DAYS: i32 = 30;

/// 1999-12-31, the first local day that an event can lie on: none is older than 2000-01-01 UTC.
const EVENT_DAY_MIN: Day = Day(10_956);

/// 2100-01-02, after the last local day that an event can lie on. Days beyond it would leave
/// ClickHouse's `Date`.
const EVENT_DAY_MAX: Day = Day(47_483);

/// 2101-01-01 UTC, after the last event, milliseconds since 1970 UTC. Instants beyond it would
/// leave ClickHouse's `DateTime64`.
pub(super) const EVENT_TIME_MAX_MS: i64 = 4_133_980_800_000;

/// The parameters of a range, as the request gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodRequest {
    from: Option<Day>,
    to: Option<Day>,
    interval: Interval,
    as_of_ms: Option<i64>,
}

/// Whether a report changes while its data does not, as now moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// It changes at any instant.
    Never,
    /// It changes when a local day ends, and when an instant passes at which something happens.
    ToDay,
    /// It does not change.
    Always,
}

impl Pinned {
    /// Of a report as of an instant, or of now.
    pub fn by(as_of_ms: Option<i64>) -> Self {
        if as_of_ms.is_some() { Self::Always } else { Self::ToDay }
    }
}

impl PeriodRequest {
    /// Whether the buckets, and what is in them, change as now moves on.
    pub fn pinned(&self) -> Pinned {
        Pinned::by(self.as_of_ms)
    }

    /// Takes `from`, `to`, `interval` and `as_of`.
    pub fn take(query: &mut Query) -> Result<Self, BadParameter> {
        let interval = query.take_parsed("interval", |value| {
            value
                .parse::<Interval>()
                .map_err(|_| "Not one of day, week, month, quarter, year.".to_owned())
        })?;
        Ok(Self {
            from: query.take_day("from")?,
            to: query.take_day("to")?,
            interval: interval.unwrap_or(Interval::Day),
            as_of_ms: query.take_instant("as_of")?,
        })
    }

    /// The range in the account's zone. `now_ms` stands in for an `as_of` that was not given.
    pub fn resolve(&self, zone: Zone, now_ms: i64) -> Result<Period, BadParameter> {
        let as_of_ms = self.as_of_ms.unwrap_or(now_ms);
        let as_of_day = day_of(zone, as_of_ms);
        let to = self.to.unwrap_or(as_of_day);
        let from = self.from.unwrap_or_else(|| to.plus_days(1 - DEFAULT_DAYS).max(Day::MIN));
        if from > to {
            let detail = match self.to {
                Some(_) => format!("{from} lies after `to`, {to}."),
                None => format!("{from} lies after the day of `as_of`, {to}, which is `to` here."),
            };
            return Err(BadParameter::new("from", detail));
        }
        if bucket_count(from, to, self.interval) > BUCKETS_MAX {
            let detail = format!(
                "From {from} to {to} there are more than {BUCKETS_MAX}; choose a longer one."
            );
            return Err(BadParameter::new("interval", detail));
        }
        let slices = buckets(from, to, self.interval)
            .into_iter()
            .filter(|bucket| day_start(zone, bucket.start) <= as_of_ms)
            .map(|bucket| {
                let over_ms = day_start(zone, bucket.end.plus_days(1));
                Slice {
                    start: bucket.start,
                    end: bucket.end,
                    partial: over_ms > as_of_ms,
                    edge_ms: over_ms.min(as_of_ms),
                    counted_to: bucket.end.min(as_of_day),
                }
            })
            .collect();
        let edge_ms = day_start(zone, to.plus_days(1)).min(as_of_ms);
        Ok(Period { interval: self.interval, from, to, as_of_day, edge_ms, slices })
    }
}

/// A range in an account's zone, as it stands at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The unit of its buckets.
    pub interval: Interval,
    /// The first day.
    pub from: Day,
    /// The last day, inclusive.
    pub to: Day,
    /// The day of `as_of`.
    pub as_of_day: Day,
    /// The instant that the whole of it is judged at: the end of its last day, or `as_of` if that
    /// is earlier.
    pub edge_ms: i64,
    /// The buckets that have begun at `as_of`, in order.
    pub slices: Vec<Slice>,
}

/// A bucket, as it stands at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its first day.
    pub start: Day,
    /// Its last day, inclusive.
    pub end: Day,
    /// Its last day is not over.
    pub partial: bool,
    /// The instant that it is judged at: the end of its last day, or `as_of` if that is earlier.
    pub edge_ms: i64,
    /// The last day that its daily figures cover, inclusive.
    pub counted_to: Day,
}

impl Slice {
    /// Number of days that its daily figures cover; at least 1.
    pub fn counted_days(&self) -> u64 {
        u64::try_from(self.counted_to.0 - self.start.0 + 1)
            .expect("a bucket that has begun covers its first day")
    }

    /// The instant at which the store is asked about this bucket.
    pub fn stored_edge_ms(&self) -> i64 {
        self.edge_ms.clamp(0, EVENT_TIME_MAX_MS)
    }

    /// The day that the store knows this bucket's daily figures by; `None` where no event can lie
    /// in it.
    pub fn stored_start(&self) -> Option<Day> {
        let reachable = self.counted_to >= EVENT_DAY_MIN && self.start <= EVENT_DAY_MAX;
        reachable.then(|| self.start.max(EVENT_DAY_MIN))
    }
}

/// Consecutive ranges of days to ask the store about, named by their first days.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DayRanges {
    /// The first day of each, ascending; never empty. Each range ends before the next one starts.
    pub first_days: Vec<Day>,
    /// The last day of the last range, inclusive.
    pub last_day: Day,
}

impl DayRanges {
    /// Number of days in all of them.
    pub fn count(&self) -> usize {
        usize::try_from(self.last_day.0 - self.first_days[0].0 + 1).unwrap_or(0)
    }

    /// One range; `None` where no event can lie in it.
    pub fn single(first: Day, last: Day) -> Option<Self> {
        let (first, last) = (first.max(EVENT_DAY_MIN), last.min(EVENT_DAY_MAX));
        (first <= last).then(|| Self { first_days: vec![first], last_day: last })
    }
}

impl Period {
    /// The instant at which the store is asked about the whole of it.
    pub fn stored_edge_ms(&self) -> i64 {
        self.edge_ms.clamp(0, EVENT_TIME_MAX_MS)
    }

    /// Number of days that its daily figures cover; 0 where it lies ahead of `as_of`.
    pub fn counted_days(&self) -> u64 {
        self.slices.iter().map(Slice::counted_days).sum()
    }

    /// The instants at which the store is asked, ascending, each once. Empty if no bucket has
    /// begun.
    pub fn edges_ms(&self) -> Vec<i64> {
        let mut edges: Vec<i64> = self.slices.iter().map(Slice::stored_edge_ms).collect();
        edges.dedup();
        edges
    }

    /// The days that the store is asked about; `None` where no event can lie in any bucket.
    pub fn day_ranges(&self) -> Option<DayRanges> {
        let first_days: Vec<Day> = self.slices.iter().filter_map(Slice::stored_start).collect();
        let last_day = self.slices.last()?.counted_to.min(EVENT_DAY_MAX);
        (!first_days.is_empty()).then_some(DayRanges { first_days, last_day })
    }
}

/// The day as the store may be asked about it: the nearest one on which an event can lie.
pub fn stored_day(day: Day) -> Day {
    day.clamp(EVENT_DAY_MIN, EVENT_DAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn resolve(raw: &str, zone: Zone, now: &str) -> Result<Period, BadParameter> {
        let mut query = Query::parse(Some(raw)).unwrap();
        let request = PeriodRequest::take(&mut query)?;
        query.finish()?;
        request.resolve(zone, ms(now))
    }

    fn starts(period: &Period) -> Vec<String> {
        period.slices.iter().map(|slice| format!("{}..{}", slice.start, slice.end)).collect()
    }

    #[test]
    fn the_constants_are_the_days_they_say() {
        assert_eq!(EVENT_DAY_MIN, day("1999-12-31"));
        assert_eq!(EVENT_DAY_MAX, day("2100-01-02"));
        assert_eq!(EVENT_TIME_MAX_MS, ms("2101-01-01T00:00:00Z"));
    }

    #[test]
    fn without_a_range_it_is_the_last_30_days() {
        let period = resolve("", Zone::named("Pacific/Apia"), "2026-03-31T23:15:00Z").unwrap();
        assert_eq!((period.from, period.to), (day("2026-03-03"), day("2026-04-01")));
        assert_eq!(period.slices.len(), 30);
        assert!(period.slices[29].partial);
        assert!(!period.slices[28].partial);
        assert_eq!(period.slices[29].edge_ms, ms("2026-03-31T23:15:00Z"));
    }

    #[test]
    fn buckets_are_clipped_and_those_to_come_are_left_out() {
        let period = resolve(
            "from=2026-03-31&to=2026-12-31&interval=month",
            Zone::UTC,
            "2026-05-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(
            starts(&period),
            ["2026-03-31..2026-03-31", "2026-04-01..2026-04-30", "2026-05-01..2026-05-31"]
        );
        let last = period.slices[2];
        assert!(last.partial, "a bucket that starts at as_of has begun");
        assert_eq!(last.counted_days(), 1);
        assert!(!period.slices[1].partial, "a day that ends at as_of is over");
    }

    #[test]
    fn from_after_to_and_too_many_buckets_name_their_parameter() {
        let fault = |raw| resolve(raw, Zone::UTC, "2026-05-01T00:00:00Z").unwrap_err().parameter;
        assert_eq!(fault("from=2026-01-02&to=2026-01-01"), "from");
        assert_eq!(fault("from=2026-05-02"), "from");
        assert_eq!(fault("from=2020-01-01&to=2022-09-27"), "interval");
        assert_eq!(fault("from=0001-01-01&to=9999-12-31&interval=year"), "interval");
        assert_eq!(fault("interval=hour"), "interval");
        assert!(
            resolve("from=2020-01-01&to=2022-09-26", Zone::UTC, "2026-05-01T00:00:00Z").is_ok()
        );
    }

    #[test]
    fn buckets_beyond_every_event_are_not_asked_for() {
        let old = resolve(
            "from=1200-01-01&to=2001-12-31&interval=year",
            Zone::UTC,
            "2026-05-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(old.slices.len(), 802);
        let ranges = old.day_ranges().unwrap();
        assert_eq!(ranges.first_days, [day("1999-12-31"), day("2000-01-01"), day("2001-01-01")]);
        assert_eq!(old.edges_ms().len(), 33, "edges before 1970 are one");

        let future = resolve(
            "from=2150-01-01&to=2150-12-31&interval=year&as_of=2199-01-01T00:00:00Z",
            Zone::UTC,
            "2026-05-01T00:00:00Z",
        );
        assert_eq!(future.unwrap().day_ranges(), None);
    }

    #[test]
    fn a_date_that_the_zone_left_out_is_an_empty_bucket() {
        let period = resolve(
            "from=2011-12-29&to=2011-12-31",
            Zone::named("Pacific/Apia"),
            "2012-02-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(starts(&period).len(), 3);
        assert_eq!(period.slices[0].edge_ms, period.slices[1].edge_ms);
        assert_eq!(period.edges_ms().len(), 2);
    }

    #[test]
    fn edges_follow_days_of_23_and_25_hours() {
        let period = resolve(
            "from=2026-03-28&to=2026-03-29",
            Zone::named("Europe/Berlin"),
            "2026-05-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(period.edges_ms(), [ms("2026-03-28T23:00:00Z"), ms("2026-03-29T22:00:00Z")]);
        let period = resolve(
            "from=2026-10-24&to=2026-10-25",
            Zone::named("Europe/Berlin"),
            "2026-12-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(period.edges_ms(), [ms("2026-10-24T22:00:00Z"), ms("2026-10-25T23:00:00Z")]);
    }
}
