//! Standings: what every organization that has a plan may still run, in memory.
//!
//! They are read by the queries of the quota reports, judged by the functions of these reports
//! ([`crate::report::standing`]), and kept up by what ClickHouse has announced since; time moves
//! them on without a query. A question is answered from memory, with how old the figures are. It
//! waits only where they are older than `http.look_max_age_ms` and ClickHouse answers: then for the
//! next look, which all who wait share.
//!
//! Nothing here computes a figure, and no lock is held while anything is waited for.

mod held;
mod looks;
mod refresh;
mod sweep;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use chrono::Utc;
use tokio_util::task::AbortOnDropHandle;

pub use self::held::{NoStandings, Reading, UnreadableAccount};
pub use self::looks::AgesMax;
use self::looks::Looking;
use self::refresh::Refresher;
use crate::report::id::AccountId;
use crate::store::Store;

/// The standings of all organizations.
pub struct Standings {
    looking: Arc<Looking>,
    task: Mutex<Task>,
}

/// The task that reads them. It ends when this is dropped.
struct Task {
    /// What it starts with; `None` once it runs.
    refresher: Option<Refresher>,
    running: Option<AbortOnDropHandle<()>>,
}

impl Standings {
    /// Standings that are not held yet. `topic` is the Kafka topic whose progress tells how fresh
    /// they are.
    pub fn new(store: Store, topic: String, ages_max: AgesMax) -> Self {
        let looking = Arc::new(Looking::new(ages_max));
        let refresher = Refresher::new(store, topic, Arc::clone(&looking));
        let task = Mutex::new(Task { refresher: Some(refresher), running: None });
        Self { looking, task }
    }

    /// Reads them soon, and keeps them up from then on. Questions do so at once. Call it within a
    /// runtime.
    pub fn hold(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refresher) = task.refresher.take() {
            task.running = Some(AbortOnDropHandle::new(tokio::spawn(refresher.run())));
        }
    }

    /// Answers a question about these accounts from what is held, which began to be read at most
    /// `http.look_max_age_ms` before this call wherever ClickHouse answers in time. Only who asks
    /// about an account that has changed waits for it to be read.
    ///
    /// # Errors
    /// Where nothing is held, or nothing that is young enough.
    pub async fn read<T>(
        &self,
        accounts: &[AccountId],
        answer: impl FnOnce(&Reading<'_>) -> T,
    ) -> Result<T, NoStandings> {
        let asked = Instant::now();
        self.looking.is_asked(asked);
        if !self.looking.is_fresh(asked, accounts) {
            self.hold();
            self.looking.wait(asked, accounts).await;
        }
        // After the look: what it knows of and lies before now has happened.
        self.looking.read(accounts, Utc::now().timestamp_millis(), answer)
    }

    /// Sets the metrics of what is held.
    pub fn tell(&self) {
        self.looking.tell();
    }
}
