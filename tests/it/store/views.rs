//! Views of seats, trees and purchases, as an analyst sees them.

use std::collections::HashMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use seatmeter::core::id::Id;
use seatmeter::core::rollup::{
    DirectoryEntry, Entity, Field, LaneRows, LicenseFact, OrganizationSeen, SeatFact, SeatFactKind,
    SeatUsage, Source,
};

use super::{TestDatabase, hour, id, rows, source};
use crate::support::seat_intervals;

const ASSIGNED: SeatFactKind = SeatFactKind::Assigned;
const REVOKED: SeatFactKind = SeatFactKind::Revoked;

fn seat(kind: SeatFactKind, hours: i64, source: &Source, offset: u64) -> SeatFact {
    SeatFact {
        account: id("acme"),
        organization: id("42"),
        user: id("7"),
        time_ms: hour(hours),
        kind,
        source: source.name(),
        offset,
        project: (kind == ASSIGNED).then(|| id(&format!("p{offset}"))),
        license_source: (kind == ASSIGNED).then(|| id("acme")),
    }
}

fn usage(start: i64, first: i64, last: i64) -> SeatUsage {
    SeatUsage {
        account: id("acme"),
        organization: id("42"),
        user: id("7"),
        start_ms: hour(start),
        first_active_ms: hour(first),
        last_active_ms: hour(last),
    }
}

/// Checks the intervals of one seat: (start, end, first activity, last activity, is the latest),
/// hours since 2026-03-01, and the project, which identifies the record that opened it.
async fn check_intervals(facts: Vec<SeatFact>, usages: Vec<SeatUsage>, expected: &str) {
    let database = TestDatabase::migrated().await;
    // Each row is in its own part, some twice, and stays there.
    database.execute("SYSTEM STOP MERGES");
    let intervals = seat_intervals(&facts, &usages);
    let (even, odd): (Vec<_>, Vec<_>) =
        intervals.into_iter().enumerate().partition(|(index, _)| index % 2 == 0);
    for (_, interval) in odd.iter().chain(&even).chain(&odd) {
        write(&database, |rows| rows.seat_intervals = vec![interval.clone()]).await;
    }
    let hours = |column: &str| {
        format!(
            "if(isNull({column}), '-', toString(dateDiff('hour', toDateTime64('2026-03-01', 3, \
            'UTC'), {column})))"
        )
    };
    let sql = format!(
        "SELECT concat(project_id, ' ', {}, ' ', {}, ' ', {}, ' ', {}, if(latest, ' latest', '')) \
         FROM license_intervals ORDER BY start",
        hours("start"),
        hours("end"),
        hours("first_active"),
        hours("last_active")
    );
    let actual = database.text(&sql);
    assert_eq!(actual.lines().collect::<Vec<_>>().join("; "), expected);
    let activated = database
        .text("SELECT countIf(activated != isNotNull(first_active)) FROM license_intervals");
    assert_eq!(activated, "0\n");
}

async fn write(database: &TestDatabase, fill: impl FnOnce(&mut LaneRows)) {
    let mut rows = rows(&source(0), 1_000);
    fill(&mut rows);
    database.store().write_rows(&[rows]).await.unwrap();
}

#[tokio::test]
async fn an_interval_runs_to_the_next_fact_of_either_kind() {
    let s = source(0);
    check_intervals(
        vec![
            seat(ASSIGNED, 0, &s, 1),
            seat(ASSIGNED, 10, &s, 2),
            seat(REVOKED, 20, &s, 3),
            seat(REVOKED, 30, &s, 4),
        ],
        vec![],
        "p1 0 10 - -; p2 10 20 - - latest",
    )
    .await;
}

#[tokio::test]
async fn a_redelivered_fact_is_the_first_in_the_log() {
    let s = source(0);
    check_intervals(
        vec![
            seat(ASSIGNED, 0, &s, 9),
            seat(ASSIGNED, 0, &s, 1),
            seat(REVOKED, 5, &s, 2),
            seat(REVOKED, 5, &s, 11),
        ],
        vec![usage(0, 1, 2)],
        "p1 0 5 1 2 latest",
    )
    .await;
}

#[tokio::test]
async fn facts_of_the_same_time_go_by_log_order() {
    let s = source(0);
    check_intervals(
        vec![seat(ASSIGNED, 0, &s, 1), seat(REVOKED, 10, &s, 2), seat(ASSIGNED, 10, &s, 3)],
        vec![],
        "p1 0 10 - -; p3 10 - - - latest",
    )
    .await;
    check_intervals(
        vec![seat(ASSIGNED, 10, &s, 2), seat(REVOKED, 10, &s, 3)],
        vec![usage(10, 11, 12)],
        "p2 10 10 - - latest",
    )
    .await;
}

