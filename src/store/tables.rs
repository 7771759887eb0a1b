//! The tables that the worker writes to.

/// Every table that rollups, facts, progress and alerts are written to.
pub const TABLES: [&str; 21] = [
    "account_moves",
    "account_progress",
    "active_days",
    "active_users_by_account_state",
    "active_users_state",
    "alert_deliveries",
    "alert_events",
    "alert_marks",
    "directory_state",
    "ingest_audit_state",
    "license_facts",
    "organizations_seen",
    "plan_facts",
    "quota_usage_state",
    "rejected_event_facts",
    "seat_facts",
    "seat_intervals",
    "source_progress",
    "test_executions_state",
    "zone_claims",
    "zone_facts",
];
