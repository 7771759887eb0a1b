//! The license usage: its summary, and its CSV export.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::exports::assert_file_of_today;
use super::support::{Account, Api, event};

/// Lines of the CSV export, each as its cells; they must say what the report says.
#[track_caller]
pub(crate) fn csv_agrees(csv: &[u8], report: &Value) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    let lines: Vec<Vec<String>> = reader
        .records()
        .map(|record| record.unwrap().iter().map(str::to_owned).collect())
        .collect();
    let of_points = |organization: Option<&str>, points: &Value| {
        let lines = points.as_array().unwrap().iter().map(|point| {
            let text = |name: &str| match &point[name] {
                Value::String(text) => text.clone(),
                Value::Number(number) if number.is_f64() => {
                    format!("{:.2}", number.as_f64().unwrap())
                }
                other => other.to_string(),
            };
            let figures = [
                "start",
                "end",
                "assigned",
                "active_users",
                "peak_daily_active_users",
                "average_daily_active_users",
            ];
            let organization = organization.map(str::to_owned).into_iter();
            organization.chain(figures.map(text)).collect::<Vec<String>>()
        });
        lines.collect::<Vec<_>>()
    };
    let expected: Vec<Vec<String>> = match report["series"].as_array() {
        None => of_points(None, &report["points"]),
        Some(series) => series
            .iter()
            .flat_map(|one| of_points(one["organization_id"].as_str(), &one["points"]))
            .collect(),
    };
    // The organization's path is in no report of usage.
    let is_by_organization = report["points"].is_null();
    let found = lines[1..].iter().map(|line| {
        let mut line = line.clone();
        if is_by_organization {
            line.remove(1);
        }
        line
    });
    assert!(found.collect::<Vec<_>>() == expected, "the export says something else");
    lines
}

fn account() -> Account {
    let updated = |id: &str, name: &str, parent: Option<&str>| {
        let data = json!({"organization_id": id, "name": name, "parent_id": parent});
        ("organization.updated", "2026-01-01T00:00:00Z", data)
    };
    let login = |time, organization: &str, user: &str| {
        ("user.login", time, json!({"organization_id": organization, "user_id": user}))
    };
    let seat = |kind, time, organization: &str, user: &str| {
        (kind, time, json!({"organization_id": organization, "user_id": user}))
    };
    Account::counted(&[
        updated("top", "=Top, the first", None),
        updated("below", "Below", Some("top")),
        updated("quiet", "Quiet", None),
        seat("license.assigned", "2026-02-01T00:00:00Z", "top", "u"),
        seat("license.assigned", "2026-02-01T00:00:00Z", "below", "v"),
        seat("license.assigned", "2026-02-01T00:00:00Z", "below", "w"),
        seat("license.revoked", "2026-03-05T12:00:00Z", "below", "w"),
        login("2026-03-01T10:00:00Z", "top", "u"),
        login("2026-03-02T10:00:00Z", "below", "v"),
        login("2026-03-03T10:00:00Z", "top", "u"),
        login("2026-03-03T11:00:00Z", "below", "u"),
        login("2026-03-03T12:00:00Z", "below", "w"),
        login("2026-03-04T10:00:00Z", "top", "v"),
        login("2026-03-04T11:00:00Z", "top", "w"),
        login("2026-03-05T10:00:00Z", "top", "x"),
        ("user.login", "2026-03-06T10:00:00Z", json!({"user_id": "y"})),
        seat("license.assigned", "2026-04-01T00:00:00Z", "quiet", "z"),
    ])
}

const MARCH: &str = "from=2026-03-01&to=2026-03-10&as_of=2026-03-07T12:00:00Z";

