//! Which release of the zone data may count a partition.
//!
//! Zone data is an input like the log: a replay by other rules would put an event on another day
//! than its first reading did, and it would be on both. So before rows with days are stored, the
//! release that computed the days claims their offsets. A claim that reaches beyond the progress
//! says that such rows may be there.
//!
//! | rows beyond the progress | the latest turn is | a release |
//! |---|---|---|
//! | its own | any | goes on |
//! | none | its own, or there is none | goes on |
//! | none | another's | takes over, once no other release has rows beyond the progress of any partition |
//! | another's | any | is refused |
//!
//! A release that is not the latest claims the next turn, without any offsets at first, and waits
//! until that claim is acknowledged before it claims offsets. So a claim of offsets proves its
//! turn, and claims of earlier turns that still arrive are void: the process that sent them has
//! died. No claim can stop a process that stalls while another release takes over and resumes
//! later: all old processes must have ended.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Claim of one release on one partition. Merged by `max`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Number of changes of release that came before, plus 1.
    pub turn: u64,
    /// Rows with days that this release computed may be stored for records below this offset, and
    /// for none at or beyond it; 0 while there are none.
    pub upto: u64,
}

/// The claims to one partition, by release.
pub type Claims = BTreeMap<Arc<str>, Claim>;

/// Progress of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    pub partition: u32,
    /// The next offset of its recorded progress; 0 before the first.
    pub next_offset: u64,
    pub claims: &'a Claims,
}

impl<'a> Standing<'a> {
    /// The release whose rows may lie beyond the progress.
    fn unfinished(&self) -> Option<&'a str> {
        let proven =
            self.claims.values().filter(|claim| claim.upto > 0).map(|claim| claim.turn).max();
        let is_live = |claim: &Claim| Some(claim.turn) >= proven && claim.upto > self.next_offset;
        let beyond = self.claims.iter().filter(|(_, claim)| is_live(claim));
        beyond.max_by_key(|(_, claim)| **claim).map(|(release, _)| &**release)
    }

    /// The release of the latest turn, and its claim.
    pub fn latest(&self) -> Option<(&'a str, Claim)> {
        self.claims
            .iter()
            .max_by_key(|(_, claim)| **claim)
            .map(|(release, claim)| (&**release, *claim))
    }
}

/// The claim with which a release begins to count the partition `own`. `all` are the partitions of
/// the topic, `own` included.
///
/// # Errors
/// The partitions in which another release may have left rows beyond the progress, in their order.
pub fn claim(release: &str, own: Standing<'_>, all: &[Standing<'_>]) -> Result<Claim, Vec<u32>> {
    let latest = own.latest();
    let goes_on = match own.unfinished() {
        Some(unfinished) => unfinished == release,
        None => latest.is_none_or(|(latest, _)| latest == release),
    };
    if !goes_on {
        let left = |standing: &&Standing<'_>| {
            standing.unfinished().is_some_and(|unfinished| unfinished != release)
        };
        let mut left: Vec<u32> =
            all.iter().filter(left).map(|standing| standing.partition).collect();
        left.sort_unstable();
        if !left.is_empty() {
            return Err(left);
        }
    }
    let turn = match latest {
        Some((latest, claim)) if latest == release => claim.turn,
        other => other.map_or(0, |(_, claim)| claim.turn) + 1,
    };
    let upto = own.unfinished().and_then(|_| own.claims.get(release)).map_or(0, |claim| claim.upto);
    Ok(Claim { turn, upto })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Release B asks for the first of these partitions, all of which have the progress 10. Claims
    /// are (release, turn, upto).
    #[track_caller]
    fn check(partitions: &[&[(&str, u64, u64)]], expected: Result<(u64, u64), &[u32]>) {
        let claims = |claims: &&[(&str, u64, u64)]| -> Claims {
            claims
                .iter()
                .map(|&(release, turn, upto)| (release.into(), Claim { turn, upto }))
                .collect()
        };
        let claims: Vec<Claims> = partitions.iter().map(claims).collect();
        let standings: Vec<Standing<'_>> = (0..)
            .zip(&claims)
            .map(|(partition, claims)| Standing { partition, next_offset: 10, claims })
            .collect();
        let found = claim("B", standings[0], &standings);
        let expected = expected.map(|(turn, upto)| Claim { turn, upto }).map_err(<[u32]>::to_vec);
        assert_eq!(found, expected, "{partitions:?}");
    }

    #[test]
    fn a_release_goes_on_with_what_it_counts() {
        check(&[&[]], Ok((1, 0)));
        check(&[&[], &[("A", 1, 12)]], Ok((1, 0)));
        check(&[&[("B", 1, 10)], &[("A", 1, 12)]], Ok((1, 0)));
        check(&[&[("A", 2, 10), ("B", 3, 12)], &[("A", 1, 12)]], Ok((3, 12)));
    }

    #[test]
    fn another_release_takes_over_where_all_is_stored_up_to_the_progress() {
        check(&[&[("A", 1, 10)]], Ok((2, 0)));
        check(&[&[("A", 4, 9), ("B", 3, 8)], &[("C", 7, 10)], &[]], Ok((5, 0)));
        check(&[&[("A", 1, 10)], &[("A", 1, 9), ("B", 2, 12)]], Ok((2, 0)));
    }

    #[test]
    fn another_release_is_refused_while_rows_lie_beyond_a_progress() {
        check(&[&[("A", 1, 11)]], Err(&[0]));
        check(&[&[("A", 1, 10)], &[("A", 1, 10)], &[("A", 1, 11)]], Err(&[2]));
        check(&[&[("A", 2, 11), ("B", 1, 10)], &[("B", 7, 12)], &[("C", 1, 11)]], Err(&[0, 2]));
    }

    #[test]
    fn claims_of_turns_before_a_proven_one_have_nothing_behind_them() {
        // A claimed offsets, died, and B took over before that arrived.
        check(&[&[("A", 1, 90), ("B", 2, 12)]], Ok((2, 12)));
        check(&[&[("A", 1, 90), ("B", 2, 10)]], Ok((2, 0)));
        check(&[&[("A", 3, 12), ("B", 2, 90)]], Err(&[0]));
        check(&[&[("A", 3, 10), ("B", 2, 90)]], Ok((4, 0)));
    }

    #[test]
    fn a_turn_that_claims_no_offsets_proves_nothing() {
        // B died before its turn was acknowledged, A went on, and died amid a flush.
        check(&[&[("A", 1, 12), ("B", 2, 0)]], Err(&[0]));
        // A did so, and B goes on, in a turn of its own.
        check(&[&[("A", 2, 0), ("B", 1, 12)]], Ok((3, 12)));
        check(&[&[("A", 3, 10), ("B", 2, 0)]], Ok((4, 0)));
    }
}
