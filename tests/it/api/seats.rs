//! Seats, active users and assignments in situations that are easy to get wrong.

use serde_json::{Value, json};

use super::support::{Account, Api, event};

fn seat<'t>(
    kind: &'static str,
    time: &'t str,
    organization: &str,
    user: &str,
) -> (&'static str, &'t str, Value) {
    (kind, time, json!({"organization_id": organization, "user_id": user}))
}

fn login<'t>(time: &'t str, user: &str) -> (&'static str, &'t str, Value) {
    ("user.login", time, json!({"user_id": user}))
}

fn organization(id: &str, parent: Option<&str>) -> (&'static str, &'static str, Value) {
    (
        "organization.updated",
        "2026-01-01T00:00:00Z",
        json!({"organization_id": id, "name": id.to_uppercase(), "parent_id": parent}),
    )
}

/// (purchased, assigned, activated) at the instant.
fn history(account: &Account, as_of: &str, organization: &str) -> [u64; 3] {
    let filter = if organization.is_empty() {
        String::new()
    } else {
        format!("&organization_id={organization}")
    };
    let day = &as_of[..10];
    let report = account.report(&format!("/licenses/history?as_of={as_of}&from={day}{filter}"));
    let point = &report["points"].as_array().unwrap().last().unwrap();
    ["purchased", "assigned", "activated"].map(|name| point[name].as_u64().unwrap())
}

/// The only assignment of the account.
fn only_assignment(account: &Account) -> Value {
    let report = account.report("/licenses/assignments?status=all");
    assert_eq!(report["total"], 1);
    report["rows"][0].clone()
}

#[test]
fn figures_stand_as_of_strictly_before_the_instant() {
    let account = Account::counted(&[
        ("license.purchased", "2026-03-01T10:00:00Z", json!({"seats": 5})),
        seat("license.assigned", "2026-03-01T11:00:00Z", "o", "u"),
        login("2026-03-01T12:00:00Z", "u"),
        seat("license.revoked", "2026-03-01T13:00:00Z", "o", "u"),
    ]);
    for (as_of, expected) in [
        ("2026-03-01T10:00:00Z", [0, 0, 0]),
        ("2026-03-01T10:00:00.001Z", [5, 0, 0]),
        ("2026-03-01T11:00:00Z", [5, 0, 0]),
        ("2026-03-01T11:00:00.001Z", [5, 1, 0]),
        ("2026-03-01T12:00:00Z", [5, 1, 0]),
        ("2026-03-01T12:00:00.001Z", [5, 1, 1]),
        ("2026-03-01T13:00:00Z", [5, 1, 1]),
        ("2026-03-01T13:00:00.001Z", [5, 0, 0]),
    ] {
        assert_eq!(history(&account, as_of, ""), expected, "as of {as_of}");
    }
}

#[test]
fn the_latest_figure_wins_by_time_then_by_log_order() {
    let account = Account::counted(&[
        ("license.purchased", "2026-03-02T00:00:00Z", json!({"seats": 20})),
        ("license.purchased", "2026-03-01T00:00:00Z", json!({"seats": 10})),
        ("license.purchased", "2026-03-02T00:00:00Z", json!({"seats": 30})),
        ("license.allocated", "2026-03-01T00:00:00Z", json!({"organization_id": "o", "seats": 7})),
        organization("below", Some("o")),
        (
            "license.allocated",
            "2026-03-01T00:00:00Z",
            json!({"organization_id": "below", "seats": 3}),
        ),
    ]);
    assert_eq!(history(&account, "2026-03-01T12:00:00Z", "")[0], 10);
    assert_eq!(history(&account, "2026-03-02T12:00:00Z", "")[0], 30);
    assert_eq!(
        history(&account, "2026-03-02T12:00:00Z", "o")[0],
        7,
        "an organization's own allocation, not its subtree's"
    );
    assert_eq!(history(&account, "2026-03-02T12:00:00Z", "unheard-of"), [0, 0, 0]);
}

#[test]
fn a_reassignment_within_a_day_opens_a_fresh_seat() {
    let account = Account::counted(&[
        seat("license.assigned", "2026-03-01T08:00:00Z", "o", "u"),
        login("2026-03-01T09:00:00Z", "u"),
        seat("license.assigned", "2026-03-01T10:00:00Z", "o", "u"),
    ]);
    assert_eq!(history(&account, "2026-03-01T09:30:00Z", ""), [0, 1, 1]);
    assert_eq!(history(&account, "2026-03-02T00:00:00Z", ""), [0, 1, 0]);
    let row = only_assignment(&account);
    assert_eq!(row["last_assignment"], "2026-03-01T10:00:00.000Z");
    assert_eq!((&row["activated"], &row["last_active_use"]), (&json!(false), &Value::Null));
}

