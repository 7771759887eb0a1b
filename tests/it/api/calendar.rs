//! Days and months that are hard to get right.

use serde_json::{Value, json};

use super::support::Account;

/// An account with these events, after one that sets its zone.
fn counted(zone: &str, events: &[(&str, &str, Value)]) -> Account {
    let mut log = vec![("account.updated", "2000-01-01T00:00:00Z", json!({"timezone": zone}))];
    log.extend(events.iter().cloned());
    Account::counted(&log)
}

fn login(time: &str) -> (&'static str, &str, Value) {
    ("user.login", time, json!({"user_id": 1, "organization_id": "o"}))
}

fn run(time: &str, tests: u64) -> (&'static str, &str, Value) {
    (
        "test.executed",
        time,
        json!({"organization_id": "o", "origin": "run", "tests": tests, "duration_ms": 10}),
    )
}

fn plan<'t>(kind: &'static str, time: &'t str, quota: u64) -> (&'static str, &'t str, Value) {
    (
        kind,
        time,
        json!({"organization_id": "o", "plan": format!("p{quota}"), "monthly_quota": quota}),
    )
}

/// (start, executions) of each point.
fn executions(account: &Account, query: &str) -> Vec<(String, u64)> {
    let report = account.report(&format!("/organizations/o/test-activity?{query}"));
    let points = report["points"].as_array().unwrap().iter();
    points.map(|point| (text(&point["start"]), point["executions"].as_u64().unwrap())).collect()
}

/// (start, end, month, monthly quota, used) of each quota month, newest first.
fn months(account: &Account, as_of: &str) -> Vec<(String, String, u64, u64, u64)> {
    let report = account.report(&format!("/organizations/o/quota/history?as_of={as_of}"));
    let windows = report["windows"].as_array().unwrap().iter();
    windows
        .map(|month| {
            let number = |value: &Value| value.as_u64().unwrap();
            let window = &month["window"];
            (
                text(&window["start"]),
                text(&window["end"]),
                number(&window["month"]),
                number(&month["monthly_quota"]),
                number(&month["used"]),
            )
        })
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn points(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|&(start, executions)| (start.to_owned(), executions)).collect()
}

fn windows(expected: &[(&str, &str, u64, u64, u64)]) -> Vec<(String, String, u64, u64, u64)> {
    let owned = expected.iter().map(|&(start, end, month, quota, used)| {
        (format!("{start}.000Z"), format!("{end}.000Z"), month, quota, used)
    });
    owned.collect()
}

#[test]
fn a_day_of_23_hours_and_one_of_25() {
    let account = counted(
        "Europe/Berlin",
        &[
            run("2026-03-28T22:59:59.999Z", 1),
            run("2026-03-28T23:00:00Z", 10),
            run("2026-03-29T21:59:59.999Z", 100),
            run("2026-03-29T22:00:00Z", 1000),
            run("2026-10-24T21:59:59.999Z", 2),
            run("2026-10-24T22:00:00Z", 20),
            run("2026-10-25T22:59:59.999Z", 200),
            run("2026-10-25T23:00:00Z", 2000),
        ],
    );
    let spring = executions(&account, "from=2026-03-28&to=2026-03-30");
    assert_eq!(spring, points(&[("2026-03-28", 1), ("2026-03-29", 110), ("2026-03-30", 1000)]));
    let autumn = executions(&account, "from=2026-10-24&to=2026-10-26");
    assert_eq!(autumn, points(&[("2026-10-24", 2), ("2026-10-25", 220), ("2026-10-26", 2000)]));
}

#[test]
fn a_midnight_that_is_skipped_or_repeated() {
    // Havana skips the hour from 0:00 on 8 March 2026 and repeats it on 1 November: the day starts
    // at the first of them.
    let account = counted(
        "America/Havana",
        &[
            run("2026-03-08T04:59:59Z", 1),
            run("2026-03-08T05:00:00Z", 10),
            run("2026-11-01T03:59:59Z", 100),
            run("2026-11-01T04:00:00Z", 1000),
        ],
    );
    assert_eq!(
        executions(&account, "from=2026-03-07&to=2026-03-08"),
        points(&[("2026-03-07", 1), ("2026-03-08", 10)])
    );
    assert_eq!(
        executions(&account, "from=2026-10-31&to=2026-11-01"),
        points(&[("2026-10-31", 100), ("2026-11-01", 1000)])
    );
}

