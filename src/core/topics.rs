//! What can be said of an account on its own: the topics, each with how far it is stored.
//!
//! An [`AccountProgress`](super::rollup::AccountProgress) row announces a topic: *everything of the
//! account on this topic that comes from records below `upto` is stored*. A reader keeps an answer
//! under what its topics stood at before it was read. So whenever a row is stored that changes a
//! figure, its topic has to be announced later, and beyond every earlier announcement.
//!
//! # Which events touch a topic
//!
//! A lane announces, at each drain, the topics that an event has *touched* since the last one, up
//! to the account's last event. An event touches a topic where it yields a row of it, **and where
//! it would have yielded one if what is loaded had not held its effect already**. For the store may
//! hold rows that nobody has announced: of a flush that died half-way, or of a stalled former
//! owner. A lane that has loaded them yields nothing of its own for their events.
//!
//! To announce once after each load is not enough: the former owner may have announced events
//! beyond those that the lane applies first, so that the announcement says nothing new, and have
//! stored later rows without announcing them. So each figure is announced by an event that
//! *attains* it, whether the figure was yielded or loaded:
//!
//! | what is loaded | may lie beyond the lane's position | touched by |
//! |---|---|---|
//! | facts (seats, plans, zones) | no: those of the lane's own source are forgotten there | each new fact, again |
//! | counters | yes, `upto` tells | every `test.executed` event that is accepted, counted or skipped |
//! | first and last activity of a seat's interval | yes | activity at that very time, or beyond it |
//! | organizations seen | yes | the first event after the load that names one, or the account |
//!
//! Bitmaps, licence facts and directory entries are never loaded, so their events always yield
//! them.
//!
//! # Why that is enough
//!
//! Let an answer lack the effect of an event at offset *o*: of an event that attains the figure, or
//! of the first in the partition that names the organization. At the look before it the topic was
//! announced up to *o* at most, since beyond it the effect would have been stored and read. A lane
//! that passes *o* and stores its progress touches the topic at *o*, so it announces the topic
//! beyond *o*, after the effect is stored: by itself, or, if it was loaded, by whomever before.
//! That version differs from the answer's. An event that attains no figure (a use between the first
//! and the last one, a fact that is told again, a duplicate) leaves no trace in any answer.
//!
//! A lane that evicts and loads again meets no other case: what it evicts is stored and announced.
//! Whether a user was loaded or is known to hold no seat (`has_all_seats`), or a month to have
//! counted nothing (`counted_until`), changes nothing here, for both hold what the store held at
//! the load.
//!
//! A figure that several topics make up is told by all of them: a seat that ends cuts its last use,
//! so who asks for last uses takes the version of seats and uses.
//!
//! `latest` is the greatest time of the touching events. A row of a dead flush may be in the store
//! before its event is applied again; until then its time is unknown, and so is the row to anyone
//! who trusts announcements.

/// A part of an account's figures that has a version of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Names, parents, zones, the organizations seen, and how seat holders without a name are
    /// searched.
    Directory,
    /// Who holds seats and how many are owned, and the first activity of each interval.
    Seats,
    /// The last activity of each interval.
    Uses,
    /// Active users.
    Activity,
    /// Test executions, quota and plans.
    Tests,
}

impl Topic {
    /// All organizations.
    pub const ALL: [Self; 5] =
        [Self::Directory, Self::Seats, Self::Uses, Self::Activity, Self::Tests];

    /// Its name, as the columns of `account_progress` begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Seats => "seats",
            Self::Uses => "uses",
            Self::Activity => "activity",
            Self::Tests => "tests",
        }
    }
}

/// A set of topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Topics(u8);

impl Topics {
    /// No topic.
    pub const NONE: Self = Self(0);

    /// Adds a topic.
    pub fn insert(&mut self, topic: Topic) {
        self.0 |= 1 << topic as u8;
    }

    /// Adds a topic if the condition holds.
    pub fn insert_if(&mut self, topic: Topic, condition: bool) {
        self.0 |= u8::from(condition) << topic as u8;
    }

    /// True if the topic is among them.
    pub fn contains(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    /// The topics of both.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Topics that events have touched, each with the greatest time of these events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    topics: Topics,
    /// Latest times by topic, milliseconds since 1970 UTC; 0 where the topic was not touched. No
    /// event is older than 2000.
    latest_ms: [i64; Topic::ALL.len()],
}

impl Touched {
    /// An event of that time touched the topics.
    pub fn add(&mut self, topics: Topics, time_ms: i64) {
        self.topics = self.topics.union(topics);
        for topic in Topic::ALL {
            if topics.contains(topic) {
                let latest_ms = &mut self.latest_ms[topic as usize];
                *latest_ms = time_ms.max(*latest_ms);
            }
        }
    }

    /// The greatest time of an event that touched the topic, milliseconds since 1970 UTC; `None`
    /// where none did.
    pub fn latest_ms(&self, topic: Topic) -> Option<i64> {
        self.topics.contains(topic).then(|| self.latest_ms[topic as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_keeps_its_latest_time() {
        let mut touched = Touched::default();
        let of = |topics: &[Topic]| {
            let mut set = Topics::NONE;
            topics.iter().for_each(|&topic| set.insert(topic));
            set
        };
        touched.add(of(&[Topic::Seats, Topic::Tests]), 20);
        touched.add(of(&[Topic::Tests]), 30);
        touched.add(of(&[Topic::Seats]), 10);
        let latest = Topic::ALL.map(|topic| touched.latest_ms(topic));
        assert_eq!(latest, [None, Some(20), None, None, Some(30)]);
    }
}
