//! Logs from a seed. The value space is tiny, so that records collide in every relevant way: the
//! same user, the same instant, the same test id at the edges of the duplicate window, the midnight
//! that a clock change repeats.

use chrono::DateTime;
use seatmeter::core::calendar::Zone;
use serde_json::json;

use super::dice::Dice;
use super::encode::{envelope, payload};
use super::log::{Kind, Log, LogRecord, Meaning, PartitionLog, PhaseEnd, SimEvent, Test};
use super::naive_calendar::month_start;

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// 2000-01-01 UTC: no event is older.
const OLDEST_MS: i64 = 946_684_800_000;

/// The edge of the duplicate window, offsets.
const WINDOW_OFFSETS: u64 = 1_000_000;

/// Partition numbers in the order in which partitions are added. As text, 10 and 11 sort before 9:
/// the order of sources is not the order of time.
const PARTITIONS: [u32; 4] = [9, 10, 11, 2];

/// The ids of all accounts that there may be.
pub(super) const ACCOUNTS: [&str; 3] = ["acme", "42", "0x"];

const ORGANIZATIONS: [&str; 3] = ["1", "ops", "00"];
const USERS: [&str; 4] = ["7", "anna", "007", "9223372036854775808"];
const PROJECTS: [&str; 2] = ["5", "p"];