#[tokio::test]
async fn sources_are_ordered_by_name_and_offsets_as_numbers() {
    let (old, new) = (Source::new("usage-events", "a", 0), Source::new("usage-events", "b", 0));
    check_intervals(
        vec![
            seat(ASSIGNED, 0, &new, 1),
            seat(ASSIGNED, 0, &old, 200),
            seat(REVOKED, 10, &old, 1_000),
        ],
        vec![],
        "p200 0 10 - - latest",
    )
    .await;
    let s = source(0);
    check_intervals(
        vec![seat(ASSIGNED, 0, &s, 10), seat(ASSIGNED, 0, &s, 9)],
        vec![],
        "p9 0 - - - latest",
    )
    .await;
}

#[tokio::test]
async fn a_late_end_takes_back_activity_and_activation() {
    let s = source(0);
    let facts = vec![seat(ASSIGNED, 0, &s, 1), seat(REVOKED, 10, &s, 2)];
    check_intervals(facts.clone(), vec![usage(0, 4, 9)], "p1 0 10 4 9 latest").await;
    check_intervals(facts.clone(), vec![usage(0, 4, 10)], "p1 0 10 4 10 latest").await;
    check_intervals(facts.clone(), vec![usage(0, 4, 50)], "p1 0 10 4 10 latest").await;
    check_intervals(facts.clone(), vec![usage(0, 10, 50)], "p1 0 10 - - latest").await;
    check_intervals(facts, vec![usage(0, 6, 7), usage(0, 4, 5)], "p1 0 10 4 7 latest").await;
}

#[tokio::test]
async fn a_revocation_alone_and_use_without_a_seat_show_nothing() {
    let s = source(0);
    check_intervals(vec![seat(REVOKED, 0, &s, 1)], vec![usage(3, 4, 5)], "").await;
}

fn parent(organization: &str, parent: &str) -> DirectoryEntry {
    DirectoryEntry {
        account: id("acme"),
        entity: Entity::Organization(id(organization)),
        field: Field::Parent,
        time_ms: hour(0),
        source: source(0).name(),
        offset: 1,
        value: parent.into(),
    }
}

/// A database with a tree of organizations, given as (organization, parent).
async fn tree(links: &[(String, String)]) -> TestDatabase {
    let database = TestDatabase::migrated().await;
    write(&database, |rows| {
        rows.directory =
            links.iter().map(|(organization, above)| parent(organization, above)).collect();
        let seen = |organization: &String| OrganizationSeen {
            account: id("acme"),
            organization: Some(id(organization)),
        };
        rows.organizations = links.iter().map(|(organization, _)| seen(organization)).collect();
        rows.organizations
            .push(OrganizationSeen { account: id("other"), organization: Some(id("root")) });
    })
    .await;
    database
}

fn links(links: &[(&str, &str)]) -> Vec<(String, String)> {
    links.iter().map(|(organization, parent)| ((*organization).into(), (*parent).into())).collect()
}

