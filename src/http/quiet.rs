//! Whether nothing can have been written since the parts were listed: a poll that knows so need not list them again.
//!
//! What is remembered of a listing are the writes as they stood *before* it, and only if none of them was running: the
//! listing then saw all of them. What a question brings are the writes as they stand *after* it came in. If none has begun
//! in between, the question would find the very parts that were listed. A write that was running while the parts were
//! listed may have added some afterwards, one that begins after the listing may be over by the next question, and an engine
//! that has been started anew counts from 0; each of these is a reason to list them again.
//!
//! Not every change comes by a statement: there are rows that a TTL deletes, views that refresh themselves, tables that pass
//! their rows on later. For them a listing is not trusted for longer than [`AGE_MAX`].

use std::time::{Duration, Instant};

use crate::store::Writes;

/// How old a listing may be, at most.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The writes before the latest listing.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    before_listing: Option<(Writes, Instant)>,
}

impl Quiet {
    /// Whether the latest listing still tells all, as of a moment at which the writes stood like this.
    pub(super) fn holds(&self, writes: Option<&Writes>, now: Instant) -> bool {
        self.before_listing.as_ref().zip(writes).is_some_and(|((before, listed), writes)| {
            writes.begun_as_at(before) && now.saturating_duration_since(*listed) < AGE_MAX
        })
    }

    /// Nothing is known before the next listing.
    pub(super) fn forget(&mut self) {
        self.before_listing = None;
    }

    /// The parts were listed after this moment, at which the writes stood like this.
    pub(super) fn listed(&mut self, before: Option<Writes>, then: Instant) {
        self.before_listing = before.filter(Writes::are_over).map(|before| (before, then));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(text: &str) -> Option<Writes> {
        let writes = Writes::parse(&format!("engine {text}"));
        assert!(writes.is_some(), "{text}");
        writes
    }

    /// Whether a listing holds, by the writes before it and after the question.
    fn holds(before: &str, after: &str) -> bool {
        let now = Instant::now();
        let mut quiet = Quiet::default();
        quiet.listed(writes(before), now);
        quiet.holds(writes(after).as_ref(), now)
    }

    #[test]
    fn a_listing_holds_while_nothing_begins() {
        assert!(holds("a begun 3 ended 3", "a begun 3 ended 3"));
        assert!(!holds("a begun 3 ended 3", "a begun 4 ended 3"), "one is running");
        assert!(!holds("a begun 3 ended 3", "a begun 4 ended 4"), "one has run");
    }

    #[test]
    fn a_listing_amid_a_write_does_not_hold() {
        assert!(!holds("a begun 3 ended 2", "a begun 3 ended 2"));
        assert!(!holds("a begun 3 ended 2", "a begun 3 ended 3"), "it may have added a part after the listing");
    }

    #[test]
    fn a_listing_of_another_engine_does_not_hold() {
        assert!(!holds("a begun 3 ended 3", "b begun 3 ended 3"));
    }

    #[test]
    fn nothing_holds_that_is_not_told() {
        let now = Instant::now();
        let mut quiet = Quiet::default();
        let told = writes("a begun 3 ended 3");
        assert!(!quiet.holds(told.as_ref(), now), "nothing was listed");
        quiet.listed(told.clone(), now);
        assert!(!quiet.holds(None, now));
        quiet.forget();
        assert!(!quiet.holds(told.as_ref(), now));
        quiet.listed(None, now);
        assert!(!quiet.holds(told.as_ref(), now) && !quiet.holds(None, now));
    }

    #[test]
    fn an_old_listing_does_not_hold() {
        let listed = Instant::now();
        let told = writes("a begun 3 ended 3");
        let mut quiet = Quiet::default();
        quiet.listed(told.clone(), listed);
        assert!(quiet.holds(told.as_ref(), listed + AGE_MAX / 2));
        assert!(!quiet.holds(told.as_ref(), listed + AGE_MAX));
    }
}
