//! Seats as they stood at instants, counted from when intervals start, are activated and end.

/// Seat intervals that are alike as far as a report can tell. An instant of the report is passed by
/// what lies at it or behind it, so each time stands for the latest instant that is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatSteps {
    /// The latest instant that is not later than the start, milliseconds since 1970 UTC; 0 where
    /// there is none.
    pub start_ms: i64,
    /// The same of the end; of one that is still held the last instant.
    pub end_ms: i64,
    /// The same of the activation; `None` where there is none.
    pub activated_ms: Option<i64>,
    /// How many intervals they are.
    pub intervals: u64,
}

/// Open intervals, and those of them that are activated, at each of the instants (ascending): those
/// that start before it and do not end before it.
pub fn open_at(edges_ms: &[i64], steps: impl IntoIterator<Item = SeatSteps>) -> Vec<(u64, u64)> {
    let mut changes = vec![(0_i64, 0_i64); edges_ms.len() + 1];
    // What lies at an instant counts from the next one on.
    let after = |time_ms: i64| edges_ms.partition_point(|&edge_ms| edge_ms <= time_ms);
    for SeatSteps { start_ms, end_ms, activated_ms, intervals } in steps {
        let intervals = intervals.cast_signed();
        changes[after(start_ms)].0 += intervals;
        changes[after(end_ms)].0 -= intervals;
        if let Some(activated_ms) = activated_ms {
            changes[after(activated_ms)].1 += intervals;
            changes[after(end_ms)].1 -= intervals;
        }
    }
    let mut open = (0_i64, 0_i64);
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let counts = changes.iter().take(edges_ms.len()).map(|(assigned, activated)| {
        open = (open.0 + assigned, open.1 + activated);
        (count(open.0), count(open.1))
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_open_behind_its_start_up_to_its_end() {
        let steps = |start_ms, end_ms, activated_ms, intervals| SeatSteps {
            start_ms,
            end_ms,
            activated_ms,
            intervals,
        };
        let edges_ms = [10, 20, 30, 40];
        let check = |steps: &[SeatSteps]| open_at(&edges_ms, steps.iter().copied());
        assert_eq!(check(&[steps(0, 40, None, 3)]), [(3, 0), (3, 0), (3, 0), (3, 0)]);
        assert_eq!(check(&[steps(10, 40, Some(20), 2)]), [(0, 0), (2, 0), (2, 2), (2, 2)]);
        assert_eq!(check(&[steps(0, 20, Some(10), 1)]), [(1, 0), (1, 1), (0, 0), (0, 0)]);
        assert_eq!(check(&[steps(0, 0, None, 1), steps(40, 40, None, 1)]), [(0, 0); 4]);
        assert_eq!(open_at(&[], [steps(0, 0, None, 1)]), []);
    }
}
