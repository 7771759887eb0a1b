//! Readiness as the consumer thread sees it: the process is a member of the group, and every
//! assigned partition is read from.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::{ConsumerThread, GROUP};
use crate::telemetry::{events, metrics};

/// The component of the assigned partitions.
const PARTITIONS: &str = "partitions";

/// Time limit for a partition to start once the process was ready before: a rebalance should not
/// take a process out of service.
const START_PATIENCE: Duration = Duration::from_secs(15);

impl ConsumerThread {
    /// The group has assigned partitions to this process, possibly none.
    pub(super) fn joined(&mut self) {
        self.state.readiness.is_member = true;
        self.state.readiness.denial = None;
        self.client.context().joined();
        metrics::group_joined();
        self.health.ready(GROUP);
    }

    /// The group has given all partitions to others.
    pub(super) fn put_out(&mut self, partitions: &[u32]) {
        metrics::partitions_lost(partitions);
        self.state.readiness.is_member = false;
        self.health.not_ready(
            GROUP,
            format!("was put out of the consumer group {}, and joins it again", self.group),
        );
    }

    /// Reports changes.
    pub(super) fn tell_readiness(&mut self) {
        self.tell_group();
        let reason = self.unread_reason();
        let told = &mut self.state.readiness;
        if told.is_member && reason.is_none() {
            told.has_read = true;
        }
        if reason == told.partitions {
            return;
        }
        match &reason {
            Some(reason) => self.health.not_ready(PARTITIONS, reason),
            None => self.health.ready(PARTITIONS),
        }
        told.partitions = reason;
    }

    fn tell_group(&mut self) {
        if self.state.readiness.is_member {
            return;
        }
        let Some(denial) = self.client.context().group_denial() else { return };
        if self.state.readiness.denial.as_ref() == Some(&denial) {
            return;
        }
        events::group_denied(&self.group, &denial);
        self.health
            .not_ready(GROUP, format!("cannot join the consumer group {}: {denial}", self.group));
        self.state.readiness.denial = Some(denial);
    }

    fn unread_reason(&self) -> Option<String> {
        if let Some(refusal) = self.state.refusals.values().next() {
            return Some(format!(
                "{} of the assigned partitions are refused; {refusal}",
                self.state.refusals.len()
            ));
        }
        let patience = if self.state.readiness.has_read { START_PATIENCE } else { Duration::ZERO };
        let unread = self.state.holdings.unread(Instant::now(), patience);
        (!unread.is_empty())
            .then(|| format!("partitions {unread:?} are assigned, and not read from yet"))
    }
}
