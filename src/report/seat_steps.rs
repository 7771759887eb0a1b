//! Seats as they stood at instants, counted from when intervals start and end.

/// Seat intervals that are alike as far as a report can tell. An instant of the report is passed by
/// what lies at it or behind it, so each time stands for the latest instant that is not later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatSteps {
    /// The latest instant that is not later than the start, milliseconds since 1970 UTC; 0 where
    /// there is none.
    pub start_ms: i64,
    /// The same of the end; of one that is still held the last instant.
    pub end_ms: i64,
    /// Number of the intervals.
    pub intervals: u64,
}

/// Open intervals at each of the instants (ascending): those that start before it and do not end
/// before it.
pub fn open_at(edges_ms: &[i64], steps: impl IntoIterator<Item = SeatSteps>) -> Vec<u64> {
    let mut changes = vec![0_i64; edges_ms.len() + 1];
    // What lies at an instant counts from the next one on.
    let after = |time_ms: i64| edges_ms.partition_point(|&edge_ms| edge_ms <= time_ms);
    for SeatSteps { start_ms, end_ms, intervals } in steps {
        changes[after(start_ms)] += intervals.cast_signed();
        changes[after(end_ms)] -= intervals.cast_signed();
    }
    let mut open = 0_i64;
    let counts = changes.iter().take(edges_ms.len()).map(|change| {
        open += change;
        u64::try_from(open).unwrap_or(0)
    });
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_open_behind_its_start_up_to_its_end() {
        let steps = |start_ms, end_ms, intervals| SeatSteps { start_ms, end_ms, intervals };
        let edges_ms = [10, 20, 30, 40];
        let check = |steps: &[SeatSteps]| open_at(&edges_ms, steps.iter().copied());
        assert_eq!(check(&[steps(0, 40, 3)]), [3, 3, 3, 3]);
        assert_eq!(check(&[steps(10, 40, 2)]), [0, 2, 2, 2]);
        assert_eq!(check(&[steps(0, 20, 1)]), [1, 1, 0, 0]);
        assert_eq!(check(&[steps(0, 0, 1), steps(40, 40, 1)]), [0; 4]);
        assert_eq!(open_at(&[], [steps(0, 0, 1)]), [0_u64; 0]);
    }
}