#[test]
fn zones_off_the_hour() {
    for (zone, last, first) in [
        ("Asia/Kolkata", "2026-05-01T18:29:59.999Z", "2026-05-01T18:30:00Z"),
        ("Asia/Kathmandu", "2026-05-01T18:14:59.999Z", "2026-05-01T18:15:00Z"),
        ("Pacific/Chatham", "2026-05-01T11:14:59.999Z", "2026-05-01T11:15:00Z"),
        ("America/St_Johns", "2026-05-02T02:29:59.999Z", "2026-05-02T02:30:00Z"),
    ] {
        let account = counted(zone, &[run(last, 1), run(first, 10)]);
        let found = executions(&account, "from=2026-05-01&to=2026-05-02");
        assert_eq!(found, points(&[("2026-05-01", 1), ("2026-05-02", 10)]), "{zone}");
    }
}

#[test]
fn apia_has_no_30_december_2011() {
    let account = counted(
        "Pacific/Apia",
        &[
            (
                "license.assigned",
                "2011-12-20T00:00:00Z",
                json!({"organization_id": "o", "user_id": 1}),
            ),
            run("2011-12-30T09:59:59.999Z", 1),
            run("2011-12-30T10:00:00Z", 10),
        ],
    );
    let found = executions(&account, "from=2011-12-29&to=2011-12-31");
    assert_eq!(found, points(&[("2011-12-29", 1), ("2011-12-30", 0), ("2011-12-31", 10)]));
    let history = account
        .report("/licenses/history?from=2011-12-29&to=2011-12-31&as_of=2012-01-05T00:00:00Z");
    let assigned: Vec<_> = history["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["assigned"].clone())
        .collect();
    assert_eq!(assigned, [1, 1, 1]);
}

#[test]
fn weeks_start_on_monday_also_in_week_53() {
    // 2026 has 53 weeks: the last one runs from Monday 28 December to Sunday 3 January.
    let account =
        counted("UTC", &[run("2026-12-27T23:59:59Z", 1), run("2026-12-28T00:00:00Z", 10)]);
    let found = executions(
        &account,
        "from=2026-12-21&to=2027-01-05&interval=week&as_of=2027-01-06T00:00:00Z",
    );
    assert_eq!(found, points(&[("2026-12-21", 1), ("2026-12-28", 10), ("2027-01-04", 0)]));
    let report = account.report("/organizations/o/test-activity?as_of=2027-01-04T00:00:00Z");
    let week =
        json!({"start": "2026-12-28", "end": "2027-01-03", "executions": 10, "duration_ms": 10});
    assert_eq!(report["preceding_week"], week);
}

#[test]
fn years_quarters_and_months_end_where_the_calendar_says() {
    let account = counted(
        "Asia/Tokyo",
        &[
            run("2025-12-31T14:59:59.999Z", 1),
            run("2025-12-31T15:00:00Z", 10),
            run("2026-03-31T15:00:00Z", 100),
        ],
    );
    let at = "as_of=2026-06-15T00:00:00Z";
    let years = executions(&account, &format!("from=2025-06-15&to=2026-06-14&interval=year&{at}"));
    assert_eq!(years, points(&[("2025-06-15", 1), ("2026-01-01", 110)]));
    let quarters =
        executions(&account, &format!("from=2025-10-01&to=2026-06-14&interval=quarter&{at}"));
    assert_eq!(quarters, points(&[("2025-10-01", 1), ("2026-01-01", 10), ("2026-04-01", 100)]));
    let report = account.report(&format!(
        "/organizations/o/test-activity?from=2026-05-31&to=2026-12-31&interval=month&{at}"
    ));
    let edges: Vec<_> = report["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (text(&p["start"]), text(&p["end"]), p["partial"].clone()))
        .collect();
    assert_eq!(
        edges,
        [
            ("2026-05-31".to_owned(), "2026-05-31".to_owned(), json!(false)),
            ("2026-06-01".to_owned(), "2026-06-30".to_owned(), json!(true)),
        ]
    );
}

#[test]
fn anchors_on_the_29th_30th_and_31st() {
    for (anchor, starts) in [
        ("2027-01-29", ["2027-02-28", "2027-03-29", "2027-04-29"]),
        ("2027-01-30", ["2027-02-28", "2027-03-30", "2027-04-30"]),
        ("2027-01-31", ["2027-02-28", "2027-03-31", "2027-04-30"]),
    ] {
        // Events may be an hour ahead of their record at most, so the anchor is in the year before,
        // which has the same shape.
        let (anchor, starts) =
            (anchor.replace("2027", "2026"), starts.map(|start| start.replace("2027", "2026")));
        let started = format!("{anchor}T12:00:00Z");
        let second = format!("{}T00:00:00Z", starts[0]);
        let account = counted("UTC", &[plan("plan.started", &started, 10), run(&second, 3)]);
        let found = months(&account, "2026-05-01T00:00:00Z");
        let at = |day: &str| format!("{day}T00:00:00");
        let noon = format!("{anchor}T12:00:00");
        let (second, third, fourth) = (at(&starts[0]), at(&starts[1]), at(&starts[2]));
        let end = at(&starts[2]
            .replace("-04-", "-05-")
            .replace("-05-30", if anchor.ends_with("31") { "-05-31" } else { "-05-30" }));
        let expected = [
            (fourth.as_str(), end.as_str(), 4, 10, 0),
            (third.as_str(), fourth.as_str(), 3, 10, 0),
            (second.as_str(), third.as_str(), 2, 10, 3),
            (noon.as_str(), second.as_str(), 1, 10, 0),
        ];
        assert_eq!(found, windows(&expected), "{anchor}");
    }
}

#[test]
fn a_leap_february() {
    let account = counted(
        "UTC",
        &[
            plan("plan.started", "2024-01-31T12:00:00Z", 10),
            run("2024-02-29T00:00:00Z", 3),
            run("2024-02-28T23:59:59Z", 1),
        ],
    );
    let expected = [
        ("2024-02-29T00:00:00", "2024-03-31T00:00:00", 2, 10, 3),
        ("2024-01-31T12:00:00", "2024-02-29T00:00:00", 1, 10, 1),
    ];
    assert_eq!(months(&account, "2024-03-15T00:00:00Z"), windows(&expected));
}

#[test]
fn an_upgrade_in_the_middle_of_a_month_starts_at_0_at_once() {
    let account = counted(
        "America/New_York",
        &[
            plan("plan.started", "2026-01-10T17:00:00Z", 10),
            run("2026-02-11T12:00:00Z", 4),
            plan("plan.upgraded", "2026-02-15T17:00:00Z", 100),
            run("2026-02-15T16:59:59Z", 1),
            run("2026-02-15T17:00:00Z", 7),
        ],
    );
    let expected = [
        ("2026-02-15T17:00:00", "2026-03-15T04:00:00", 1, 100, 7),
        ("2026-02-10T05:00:00", "2026-02-15T17:00:00", 2, 10, 5),
        ("2026-01-10T17:00:00", "2026-02-10T05:00:00", 1, 10, 0),
    ];
    assert_eq!(months(&account, "2026-03-01T00:00:00Z"), windows(&expected));
    let quota = account.report("/organizations/o/quota?as_of=2026-03-01T00:00:00Z");
    assert_eq!(
        (&quota["used"], &quota["status"], &quota["grace"]["until"]),
        (&json!(7), &json!("within"), &json!("2026-05-15T04:00:00.000Z"))
    );
    // As of before the upgrade it is unknown, but the figures cover whole days.
    let quota = account.report("/organizations/o/quota?as_of=2026-02-15T16:00:00Z");
    assert_eq!(
        (&quota["window"]["end"], &quota["used"]),
        (&json!("2026-03-10T04:00:00.000Z"), &json!(5))
    );
}

#[test]
fn an_upgrade_on_the_day_of_an_upgrade() {
    let account = counted(
        "UTC",
        &[
            plan("plan.started", "2026-01-10T00:00:00Z", 10),
            plan("plan.upgraded", "2026-01-20T08:00:00Z", 20),
            run("2026-01-20T09:00:00Z", 2),
            plan("plan.upgraded", "2026-01-20T16:00:00Z", 30),
            run("2026-01-20T17:00:00Z", 3),
            plan("plan.adjusted", "2026-01-20T18:00:00Z", 40),
        ],
    );
    let expected = [
        ("2026-01-20T16:00:00", "2026-02-20T00:00:00", 1, 40, 3),
        ("2026-01-20T08:00:00", "2026-01-20T16:00:00", 1, 20, 2),
        ("2026-01-10T00:00:00", "2026-01-20T08:00:00", 1, 10, 0),
    ];
    assert_eq!(months(&account, "2026-01-31T00:00:00Z"), windows(&expected));
}

#[test]
fn a_month_that_starts_at_as_of_has_begun_and_its_day_counts() {
    let account = counted(
        "UTC",
        &[plan("plan.started", "2026-01-10T12:00:00Z", 10), run("2026-02-10T18:00:00Z", 4)],
    );
    let quota = |as_of: &str| account.get(&format!("/organizations/o/quota?as_of={as_of}"));
    assert_eq!(quota("2026-01-10T11:59:59.999Z").status, 404);
    assert_eq!(quota("2026-01-10T12:00:00Z").json()["window"]["month"], 1);
    assert_eq!(quota("2026-02-09T23:59:59.999Z").json()["used"], 0);
    let begun = quota("2026-02-10T00:00:00Z").json();
    assert_eq!((&begun["window"]["month"], &begun["used"]), (&json!(2), &json!(4)));
}

#[test]
fn a_late_plan_draws_the_months_anew_and_moves_nothing_that_was_counted() {
    let account = counted(
        "UTC",
        &[
            plan("plan.started", "2026-01-01T00:00:00Z", 10),
            run("2026-01-15T00:00:00Z", 4),
            run("2026-02-15T00:00:00Z", 5),
            plan("plan.upgraded", "2026-01-20T00:00:00Z", 20),
            run("2026-02-16T00:00:00Z", 6),
        ],
    );
    let expected = [
        ("2026-01-20T00:00:00", "2026-02-20T00:00:00", 1, 20, 6),
        ("2026-01-01T00:00:00", "2026-01-20T00:00:00", 1, 10, 4),
    ];
    assert_eq!(
        months(&account, "2026-02-18T00:00:00Z"),
        windows(&expected),
        "the 5 of a month that is gone are not reported"
    );
}

#[test]
fn a_change_of_zone_keeps_the_days_that_were_counted() {
    let account = counted(
        "UTC",
        &[
            login("2026-05-01T23:30:00Z"),
            run("2026-05-01T23:30:00Z", 1),
            ("account.updated", "2026-05-02T00:00:00Z", json!({"timezone": "Asia/Tokyo"})),
            run("2026-05-01T23:40:00Z", 10),
        ],
    );
    let report = account.report("/organizations/o/test-activity?from=2026-05-01&to=2026-05-02");
    assert_eq!(report["timezone"], "Asia/Tokyo");
    let found = executions(&account, "from=2026-05-01&to=2026-05-02");
    assert_eq!(found, points(&[("2026-05-01", 1), ("2026-05-02", 10)]));
}

#[test]
fn a_bucket_is_partial_until_its_last_day_is_over() {
    let account = counted("Asia/Kathmandu", &[login("2026-05-01T00:00:00Z")]);
    let partial = |as_of: &str| {
        let report = account.report(&format!(
            "/licenses/usage?from=2026-05-01&to=2026-05-02&interval=month&as_of={as_of}"
        ));
        report["points"]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| point["partial"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(partial("2026-04-30T18:14:59.999Z"), [] as [Value; 0]);
    assert_eq!(partial("2026-04-30T18:15:00Z"), [true]);
    assert_eq!(partial("2026-05-02T18:14:59.999Z"), [true]);
    assert_eq!(partial("2026-05-02T18:15:00Z"), [false]);
}

#[test]
fn as_of_defaults_to_now_and_to_its_day() {
    let account = counted("Pacific/Kiritimati", &[login("2026-05-01T00:00:00Z")]);
    let before = chrono::Utc::now().timestamp_millis();
    let report = account.report("/licenses/history");
    let after = chrono::Utc::now().timestamp_millis();
    let day = |time_ms| {
        seatmeter::core::calendar::day_of("Pacific/Kiritimati".parse().unwrap(), time_ms)
            .to_string()
    };
    let to = text(&report["to"]);
    assert!(to == day(before) || to == day(after), "{to}");
    assert_eq!(report["points"].as_array().unwrap().len(), 30);
}