/// Zones, with an instant of an irregularity: midnights that are skipped, repeated, or shown twice;
/// a skipped day; a change by half an hour; offsets of three quarters.
const ODDITIES: [(&str, &str); 12] = [
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("America/St_Johns", "2010-11-07T02:31:00Z"),
    ("America/St_Johns", "2010-03-14T03:31:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
    ("America/Havana", "2024-11-03T05:00:00Z"),
    ("America/Havana", "2024-03-10T05:00:00Z"),
    ("Asia/Beirut", "2024-10-26T21:00:00Z"),
    ("Asia/Kathmandu", "2025-01-30T18:15:00Z"),
    ("Australia/Lord_Howe", "2025-04-05T15:00:00Z"),
    ("Pacific/Chatham", "2024-02-28T10:15:00Z"),
    ("UTC", "2023-12-31T00:00:00Z"),
];

/// Values of this seed's events.
struct Universe {
    accounts: Vec<&'static str>,
    zones: Vec<Zone>,
    /// The times of events.
    instants_ms: Vec<i64>,
    /// Records are stamped around here, long after all of these.
    stamps_from_ms: i64,
    /// Every record is stamped, and by one clock.
    clocks_agree: bool,
}

impl Universe {
    fn new(dice: &mut Dice, clocks_agree: bool) -> Self {
        let (zone, odd) = *dice.pick(&ODDITIES);
        let odd_ms = DateTime::parse_from_rfc3339(odd).expect("written above").timestamp_millis();
        let steps = [
            1,
            30 * 60 * SECOND_MS,
            HOUR_MS,
            23 * HOUR_MS,
            DAY_MS,
            25 * HOUR_MS,
            28 * DAY_MS,
            30 * DAY_MS,
        ];
        let far = [31 * DAY_MS, 61 * DAY_MS, 92 * DAY_MS, 365 * DAY_MS];
        let mut instants_ms = vec![odd_ms];
        for _ in 0..6 {
            let instant_ms = dice.pick(&instants_ms) + dice.pick(&steps) * dice.between(-1, 1);
            instants_ms.push(instant_ms);
        }
        instants_ms.push(odd_ms + dice.pick(&far));
        instants_ms.push(odd_ms - dice.pick(&far));
        let zones = [zone, dice.pick(&ODDITIES).0, "UTC"]
            .map(|name| name.parse().expect("written above"))
            .to_vec();
        // A month's end in one zone, which is long past or still ahead in another.
        for zone in &zones {
            let edge_ms = month_start(*zone, *dice.pick(&instants_ms), *dice.pick(&[2, 2, 3]));
            instants_ms.push(edge_ms - dice.between(0, 1));
        }
        if dice.chance(20) {
            instants_ms.push(OLDEST_MS);
        }
        let accounts = ACCOUNTS[..dice.below(3) + 1].to_vec();
        Self { accounts, zones, instants_ms, stamps_from_ms: odd_ms + 800 * DAY_MS, clocks_agree }
    }

    fn kind(&self, dice: &mut Dice) -> Kind {
        let organization = (*dice.pick(&ORGANIZATIONS)).to_owned();
        let user = (*dice.pick(&USERS)).to_owned();
        let text = |dice: &mut Dice| {
            dice.chance(70).then(|| (*dice.pick(&["", "Ann", "Bö\"b\n"])).to_owned())
        };
        match dice.weighted(&[25, 30, 3, 3, 12, 8, 9, 7, 4, 2, 2]) {
            0 => Kind::Activity { organization: dice.chance(70).then_some(organization), user },
            1 => Kind::Test(Test {
                event_source: (*dice.pick(&["/ci", "/x"])).to_owned(),
                organization,
                project: dice.chance(60).then(|| (*dice.pick(&PROJECTS)).to_owned()),
                user: dice.chance(50).then_some(user),
                is_upload: dice.chance(30),
                tests: *dice.pick(&[1, 1, 2, 30, 1_000_000]),
                duration_ms: *dice.pick(&[0, 1, 1_000_000_000_000]),
            }),
            2 => Kind::Purchased { seats: *dice.pick(&[0, 5, 1_000_000_000]) },
            3 => Kind::Allocated { organization, seats: *dice.pick(&[0, 3]) },
            4 => Kind::Assigned {
                organization,
                user,
                project: dice.chance(40).then(|| (*dice.pick(&PROJECTS)).to_owned()),
                license_source: dice.chance(40).then(|| "sales".to_owned()),
            },
            5 => Kind::Revoked { organization, user },
            6 => Kind::Plan {
                kind: ["started", "upgraded", "upgraded", "adjusted"][dice.below(4)],
                organization,
                plan: (*dice.pick(&["free", "pro"])).to_owned(),
                monthly_quota: dice.chance(80).then_some(100),
            },
            7 => Kind::Account {
                name: text(dice),
                zone: dice.chance(80).then(|| *dice.pick(&self.zones)),
            },
            8 => Kind::Organization {
                organization,
                name: text(dice),
                parent: dice
                    .chance(60)
                    .then(|| dice.chance(70).then(|| (*dice.pick(&ORGANIZATIONS)).to_owned())),
            },
            9 => Kind::User { user, name: text(dice), email: text(dice) },
            _ => Kind::Project {
                organization,
                project: (*dice.pick(&PROJECTS)).to_owned(),
                name: text(dice),
            },
        }
    }

    fn event(&self, account: &str, dice: &mut Dice) -> SimEvent {
        let time_ms = *dice.pick(&self.instants_ms);
        let kind = self.kind(dice);
        // Redelivered tests are known by it.
        let ids = if matches!(kind, Kind::Test(_)) { 40 } else { 3 };
        SimEvent { id: dice.below(ids).to_string(), time_ms, account: account.to_owned(), kind }
    }
}

/// One partition while it is being written.
struct Writer {
    log: PartitionLog,
    next_offset: u64,
    clock_ms: i64,
    clocks_agree: bool,
}

impl Writer {
    fn new(partition: u32, universe: &Universe, dice: &mut Dice) -> Self {
        let first_offset = *dice.pick(&[0, 0, 7, 5_000_000]);
        let next_offset = first_offset + *dice.pick(&[0, 0, 0, 2]);
        let log =
            PartitionLog { partition, first_offset, records: Vec::new(), phase_ends: Vec::new() };
        Self {
            log,
            next_offset,
            clock_ms: universe.stamps_from_ms,
            clocks_agree: universe.clocks_agree,
        }
    }

    /// The next record's offset and timestamp, mostly ordinary.
    fn place(&mut self, dice: &mut Dice) -> (u64, Option<i64>) {
        let jump = match dice.weighted(&[70, 15, 6]) {
            0 => 0,
            1 => dice.between(1, 3),
            _ => dice.between(100_000, 600_000),
        };
        self.clock_ms += *dice.pick(&[0, 1, SECOND_MS, HOUR_MS, 7 * HOUR_MS]);
        // Producers' clocks differ, and Kafka keeps their timestamps.
        let skew_ms =
            if dice.chance(15) { *dice.pick(&[-DAY_MS, -HOUR_MS, HOUR_MS, DAY_MS]) } else { 0 };
        let is_stamped = !dice.chance(3);
        let stamp = match self.clocks_agree {
            true => Some(self.clock_ms),
            false => is_stamped.then_some(self.clock_ms + skew_ms),
        };
        (self.next_offset + jump.unsigned_abs(), stamp)
    }

    /// An offset and timestamp at the edges of the duplicate window after the record.
    fn place_at_edge(&mut self, of: &LogRecord, dice: &mut Dice) -> (u64, Option<i64>) {
        let (mut offset, mut stamp) = self.place(dice);
        let edge = of.offset + WINDOW_OFFSETS - 1 + dice.below(3) as u64;
        if edge >= self.next_offset && dice.chance(40) {
            offset = edge;
        }
        if let (Some(stamp), Some(earlier)) = (&mut stamp, of.timestamp_ms)
            && dice.chance(60)
            && !self.clocks_agree
        {
            *stamp = earlier + DAY_MS + dice.between(-1, 1);
        }
        (offset, stamp)
    }

    fn push(&mut self, (offset, timestamp_ms): (u64, Option<i64>), said: Said) {
        self.next_offset = offset + 1;
        let Said { key, payload, meaning } = said;
        self.log.records.push(LogRecord { offset, timestamp_ms, key, payload, meaning });
    }

    fn end_phase(&mut self, dice: &mut Dice) {
        self.next_offset += *dice.pick(&[0, 0, 1, 40]);
        let end = PhaseEnd { records: self.log.records.len(), high_watermark: self.next_offset };
        self.log.phase_ends.push(end);
    }
}

/// A record without offset and timestamp.
struct Said {
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    meaning: Meaning,
}

/// Writes an event, with its meaning in a record with this timestamp.
fn say(event: SimEvent, stamp: Option<i64>, dice: &mut Dice) -> Said {
    let (envelope, data) = envelope(&event, dice);
    let payload = Some(payload(&envelope, Some(&data), dice));
    let key = Some(event.account.clone().into_bytes());
    let in_future = stamp.is_some_and(|stamp| event.time_ms > stamp + HOUR_MS);
    let meaning = match in_future {
        true => Meaning::Rejected("time_in_future", None),
        false if event.time_ms < OLDEST_MS => Meaning::Rejected("time_too_old", None),
        false => Meaning::Event(event),
    };
    Said { key, payload, meaning }
}

/// A record that is no event.
fn say_nonsense(mut event: SimEvent, stamp: Option<i64>, dice: &mut Dice) -> Said {
    let account = event.account.clone().into_bytes();
    let stamped = stamp.unwrap_or(event.time_ms);
    match dice.below(8) {
        0 => Said { key: Some(account), payload: None, meaning: Meaning::Tombstone },
        1 => {
            event.time_ms = stamped + HOUR_MS + dice.between(0, 1);
            say(event, stamp, dice)
        }
        2 => {
            event.time_ms = OLDEST_MS - dice.between(0, 1);
            say(event, stamp, dice)
        }
        3 => {
            let mut said = say(event, stamp, dice);
            said.payload.as_mut().expect("just written").pop();
            Said { key: None, meaning: Meaning::Rejected("invalid_json", None), ..said }
        }
        4 => {
            let mut said = say(event, stamp, dice);
            let is_event = matches!(said.meaning, Meaning::Event(_));
            said.key = dice
                .pick(&[None, Some(b"someone".to_vec()), Some(b"042".to_vec()), Some(Vec::new())])
                .clone();
            let meaning = if is_event {
                Meaning::Rejected("invalid_field", Some("$key"))
            } else {
                said.meaning
            };
            Said { meaning, ..said }
        }
        kind => {
            let (mut envelope, mut data) = envelope(&event, dice);
            let (reason, path, keeps_data) = match kind {
                5 => {
                    data.retain(|(name, _)| *name != "account_id");
                    ("missing_field", Some("data.account_id"), true)
                }
                6 => ("missing_field", Some("data"), false),
                _ => {
                    envelope.retain(|(name, _)| *name != "type");
                    envelope.push(("type", json!("user.logout")));
                    ("unknown_type", None, true)
                }
            };
            let payload = Some(payload(&envelope, keeps_data.then_some(&data), dice));
            Said { key: Some(account), payload, meaning: Meaning::Rejected(reason, path) }
        }
    }
}

/// The log of a seed, with records stamped by the producers' clocks, or by one clock.
pub(super) fn generate(seed: u64, clocks_agree: bool) -> Log {
    let mut dice = Dice::new(seed, 0);
    let dice = &mut dice;
    let universe = Universe::new(dice, clocks_agree);
    let phases = dice.weighted(&[0, 50, 20, 30]);
    let partitions_at_first = dice.weighted(&[0, 50, 50]);
    let numbers = &PARTITIONS[..partitions_at_first + phases - 1];
    let mut writers: Vec<Writer> =
        numbers.iter().map(|&number| Writer::new(number, &universe, dice)).collect();
    let mut events: Vec<SimEvent> = Vec::new();
    for phase in 0..phases {
        // Time goes on for all partitions.
        let now_ms = writers.iter().map(|writer| writer.clock_ms).max().unwrap_or_default() + 1;
        writers.iter_mut().for_each(|writer| writer.clock_ms = now_ms);
        let partitions = partitions_at_first + phase;
        let route: Vec<usize> = universe.accounts.iter().map(|_| dice.below(partitions)).collect();
        for _ in 0..dice.between(2, if phases == 1 { 70 } else { 35 }) {
            let account = dice.below(universe.accounts.len());
            write_record(
                &universe,
                universe.accounts[account],
                &mut writers[route[account]],
                &mut events,
                dice,
            );
        }
        for writer in &mut writers {
            writer.end_phase(dice);
        }
    }
    let last_ms = writers.iter().map(|writer| writer.clock_ms).max().unwrap_or_default();
    Log {
        partitions: writers.into_iter().map(|writer| writer.log).collect(),
        phases,
        took_ms: (last_ms - universe.stamps_from_ms).unsigned_abs(),
    }
}

fn write_record(
    universe: &Universe,
    account: &'static str,
    writer: &mut Writer,
    events: &mut Vec<SimEvent>,
    dice: &mut Dice,
) {
    let earlier: Vec<LogRecord> =
        writer.log.records.iter().filter(|record| record.is_event_of(account)).cloned().collect();
    if !earlier.is_empty() && dice.chance(25) {
        let tests: Vec<LogRecord> =
            earlier.iter().filter(|record| record.is_test()).cloned().collect();
        let of_tests = !tests.is_empty() && dice.chance(60);
        return repeat(universe, dice.pick(if of_tests { &tests } else { &earlier }), writer, dice);
    }
    let place = writer.place(dice);
    // Events of an account from before its move are sometimes repeated too.
    let of_account: Vec<&SimEvent> =
        events.iter().filter(|event| event.account == account).collect();
    let event = match dice.chance(4) && !of_account.is_empty() {
        true => (*dice.pick(&of_account)).clone(),
        false => universe.event(account, dice),
    };
    let said = match dice.chance(8) {
        true => say_nonsense(event, place.1, dice),
        false => say(event, place.1, dice),
    };
    if let Meaning::Event(event) = &said.meaning {
        events.push(event.clone());
    }
    writer.push(place, said);
}

/// Repeats a record at a new offset: the same bytes, or a test with the same id and other content.
fn repeat(universe: &Universe, earlier: &LogRecord, writer: &mut Writer, dice: &mut Dice) {
    let place = writer.place_at_edge(earlier, dice);
    let Meaning::Event(event) = &earlier.meaning else {
        unreachable!("only events are repeated");
    };
    let mut event = event.clone();
    if let Kind::Test(test) = &mut event.kind
        && dice.chance(50)
    {
        event.time_ms = *dice.pick(&universe.instants_ms);
        test.organization = (*dice.pick(&ORGANIZATIONS)).to_owned();
        test.tests = 7;
        test.user = None;
    }
    let said = say(event, place.1, dice);
    writer.push(place, said);
}

impl LogRecord {
    fn is_test(&self) -> bool {
        matches!(&self.meaning, Meaning::Event(SimEvent { kind: Kind::Test(_), .. }))
    }

    fn is_event_of(&self, account: &str) -> bool {
        matches!(&self.meaning, Meaning::Event(event) if event.account == account)
    }
}
