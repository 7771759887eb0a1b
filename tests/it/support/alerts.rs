//! Rows of alerts, as a worker stores them.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// 2026-03-10 12:00 UTC, when the alerts are found unless a test says otherwise; milliseconds since
/// 1970 UTC.
pub(crate) const FOUND_AT_MS: i64 = 1_773_144_000_000;

/// A row of `alert_events`.
#[derive(Clone, Debug)]
pub(crate) struct AlertEventRow {
    pub(crate) account: String,
    pub(crate) rule: &'static str,
    /// Empty for a rule of the whole account.
    pub(crate) organization: String,
    pub(crate) month: u32,
    pub(crate) line: &'static str,
    pub(crate) state: &'static str,
    /// By ClickHouse's clock, microseconds after [`FOUND_AT_MS`].
    pub(crate) stored_us: i64,
    pub(crate) id: String,
    pub(crate) found_at_ms: i64,
    pub(crate) is_silent: bool,
    pub(crate) data: Value,
}

impl AlertEventRow {
    /// A rule of quota or pace that an organization has reached.
    pub(crate) fn quota(
        account: &str,
        organization: &str,
        rule: &'static str,
        line: &'static str,
    ) -> Self {
        let used = if line == "exhausted" { 1300 } else { 812 };
        let data = json!({
            "state": "raised", "rule": rule, "line": line, "account_id": account,
            "organization_id": organization, "organization": format!("Then / {organization}"),
            "plan": "team", "window": {
                "start": "2026-03-01T10:00:00.000Z", "end": "2026-04-01T00:00:00.000Z", "month": 1,
            },
            "monthly_quota": 1000, "allowance": 1300, "used": used, "remaining": 1300 - used,
            "balance": 1000 - used, "percent_used": f64::from(used) / 10.0, "status": "within",
            "can_run": true,
            "grace": {"percent": 130, "active": true, "until": "2026-06-01T00:00:00.000Z"},
            "pace": {"daily_average": 81.2, "projected_used": 2400, "runs_out_on": "2026-03-17"},
        });
        Self {
            account: account.to_owned(),
            rule,
            organization: organization.to_owned(),
            month: 1,
            line,
            state: "raised",
            stored_us: 0,
            id: format!("{rule} {line} {organization} 1"),
            found_at_ms: FOUND_AT_MS,
            is_silent: false,
            data,
        }
    }

    /// A line of seats that the account has reached.
    pub(crate) fn seats(account: &str, line: &'static str) -> Self {
        let data = json!({
            "state": "raised", "rule": "seats", "line": line, "account_id": account,
            "organization_id": null, "organization": null, "purchased": 100, "assigned": 95,
        });
        let of_account = Self::quota(account, "", "seats", line);
        Self { month: 0, data, ..of_account }
    }

    /// The same alert, closed at that time.
    pub(crate) fn closed(&self, state: &'static str, found_at_ms: i64) -> Self {
        let id = format!("{} {state}", self.id);
        let mut data = self.data.clone();
        data["state"] = state.into();
        Self { state, id, found_at_ms, data, ..self.clone() }
    }
}

/// A statement that stores the rows.
pub(crate) fn storing(rows: &[AlertEventRow]) -> String {
    let values: Vec<String> = rows.iter().map(tuple).collect();
    format!(
        "INSERT INTO alert_events (account_id, rule, organization_id, armed_at, month, line, \
        state, stored_at, id, found_at, is_silent, data, event) VALUES {}",
        values.join(", ")
    )
}

fn tuple(row: &AlertEventRow) -> String {
    let text = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let time = |time_us: i64| {
        let time = DateTime::from_timestamp_micros(time_us).unwrap();
        time.to_rfc3339_opts(SecondsFormat::Micros, true).replace('T', " ").replace('Z', "")
    };
    let texts = [&row.account, row.rule, &row.organization].map(text).join(", ");
    format!(
        "({texts}, '2026-03-01 10:00:00.000', {}, {}, {}, '{}', {}, '{}', {}, {}, '')",
        row.month,
        text(row.line),
        text(row.state),
        time(FOUND_AT_MS * 1000 + row.stored_us),
        text(&row.id),
        &time(row.found_at_ms * 1000)[..23],
        row.is_silent,
        text(&row.data.to_string()),
    )
}
