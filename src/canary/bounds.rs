//! Judges the figures of an answer by what was sent.
//!
//! Until a round is counted, its figures are those after any part of its events, and not every
//! table need be equally far. So each figure lies between its least and its greatest value after
//! any of the events that are not known to be counted; once they are, it has one value. An answer
//! may be a little older than its question, and another process of the API may be behind the one
//! that answered before: for a while after the bounds were drawn closer the earlier ones hold too.

use std::time::{Duration, Instant};

use super::figures::{JUDGED, JudgedFigure, PEAK_ASSIGNED, PEAK_OVERAGE, Values};

/// The values that figures may have.
#[derive(Clone, Debug)]
pub struct AdmissibleValues {
    now: ValueRange,
    /// What was admissible until bounds were drawn closer, and when that was.
    earlier: Vec<(Instant, ValueRange)>,
    /// How long an answer may go by earlier bounds.
    settle_time: Duration,
    /// Whether all of a round was known to be counted once.
    is_confirmed: bool,
}

/// Least and greatest values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ValueRange {
    low: Values,
    high: Values,
}

/// A figure that is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongFigure {
    pub figure: JudgedFigure,
    /// The least and the greatest value that would have been right.
    pub wanted: (u64, u64),
    pub found: u64,
}

impl WrongFigure {
    /// What was wanted: a value, or a range of values.
    pub fn wanted_text(&self) -> String {
        match self.wanted {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low} to {high}"),
        }
    }
}

impl AdmissibleValues {
    /// Those of an organization of which nothing was sent.
    pub fn new(settle_time: Duration) -> Self {
        let now = ValueRange::of(Values::default());
        Self { now, earlier: Vec::new(), settle_time, is_confirmed: false }
    }

    /// An event is sent, after which the figures have these values.
    pub fn extend(&mut self, after: &Values) {
        self.include(after);
        if !self.is_confirmed {
            // Seats may be shown before the allocation, which is in another table.
            let mut unallocated = *after;
            unallocated[PEAK_OVERAGE] = after[PEAK_ASSIGNED];
            self.include(&unallocated);
        }
    }

    /// All that was sent is counted: the figures have these values from now on.
    pub fn confirm(&mut self, values: &Values, now: Instant) {
        self.earlier.push((now, self.now));
        self.now = ValueRange::of(*values);
        self.is_confirmed = true;
    }

    /// As [`Self::confirm`], where it has been so for long enough for every answer to say so.
    pub fn settle(&mut self, values: &Values) {
        self.earlier.clear();
        self.now = ValueRange::of(*values);
        self.is_confirmed = true;
    }

    /// The figures, by place, that are wrong at `now`. Those that only grow must not fall below
    /// what was found.
    pub fn judge(&mut self, found: &[(usize, u64)], now: Instant) -> Vec<WrongFigure> {
        self.earlier.retain(|(until, _)| now.duration_since(*until) <= self.settle_time);
        let mut range = self.now;
        for (_, earlier) in &self.earlier {
            range.extend(&earlier.low);
            range.extend(&earlier.high);
        }
        let mut wrong = Vec::new();
        let mut closer = self.now;
        for &(place, value) in found {
            let wanted = (range.low[place], range.high[place]);
            if !(wanted.0..=wanted.1).contains(&value) {
                wrong.push(WrongFigure { figure: JUDGED[place], wanted, found: value });
            } else if JUDGED[place].only_grows {
                let low = &mut closer.low[place];
                *low = value.max(*low).min(closer.high[place]);
            }
        }
        if wrong.is_empty() && closer != self.now {
            self.earlier.push((now, self.now));
            self.now = closer;
        }
        wrong
    }

    fn include(&mut self, values: &Values) {
        self.now.extend(values);
        self.earlier.iter_mut().for_each(|(_, range)| range.extend(values));
    }
}

impl ValueRange {
    const fn of(values: Values) -> Self {
        Self { low: values, high: values }
    }