fn subtree(database: &TestDatabase, organization: &str) -> String {
    let sql = "SELECT organization_id, depth FROM organization_subtree(account = 'acme', \
        organization = {o:String}) \
               ORDER BY depth, organization_id";
    database
        .text_of(sql, &[("o", organization)])
        .lines()
        .map(|line| line.replace('\t', ":"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[tokio::test]
async fn trees_survive_circles_own_parents_and_unknown_ones() {
    let database = tree(&links(&[
        ("root", ""),
        ("left", "root"),
        ("right", "root"),
        ("leaf", "left"),
        ("self", "self"),
        ("below-self", "self"),
        ("a", "b"),
        ("b", "c"),
        ("c", "a"),
        ("hanger", "a"),
        ("orphan", "nobody-knows"),
    ]))
    .await;
    assert_eq!(subtree(&database, "root"), "root:0 left:1 right:1 leaf:2");
    assert_eq!(subtree(&database, "leaf"), "leaf:0");
    assert_eq!(subtree(&database, "self"), "self:0 below-self:1");
    assert_eq!(subtree(&database, "a"), "a:0 c:1 hanger:1 b:2");
    assert_eq!(subtree(&database, "orphan"), "orphan:0");
    assert_eq!(subtree(&database, "nobody-knows"), "", "an unknown organization is an empty one");
    let paths = database.text(
        "SELECT organization_id, path FROM organization_paths WHERE account_id = 'acme' ORDER BY \
        organization_id",
    );
    assert_eq!(
        paths.replace('\t', " = "),
        "a = c / b / a\nb = a / c / b\nbelow-self = self / below-self\nc = b / a / c\nhanger = c / \
        b / a / hanger\n\
         leaf = root / left / leaf\nleft = root / left\norphan = orphan\nright = root / \
         right\nroot = root\nself = self\n"
    );
    let mismatch =
        "SELECT count() FROM organization_paths WHERE has(ancestors, organization_id) = 0";
    assert_eq!(database.text(mismatch), "0\n");
}

/// The ids from the top down to an organization, by walking up one step at a time: up to a top, the
/// parent that is not known, or the first that would come twice.
fn ancestors(links: &HashMap<String, String>, organization: &str) -> Vec<String> {
    let mut path = vec![organization.to_owned()];
    let mut at = organization;
    while let Some(above) = links.get(at).filter(|above| !above.is_empty() && !path.contains(above))
    {
        path.push(above.clone());
        at = above;
    }
    path.reverse();
    path
}

/// Compares the views of the trees with a walk, and the subtrees of some organizations.
async fn check_trees(links: &[(String, String)], tops: &[&str]) {
    let database = tree(links).await;
    let known: HashMap<_, _> = links.iter().cloned().collect();
    let mut walked: Vec<_> =
        known.keys().map(|organization| ancestors(&known, organization)).collect();
    walked.sort_by(|one, other| one.last().cmp(&other.last()));
    let lines = |paths: &[Vec<String>]| {
        paths.iter().fold(String::new(), |text, path| text + &path.join(" ") + "\n")
    };

    let select = "SELECT arrayStringConcat(ancestors, ' ') FROM";
    let of_tree = database
        .text(&format!("{select} organization_tree(account = 'acme') ORDER BY organization_id"));
    assert!(of_tree == lines(&walked), "of {links:?} came {of_tree}");

    // An unknown organization has no name, hence no place in a path for analysts.
    for path in &mut walked {
        path.retain(|organization| known.contains_key(organization));
    }
    let of_paths = database.text(&format!(
        "{select} organization_paths WHERE account_id = 'acme' ORDER BY organization_id"
    ));
    assert!(of_paths == lines(&walked), "of {links:?} came {of_paths}");

    for organization in tops.iter().copied() {
        let mut below: Vec<_> = walked
            .iter()
            .filter_map(|path| {
                let place = path.iter().position(|id| id == organization)?;
                Some(format!("{}:{}", path.last()?, path.len() - 1 - place))
            })
            .collect();
        below.sort_unstable();
        let mut of_subtree: Vec<_> =
            subtree(&database, organization).split(' ').map(str::to_owned).collect();
        of_subtree.sort_unstable();
        assert_eq!(of_subtree, below, "below {organization} of {links:?}");
    }
}

#[tokio::test]
async fn trees_of_any_shape_are_as_a_walk_finds_them() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut links = Vec::new();
    for tree in 0..30 {
        let count = random.random_range(1..80);
        let above = |random: &mut ChaCha8Rng| match random.random_range(0..10) {
            0 => String::new(),
            1 => format!("{tree}-unknown-{}", random.random_range(0..3)),
            _ => format!("{tree}-{}", random.random_range(0..count)),
        };
        links.extend((0..count).map(|n| (format!("{tree}-{n}"), above(&mut random))));
    }
    check_trees(&links, &["0-0", "1-0", "2-0", "3-0"]).await;
}

/// A chain of organizations, each below the one before.
fn chain(length: u32) -> Vec<(String, String)> {
    let above =
        |n: u32| n.checked_sub(1).map_or(String::new(), |above| format!("{length}-{above}"));
    (0..length).map(|n| (format!("{length}-{n}"), above(n))).collect()
}

#[tokio::test]
async fn a_chain_or_a_circle_of_organizations_may_be_as_deep_as_it_likes() {
    let lengths = [1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 32, 33, 300];
    let mut links: Vec<_> = lengths.into_iter().flat_map(chain).collect();
    check_trees(&links, &["17-0", "300-200"]).await;
    for (organization, parent) in &mut links {
        if let Some(length) = organization.strip_suffix("-0") {
            *parent = format!("{length}-{}", length.parse::<u32>().unwrap() - 1);
        }
    }
    check_trees(&links, &["17-0", "300-200"]).await;
}

#[tokio::test]
async fn the_rounds_of_a_deep_tree_are_few() {
    let database = tree(&chain(1_010)).await;
    for view in ["organization_tree(account = 'acme')", "organization_paths"] {
        let sql = format!(
            "SELECT countIf(length(ancestors) > 1), max(length(ancestors)) FROM {view} \
             SETTINGS max_recursive_cte_evaluation_depth = 12"
        );
        assert_eq!(database.text(&sql), "1009\t1010\n", "{view}");
    }
    // Levels are walked one by one: more of them than the default limit of recursion.
    let sql = "SELECT count(), max(depth) FROM organization_subtree(account = 'acme', organization \
        = '1010-1')";
    assert_eq!(database.text(sql), "1009\t1008\n");
}

#[tokio::test]
async fn assignments_show_the_latest_seat_with_names() {
    let database = TestDatabase::migrated().await;
    let s = source(0);
    let named = |entity, field, value: &str| DirectoryEntry {
        entity,
        field,
        value: value.into(),
        ..parent("", "")
    };
    write(&database, |rows| {
        rows.seat_facts = vec![
            seat(ASSIGNED, 0, &s, 1),
            seat(REVOKED, 5, &s, 2),
            seat(ASSIGNED, 10, &s, 3),
            SeatFact {
                user: id("8"),
                organization: id("43"),
                project: None,
                ..seat(ASSIGNED, 0, &s, 4)
            },
            SeatFact {
                user: id("8"),
                organization: id("43"),
                project: None,
                ..seat(REVOKED, 9, &s, 5)
            },
        ];
        let usages =
            [usage(0, 1, 4), SeatUsage { user: id("8"), organization: id("43"), ..usage(0, 1, 2) }];
        rows.seat_intervals = seat_intervals(&rows.seat_facts, &usages);
        rows.directory = vec![
            named(Entity::Organization(id("42")), Field::Name, "Quality"),
            named(Entity::Organization(id("42")), Field::Parent, "41"),
            named(Entity::Organization(id("41")), Field::Name, "Engineering"),
            named(Entity::User(id("7")), Field::Name, "Ann"),
            named(Entity::User(id("7")), Field::Email, "ann@acme.example"),
            named(
                Entity::Project { organization: id("42"), project: id("p3") },
                Field::Name,
                "Checkout",
            ),
            // A project is identified by its organization too.
            named(
                Entity::Project { organization: id("43"), project: id("p3") },
                Field::Name,
                "Another",
            ),
        ];
        let seen = ["41", "42", "43"]
            .map(|o| OrganizationSeen { account: id("acme"), organization: Some(id(o)) });
        rows.organizations = seen.to_vec();
    })
    .await;
    let sql = "SELECT user_id, user, email, license_source, organization_id, organization, \
        project_id, project, \
               last_assignment, last_active_use, activated, status FROM license_assignments ORDER \
               BY user_id";
    assert_eq!(
        database.text(sql),
        "7\tAnn\tann@acme.example\tacme\t42\tEngineering / Quality\tp3\tCheckout\t2026-03-01 \
        10:00:00.000\t\\N\tfalse\t\
         active\n\
         8\t8\t\\N\tacme\t43\t43\t\\N\t\\N\t2026-03-01 00:00:00.000\t2026-03-01 \
         02:00:00.000\ttrue\trevoked\n"
    );
    // A reader's settings must not change the answer of a view.
    let with_nulls = format!("{sql} SETTINGS join_use_nulls = 1");
    assert_eq!(database.text(&with_nulls), database.text(sql));
}

#[tokio::test]
async fn purchases_hold_until_the_next_one() {
    let database = TestDatabase::migrated().await;
    let fact = |organization: Option<&str>, hours, offset, seats| LicenseFact {
        account: id("acme"),
        organization: organization.map(Id::from_text),
        time_ms: hour(hours),
        source: source(0).name(),
        offset,
        seats,
    };
    write(&database, |rows| {
        rows.license_facts = vec![
            fact(None, 0, 1, 10),
            fact(None, 48, 9, 30),
            fact(None, 24, 20, 20),
            fact(None, 24, 3, 15),
            fact(Some("42"), 0, 4, 0),
        ];
    })
    .await;
    assert_eq!(
        database
            .text("SELECT organization_id, start, end, seats FROM license_purchases ORDER BY ALL"),
        "\t2026-03-01 00:00:00.000\t2026-03-02 00:00:00.000\t10\n\
         \t2026-03-02 00:00:00.000\t2026-03-02 00:00:00.000\t15\n\
         \t2026-03-02 00:00:00.000\t2026-03-03 00:00:00.000\t20\n\
         \t2026-03-03 00:00:00.000\t\\N\t30\n\
         42\t2026-03-01 00:00:00.000\t\\N\t0\n"
    );
}
