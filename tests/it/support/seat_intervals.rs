//! Rows about seat intervals, for tests that name facts.

use std::collections::BTreeMap;

use seatmeter::core::rollup::{SeatFact, SeatFactKind, SeatInterval, SeatUsage};
use seatmeter::core::seats::{FactOrder, IntervalChange, Seat};

/// What a lane tells of these facts as they come, also of those that it has met before and then
/// forgot; and of the use of the seats.
pub(crate) fn seat_intervals(facts: &[SeatFact], usages: &[SeatUsage]) -> Vec<SeatInterval> {
    let mut seats = BTreeMap::new();
    let mut rows = Vec::new();
    for fact in facts {
        let key = [&fact.account, &fact.organization, &fact.user].map(ToString::to_string);
        let seat = seats.entry(key).or_insert_with(|| Seat::new(0));
        let order =
            FactOrder { time_ms: fact.time_ms, source: fact.source.clone(), offset: fact.offset };
        let again = || {
            let is_opened = fact.kind == SeatFactKind::Assigned;
            let change = IntervalChange {
                start_ms: fact.time_ms,
                is_opened,
                end_ms: None,
                is_superseded: false,
            };
            if is_opened { vec![change] } else { Vec::new() }
        };
        let changes = seat.insert(order, fact.kind).map_or_else(again, |changes| changes.to_vec());
        rows.extend(changes.into_iter().map(|change| change.of(fact)));
    }
    rows.extend(usages.iter().map(|usage| SeatInterval {
        account: usage.account.clone(),
        organization: usage.organization.clone(),
        user: usage.user.clone(),
        start_ms: usage.start_ms,
        opened: None,
        end_ms: None,
        is_superseded: false,
        first_active_ms: Some(usage.first_active_ms),
        last_active_ms: Some(usage.last_active_ms),
    }));
    rows
}
