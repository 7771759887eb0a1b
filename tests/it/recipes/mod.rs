//! The SQL recipes of `schemas/clickhouse/README.md`, run as they stand there, on data small enough
//! to compute by hand.

mod agreement;
mod partitions;
mod rights;
mod settings;

use seatmeter::core::event::{PlanKind, Reject, RejectReason};
use seatmeter::core::id::{Id, UserKeySeed};
use seatmeter::core::rollup::{
    AccountProgress, ActiveUsers, DirectoryEntry, Entity, ExecutionCount, Field, LaneRows,
    LicenseFact, OrganizationSeen, PlanFact, QuotaUsage, RecordPlace, RejectedRecord, SeatFact,
    SeatFactKind, SeatUsage, Source, TestExecutions,
};
use seatmeter::core::topics::Touched;

use crate::documents::section;
use crate::store::{TestDatabase, day, hour, id, rows, source};
use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};
use crate::support::seat_intervals;

/// Expected answer of each recipe, with column names, in the document's order.
const ANSWERS: [(&str, &str); 15] = [
    (
        "1. Daily active users of an organization and all below it",
        "day\tactive_users\n2026-03-02\t3\n2026-03-03\t1\n2026-03-10\t1\n",
    ),
    (
        "2. Weekly active users of an organization and all below it",
        "week\tactive_users\n2026-03-02\t3\n2026-03-09\t1\n2026-03-30\t1\n",
    ),
    (
        "3. Monthly active users, and how many of them come on a day",
        "month\tactive_users\tstickiness\n2026-03-01\t3\t55.56\n2026-04-01\t1\t100\n",
    ),
    (
        "4. Users who were active in March and not in April",
        "user_id\tname\temail\n3\t3\t\\N\nu-ben\tBen\t\\N\n",
    ),
    (
        "5. Seats that nobody uses",
        "user\temail\torganization\tlast_assignment\tlast_active_use\n\
         3\t\\N\tQuality / Mobile\t2026-03-01 00:00:00.000\t\\N\n\
         Ben\t\\N\tQuality\t2026-02-10 00:00:00.000\t2026-03-10 10:00:00.000\n",
    ),
    (
        "6. Seats purchased, assigned and activated, month by month",
        "month_end\tpurchased\tassigned\tactivated\n2026-02-28\t5\t2\t0\n\
         2026-03-31\t8\t4\t2\n2026-04-30\t8\t3\t2\n",
    ),
    (
        "7. Seats allocated to each organization against seats in use",
        "organization\tallocated\tassigned\tactivated\n7\t0\t0\t0\nQuality\t3\t2\t2\nQuality / \
        Mobile\t0\t1\t0\n",
    ),
    (
        "8. Quota burn: how the latest quota month fills up",
        "day\tused\tused_so_far\tpercent_used\n2026-04-01\t35\t35\t35\n2026-04-03\t45\t80\t80\n",
    ),
    (
        "9. The longest tests by project",
        "project\texecutions\taverage_ms\tduration_ms\nCheckout\t80\t1250\t100000\n\
         (none)\t50\t200\t10000\n",
    ),
    (
        "10. Why records were rejected, with an example of each",
        "reason\tpath\trecords\tfirst_offset\texample\nmissing_field\tid\t2\t4\t{}\n\
         invalid_json\t\t1\t3\t{\n",
    ),
    (
        "11. Who runs out: the quota of every organization, the most used first",
        "organization\tmonthly_quota\tused\tpercent_used\tstatus\tprojected_used\truns_out_on\n\
         Quality\t100\t80\t80\twithin\t358\t2026-04-09\n",
    ),
    (
        "12. Active users of a month in one row",
        "active_users\tpeak_daily_active_users\tpeak_day\taverage_daily_active_users\n\
         3\t3\t2026-03-02\t0.16\n",
    ),
    (
        "13. The greatest number of seats assigned in each month, and the worst overage",
        "month_end\tpurchased_at_end\tassigned_at_end\tpeak_assigned\tpeak_overage\n\
         2026-02-28\t5\t2\t2\t0\n2026-03-31\t8\t4\t4\t0\n2026-04-30\t8\t3\t4\t0\n",
    ),
    (
        "14. Seats that could be reclaimed, by organization",
        "organization_id\torganization\tassigned\treclaimable\tshare\n\
         42\tQuality\t2\t1\t50\n43\tQuality / Mobile\t1\t1\t100\n",
    ),
    (
        "15. Alerts of a month, and how long each was open",
        "organization_id\trule\tline\traised_at\thours_open\n\
         \tseats\t90\t2026-03-10 12:00:00.000\t\\N\n\
         42\tpace\truns_out\t2026-03-10 12:00:00.000\t3\n\
         42\tquota\t80\t2026-03-10 12:00:00.000\t2\n",
    ),
];

