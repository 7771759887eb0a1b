//! Checks of a lane, second by second.

use super::*;

/// A lane, at seconds since its start.
struct Lane {
    start: Instant,
    headway: Headway,
}

impl Lane {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, headway: Headway::new(10, 10, start) }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    /// Result of a check right after the log's end was requested.
    fn look(
        &mut self,
        seconds: u64,
        next_offset: u64,
        high: u64,
        stable: u64,
    ) -> Option<HaltCause> {
        let now = self.at(seconds);
        let sight = Sight { next_offset, read_from: next_offset, ..sight(high, stable, now) };
        self.headway.look(sight, now).map(|halt| halt.cause)
    }

    /// The same, while the duplicate filter is warmed.
    fn look_warming(&mut self, seconds: u64, read_from: u64) -> Option<HaltCause> {
        let now = self.at(seconds);
        self.headway.look(Sight { read_from, ..sight(30, 30, now) }, now).map(|halt| halt.cause)
    }

    fn report(&mut self, seconds: u64, code: RDKafkaErrorCode) -> bool {
        let event = PartitionEvent { partition: 0, code, offset: None, text: "words".to_owned() };
        let now = self.at(seconds);
        self.headway.reported(&event, now)
    }
}

/// A lane at offset 10, right after its log's end was requested.
fn sight(high: u64, stable: u64, now: Instant) -> Sight {
    let answers = EndAnswers { end: Some(End { high, stable, asked_at: now }), refusal: None };
    Sight { next_offset: 10, read_from: 10, answers, is_wanted: true, is_fetched: true }
}

#[test]
fn a_lane_halts_only_where_its_log_goes_on_and_it_stays() {
    let mut lane = Lane::new();
    assert_eq!(lane.look(0, 10, 10, 10), None);
    assert_eq!(lane.look(3_600, 10, 10, 10), None, "idle for an hour");
    assert_eq!(lane.look(3_601, 10, 11, 11), None, "a record was produced");
    assert_eq!(lane.look(3_614, 10, 11, 11), None);
    assert_eq!(lane.look(3_616, 10, 12, 12), Some(HaltCause::Silence));
    assert_eq!(lane.look(3_617, 11, 12, 12), None, "it goes on");
    assert_eq!(lane.look(3_631, 11, 12, 12), None);
    assert_eq!(lane.look(3_633, 11, 12, 12), Some(HaltCause::Silence));
}

#[test]
fn an_open_transaction_is_waited_for_longer() {
    let mut lane = Lane::new();
    assert_eq!(lane.look(0, 10, 10, 10), None);
    assert_eq!(lane.look(80, 10, 30, 10), None);
    assert_eq!(lane.look(91, 10, 30, 10), Some(HaltCause::OpenTransaction));
}

#[test]
fn what_was_reported_last_is_the_cause_until_the_lane_goes_on() {
    let mut lane = Lane::new();
    assert!(lane.report(0, RDKafkaErrorCode::BadMessage));
    assert!(!lane.report(1, RDKafkaErrorCode::BadMessage), "told already");
    assert_eq!(lane.look(2, 10, 30, 30), None);
    let cause = lane.look(16, 10, 30, 30);
    assert!(
        matches!(cause, Some(HaltCause::Reported { code: RDKafkaErrorCode::BadMessage, .. })),
        "{cause:?}"
    );
    assert_eq!(lane.look(17, 11, 30, 30), None);
    assert_eq!(lane.look(40, 11, 30, 30), Some(HaltCause::Silence));
}

#[test]
fn a_denial_is_a_halt_at_once_even_of_an_idle_log_until_a_fetch_is_answered() {
    let mut lane = Lane::new();
    lane.report(0, RDKafkaErrorCode::TopicAuthorizationFailed);
    let now = lane.at(1);
    let sight = Sight { is_fetched: false, ..sight(10, 10, now) };
    let cause = lane.headway.look(sight, now).map(|halt| halt.cause.name());
    assert_eq!(cause, Some("topic_authorization"));
    assert_eq!(lane.look(2, 10, 10, 10), None, "the last fetch was answered");
}

#[test]
fn an_end_that_is_not_known_is_a_halt_and_one_that_must_not_be_asked_for_is_so_at_once() {
    let mut lane = Lane::new();
    let asked_at = lane.start;
    let mut look = |seconds, refusal| {
        let now = asked_at + Duration::from_secs(seconds);
        let answers = EndAnswers { end: Some(End { high: 10, stable: 10, asked_at }), refusal };
        lane.headway
            .look(Sight { answers, ..sight(10, 10, now) }, now)
            .map(|halt| halt.cause.name())
    };
    assert_eq!(look(1, Some(RDKafkaErrorCode::NotLeaderForPartition)), None);
    assert_eq!(
        look(2, Some(RDKafkaErrorCode::TopicAuthorizationFailed)),
        Some("topic_authorization")
    );
    assert_eq!(look(14, None), None);
    assert_eq!(look(15, None), Some("end_unknown"));
}

#[test]
fn a_lane_that_is_not_read_on_purpose_does_not_halt() {
    let mut lane = Lane::new();
    let now = lane.at(100);
    let sight = Sight { is_wanted: false, ..sight(30, 30, now) };
    assert_eq!(lane.headway.look(sight, now), None);
    assert_eq!(lane.look(114, 10, 30, 30), None, "time counts from the end of the pause");
    assert_eq!(lane.look(115, 10, 30, 30), Some(HaltCause::Silence));
}

#[test]
fn warming_is_headway_unless_the_data_behind_it_cannot_be_read() {
    let mut lane = Lane::new();
    for (seconds, read_from) in [(0, 1), (14, 2), (28, 3), (42, 4)] {
        assert_eq!(lane.look_warming(seconds, read_from), None);
    }
    assert!(lane.report(43, RDKafkaErrorCode::BadMessage));
    let cause = lane.look_warming(44, 5);
    assert!(
        matches!(cause, Some(HaltCause::Reported { .. })),
        "nothing was counted for 44 s: {cause:?}"
    );
    let at = lane.at(45);
    lane.headway = lane.headway.reopened(10, 1, at);
    assert!(lane.look_warming(45, 1).is_some(), "opening it anew is no headway");
    let at = lane.at(46);
    lane.headway = lane.headway.reopened(20, 20, at);
    assert_eq!(lane.look(46, 20, 30, 30), None, "its data was given up");
}

#[test]
fn data_that_cannot_be_read_is_read_again_ever_more_rarely_and_stays_the_cause() {
    let mut lane = Lane::new();
    let mut now = lane.start;
    for pause in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
        for code in [
            RDKafkaErrorCode::BadMessage,
            RDKafkaErrorCode::NotImplemented,
            RDKafkaErrorCode::AutoOffsetReset,
        ] {
            let event =
                PartitionEvent { partition: 0, code, offset: None, text: "words".to_owned() };
            let is_first = now == lane.start && code == RDKafkaErrorCode::BadMessage;
            assert_eq!(lane.headway.reported(&event, now), is_first);
        }
        assert_eq!(lane.headway.not_before(now) - now, Duration::from_secs_f64(pause));
        now = lane.headway.not_before(now);
    }
    let cause = lane.look(100, 10, 30, 30);
    assert!(
        matches!(cause, Some(HaltCause::Reported { code: RDKafkaErrorCode::BadMessage, .. })),
        "{cause:?}"
    );
    lane.look(101, 11, 30, 30);
    assert!(!lane.headway.has_failed());
}