#[test]
fn the_summary_is_that_of_the_whole_range() {
    let account = account();
    let summary =
        |query: &str| account.report(&format!("/licenses/usage?{query}"))["summary"].clone();
    let expected = json!({
        "assigned": 2,
        "active_users": 5,
        "peak_daily_active_users": 2,
        "peak_day": "2026-03-03",
        "average_daily_active_users": 1.14,
        "active_percent": 250.0,
    });
    for interval in ["day", "week", "month", "year"] {
        assert_eq!(summary(&format!("{MARCH}&interval={interval}")), expected, "{interval}");
    }
    assert_eq!(
        summary(&format!("{MARCH}&organization_id=below")),
        json!({
            "assigned": 1,
            "active_users": 3,
            "peak_daily_active_users": 2,
            "peak_day": "2026-03-03",
            "average_daily_active_users": 0.43,
            "active_percent": 300.0,
        })
    );
    let nobody = |assigned: u64, percent: Value| {
        json!({
            "assigned": assigned,
            "active_users": 0,
            "peak_daily_active_users": 0,
            "peak_day": null,
            "average_daily_active_users": 0.0,
            "active_percent": percent,
        })
    };
    assert_eq!(summary(&format!("{MARCH}&organization_id=quiet")), nobody(0, Value::Null));
    assert_eq!(summary(&format!("{MARCH}&organization_id=unheard-of")), nobody(0, Value::Null));
    assert_eq!(
        summary("from=2026-05-01&to=2026-05-31&as_of=2026-03-07T12:00:00Z"),
        nobody(2, json!(0.0)),
        "a range ahead of as_of has the seats of as_of and no day"
    );
    assert_eq!(
        summary("from=2026-03-01&to=2026-03-04&as_of=2026-03-07T12:00:00Z")["active_percent"],
        json!(100.0),
        "w holds a seat at the end of the range"
    );
}