#[tokio::test]
async fn every_documented_recipe_answers_as_expected() {
    let database = TestDatabase::migrated().await;
    // Views are exact before any merge, and with rows written twice.
    database.execute("SYSTEM STOP MERGES");
    let seed = database.store().user_key_seed().await.unwrap();
    for _ in 0..2 {
        database
            .store()
            .write_rows(&[acme(&source(0), seed), second_source(&source(1))])
            .await
            .unwrap();
        database.execute(&storing(&alerts()));
    }
    let recipes = recipes();
    assert_eq!(
        recipes.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(),
        ANSWERS.map(|(title, _)| title),
        "every recipe has its answer here"
    );
    for ((title, sql), (_, answer)) in recipes.iter().zip(ANSWERS) {
        let sql = format!("{sql} FORMAT TabSeparatedWithNames");
        assert_eq!(database.analyst_text(&sql), answer, "{title}");
    }
}

#[tokio::test]
async fn a_plan_that_starts_at_the_instant_has_begun() {
    let database = TestDatabase::migrated().await;
    let seed = database.store().user_key_seed().await.unwrap();
    database.store().write_rows(&[acme(&source(0), seed)]).await.unwrap();
    let (_, sql) = recipes().into_iter().find(|(title, _)| title.starts_with("11.")).unwrap();
    for (as_of, answer) in [
        ("2026-03-01 12:00:00.000", "Quality\t100\t0\t0\twithin\t\\N\t\\N\n"),
        ("2026-03-01 11:59:59.999", ""),
    ] {
        let asked = sql.replace("2026-04-04 12:00:00", as_of);
        assert_eq!(database.analyst_text(&format!("{asked} FORMAT TabSeparated")), answer);
    }
}

/// Alerts of the account in March: one is open, one was resolved and then over, one is over.
fn alerts() -> Vec<AlertEventRow> {
    const HOUR_MS: i64 = 3_600_000;
    let quota = AlertEventRow::quota("acme", "42", "quota", "80");
    let pace = AlertEventRow::quota("acme", "42", "pace", "runs_out");
    vec![
        quota.closed("resolved", FOUND_AT_MS + 3 * HOUR_MS - 1),
        quota.closed("ended", FOUND_AT_MS + 9 * HOUR_MS),
        pace.closed("ended", FOUND_AT_MS + 3 * HOUR_MS),
        quota,
        pace,
        AlertEventRow::seats("acme", "90"),
    ]
}

/// Title and statement of every recipe.
fn recipes() -> Vec<(String, String)> {
    section("schemas/clickhouse/README.md", "SQL recipes")
        .split("\n### ")
        .skip(1)
        .map(|recipe| {
            let (title, rest) = recipe.split_once('\n').unwrap();
            let (_, rest) =
                rest.split_once("```sql\n").unwrap_or_else(|| panic!("'{title}' has no statement"));
            let (sql, _) = rest.split_once("```").unwrap();
            (title.to_owned(), sql.to_owned())
        })
        .collect()
}

/// Rows of an account whose figures are small enough to compute by hand.
pub(crate) fn acme(source: &Source, seed: UserKeySeed) -> LaneRows {
    let active = |organization, days, users: &[&str]| active(organization, days, users, seed);
    let mut rows = rows(source, 1_000);
    rows.organizations = ["42", "43", "7"].map(|o| seen("acme", Some(o))).to_vec();
    rows.organizations.extend([seen("acme", None), seen("other", Some("42"))]);
    rows.account_progress = vec![counted(5)];
    rows.directory = directory(source);
    rows.active_users = vec![
        active(Some("42"), 1, &["1", "u-ben"]),
        active(Some("43"), 1, &["1", "3"]),
        active(Some("7"), 1, &["4"]),
        active(None, 2, &["5"]),
        active(Some("43"), 2, &["1"]),
        active(Some("42"), 9, &["u-ben"]),
        active(Some("42"), 31, &["1"]),
        active(Some("7"), 32, &["4"]),
        // User 5 was active in both months, but without an organization.
        active(None, 35, &["5"]),
    ];
    rows.seat_facts = vec![
        assigned(source, 1, "42", "1", -19 * 24, Some("p1")),
        assigned(source, 2, "42", "u-ben", -19 * 24, None),
        assigned(source, 3, "43", "3", 0, None),
        assigned(source, 4, "7", "4", 4 * 24, None),
        SeatFact {
            kind: SeatFactKind::Revoked,
            license_source: None,
            ..assigned(source, 5, "7", "4", 40 * 24, None)
        },
    ];
    let usages = [
        used("42", "1", -19 * 24, 24 + 9, 31 * 24 + 10),
        used("42", "u-ben", -19 * 24, 24 + 9, 9 * 24 + 10),
        used("7", "4", 4 * 24, 32 * 24 + 10, 32 * 24 + 10),
    ];
    rows.seat_intervals = seat_intervals(&rows.seat_facts, &usages);
    rows.license_facts = vec![
        purchased(source, 1, None, -28 * 24, 5),
        purchased(source, 2, None, 14 * 24, 8),
        purchased(source, 3, Some("42"), -28 * 24, 3),
    ];
    rows.plan_facts = vec![PlanFact {
        account: id("acme"),
        organization: id("42"),
        time_ms: hour(12),
        source: source.name(),
        offset: 6,
        kind: PlanKind::Started,
        plan: id("pro"),
        monthly_quota: Some(100),
    }];
    rows.quota_usage = vec![quota(1, 1, 40), quota(2, 31, 30), quota(2, 33, 45)];
    rows.test_executions = vec![
        executed(Some("p1"), 1, 40, 0, 80_000),
        executed(Some("p1"), 31, 30, 10, 20_000),
        executed(None, 33, 45, 5, 10_000),
    ];
    rows.rejected = vec![
        rejected(3, b"{", RejectReason::InvalidJson, ""),
        rejected(4, b"{}", RejectReason::MissingField, "id"),
        rejected(5, b"{} ", RejectReason::MissingField, "id"),
    ];
    rows
}

