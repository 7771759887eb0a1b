//! What the API reads from the tables by queries of its own, and what the documented views say: one
//! and the same.

use std::collections::BTreeMap;

use seatmeter::core::calendar::{Day, Zone};
use seatmeter::core::event::PlanKind;
use seatmeter::report::assignments::{AssignmentsReport, AssignmentsRequest, SortKey};
use seatmeter::report::id::{AccountId, OrganizationId, ProjectId};
use seatmeter::report::license_usage::PeriodUsers;
use seatmeter::report::period::{DayRanges, PeriodRequest};
use seatmeter::report::query::Query;
use seatmeter::report::quota::QuotaFacts;
use seatmeter::report::test_activity::WantedDays;
use seatmeter::report::tree::OrganizationTree;
use seatmeter::report::usage_parts::{Parts, RangeUsers};
use seatmeter::store::{AccountQuota, Accounts, Scope, Series, Store, Who};

use super::settings::deep_tree;
use super::{acme, second_source};
use crate::store::{TestDatabase, day, hour, source};

/// Organizations in the middle, at the end, in a circle, without a seat, and one that is not there.
const ORGANIZATIONS: [&str; 7] = ["42", "43", "45", "c1", "orphan", "unknown", "nobody"];

async fn filled() -> TestDatabase {
    let database = TestDatabase::migrated().await;
    database.execute("SYSTEM STOP MERGES");
    let seed = database.store().user_key_seed().await.unwrap();
    for _ in 0..2 {
        let lanes = [acme(&source(0), seed), second_source(&source(1)), deep_tree(&source(2))];
        database.store().write_rows(&lanes).await.unwrap();
    }
    database
}

async fn tree(store: &Store) -> OrganizationTree {
    store.account_directory("acme").await.unwrap().unwrap().tree
}

