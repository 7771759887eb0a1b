//! Connections that wait for the next request with the same database and settings.
//!
//! To open a connection and to apply database and settings costs as much as a small query. Programs
//! send the same settings with each request, so a connection whose statement has left nothing
//! behind serves the next such request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::request::Parsed;
use super::settings::LOG_COMMENT;
use crate::embedded::libchdb::Connection;

/// Connections that wait, at most; each takes 130 KiB. The one that has waited longest goes first.
const CONNECTIONS_MAX: usize = 16;

/// Requests that a connection serves, so that whatever the engine gathers in one is bounded.
const REQUESTS_MAX: u32 = 1_000;

/// What a request sets on its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    database: Option<String>,
    settings: Vec<(String, String)>,
    /// The connection is held to reading.
    readonly: bool,
}

impl Setup {
    /// What the request sets, but for the comment of its statement.
    pub(super) fn of(request: &Parsed) -> Setup {
        let is_kept = |(name, _): &&(String, String)| name != LOG_COMMENT;
        Setup {
            database: request.database.clone().filter(|name| !name.is_empty()),
            settings: request.settings.iter().filter(is_kept).cloned().collect(),
            readonly: request.readonly,
        }
    }
}

/// A connection with its setup.
#[derive(Debug)]
pub(super) struct SetUp {
    pub(super) connection: Connection,
    setup: Setup,
    /// Requests that it has served.
    requests: u32,
}

impl SetUp {
    /// A connection to which the setup was applied for its first request.
    pub(super) fn new(connection: Connection, setup: Setup) -> SetUp {
        SetUp { connection, setup, requests: 0 }
    }
}

/// The connections that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle {
    connections: Arc<Mutex<VecDeque<SetUp>>>,
}

impl Idle {
    /// Takes the connection with this setup that was used last, if one waits.
    pub(super) fn take(&self, setup: &Setup) -> Option<SetUp> {
        let mut connections = self.lock();
        let index = connections.iter().rposition(|idle| idle.setup == *setup)?;
        connections.remove(index)
    }

    /// Gives back a connection whose statement has left nothing behind.
    pub(super) fn give(&self, mut set_up: SetUp) {
        set_up.requests += 1;
        if set_up.requests >= REQUESTS_MAX {
            return;
        }
        let mut connections = self.lock();
        connections.push_back(set_up);
        let oldest =
            if connections.len() > CONNECTIONS_MAX { connections.pop_front() } else { None };
        // Closing a connection takes time, so the lock is released before.
        drop(connections);
        drop(oldest);
    }

    /// Closes all of them.
    pub(super) fn close(&self) {
        let connections = std::mem::take(&mut *self.lock());
        drop(connections);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<SetUp>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(database: &str, settings: &[(&str, &str)]) -> Parsed {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Parsed {
            database: Some(database.to_owned()),
            settings: settings.iter().map(owned).collect(),
            ..Parsed::default()
        }
    }

    #[test]
    fn a_setup_is_all_that_a_request_sets_but_its_comment() {
        let setup = |database, settings: &[_]| Setup::of(&request(database, settings));
        let one = setup("d", &[("max_threads", "1")]);
        assert_eq!(one, setup("d", &[("max_threads", "1"), ("log_comment", "a")]));
        assert_ne!(one, setup("e", &[("max_threads", "1")]));
        assert_ne!(one, setup("d", &[("max_threads", "2")]));
        assert_ne!(one, setup("d", &[]));
        let reading = Parsed { readonly: true, ..request("d", &[("max_threads", "1")]) };
        assert_ne!(one, Setup::of(&reading));
    }
}