#[test]
fn revoked_and_assigned_at_the_same_instant() {
    let revoked_first = Account::counted(&[
        seat("license.assigned", "2026-03-01T08:00:00Z", "o", "u"),
        seat("license.revoked", "2026-03-01T10:00:00Z", "o", "u"),
        seat("license.assigned", "2026-03-01T10:00:00Z", "o", "u"),
    ]);
    assert_eq!(history(&revoked_first, "2026-03-01T10:00:00Z", ""), [0, 1, 0]);
    assert_eq!(history(&revoked_first, "2026-03-01T12:00:00Z", ""), [0, 1, 0]);
    assert_eq!(only_assignment(&revoked_first)["status"], "active");

    let assigned_first = Account::counted(&[
        seat("license.assigned", "2026-03-01T10:00:00Z", "o", "u"),
        seat("license.revoked", "2026-03-01T10:00:00Z", "o", "u"),
        seat("license.assigned", "2026-03-01T10:00:00Z", "o", "u"),
    ]);
    assert_eq!(
        history(&assigned_first, "2026-03-01T12:00:00Z", ""),
        [0, 0, 0],
        "a redelivery changes nothing"
    );
    assert_eq!(only_assignment(&assigned_first)["status"], "revoked");
}

#[test]
fn a_late_login_into_a_closed_interval_activates_it() {
    let account = Account::counted(&[
        seat("license.assigned", "2026-03-01T08:00:00Z", "o", "u"),
        seat("license.revoked", "2026-03-02T08:00:00Z", "o", "u"),
        login("2026-03-01T20:00:00Z", "u"),
    ]);
    assert_eq!(history(&account, "2026-03-02T00:00:00Z", ""), [0, 1, 1]);
    let row = only_assignment(&account);
    assert_eq!((&row["status"], &row["activated"]), (&json!("revoked"), &json!(true)));
    assert_eq!(row["last_active_use"], "2026-03-01T20:00:00.000Z");
}

#[test]
fn a_late_revocation_cuts_the_last_use_or_takes_the_activation() {
    let account = Account::counted(&[
        seat("license.assigned", "2026-03-01T08:00:00Z", "o", "u"),
        login("2026-03-01T09:00:00Z", "u"),
        login("2026-03-01T20:00:00Z", "u"),
        seat("license.revoked", "2026-03-01T12:00:00Z", "o", "u"),
    ]);
    assert_eq!(only_assignment(&account)["last_active_use"], "2026-03-01T12:00:00.000Z");
    let account = Account::counted(&[
        seat("license.assigned", "2026-03-01T08:00:00Z", "o", "u"),
        login("2026-03-01T09:00:00Z", "u"),
        seat("license.revoked", "2026-03-01T09:00:00Z", "o", "u"),
    ]);
    let row = only_assignment(&account);
    assert_eq!((&row["activated"], &row["last_active_use"]), (&json!(false), &Value::Null));
    assert_eq!(history(&account, "2026-03-01T09:00:00Z", ""), [0, 1, 0]);
}

/// An account with a tree of organizations, circles, and organizations below them.
fn with_circles() -> Account {
    Account::counted(&[
        organization("top", None),
        organization("mid", Some("top")),
        organization("leaf", Some("mid")),
        organization("own", Some("own")),
        organization("ring-1", Some("ring-2")),
        organization("ring-2", Some("ring-1")),
        organization("hook", Some("ring-1")),
        organization("orphan", Some("nobody")),
        seat("license.assigned", "2026-03-01T08:00:00Z", "top", "u"),
        seat("license.assigned", "2026-03-01T08:00:00Z", "leaf", "u"),
        seat("license.assigned", "2026-03-01T08:00:00Z", "ring-1", "u"),
        seat("license.assigned", "2026-03-01T08:00:00Z", "hook", "u"),
        seat("license.assigned", "2026-03-01T08:00:00Z", "orphan", "u"),
    ])
}