#[tokio::test]
async fn the_directory_is_that_of_the_views() {
    let database = filled().await;
    let known = database.store().account_directory("acme").await.unwrap().unwrap();
    let zone = database.text("SELECT timezone FROM accounts WHERE account_id = 'acme'");
    assert_eq!(known.zone.to_string(), zone.trim());
    let line = |texts: [&str; 4]| texts.join("\t") + "\n";
    let mut lines: Vec<String> = known
        .tree
        .organizations()
        .iter()
        .map(|o| {
            line([&o.organization_id, &o.name, o.parent_id.as_deref().unwrap_or("\\N"), &o.path])
        })
        .collect();
    lines.sort_unstable();
    let viewed = "SELECT organization_id, name, parent_id, path FROM organization_tree(account = \
        'acme') ORDER BY ALL";
    let mut viewed: Vec<String> =
        database.text(viewed).lines().map(|line| format!("{line}\n")).collect();
    viewed.sort_unstable();
    assert_eq!(lines, viewed);
    for organization in ORGANIZATIONS {
        let mut below = known.tree.subtree(organization);
        below.sort_unstable();
        let viewed = database.text(&format!(
            "SELECT organization_id FROM organization_tree(account = 'acme') WHERE has(ancestors, \
            '{organization}') \
             ORDER BY organization_id"
        ));
        assert_eq!(below, viewed.lines().collect::<Vec<_>>(), "{organization}");
        let viewed = database.text(&format!(
            "SELECT DISTINCT child_id FROM organization_children(account = 'acme', organization = \
            '{organization}') \
             ORDER BY child_id"
        ));
        assert_eq!(
            known.tree.children(Some(organization)),
            viewed.lines().collect::<Vec<_>>(),
            "{organization}"
        );
    }
    assert!(database.store().account_directory("nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn the_accounts_are_those_of_the_view() {
    let database = filled().await;
    let said = async |ids: Option<&[String]>| {
        let accounts = database.store().accounts(ids).await.unwrap();
        let mut lines: Vec<String> = accounts
            .iter()
            .map(|one| {
                let name = if one.name.is_empty() { &one.id } else { &one.name };
                format!("{}\t{name}\t{}", one.id, one.zone)
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    let viewed = database.text("SELECT account_id, name, timezone FROM accounts ORDER BY ALL");
    let mut viewed: Vec<&str> = viewed.lines().collect();
    viewed.sort_unstable();
    assert_eq!(said(None).await, viewed);
    assert!(viewed.len() > 1, "{viewed:?}");
    let chosen = ["acme".to_owned(), "nobody".to_owned()];
    viewed.retain(|line| line.starts_with("acme\t"));
    assert_eq!(said(Some(&chosen)).await, viewed);
    assert!(said(Some(&[])).await.is_empty());
}

#[tokio::test]
async fn seats_and_users_of_organizations_are_those_of_the_views() {
    let database = filled().await;
    let (store, tree) = (database.store(), tree(database.store()).await);
    let edges_ms: Vec<i64> = (-30..60).step_by(3).map(|days| hour(days * 24 + 1)).collect();
    let first_days: Vec<Day> = (-7..63).step_by(7).map(day).collect();
    let days = DayRanges { first_days, last_day: day(69) };
    let mut found = 0;
    let acme = AccountId::from("acme");
    for organization in [None].into_iter().chain(ORGANIZATIONS.map(Some)) {
        let named = organization.map(OrganizationId::from);
        let named = named.as_ref();
        let scope =
            organization.map_or(Scope::Account, |id| Scope::Organizations(tree.subtree(id)));
        let seats = store.seat_history(&acme, named, &scope, &edges_ms).await.unwrap();
        let viewed = store.license_history(&acme, named, &edges_ms).await.unwrap();
        assert_eq!(seats, viewed, "{organization:?}");
        let few = store.few_seat_history(&acme, named, (&scope, tree.len()), &edges_ms).await;
        assert_eq!(few.unwrap(), Some(seats.clone()), "{organization:?}");
        found += seats.last().unwrap().assigned;
        let who = Who::of(&scope).unwrap();
        let assigned = store.assigned_at("acme", &who, &edges_ms).await.unwrap();
        let few = store.few_assigned_at(&acme, &who, tree.len(), &edges_ms).await.unwrap();
        assert_eq!(few.as_ref(), Some(&assigned), "{organization:?}");
        let assigned = assigned.by_series.into_values().next().unwrap_or(vec![0; edges_ms.len()]);
        assert!(assigned.iter().eq(viewed.iter().map(|at| &at.assigned)), "{organization:?}");
        let users = store.active_users_of("acme", &who, &days).await.unwrap();
        let few = store.few_active_users(&acme, &who, tree.len(), &days).await.unwrap();
        assert_eq!(in_order(few.expect("they are few")), in_order(users.clone()));
        let mut users = users.into_iter().next().map(|(_, users)| users).unwrap_or_default();
        let mut viewed = store.active_users(&acme, named, Some(&days)).await.unwrap();
        users.buckets.sort_unstable();
        viewed.buckets.sort_unstable();
        assert_eq!(users, viewed, "{organization:?}");
        compare_series(store, &tree, organization, &edges_ms, &days).await;
    }
    assert!(found > 0, "there are seats");
}

async fn compare_series(
    store: &Store,
    tree: &OrganizationTree,
    organization: Option<&str>,
    edges_ms: &[i64],
    days: &DayRanges,
) {
    let members =
        tree.children(organization).into_iter().map(|child| (child, tree.subtree(child))).collect();
    let Some(series) = Series::new(members) else {
        assert_eq!(organization, Some("c1"), "a circle alone is read by the view");
        return;
    };
    let (acme, named) = (AccountId::from("acme"), organization.map(OrganizationId::from));
    let named = named.as_ref();
    let mut viewed = store.seats_by_organization(&acme, named, edges_ms).await.unwrap();
    viewed.retain(|(_, _, assigned)| *assigned > 0);
    viewed.sort_unstable();
    let who = Who::Series(series);
    compare_parts(store, &who, days).await;
    let assigned = store.assigned_at("acme", &who, edges_ms).await.unwrap();
    let few = store.few_assigned_at(&acme, &who, tree.len(), edges_ms).await.unwrap();
    assert_eq!(few.as_ref(), Some(&assigned), "{organization:?}");
    let mut assigned: Vec<_> = assigned
        .by_series
        .iter()
        .flat_map(|(id, counts)| {
            edges_ms.iter().zip(counts).map(move |(&edge_ms, &count)| (id.clone(), edge_ms, count))
        })
        .filter(|(_, _, assigned)| *assigned > 0)
        .collect();
    assigned.sort_unstable();
    assert_eq!(assigned, viewed, "{organization:?}");
    let users = in_order(store.active_users_of("acme", &who, days).await.unwrap());
    let viewed = store.active_users_by_organization(&acme, named, Some(days)).await.unwrap();
    assert_eq!(users, in_order(viewed), "{organization:?}");
    // A byte is not enough for lists, so these are merged as bitmaps.
    let bitmaps = store.clone().with_user_lists_max(1);
    let merged = bitmaps.active_users_of("acme", &who, days).await.unwrap();
    assert_eq!(users, in_order(merged), "{organization:?}");
    let keys = bitmaps.user_keys_of("acme", &who, days).await.unwrap();
    let mut lists = store.user_keys_of("acme", &who, days).await.unwrap();
    lists.values_mut().for_each(|users| users.ranges.sort_unstable());
    for (head, mut users) in keys {
        users.ranges.sort_unstable();
        assert_eq!(lists.remove(&head), Some(users), "{head}");
    }
    assert!(lists.is_empty(), "{lists:?}");
    let few = store.few_active_users(&acme, &who, tree.len(), days).await.unwrap();
    assert_eq!(users, in_order(few.expect("they are few")), "{organization:?}");
}

fn in_order(mut series: Vec<(String, PeriodUsers)>) -> Vec<(String, PeriodUsers)> {
    series.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    series.iter_mut().for_each(|(_, users)| users.buckets.sort_unstable());
    series
}

#[tokio::test]
async fn many_rows_are_not_read_one_by_one() {
    let database = filled().await;
    let store = database.store();
    let (acme, edges_ms) = (AccountId::from("acme"), [hour(0), hour(240)]);
    let days = DayRanges { first_days: vec![day(0)], last_day: day(69) };
    for organizations in [1_000, usize::MAX] {
        let scope = (&Scope::Account, organizations);
        let seats = store.few_seat_history(&acme, None, scope, &edges_ms).await.unwrap();
        assert_eq!(seats, None);
        let who = Who::Account;
        let seats = store.few_assigned_at(&acme, &who, organizations, &edges_ms).await.unwrap();
        assert_eq!(seats, None);
        let users = store.few_active_users(&acme, &who, organizations, &days).await.unwrap();
        assert_eq!(users, None);
    }
}

/// The whole as its parts make it up.
async fn compare_parts(store: &Store, who: &Who<'_>, days: &DayRanges) {
    let parts = Parts::of(days);
    let mut read = Vec::new();
    for part in [parts.past.as_ref(), parts.current.as_ref(), Some(&parts.latest)] {
        read.push(match part {
            Some(days) => store.user_keys_of("acme", who, days).await.unwrap(),
            None => [].into(),
        });
    }
    let none = RangeUsers::default();
    for (head, mut users) in store.active_users_of("acme", who, days).await.unwrap() {
        let [past, current, latest] = [0, 1, 2].map(|part| read[part].get(&head).unwrap_or(&none));
        let mut joined = parts.join(past, current, latest);
        joined.buckets.sort_unstable();
        users.buckets.sort_unstable();
        assert_eq!(joined, users, "{head}");
    }
}

#[tokio::test]
async fn pages_of_assignments_are_those_of_the_view() {
    let database = filled().await;
    let (store, tree) = (database.store(), tree(database.store()).await);
    let filters = [
        "",
        "&organization_id=42",
        "&organization_id=c1",
        "&user=n",
        "&license_source=acme",
        "&activated=true",
        "&held_days=5&as_of=2026-03-06T00:00:00Z",
        "&inactive_days=1&as_of=2026-03-06T00:00:00Z",
        "&email=e",
    ];
    let mut rows_seen = 0;
    for key in SortKey::ALL.map(SortKey::as_str) {
        for (direction, filter) in
            ["", "-"].into_iter().flat_map(|direction| filters.map(|filter| (direction, filter)))
        {
            let asked = format!("status=all&limit=2&sort={direction}{key}{filter}");
            let mut cursor = String::new();
            loop {
                let query = Query::parse(Some(&format!("{asked}{cursor}"))).unwrap();
                let (request, page) = AssignmentsRequest::parse_page("acme", query).unwrap();
                let organization = request.organization.as_deref();
                let scope = organization
                    .map_or(Scope::Account, |id| Scope::Organizations(tree.subtree(id)));
                let read = store
                    .assignment_page("acme", &request, &page, 0, (&scope, &tree))
                    .await
                    .unwrap();
                let viewed = store.assignments("acme", &request, &page, 0).await.unwrap();
                assert_eq!(read, viewed, "{asked}{cursor}");
                let place = (&scope, &tree);
                let few = store.few_assignments("acme", &request, &page, 0, place).await.unwrap();
                assert_eq!(few, Some(viewed), "{asked}{cursor}");
                let many = store.many_assignments("acme", &request, &page, 0, place).await.unwrap();
                assert_eq!(many, read, "{asked}{cursor}");
                let (rows, total) = read;
                let report = AssignmentsReport::assemble(
                    &"acme".into(),
                    &request,
                    &page,
                    Zone::UTC,
                    rows,
                    total,
                );
                rows_seen += report.rows.len();
                let Some(next) = report.next_cursor else { break };
                cursor = format!("&cursor={next}");
            }
        }
    }
    assert!(rows_seen > 100, "{rows_seen}");
}

/// Plan records, one a line, in the order of the log.
fn plan_lines(facts: &QuotaFacts) -> String {
    let line = |record: &seatmeter::report::window::PlanRecord| {
        let kind = match record.kind {
            PlanKind::Started => "started",
            PlanKind::Upgraded => "upgraded",
            PlanKind::Adjusted => "adjusted",
        };
        let quota = record.monthly_quota.map_or("\\N".to_owned(), |quota| quota.to_string());
        format!("{}\t{kind}\t{}\t{quota}\n", record.time_ms, record.plan)
    };
    facts.records.iter().map(line).collect()
}

/// Used tests by quota month, of all days and up to one, one a line.
fn used_lines(facts: &QuotaFacts, as_of_day: Day) -> String {
    let mut months: BTreeMap<(i64, u32), (u64, u64)> = BTreeMap::new();
    for row in &facts.used {
        let (used, to_as_of) = months.entry((row.anchor_ms, row.month)).or_default();
        *used += row.tests;
        *to_as_of += if row.day <= as_of_day { row.tests } else { 0 };
    }
    let line = |((anchor_ms, month), (used, to_as_of))| {
        format!("{anchor_ms}\t{month}\t{used}\t{to_as_of}\n")
    };
    months.into_iter().map(line).collect()
}

/// What is read of all organizations of accounts together, without the days after one.
async fn of_accounts(store: &Store, accounts: Accounts<'_>, day: Day) -> AccountQuota {
    let mut found = store.quota_facts_from(accounts, day).await.unwrap();
    let mut quota = found.remove("acme").unwrap_or_default();
    for facts in quota.organizations.values_mut() {
        facts.used.retain(|row| row.day <= day);
    }
    quota
}

#[tokio::test]
async fn plans_and_what_is_used_are_those_of_the_views() {
    let database = filled().await;
    let store = database.store();
    let mut used = 0;
    for as_of_day in [0, 12, 31, 33, 34, 40].map(day) {
        let all = store.quota_facts("acme", &Scope::Account, as_of_day).await.unwrap();
        let acme = ["acme".to_owned()];
        for accounts in [
            Accounts::These(&acme),
            Accounts::Behind { after: "", upto: None },
            Accounts::Behind { after: "acm", upto: Some("acme") },
        ] {
            let read = of_accounts(store, accounts, as_of_day).await;
            let zone = database.text("SELECT timezone FROM accounts WHERE account_id = 'acme'");
            assert_eq!(read.zone.unwrap().to_string(), zone.trim());
            for (id, facts) in &all {
                let together = &read.organizations.get(id).cloned().unwrap_or_default();
                assert_eq!(plan_lines(together), plan_lines(facts), "{id} {as_of_day}");
                let used = |facts| used_lines(facts, as_of_day);
                assert_eq!(used(together), used(facts), "{id} {as_of_day}");
            }
        }
        let elsewhere = Accounts::Behind { after: "acme", upto: Some("acmf") };
        assert_eq!(of_accounts(store, elsewhere, as_of_day).await, AccountQuota::default());
        for organization in ORGANIZATIONS {
            let history = store
                .quota_history_facts(&"acme".into(), &organization.into(), as_of_day)
                .await
                .unwrap();
            let viewed = database.text(&format!(
                "SELECT toUnixTimestamp64Milli(time), kind, plan, monthly_quota FROM plans WHERE \
                 account_id = 'acme' AND organization_id = '{organization}' \
                 ORDER BY time, source, offset"
            ));
            assert_eq!(plan_lines(&history), viewed, "{organization}");
            let viewed = database.text(&format!(
                "SELECT toUnixTimestamp64Milli(anchor) AS a, month AS m, used, used_to_last_day \
                 FROM quota_months(account = 'acme', organization = '{organization}', \
                 last_day = '{as_of_day}') ORDER BY a, m"
            ));
            assert_eq!(used_lines(&history, as_of_day), viewed, "{organization} {as_of_day}");
            let scope = Scope::Organizations(vec![organization]);
            let alone = store.quota_facts("acme", &scope, as_of_day).await.unwrap();
            let (alone, among_all) = (alone.get(organization), all.get(organization));
            let facts = |facts: Option<&QuotaFacts>| {
                let facts = facts.cloned().unwrap_or_default();
                (plan_lines(&facts), used_lines(&facts, as_of_day), facts.week_tests)
            };
            assert_eq!(facts(alone), facts(among_all), "{organization} {as_of_day}");
            let (plans, running, week) = facts(alone);
            assert_eq!(plans, plan_lines(&history));
            let viewed = database.text(&format!(
                "SELECT toUnixTimestamp64Milli(anchor) AS a, month AS m, sum(used), sum(used) \
                 FROM quota_usage_daily WHERE account_id = 'acme' \
                 AND organization_id = '{organization}' \
                 AND day BETWEEN toDate('{as_of_day}') - 40 AND '{as_of_day}' \
                 GROUP BY anchor, month ORDER BY a, m"
            ));
            assert_eq!(running, viewed, "{organization} {as_of_day}");
            let viewed = database.text(&format!(
                "SELECT sum(run) FROM test_executions_daily WHERE account_id = 'acme' \
                 AND organization_id = '{organization}' \
                 AND day BETWEEN toDate('{as_of_day}') - 7 AND toDate('{as_of_day}') - 1"
            ));
            assert_eq!(format!("{week}\n"), viewed, "{organization} {as_of_day}");
            used += week;
        }
    }
    assert!(used > 0, "tests ran");
}

#[tokio::test]
async fn tests_of_days_are_those_of_the_view() {
    let database = filled().await;
    let store = database.store();
    let mut tests = 0;
    for asked in [
        "as_of=2026-04-10T12:00:00Z&from=2026-03-01&to=2026-04-10",
        "as_of=2026-04-04T12:00:00Z&from=2026-03-02&to=2026-03-02",
        "as_of=2026-04-10T12:00:00Z&from=2020-01-01&to=2021-12-31&interval=year",
    ] {
        let mut query = Query::parse(Some(asked)).unwrap();
        let period = PeriodRequest::take(&mut query).unwrap().resolve(Zone::UTC, 0).unwrap();
        let wanted = WantedDays::by(&period);
        for (organization, project) in ORGANIZATIONS
            .into_iter()
            .flat_map(|id| [None, Some("p1"), Some("p2")].map(|project| (id, project)))
        {
            let mut counts = store
                .test_counts(
                    &"acme".into(),
                    &organization.into(),
                    project.map(ProjectId::from).as_ref(),
                    &wanted,
                )
                .await
                .unwrap();
            counts.sort_unstable_by_key(|count| count.day);
            let found: Vec<String> = counts
                .iter()
                .map(|c| format!("{}\t{}\t{}\t{}", c.day, c.run, c.uploaded, c.duration_ms))
                .collect();
            // The view takes consecutive days: each is asked for once.
            let mut viewed = std::collections::BTreeSet::new();
            for (first, last) in wanted.ranges() {
                let first_days: Vec<String> =
                    (first.0..=last.0).map(|day| format!("'{}'", Day(day))).collect();
                let text = database.text(&format!(
                    "SELECT first_day, run, uploaded, duration_ms FROM test_activity(\
                     account = 'acme', organization = '{organization}', project = '{}', \
                     first_days = [{}], last_day = '{last}')",
                    project.unwrap_or_default(),
                    first_days.join(", ")
                ));
                viewed.extend(text.lines().map(str::to_owned));
            }
            assert_eq!(found, viewed.into_iter().collect::<Vec<_>>(), "{asked} {organization}");
            tests += counts.iter().map(|count| count.run).sum::<u64>();
        }
    }
    assert!(tests > 0, "tests ran");
}
