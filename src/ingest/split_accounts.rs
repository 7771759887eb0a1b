//! Finds accounts whose events several partitions count at once, and reports them: a metric,
//! `/readyz`, and one log line per account.
//!
//! No lane can know it alone: the partitions may belong to different workers. So each lane stores
//! in ClickHouse how far it has counted an account, and the progress of the other partitions when
//! it met the account first; the view `split_accounts` compares them. Every worker queries it,
//! because any of them may be the only one left.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::store::{SplitAccounts, Store};
use crate::telemetry::health::Health;
use crate::telemetry::{events, metrics};

/// The component on `/readyz`.
const COMPONENT: &str = "split_accounts";

/// Shortest interval between queries of the view.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A query reads a row for each account, so with very many accounts queries come less often: they
/// take at most one part in this many of the time.
const LOOK_SHARE: u32 = 50;

/// Accounts that one process logs by name, at most: two partitioners split about half of the
/// accounts of a topic.
const NAMES_MAX: usize = 1_000;

/// Accounts that `/readyz` names, at most.
const READINESS_NAMES_MAX: usize = 3;

/// Queries periodically until it is cancelled. A failed query is only logged: the flush reports
/// that ClickHouse is away.
pub(super) async fn watch_split_accounts(
    store: Store,
    topic: String,
    health: Arc<Health>,
    stop: CancellationToken,
) {
    let mut known = Known::default();
    loop {
        let began = Instant::now();
        let found = tokio::select! {
            () = stop.cancelled() => return,
            found = store.split_accounts(&topic, NAMES_MAX) => found,
        };
        match found {
            Ok(found) => known.tell(&topic, &found, &health),
            Err(error) => events::split_accounts_not_read(&error.to_string()),
        }
        let pause = LOOK_INTERVAL.max(began.elapsed() * LOOK_SHARE);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Split accounts that have been logged.
#[derive(Default)]
struct Known {
    accounts: BTreeSet<String>,
    /// The greatest number of accounts that was logged without their names.
    total: u64,
}

impl Known {
    fn tell(&mut self, topic: &str, found: &SplitAccounts, health: &Health) {
        metrics::split_accounts(found.total);
        for account in &found.first {
            if self.accounts.len() < NAMES_MAX && self.accounts.insert(account.account_id.clone()) {
                events::account_split(topic, &account.account_id, &account.partitions);
            }
        }
        if found.total > self.total.max(NAMES_MAX as u64) {
            self.total = found.total;
            events::more_accounts_split(topic, found.total);
        }
        match reason(found) {
            Some(reason) => health.degraded(COMPONENT, reason),
            None => health.restored(COMPONENT),
        }
    }
}

/// The reason on `/readyz`; `None` if no account is split.
fn reason(found: &SplitAccounts) -> Option<String> {
    if found.total == 0 {
        return None;
    }
    let names: Vec<String> = found
        .first
        .iter()
        .take(READINESS_NAMES_MAX)
        .map(|account| format!("{:?} in partitions {:?}", account.account_id, account.partitions))
        .collect();
    Some(format!(
        "{} accounts have events in several partitions at once and are not counted exactly ({}{}): \
        let all producers use one \
         partitioner, then see config/runbook.md, An account in two partitions; SELECT * FROM \
         split_accounts names them all",
        found.total,
        names.join(", "),
        if found.total > names.len() as u64 { ", …" } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SplitAccount;

    fn found(total: u64, names: &[&str]) -> SplitAccounts {
        let account =
            |name: &&str| SplitAccount { account_id: (*name).to_owned(), partitions: vec![0, 3] };
        SplitAccounts { total, first: names.iter().map(account).collect() }
    }

    #[test]
    fn readiness_is_degraded_while_accounts_are_split() {
        let (mut known, health) = (Known::default(), Health::new());
        known.tell("t", &found(0, &[]), &health);
        assert!(health.degradations().is_empty());
        known.tell("t", &found(4, &["acme", "b", "c", "d"]), &health);
        let reason = &health.degradations()["split_accounts"];
        assert!(
            reason.starts_with("4 accounts have")
                && reason.contains("(\"acme\" in partitions [0, 3], "),
            "{reason}"
        );
        assert!(
            reason.contains("\"c\" in partitions [0, 3], …)") && !reason.contains("\"d\""),
            "{reason}"
        );
        assert!(health.waiting_for().is_empty(), "it keeps nobody from being ready");
        known.tell("t", &found(0, &[]), &health);
        assert!(health.degradations().is_empty());
    }

    #[test]
    fn an_account_is_logged_once_and_names_are_bounded() {
        let (mut known, health) = (Known::default(), Health::new());
        known.tell("t", &found(1, &["acme"]), &health);
        known.tell("t", &found(2, &["acme", "b"]), &health);
        assert_eq!((known.accounts.len(), known.total), (2, 0));
        known.tell("t", &found(5_000, &["acme", "b"]), &health);
        assert_eq!(known.total, 5_000);
    }
}