fn directory(source: &Source) -> Vec<DirectoryEntry> {
    let project = Entity::Project { organization: id("42"), project: id("p1") };
    vec![
        described(source, organization("42"), Field::Name, "Quality"),
        described(source, organization("43"), Field::Name, "Mobile"),
        described(source, organization("43"), Field::Parent, "42"),
        described(source, Entity::User(id("1")), Field::Name, "Ann"),
        described(source, Entity::User(id("1")), Field::Email, "ann@acme.example"),
        described(source, Entity::User(id("u-ben")), Field::Name, "Ben"),
        described(source, project, Field::Name, "Checkout"),
    ]
}

/// Another partition counted the same organization, before the topic got more partitions.
pub(crate) fn second_source(source: &Source) -> LaneRows {
    let mut rows = rows(source, 10);
    rows.quota_usage = vec![quota(2, 31, 5)];
    rows.account_progress = vec![counted(3)];
    rows
}

/// Acme's events, all at one offset: neither of two partitions has counted them before the other.
fn counted(offset: u64) -> AccountProgress {
    let place = RecordPlace { offset, timestamp_ms: Some(hour(offset.cast_signed())) };
    AccountProgress { account: id("acme"), first: place, last: place, touched: Touched::default() }
}

fn seen(account: &str, organization: Option<&str>) -> OrganizationSeen {
    OrganizationSeen { account: id(account), organization: organization.map(Id::from_text) }
}

fn organization(organization: &str) -> Entity {
    Entity::Organization(id(organization))
}

fn described(source: &Source, entity: Entity, field: Field, value: &str) -> DirectoryEntry {
    DirectoryEntry {
        account: id("acme"),
        entity,
        field,
        time_ms: hour(0),
        source: source.name(),
        offset: 7,
        value: value.into(),
    }
}

fn active(organization: Option<&str>, days: i32, users: &[&str], seed: UserKeySeed) -> ActiveUsers {
    ActiveUsers {
        account: id("acme"),
        organization: organization.map(Id::from_text),
        day: day(days),
        users: users.iter().map(|user| id(user).user_key(seed)).collect(),
    }
}

fn assigned(
    source: &Source,
    offset: u64,
    organization: &str,
    user: &str,
    hours: i64,
    project: Option<&str>,
) -> SeatFact {
    SeatFact {
        account: id("acme"),
        organization: id(organization),
        user: id(user),
        time_ms: hour(hours),
        kind: SeatFactKind::Assigned,
        source: source.name(),
        offset,
        project: project.map(Id::from_text),
        license_source: Some(id("acme")),
    }
}

fn used(organization: &str, user: &str, start: i64, first: i64, last: i64) -> SeatUsage {
    SeatUsage {
        account: id("acme"),
        organization: id(organization),
        user: id(user),
        start_ms: hour(start),
        first_active_ms: hour(first),
        last_active_ms: hour(last),
    }
}

fn purchased(
    source: &Source,
    offset: u64,
    organization: Option<&str>,
    hours: i64,
    seats: u64,
) -> LicenseFact {
    LicenseFact {
        account: id("acme"),
        organization: organization.map(Id::from_text),
        time_ms: hour(hours),
        source: source.name(),
        offset,
        seats,
    }
}

fn quota(month: u32, days: i32, tests: u64) -> QuotaUsage {
    QuotaUsage {
        account: id("acme"),
        organization: id("42"),
        anchor_ms: hour(12),
        month,
        day: day(days),
        tests,
        upto: 1_000,
    }
}

fn executed(
    project: Option<&str>,
    days: i32,
    run: u64,
    uploaded: u64,
    duration_ms: u64,
) -> TestExecutions {
    TestExecutions {
        account: id("acme"),
        organization: id("42"),
        project: project.map(Id::from_text),
        day: day(days),
        count: ExecutionCount { run, uploaded, duration_ms },
        upto: 1_000,
    }
}

fn rejected(
    offset: u64,
    payload: &[u8],
    reason: RejectReason,
    path: &'static str,
) -> RejectedRecord {
    RejectedRecord {
        offset,
        timestamp_ms: None,
        key: Some(b"acme".to_vec()),
        payload: payload.to_vec(),
        payload_bytes: u64::try_from(payload.len()).unwrap(),
        reject: Reject { reason, path },
    }
}
