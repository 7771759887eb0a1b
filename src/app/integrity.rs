//! The check of figures that are counted twice, sample by sample of the accounts.

use std::time::{Duration, Instant};

use crate::store::{ComparedFigures, Identities, Store, StoreError};
use crate::telemetry::{events, metrics};
use crate::verify::integrity::{Findings, Integrity};

/// Accounts of a sample.
const SAMPLE_ACCOUNTS: usize = 100;

/// Accounts that are read again with a sample, because their figures differed, at most.
const AGAIN_ACCOUNTS_MAX: usize = 100;

/// Differences of a sample that are logged one by one, at most, and as many that are over.
const TOLD_MAX: usize = 20;

/// A sample that takes longer than this is followed by a longer pause:
const QUICK: Duration = Duration::from_secs(1);
/// by an interval for each time that it took this much longer, since a large account costs seconds
/// of ClickHouse's time.
const EXCESS: Duration = Duration::from_millis(600);

/// From the end of a sample that took so long to the next one.
fn pause_after(took: Duration, interval: Duration) -> Duration {
    let excess = took.saturating_sub(QUICK);
    interval.max(interval.mul_f64(excess.div_duration_f64(EXCESS)))
}

/// Checks a sample each interval, or more seldom where samples take long, for ever.
pub(super) async fn check_figures(store: Store, topic: String, interval: Duration) {
    let mut check = Check { store, topic, integrity: Integrity::default(), after: String::new() };
    let mut pause = interval;
    loop {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let sampled = check.sample().await;
        pause = pause_after(began.elapsed(), interval);
        metrics::integrity(&check.integrity.differences(), sampled.is_ok());
        if let Err(error) = sampled {
            events::figures_not_read(&error.to_string());
        }
    }
}

struct Check {
    store: Store,
    topic: String,
    integrity: Integrity,
    /// The last account of the sample before; empty where the next one begins with the first.
    after: String,
}

impl Check {
    async fn sample(&mut self) -> Result<(), StoreError> {
        let progress = self.store.progress(&self.topic).await?;
        self.integrity.go_on(&progress);
        let begins = self.after.is_empty();
        let sample = self.store.accounts_after(&self.after, SAMPLE_ACCOUNTS).await?;
        let is_last = sample.len() < SAMPLE_ACCOUNTS;
        self.after = sample.last().filter(|_| !is_last).cloned().unwrap_or_default();
        let mut accounts = self.integrity.accounts(AGAIN_ACCOUNTS_MAX);
        accounts.extend(sample);
        self.compare(Identities::OfSources).await?;
        let accounts: Vec<String> = accounts.into_iter().collect();
        if !accounts.is_empty() {
            self.compare(Identities::OfAccounts(&accounts)).await?;
        }
        // It takes all tests of all accounts, so once in a while must do, and last: it may take
        // more than there is.
        if begins {
            self.compare(Identities::OfTests).await?;
        }
        Ok(())
    }

    async fn compare(&mut self, identities: Identities<'_>) -> Result<(), StoreError> {
        // This has to be before the figures are read, and shortly.
        let progress = self.store.progress(&self.topic).await?;
        let figures = self.store.compared_figures(identities).await?;
        let Findings { differing, agreeing } = self.integrity.take(&progress, figures);
        for figures in differing.iter().take(TOLD_MAX) {
            let ComparedFigures { identity, account_id, source, expected, found, .. } = figures;
            events::figures_differ(identity, account_id, source, (*expected, *found));
        }
        if differing.len() > TOLD_MAX {
            events::more_figures_differ(differing.len());
        }
        for ComparedFigures { identity, account_id, source, .. } in agreeing.iter().take(TOLD_MAX) {
            events::figures_agree(identity, account_id, source);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_take_long_are_taken_more_seldom() {
        let interval = Duration::from_secs(30);
        let pause = |took_ms| pause_after(Duration::from_millis(took_ms), interval).as_secs();
        assert_eq!([0, 1_000, 1_600].map(pause), [30; 3]);
        assert_eq!([2_000, 5_500].map(pause), [50, 225]);
        let each_second = pause_after(Duration::from_millis(2_200), Duration::from_secs(1));
        assert_eq!(each_second, Duration::from_secs(2), "in proportion to the interval");
    }
}
