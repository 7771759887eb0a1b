//! What the API reads from the tables by queries of its own, and what the documented views say: one
//! and the same.

use seatmeter::core::calendar::{Day, Zone};
use seatmeter::report::assignments::{AssignmentsReport, AssignmentsRequest, SortKey};
use seatmeter::report::period::DayRanges;
use seatmeter::report::query::Query;
use seatmeter::report::tree::OrganizationTree;
use seatmeter::store::{Scope, Series, Store};

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
async fn seats_and_users_of_organizations_are_those_of_the_views() {
    let database = filled().await;
    let (store, tree) = (database.store(), tree(database.store()).await);
    let edges_ms: Vec<i64> = (-30..60).step_by(3).map(|days| hour(days * 24 + 1)).collect();
    let first_days: Vec<Day> = (-7..63).step_by(7).map(day).collect();
    let days = DayRanges { first_days, last_day: day(69) };
    let mut found = 0;
    for organization in [None].into_iter().chain(ORGANIZATIONS.map(Some)) {
        let scope =
            organization.map_or(Scope::Account, |id| Scope::Organizations(tree.subtree(id)));
        let seats = store.seats_at("acme", organization, &scope, &edges_ms).await.unwrap();
        let mut viewed = store.license_history("acme", organization, &edges_ms).await.unwrap();
        viewed.sort_unstable_by_key(|count| count.edge_ms);
        assert_eq!(seats, viewed, "{organization:?}");
        found += seats.last().unwrap().assigned;
        let mut users =
            store.active_users_in("acme", organization, &scope, Some(&days)).await.unwrap();
        let mut viewed = store.active_users("acme", organization, Some(&days)).await.unwrap();
        users.sort_unstable_by_key(|row| row.first_day);
        viewed.sort_unstable_by_key(|row| row.first_day);
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
    let mut seats = store.assigned_by_series("acme", &series, edges_ms).await.unwrap();
    let mut viewed = store.seats_by_organization("acme", organization, edges_ms).await.unwrap();
    for rows in [&mut seats, &mut viewed] {
        rows.retain(|(_, _, assigned)| *assigned > 0);
        rows.sort_unstable();
    }
    assert_eq!(seats, viewed, "{organization:?}");
    let mut users = store.active_users_by_series("acme", &series, Some(days)).await.unwrap();
    let mut viewed =
        store.active_users_by_organization("acme", organization, Some(days)).await.unwrap();
    for rows in [&mut users, &mut viewed] {
        rows.sort_unstable_by(|a, b| (&a.0, a.1.first_day).cmp(&(&b.0, b.1.first_day)));
    }
    assert_eq!(users, viewed, "{organization:?}");
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
                let (rows, total) = read;
                let report =
                    AssignmentsReport::assemble("acme", &request, &page, Zone::UTC, rows, total);
                rows_seen += report.rows.len();
                let Some(next) = report.next_cursor else { break };
                cursor = format!("&cursor={next}");
            }
        }
    }
    assert!(rows_seen > 100, "{rows_seen}");
}
