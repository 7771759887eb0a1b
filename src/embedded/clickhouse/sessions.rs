//! Sessions: what a client keeps between its requests under a `session_id`, for as long as it says
//! (`session_timeout`).
//!
//! A session runs one statement at a time. Most clients name one and keep nothing in it; such a
//! session is but a name, and each of its requests has a connection of its own. From the first
//! statement that leaves something behind (`SET`, `USE`, a temporary table) the session
//! [keeps](Kept) its connection. Both are bounded in number; kept ones also in the size of their
//! temporary tables, which are in memory.
//!
//! There is one user, and a request reaches a session only with the password.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::embedded::libchdb::{Connection, EngineError};

/// Lifetime of an idle session, by default and at most; as of a server.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// The longest name of a session.
const NAME_BYTES_MAX: usize = 256;
/// Sessions at once. A further one takes the place of the one that has been idle longest and keeps
/// nothing.
const SESSIONS_MAX: usize = 4096;
/// Sessions that keep their connection, 130 KiB each.
const KEPT_MAX: usize = 256;
/// The temporary tables of one session, and of all together.
const TABLE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const ALL_TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The session that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Its lifetime after this request.
    pub(super) timeout: Duration,
    /// It must exist (`session_check`).
    pub(super) must_exist: bool,
    /// It ends with this request (`close_session`).
    pub(super) close: bool,
}

/// All sessions.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    slots: Arc<Mutex<BTreeMap<String, Slot>>>,
    places: Arc<Semaphore>,
    table_bytes: Arc<AtomicU64>,
    sessions_max: usize,
}

#[derive(Debug)]
enum Slot {
    Busy,
    Idle { since: Instant, until: Instant, kept: Option<Box<Kept>> },
}

/// State that a session keeps.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) connection: Connection,
    /// Its current database.
    pub(super) database: String,
    /// `SET` has run in it.
    pub(super) has_settings: bool,
    /// It may have temporary tables.
    pub(super) has_tables: bool,
    tables: Tables,
    _place: OwnedSemaphorePermit,
}

/// The size of a session's temporary tables, as part of that of all.
#[derive(Debug)]
struct Tables {
    bytes: u64,
    all: Arc<AtomicU64>,
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Kept {
    /// Takes note of the size of its temporary tables.
    ///
    /// # Errors
    ///
    /// It is beyond what is allowed: the session has to end.
    pub(super) fn set_table_bytes(&mut self, bytes: u64) -> Result<(), EngineError> {
        self.tables.set(bytes)
    }
}

impl Tables {
    fn set(&mut self, bytes: u64) -> Result<(), EngineError> {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        let all = self.all.fetch_sub(self.bytes, Ordering::Relaxed) - self.bytes;
        self.bytes = bytes;
        if bytes <= TABLE_BYTES_MAX && all <= ALL_TABLE_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "The temporary tables of this session take {bytes} bytes, those of all sessions {all}; \
             {TABLE_BYTES_MAX} and {ALL_TABLE_BYTES_MAX} are allowed. The session has ended: use a \
             table of the database instead"
        );
        Err(EngineError::new(241, "MEMORY_LIMIT_EXCEEDED", &text))
    }
}

/// A session while a request uses it. On drop it is free for the next one.
#[derive(Debug)]
pub(super) struct Lease {
    sessions: Sessions,
    wanted: Wanted,
    pub(super) kept: Option<Box<Kept>>,
}

impl Lease {
    /// Makes the session keep a connection.
    ///
    /// # Errors
    ///
    /// Too many do.
    pub(super) fn keep(
        &self,
        connection: Connection,
        database: &str,
    ) -> Result<Box<Kept>, EngineError> {
        let place = Arc::clone(&self.sessions.places).try_acquire_owned().map_err(|_| {
            let text = format!(
                "{KEPT_MAX} sessions keep settings or temporary tables, and no more can: each ends \
                 when it has been idle for its session_timeout, or by close_session=1"
            );
            EngineError::new(700, "USER_SESSION_LIMIT_EXCEEDED", &text)
        })?;
        Ok(Box::new(Kept {
            connection,
            database: database.to_owned(),
            has_settings: false,
            has_tables: false,
            tables: Tables { bytes: 0, all: Arc::clone(&self.sessions.table_bytes) },
            _place: place,
        }))
    }
}

impl Lease {
    /// Lets the session end with this request.
    pub(super) fn end(mut self) {
        self.wanted.close = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (kept, now) = (self.kept.take(), Instant::now());
        let mut slots = self.sessions.lock();
        if self.wanted.close {
            slots.remove(&self.wanted.name);
            // Dropping a connection takes time, so the lock is given back before.
            drop(slots);
            return drop(kept);
        }
        let idle = Slot::Idle { since: now, until: now + self.wanted.timeout, kept };
        slots.insert(self.wanted.name.clone(), idle);
    }
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            slots: Arc::default(),
            places: Arc::new(Semaphore::new(KEPT_MAX)),
            table_bytes: Arc::default(),
            sessions_max: SESSIONS_MAX,
        }
    }
}