#[test]
fn an_organization_covers_its_subtree_and_circles_end() {
    let account = with_circles();
    let assigned = |organization| history(&account, "2026-03-02T00:00:00Z", organization)[1];
    assert_eq!(assigned(""), 5);
    assert_eq!([assigned("top"), assigned("mid"), assigned("leaf"), assigned("own")], [2, 1, 1, 0]);
    assert_eq!(
        [assigned("ring-1"), assigned("ring-2"), assigned("hook"), assigned("nobody")],
        [2, 2, 1, 1]
    );

    let report = account.report("/organizations");
    let listed: Vec<_> = report["organizations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|organization| {
            let text = |name: &str| organization[name].as_str().unwrap_or("-");
            format!("{} < {}: {}", text("organization_id"), text("parent_id"), text("path"))
        })
        .collect();
    assert_eq!(
        listed,
        [
            "own < -: OWN",
            "ring-2 < ring-1: RING-1 / RING-2",
            "ring-1 < ring-2: RING-2 / RING-1",
            "hook < ring-1: RING-2 / RING-1 / HOOK",
            "top < -: TOP",
            "mid < top: TOP / MID",
            "leaf < mid: TOP / MID / LEAF",
            "nobody < -: nobody",
            "orphan < nobody: nobody / ORPHAN",
        ]
    );
}

#[test]
fn series_cover_the_subtrees_of_direct_children() {
    let account = with_circles();
    let series = |query: &str| -> Vec<(String, u64)> {
        let report = account.report(&format!(
            "/licenses/usage?group_by=organization&as_of=2026-03-02T00:00:00Z&from=2026-03-01&\
            to=2026-03-01{query}"
        ));
        assert!(report.get("points").is_none());
        let series = report["series"].as_array().unwrap().iter();
        series
            .map(|one| {
                (
                    one["organization_id"].as_str().unwrap().to_owned(),
                    one["points"][0]["assigned"].as_u64().unwrap(),
                )
            })
            .collect()
    };
    let owned = |expected: &[(&str, u64)]| {
        expected.iter().map(|&(id, n)| (id.to_owned(), n)).collect::<Vec<_>>()
    };
    assert_eq!(
        series(""),
        owned(&[("nobody", 1), ("own", 0), ("top", 2)]),
        "a circle is top-level nowhere"
    );
    assert_eq!(series("&organization_id=top"), owned(&[("mid", 1)]));
    assert_eq!(series("&organization_id=ring-1"), owned(&[("hook", 1), ("ring-2", 2)]));
    assert_eq!(series("&organization_id=leaf"), owned(&[]));
    assert_eq!(series("&organization_id=unheard-of"), owned(&[]));
}

#[test]
fn active_users_are_distinct_in_every_period() {
    let action = |time, organization: Option<&str>, user: &str| {
        ("user.action", time, json!({"user_id": user, "organization_id": organization}))
    };
    let account = Account::counted(&[
        organization("o", None),
        organization("p", Some("o")),
        action("2026-03-02T08:00:00Z", Some("o"), "u"),
        action("2026-03-02T23:59:59.999Z", Some("p"), "u"),
        action("2026-03-02T09:00:00Z", None, "v"),
        action("2026-03-03T00:00:00Z", Some("p"), "u"),
        action("2026-03-03T00:00:00Z", Some("p"), "18446744073709551615"),
        (
            "test.executed",
            "2026-03-04T00:00:00Z",
            json!({"organization_id": "p", "user_id": 9, "origin": "upload"}),
        ),
        (
            "test.executed",
            "2026-03-04T00:00:00Z",
            json!({"organization_id": "p", "origin": "upload"}),
        ),
    ]);
    let usage = |query: &str| {
        let report = account.report(&format!(
            "/licenses/usage?as_of=2026-03-05T00:00:00Z&from=2026-03-02&to=2026-03-08{query}"
        ));
        let points = report["points"].as_array().unwrap().iter();
        points
            .map(|point| {
                let number = |name: &str| point[name].as_u64().unwrap();
                let average = point["average_daily_active_users"].to_string();
                (number("active_users"), number("peak_daily_active_users"), average)
            })
            .collect::<Vec<_>>()
    };
    let row = |users, peak, average: &str| (users, peak, average.to_owned());
    assert_eq!(usage(""), [row(2, 2, "2.0"), row(2, 2, "2.0"), row(1, 1, "1.0"), row(0, 0, "0.0")]);
    assert_eq!(
        usage("&interval=week"),
        [row(4, 2, "1.25")],
        "5 user days over the 4 days up to that of as_of"
    );
    assert_eq!(usage("&interval=week&organization_id=o"), [row(3, 2, "1.0")]);
    assert_eq!(usage("&interval=week&organization_id=p"), [row(3, 2, "1.0")]);
}