#[test]
fn each_series_has_its_summary() {
    let account = account();
    let report = account.report(&format!("/licenses/usage?{MARCH}&group_by=organization"));
    assert_eq!((&report["summary"], &report["points"]), (&Value::Null, &Value::Null));
    let summaries: Vec<(&str, &Value)> = report["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| (series["organization_id"].as_str().unwrap(), &series["summary"]))
        .collect();
    let of = |organization: &str| {
        let report =
            account.report(&format!("/licenses/usage?{MARCH}&organization_id={organization}"));
        report["summary"].clone()
    };
    assert_eq!(summaries, [("quiet", &of("quiet")), ("top", &of("top"))]);
    assert_eq!(of("top")["active_users"], 4);
}

#[test]
fn usage_comes_as_csv_too() {
    let account = account();
    let query = format!("/licenses/usage?{MARCH}&interval=week");
    let answer = account.get(&format!("{query}&format=csv"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"));
    assert_file_of_today(&answer, "license-usage");
    assert_eq!(
        answer.text(),
        "Start,End,Assigned,Active Users,Peak Daily Active Users,Average Daily Active Users\r\n\
         2026-03-01,2026-03-01,3,1,1,1.00\r\n\
         2026-03-02,2026-03-08,2,5,2,1.17\r\n"
    );
    csv_agrees(&answer.body, &account.report(&query));
    let by_organization = format!("{query}&group_by=organization");
    let answer = account.get(&format!("{by_organization}&format=csv"));
    let lines = csv_agrees(&answer.body, &account.report(&by_organization));
    assert_eq!(
        lines[0].join(","),
        "Organization ID,Organization,Start,End,Assigned,Active Users,Peak Daily Active Users,\
         Average Daily Active Users"
    );
    assert_eq!(lines[1][..2], ["quiet", "Quiet"]);
    assert_eq!(lines[3][..2], ["top", "'=Top, the first"], "a formula is defused");
    let answer = account.get(&format!("{by_organization}&organization_id=top&format=csv"));
    let lines = csv_agrees(
        &answer.body,
        &account.report(&format!("{by_organization}&organization_id=top")),
    );
    assert_eq!(lines[1][..2], ["below", "'=Top, the first / Below"], "named by its path");
}

#[test]
fn a_large_comparison_is_streamed_in_either_form() {
    let api = Api::open();
    let (organizations, mut events) = (300, Vec::new());
    for organization in 0..organizations {
        let id = format!("o{organization}");
        let name = json!({"account_id": "a", "organization_id": id, "name": "x, y"});
        events.push(event("organization.updated", "2024-01-01T00:00:00Z", &name));
        for (user, days) in (0..organization % 4).zip(1..) {
            let data = json!({"account_id": "a", "organization_id": id, "user_id": user});
            events.push(event("license.assigned", "2025-06-01T00:00:00Z", &data));
            for day in 1..=days {
                events.push(event("user.login", &format!("2025-07-0{day}T00:00:00Z"), &data));
            }
        }
    }
    api.count(&events);
    // 300 organizations by 1,000 days are streamed; the same by 143 weeks are not.
    let path = |interval: &str| {
        format!(
            "/v1/accounts/a/licenses/usage?group_by=organization&from=2023-07-08&to=2026-04-02&\
             as_of=2026-06-01T00:00:00Z&interval={interval}"
        )
    };
    let (days, weeks) = (api.report(&path("day")), api.report(&path("week")));
    for index in 0..organizations {
        assert_eq!(days["series"][index]["summary"], weeks["series"][index]["summary"]);
    }
    let busy = days["series"].as_array().unwrap().iter().find(|one| one["organization_id"] == "o3");
    assert_eq!(
        busy.unwrap()["summary"],
        json!({
            "assigned": 3,
            "active_users": 3,
            "peak_daily_active_users": 3,
            "peak_day": "2025-07-01",
            "average_daily_active_users": 0.01,
            "active_percent": 100.0,
        })
    );
    let answer = api.get(&format!("{}&format=csv", path("day")));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = csv_agrees(&answer.body, &days);
    assert_eq!(lines.len(), 1 + organizations * 1000);
    assert_eq!(lines[1][..2], ["o0", "x, y"]);
    let tag = answer.header("etag").unwrap();
    let known = |format: &str| {
        let path = format!("{}&format={format}", path("day"));
        api.request("GET", &path, &[("if-none-match", tag)]).status
    };
    assert_eq!((known("csv"), known("json")), (304, 200));
}

/// Of a large account, active users of past days and assigned seats are kept between answers:
/// whatever comes in, however late, an answer is that of an API that has kept nothing.
/// Questions about 760 days: with 200 organizations enough to keep parts.
fn usage_paths() -> Vec<String> {
    ["", "&group_by=organization", "&organization_id=o2", "&organization_id=o7"]
        .into_iter()
        .flat_map(|of| {
            ["day", "month", "year"].map(|interval| {
                let from = if interval == "day" { "2024-03-01" } else { "2024-02-15" };
                format!(
                    "/v1/accounts/a/licenses/usage?from={from}&to=2026-03-30&interval={interval}\
                     &as_of=2026-04-01T00:00:00Z{of}"
                )
            })
        })
        .collect()
}

#[test]
fn what_is_kept_hides_nothing_that_was_counted_later() {
    let api = Api::open();
    let named = |organization: usize, parent: usize| {
        let parent = (organization >= 5).then(|| format!("o{parent}"));
        let id = format!("o{organization}");
        let data = json!({"account_id": "a", "organization_id": id, "parent_id": parent});
        event("organization.updated", "2024-01-01T00:00:00Z", &data)
    };
    let of_user = |kind: &str, time: &str, organization: usize, user: &str| {
        let id = format!("o{organization}");
        event(kind, time, &json!({"account_id": "a", "organization_id": id, "user_id": user}))
    };
    let login =
        |time: &str, organization, user: &str| of_user("user.login", time, organization, user);
    let mut events: Vec<String> = (0..200).map(|id| named(id, id % 5)).collect();
    for day in 0..28 {
        for (month, users) in [("2024-05", 3), ("2025-02", 2), ("2026-02", 4), ("2026-03", 5)] {
            let time = format!("{month}-{:02}T12:00:00Z", day + 1);
            events.push(login(&time, day % 30, &format!("u{}", day % users)));
            events.push(login(&time, (day + 7) % 30, &format!("text-{}", day % users)));
        }
    }
    let paths = usage_paths();
    let steps = [
        events,
        vec![login("2026-03-30T08:00:00Z", 7, "new today")],
        vec![
            login("2026-03-29T08:00:00Z", 2, "new yesterday"),
            login("2026-03-30T09:00:00Z", 2, "u1"),
        ],
        vec![login("2026-03-03T08:00:00Z", 12, "late this month")],
        vec![login("2024-02-29T08:00:00Z", 3, "very late"), login("2026-03-30T10:00:00Z", 3, "u2")],
        // A user and a day that are known already, of another organization.
        vec![login("2025-02-10T12:00:00Z", 22, "u0")],
        vec![of_user("license.assigned", "2026-03-30T00:00:00Z", 7, "holder")],
        vec![of_user("license.assigned", "2024-04-01T00:00:00Z", 2, "old holder")],
        vec![of_user("license.revoked", "2026-01-01T00:00:00Z", 2, "old holder")],
        vec![event(
            "organization.updated",
            "2024-01-02T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o7", "parent_id": "o3"}),
        )],
    ];
    let mut answers = BTreeSet::new();
    for events in &steps {
        api.count(events);
        let fresh = api.beside(|_| {});
        for path in &paths {
            let [kept, fresh] = [&api, &fresh].map(|api| {
                let mut report = api.report(path);
                report["data_through"].take();
                report.to_string()
            });
            assert_eq!(kept, fresh, "{path}");
            answers.insert(kept);
        }
    }
    assert!(answers.len() > 4 * steps.len(), "the steps change the answers");
}
