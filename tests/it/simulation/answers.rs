//! A reader that keeps answers, as the API does: it looks at what the topics of every account stand
//! at, reads the tables some time later, and keeps what it has read under what it saw at the look.
//!
//! Whenever nothing in the tables lies beyond the progress, an answer that is kept under what the
//! topics stand at now has to be what the tables hold now. At other moments a flush is under way,
//! or rows of a dead one wait to be announced.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Result, ensure};
use seatmeter::core::id::Id;
use seatmeter::core::rollup::LaneRows;
use seatmeter::core::topics::{Topic, Topics};

use super::driver::Driver;
use super::faults::Mutant;
use super::generator::ACCOUNTS;
use super::memory_store::MemoryStore;
use super::stats::{Happened, Stats};
use super::view::View;

/// What is asked about: an account, and the topic whose figures are told.
type Question = (&'static str, Topic);

/// What the topics of a question stand at in every source.
pub(super) type Version = Vec<(Topic, String, u64)>;

/// By question.
type Answers = BTreeMap<Question, View>;

/// What was done already of a look and the reading after it.
enum Half {
    Looked(BTreeMap<Question, Version>),
    /// Of [`Mutant::LooksAfterReading`].
    Read(Answers),
}

/// The reader.
#[derive(Default)]
pub(super) struct Reader {
    half: Option<Half>,
    kept: BTreeMap<(Question, Version), View>,
    /// Active users of an account's day, by what the day stood at before they were read.
    kept_days: BTreeMap<(&'static str, String, u64), View>,
}

/// The topics whose figures make up an answer. A seat that ends cuts its last use.
fn topics_of((_, topic): Question) -> Vec<Topic> {
    match topic {
        Topic::Uses => vec![Topic::Seats, Topic::Uses],
        topic => vec![topic],
    }
}

fn questions() -> impl Iterator<Item = Question> {
    ACCOUNTS.into_iter().flat_map(|account| Topic::ALL.map(|topic| (account, topic)))
}

fn look(store: &MemoryStore) -> BTreeMap<Question, Version> {
    let version = |question: Question| store.accounts.version(question.0, &topics_of(question));
    questions().map(|question| (question, version(question))).collect()
}

/// The rows of active users by day.
fn by_day(activity: &View) -> BTreeMap<String, View> {
    let mut days: BTreeMap<String, View> = BTreeMap::new();
    for (key, users) in activity.rows() {
        let (_, day) = key.rsplit_once(' ').expect("a key ends with the day");
        days.entry(day.to_owned()).or_default().insert(key.to_owned(), users.to_owned());
    }
    days
}

/// What a reader finds, by question.
fn read(store: &MemoryStore) -> Answers {
    let mut answers: Answers = questions().map(|question| (question, View::default())).collect();
    for (key, value) in store.view().rows() {
        let (kind, rest) = key.split_once(' ').expect("a key begins with what it is");
        let account = rest.split(['/', ' ']).next().unwrap_or_default();
        let topics: &[Topic] = match kind {
            "named" | "zone" | "directory" => &[Topic::Directory],
            "license" => &[Topic::Seats],
            "seat" => &[Topic::Seats, Topic::Uses],
            "active_users" => &[Topic::Activity],
            "executions" | "quota" | "plan" => &[Topic::Tests],
            "rejected" | "audit" => &[],
            other => panic!("{other} is of no topic"),
        };
        for (question, answer) in answers.iter_mut().filter(|(question, _)| question.0 == account) {
            if topics.contains(&question.1) {
                let is_without_last = kind == "seat" && question.1 == Topic::Seats;
                let value = if is_without_last { without_last_use(value) } else { value };
                answer.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    answers
}

/// A seat's interval without the last use.
fn without_last_use(interval: &str) -> &str {
    let Some(used) = interval.find(", used from ") else { return interval };
    interval.rfind(" to ").filter(|last| *last > used).map_or(interval, |last| &interval[..last])
}

impl Driver<'_> {
    /// The reader's next step.
    pub(super) fn read_answers(&mut self) -> Result<()> {
        if self.is_nothing_beyond_progress() {
            self.check_answers()?;
        }
        let first = match self.is_mutant(Mutant::LooksAfterReading) {
            true => |store: &MemoryStore| Half::Read(read(store)),
            false => |store: &MemoryStore| Half::Looked(look(store)),
        };
        let (versions, answers) = match self.reader.half.take() {
            None => {
                self.reader.half = Some(first(&self.store));
                return Ok(());
            }
            Some(Half::Looked(versions)) => (versions, self.read_by_day()),
            Some(Half::Read(answers)) => (look(&self.store), answers),
        };
        for (question, answer) in answers {
            let version = versions[&question].clone();
            self.reader.kept.entry((question, version)).or_insert(answer);
        }
        Ok(())
    }

    /// What a reader finds who keeps active users by day.
    fn read_by_day(&mut self) -> Answers {
        let day_versions = self.store.accounts.day_versions();
        let mut answers = read(&self.store);
        for account in ACCOUNTS {
            let Some(activity) = answers.get_mut(&(account, Topic::Activity)) else { continue };
            let mut kept = View::default();
            for (day, found) in by_day(activity) {
                let at = (account.to_owned(), day.clone());
                let version = day_versions.get(&at).copied().unwrap_or_default();
                let of_day = self.reader.kept_days.entry((account, day, version)).or_insert(found);
                of_day.rows().for_each(|(key, users)| kept.insert(key.into(), users.into()));
            }
            *activity = kept;
        }
        answers
    }

    /// What is kept of a day under what it stands at now is what a reader finds now.
    fn check_days(&self, account: &'static str, activity: &View) -> Result<()> {
        let day_versions = self.store.accounts.day_versions();
        for (day, found) in by_day(activity) {
            let version = day_versions.get(&(account.to_owned(), day.clone()));
            let key = (account, day, version.copied().unwrap_or_default());
            let Some(kept) = self.reader.kept_days.get(&key) else { continue };
            let differences = kept.differences(&found);
            ensure!(
                differences.is_empty(),
                "{key:?} is kept, and is not what is stored:\n{differences}"
            );
        }
        Ok(())
    }

    /// True where all rows in the tables are of records below the progress of their source.
    pub(super) fn is_nothing_beyond_progress(&self) -> bool {
        let progress =
            |source| self.store.progress(source).map_or(0, |progress| progress.next_offset);
        self.written.iter().all(|(source, upto)| *upto <= progress(source))
    }

    /// What is kept under what the topics stand at now is what a reader finds now.
    pub(super) fn check_answers(&mut self) -> Result<()> {
        ensure!(
            self.is_nothing_beyond_progress(),
            "rows lie beyond the progress: {:?}",
            self.written
        );
        // The figures of such an account are anyone's guess, and so is which rows a replay yields
        // again.
        let split = self.store.split_accounts();
        let versions = look(&self.store);
        for (question, answer) in
            read(&self.store).into_iter().filter(|((account, _), _)| !split.contains(*account))
        {
            let version = versions[&question].clone();
            let (account, topic) = question;
            if topic == Topic::Activity {
                self.check_days(account, &answer)?;
            }
            let needed_ms = self.store.latest_ms(account, topic);
            let latest_ms = self.store.accounts.latest_ms(account, topic);
            // What a mutant keeps silent about is to be noticed by the answers.
            let is_silent = matches!(self.mutant, Some(mutant) if mutant != Mutant::ForgetsLatest);
            ensure!(
                is_silent || latest_ms >= needed_ms,
                "{topic:?} of {account}: {needed_ms} lies after the latest, {latest_ms}"
            );
            let told = u64::from(!version.is_empty());
            // Whoever looks and reads now keeps it, too.
            let kept = match self.reader.kept.entry((question, version.clone())) {
                Entry::Occupied(kept) => kept.into_mut(),
                Entry::Vacant(place) => {
                    self.stats.add(Happened::AnswerOutdated, told);
                    place.insert(answer);
                    continue;
                }
            };
            self.stats.add(Happened::AnswerKept, told);
            let differences = kept.differences(&answer);
            ensure!(
                differences.is_empty(),
                "{topic:?} of {account} still stand at {version:?}, and what is kept is not what \
                is stored:\n{differences}"
            );
        }
        Ok(())
    }
}

/// What a drain announces, cut down by some mutants.
pub(super) fn mutate_topics(mutant: Option<Mutant>, rows: &mut LaneRows, stats: &mut Stats) {
    let yielded: Vec<Topics> =
        rows.account_progress.iter().map(|row| yielded(rows, &row.account)).collect();
    for (row, yielded) in rows.account_progress.iter_mut().zip(yielded) {
        let told = std::mem::take(&mut row.touched);
        for topic in Topic::ALL {
            let Some(latest_ms) = told.latest_ms(topic) else { continue };
            if !yielded.contains(topic) {
                stats.count(Happened::AnnouncedWithoutRow);
            }
            let is_told = match mutant {
                Some(Mutant::LeavesOut(left_out)) => topic != left_out,
                Some(Mutant::AnnouncesRowsAlone(of)) => topic != of || yielded.contains(topic),
                _ => true,
            };
            if is_told {
                let latest_ms = if mutant == Some(Mutant::ForgetsLatest) { 0 } else { latest_ms };
                row.touched.add(one(topic), latest_ms);
            }
        }
    }
}

fn one(topic: Topic) -> Topics {
    let mut topics = Topics::NONE;
    topics.insert(topic);
    topics
}

/// The topics that a drain yields rows of.
fn yielded(rows: &LaneRows, account: &Id) -> Topics {
    let mut topics = Topics::NONE;
    let has = |id: &Id| id == account;
    let has_directory = rows.directory.iter().any(|row| has(&row.account))
        || rows.zone_facts.iter().any(|row| has(&row.account))
        || rows.organizations.iter().any(|row| has(&row.account));
    let mut used = rows.seat_intervals.iter().filter(|row| row.last_active_ms.is_some());
    let has_uses = used.any(|row| has(&row.account));
    let has_seats = rows.seat_intervals.iter().any(|row| has(&row.account))
        || rows.seat_facts.iter().any(|row| has(&row.account))
        || rows.license_facts.iter().any(|row| has(&row.account));
    let has_tests = rows.test_executions.iter().any(|row| has(&row.account))
        || rows.quota_usage.iter().any(|row| has(&row.account))
        || rows.plan_facts.iter().any(|row| has(&row.account));
    topics.insert_if(Topic::Directory, has_directory);
    topics.insert_if(Topic::Seats, has_seats);
    topics.insert_if(Topic::Uses, has_uses);
    topics.insert_if(Topic::Activity, rows.active_users.iter().any(|row| has(&row.account)));
    topics.insert_if(Topic::Tests, has_tests);
    topics
}
