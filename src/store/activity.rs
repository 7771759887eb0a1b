//! Who was active where, day by day, as it comes from ClickHouse.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;
use crate::core::calendar::Day;

const ACTIVITY_OF_DAYS: &str = "\
SELECT s.organization_id AS organization_id, toInt32(s.day) AS day, bitmapToArray(s.users) AS users \
FROM active_users_state AS s \
WHERE s.account_id = {account:String} AND s.day BETWEEN {first_day:Date} AND {last_day:Date} \
    AND (empty({organizations:Array(String)}) OR s.organization_id IN {organizations:Array(String)})";

/// Users who were active in an organization on a day; others may have been too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The organization; empty where none was named.
    pub organization: String,
    /// The day, in the account's zone.
    pub day: Day,
    /// The users' keys in bitmaps.
    pub users: Vec<u64>,
}

/// Activity as it arrives, in no order; what is unmerged arrives in pieces.
pub struct ActivityStream {
    store: Store,
    rows: RowCursor<ActivityRow>,
}

#[derive(Row, Deserialize)]
struct ActivityRow {
    organization_id: String,
    day: i32,
    users: Vec<u64>,
}

impl ActivityStream {
    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// Where the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<Activity>, StoreError> {
        let row = self.store.within(self.rows.next()).await?;
        Ok(row.map(|row| Activity { organization: row.organization_id, day: Day(row.day), users: row.users }))
    }
}

impl Store {
    /// Who was active in the organizations of the account (in all of them if none is named) on the days.
    ///
    /// # Errors
    /// Where ClickHouse cannot be asked.
    pub fn activity(
        &self,
        account: &str,
        organizations: &[String],
        (first_day, last_day): (Day, Day),
    ) -> Result<ActivityStream, StoreError> {
        let query = self.read(ACTIVITY_OF_DAYS).param("account", account).param("organizations", organizations);
        let query = query.param("first_day", first_day.to_string()).param("last_day", last_day.to_string());
        let rows = Self::streamed(query).fetch().map_err(|error| self.target().classify(error))?;
        Ok(ActivityStream { store: self.clone(), rows })
    }
}