impl Sessions {
    /// Takes a session for one request; a new one where there is none.
    ///
    /// # Errors
    ///
    /// Another request uses it; it must exist, and does not; its name is too long.
    pub(super) fn lease(&self, wanted: Wanted) -> Result<Lease, EngineError> {
        let name = &wanted.name;
        if name.len() > NAME_BYTES_MAX {
            let text = format!("session_id is longer than {NAME_BYTES_MAX} bytes");
            return Err(EngineError::new(36, "BAD_ARGUMENTS", &text));
        }
        let mut slots = self.lock();
        let mut ended = take_ended(&mut slots, Instant::now());
        let kept = match slots.entry(name.clone()) {
            Entry::Occupied(mut slot) => match std::mem::replace(slot.get_mut(), Slot::Busy) {
                Slot::Idle { kept, .. } => kept,
                Slot::Busy => {
                    let text = format!("Session {name} is locked by a concurrent client");
                    return Err(EngineError::new(373, "SESSION_IS_LOCKED", &text));
                }
            },
            Entry::Vacant(_) if wanted.must_exist => {
                let text = format!("Session {name} not found: it has ended, or never began");
                return Err(EngineError::new(372, "SESSION_NOT_FOUND", &text));
            }
            Entry::Vacant(slot) => {
                slot.insert(Slot::Busy);
                None
            }
        };
        if slots.len() > self.sessions_max {
            ended.extend(take_oldest_name(&mut slots));
        }
        drop(slots);
        drop(ended);
        Ok(Lease { sessions: self.clone(), wanted, kept })
    }

    /// Ends what has been idle for too long. It may take a while.
    pub(super) fn end_idle(&self) {
        let ended = take_ended(&mut self.lock(), Instant::now());
        drop(ended);
    }

    /// Ends all that no request uses.
    pub(super) fn end_all(&self) {
        let ended = std::mem::take(&mut *self.lock());
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Slot>> {
        // The map is whole at any moment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the sessions that have been idle for too long, to be dropped without the lock.
fn take_ended(slots: &mut BTreeMap<String, Slot>, now: Instant) -> Vec<Slot> {
    let is_over = |slot: &Slot| matches!(slot, Slot::Idle { until, .. } if *until <= now);
    slots.extract_if(.., |_, slot| is_over(slot)).map(|(_, slot)| slot).collect()
}

/// Takes out the session that has been idle longest and keeps nothing.
fn take_oldest_name(slots: &mut BTreeMap<String, Slot>) -> Option<Slot> {
    let idle = slots.iter().filter_map(|(name, slot)| match slot {
        Slot::Idle { since, kept: None, .. } => Some((*since, name)),
        _ => None,
    });
    let name = idle.min().map(|(_, name)| name.clone())?;
    slots.remove(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Wanted {
        Wanted { name: name.to_owned(), timeout: TIMEOUT_DEFAULT, must_exist: false, close: false }
    }

    fn code(sessions: &Sessions, wanted: Wanted) -> Option<u32> {
        sessions.lease(wanted).err().map(|error| error.code)
    }

    #[test]
    fn one_request_at_a_time_uses_a_session() {
        let sessions = Sessions::default();
        let first = sessions.lease(wanted("a")).unwrap();
        assert_eq!(code(&sessions, wanted("a")), Some(373));
        assert_eq!(code(&sessions, wanted("b")), None);
        drop(first);
        assert_eq!(code(&sessions, wanted("a")), None);
    }

    #[test]
    fn a_session_exists_until_it_has_been_idle_for_too_long() {
        let sessions = Sessions::default();
        let checked = || Wanted { must_exist: true, ..wanted("a") };
        assert_eq!(code(&sessions, checked()), Some(372));
        drop(sessions.lease(wanted("a")).unwrap());
        assert_eq!(code(&sessions, checked()), None);
        drop(sessions.lease(Wanted { close: true, ..checked() }).unwrap());
        assert_eq!(code(&sessions, checked()), Some(372));
        let busy = sessions.lease(Wanted { timeout: Duration::ZERO, ..wanted("a") }).unwrap();
        sessions.end_idle();
        assert_eq!(code(&sessions, checked()), Some(373), "a running one does not end");
        drop(busy);
        assert_eq!(code(&sessions, checked()), Some(372));
    }

    #[test]
    fn sessions_are_bounded_in_number_and_name() {
        let sessions = Sessions { sessions_max: 3, ..Sessions::default() };
        for name in ["a", "b", "c", "d"] {
            assert_eq!(code(&sessions, wanted(name)), None);
        }
        let exists = |name| code(&sessions, Wanted { must_exist: true, ..wanted(name) }).is_none();
        assert!(!exists("a") && exists("b") && exists("d"));
        assert_eq!(code(&sessions, wanted(&"x".repeat(257))), Some(36));
    }

    #[test]
    fn temporary_tables_are_bounded_by_session_and_together() {
        let all = Arc::new(AtomicU64::new(0));
        let tables = || Tables { bytes: 0, all: Arc::clone(&all) };
        let mut one = tables();
        assert_eq!(one.set(TABLE_BYTES_MAX + 1).unwrap_err().code, 241);
        one.set(TABLE_BYTES_MAX).unwrap();
        let mut others: Vec<Tables> = std::iter::repeat_with(tables).take(4).collect();
        for other in &mut others[..3] {
            other.set(TABLE_BYTES_MAX).unwrap();
        }
        assert_eq!(others[3].set(1).unwrap_err().code, 241);
        drop(one);
        others[3].set(1).unwrap();
        drop(others);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