    fn extend(&mut self, values: &Values) {
        for ((low, high), &value) in self.low.iter_mut().zip(&mut self.high).zip(values) {
            *low = value.min(*low);
            *high = value.max(*high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::{FIGURES, JudgedReport, RUN, places};
    use super::*;

    const SETTLE: Duration = Duration::from_secs(1);

    /// The number of seats of the history, which goes up and down.
    const ASSIGNED: usize = 7;

    fn values(run: u64, assigned: u64) -> Values {
        let mut values = [0; FIGURES];
        (values[RUN], values[ASSIGNED]) = (run, assigned);
        values
    }

    #[track_caller]
    fn check(bounds: &mut AdmissibleValues, at: Instant, found: (usize, u64), is_right: bool) {
        let wrong = bounds.judge(&[found], at);
        assert_eq!(wrong.is_empty(), is_right, "{wrong:?}");
    }

    #[test]
    fn before_a_round_is_counted_any_part_of_it_is_right_and_more_is_not() {
        let start = Instant::now();
        let mut bounds = AdmissibleValues::new(SETTLE);
        bounds.confirm(&values(10, 5), start);
        let later = start + 2 * SETTLE;
        for after in [values(10, 6), values(10, 5), values(13, 5)] {
            bounds.extend(&after);
        }
        for assigned in [5, 6, 5] {
            check(&mut bounds, later, (ASSIGNED, assigned), true);
        }
        for found in [(ASSIGNED, 4), (ASSIGNED, 7), (RUN, 9), (RUN, 14)] {
            check(&mut bounds, later, found, false);
        }
        let wrong = bounds.judge(&[(RUN, 14)], later);
        assert_eq!(wrong[0].figure.report, JudgedReport::TestActivity);
        assert_eq!((wrong[0].wanted_text().as_str(), wrong[0].found), ("10 to 13", 14));
    }

    #[test]
    fn what_was_seen_may_be_missing_for_a_moment_only() {
        let start = Instant::now();
        let mut bounds = AdmissibleValues::new(SETTLE);
        bounds.extend(&values(3, 1));
        check(&mut bounds, start, (RUN, 3), true);
        check(&mut bounds, start, (RUN, 0), true);
        check(&mut bounds, start + 2 * SETTLE, (RUN, 0), false);
        check(&mut bounds, start + 2 * SETTLE, (RUN, 3), true);
    }

    #[test]
    fn seats_may_be_shown_before_their_allocation_only_until_that_is_counted() {
        let start = Instant::now();
        let mut bounds = AdmissibleValues::new(SETTLE);
        let mut after = values(1, 3);
        after[PEAK_ASSIGNED] = 3;
        bounds.extend(&after);
        check(&mut bounds, start, (PEAK_OVERAGE, 3), true);
        check(&mut bounds, start, (PEAK_OVERAGE, 4), false);
        let mut bounds = AdmissibleValues::new(SETTLE);
        bounds.settle(&after);
        bounds.extend(&after);
        check(&mut bounds, start, (PEAK_OVERAGE, 3), false);
    }

    #[test]
    fn what_is_counted_has_one_value() {
        let start = Instant::now();
        let mut bounds = AdmissibleValues::new(SETTLE);
        for after in [values(0, 1), values(0, 2), values(4, 1)] {
            bounds.extend(&after);
        }
        bounds.confirm(&values(4, 1), start);
        check(&mut bounds, start, (ASSIGNED, 2), true);
        check(&mut bounds, start + 2 * SETTLE, (ASSIGNED, 2), false);
        bounds.extend(&values(9, 2));
        bounds.settle(&values(9, 2));
        check(&mut bounds, start, (ASSIGNED, 1), false);
        assert_eq!(bounds.judge(&[(RUN, 4)], start)[0].wanted_text(), "9");
        assert_eq!(places(JudgedReport::Quota).count(), 2);
    }
}