#[test]
fn names_are_those_of_now_by_time_then_log_order() {
    let account = Account::counted(&[
        ("user.updated", "2026-03-02T00:00:00Z", json!({"user_id": "u", "name": "New"})),
        (
            "user.updated",
            "2026-03-01T00:00:00Z",
            json!({"user_id": "u", "name": "Old", "email": "u@example.com"}),
        ),
        (
            "project.updated",
            "2026-03-01T00:00:00Z",
            json!({"organization_id": "o", "project_id": 7, "name": "Seven"}),
        ),
        (
            "project.updated",
            "2026-03-01T00:00:00Z",
            json!({"organization_id": "p", "project_id": 7, "name": "Other"}),
        ),
        (
            "license.assigned",
            "2026-03-01T00:00:00Z",
            json!({"organization_id": "o", "user_id": "u", "project_id": 7}),
        ),
    ]);
    let row = only_assignment(&account);
    assert_eq!(
        row,
        json!({
            "user_id": "u", "user": "New", "email": "u@example.com",
            "license_source": account.id, "organization_id": "o", "organization": "o",
            "project_id": "7", "project": "Seven",
            "last_assignment": "2026-03-01T00:00:00.000Z", "last_active_use": null,
            "activated": false, "status": "active",
        })
    );
}

#[test]
fn project_filters_both_the_points_and_the_week() {
    let run = |time, project: &str, tests: u64| {
        (
            "test.executed",
            time,
            json!({"organization_id": "o", "project_id": project, "origin": "run", "tests": tests}),
        )
    };
    let account = Account::counted(&[
        run("2026-03-04T00:00:00Z", "p", 1),
        run("2026-03-04T00:00:00Z", "q", 10),
        run("2026-03-10T00:00:00Z", "p", 100),
        (
            "test.executed",
            "2026-03-10T00:00:00Z",
            json!({"organization_id": "o", "origin": "upload", "tests": 1000}),
        ),
    ]);
    let figures = |query: &str| {
        let report = account.report(&format!(
            "/organizations/o/test-activity?as_of=2026-03-11T00:00:00Z&from=2026-03-10{query}"
        ));
        (
            report["points"][0]["executions"].as_u64().unwrap(),
            report["preceding_week"]["executions"].as_u64().unwrap(),
        )
    };
    assert_eq!(figures(""), (1100, 11));
    assert_eq!(figures("&project_id=p"), (100, 1));
    assert_eq!(figures("&project_id=unheard-of"), (0, 0));
}

#[test]
fn a_comparison_that_does_not_fit_into_memory_is_the_same_as_one_that_does() {
    let api = Api::open();
    let organizations = 300;
    let mut events = Vec::new();
    for organization in 0..organizations {
        let name =
            json!({"account_id": "a", "organization_id": format!("o{organization}"), "name": "x"});
        events.push(event("organization.updated", "2024-01-01T00:00:00Z", &name));
        if organization % 3 == 0 {
            let user = format!("u{organization}");
            let data = json!({
                "account_id": "a", "organization_id": format!("o{organization}"), "user_id": user,
            });
            events.push(event("license.assigned", "2025-06-01T00:00:00Z", &data));
            events.push(event("user.login", "2025-07-01T00:00:00Z", &data));
            events.push(event("user.login", "2025-07-02T00:00:00Z", &data));
        }
    }
    api.count(&events);
    // 300 organizations by 1,000 days are streamed; 500 by 500 are not.
    let days = |from: &str, to: &str| {
        format!(
            "/v1/accounts/a/licenses/usage?group_by=organization&from={from}&to={to}&\
            as_of=2026-06-01T00:00:00Z"
        )
    };
    let path = days("2023-07-08", "2026-04-02");
    let answer = api.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let whole = answer.json();
    let [early, late] = [("2023-07-08", "2024-11-18"), ("2024-11-19", "2026-04-02")]
        .map(|(from, to)| api.report(&days(from, to)));
    assert_eq!(whole["series"].as_array().unwrap().len(), organizations);
    for (index, series) in whole["series"].as_array().unwrap().iter().enumerate() {
        let points = |report: &Value| report["series"][index]["points"].as_array().unwrap().clone();
        assert_eq!(series["organization_id"], early["series"][index]["organization_id"]);
        assert!(
            *series["points"].as_array().unwrap() == [points(&early), points(&late)].concat(),
            "{index}"
        );
    }
    assert!(
        whole["series"][0]["points"]
            .as_array()
            .unwrap()
            .iter()
            .any(|point| point["active_users"] == 1)
    );
    for field in ["account_id", "organization_id", "timezone", "interval", "data_through"] {
        assert_eq!(whole[field], late[field], "{field}");
    }
    let tag = answer.header("etag").unwrap();
    assert_eq!(api.request("GET", &path, &[("if-none-match", tag)]).status, 304);
}
