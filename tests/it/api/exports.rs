//! CSV exports.

use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use serde_json::json;

use super::support::{Answer, Api, event};

static EXPORTED: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    let user = |id: &str, name: &str, email: Option<&str>| {
        event(
            "user.updated",
            "2026-01-01T00:00:00Z",
            &json!({"account_id": "a", "user_id": id, "name": name, "email": email}),
        )
    };
    let assigned = |user: &str, project: Option<&str>, license_source: &str| {
        let data = json!({
            "account_id": "a", "organization_id": "o", "user_id": user, "project_id": project,
            "license_source": license_source,
        });
        event("license.assigned", "2026-01-02T03:04:05.678Z", &data)
    };
    api.count(&[
        event(
            "organization.updated",
            "2026-01-01T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "name": "Quality, \"Q\""}),
        ),
        event(
            "project.updated",
            "2026-01-01T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "project_id": "7", "name": "@SUM(A1)",
            }),
        ),
        user("1", "=cmd|' /C calc'!A0", Some("+1@example.com")),
        user("2", "two\nlines", None),
        assigned("1", Some("7"), "-reseller"),
        assigned("2", None, "a"),
        assigned("3", None, "a"),
        event("user.login", "2026-01-03T00:00:00Z", &json!({"account_id": "a", "user_id": "2"})),
        event(
            "license.revoked",
            "2026-01-04T00:00:00Z",
            &json!({"account_id": "a", "organization_id": "o", "user_id": "3"}),
        ),
        event(
            "plan.started",
            "2026-01-01T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "plan": "=plan", "monthly_quota": 10,
            }),
        ),
        event(
            "plan.upgraded",
            "2026-01-10T12:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "plan": "big", "monthly_quota": null,
            }),
        ),
        event(
            "test.executed",
            "2026-01-05T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "origin": "run", "tests": 184,
                "duration_ms": 5,
            }),
        ),
        event(
            "test.executed",
            "2026-01-06T00:00:00Z",
            &json!({
                "account_id": "a", "organization_id": "o", "origin": "upload", "tests": 3,
                "duration_ms": 7,
            }),
        ),
    ]);
    api
});

/// The answer is a file with this name and the date of today. The account's zone is UTC. A test
/// that runs at its midnight may see either day.
#[track_caller]
pub(crate) fn assert_file_of_today(answer: &Answer, name: &str) {
    let now = chrono::Utc::now();
    let expected = [now, now - chrono::TimeDelta::minutes(1)]
        .map(|day| format!("attachment; filename=\"{name}-{}.csv\"", day.format("%F")));
    let found = answer.header("content-disposition").unwrap();
    assert!(expected.iter().any(|name| name == found), "{found}");
}

#[test]
fn a_byte_order_mark_comes_on_request() {
    for (path, name) in [
        ("licenses/assignments", "license-assignments"),
        ("organizations/o/quota/history", "quota-history"),
        ("organizations/o/test-activity", "test-activity"),
    ] {
        let path = format!("/v1/accounts/a/{path}?format=csv");
        let plain = EXPORTED.get(&path);
        let marked = EXPORTED.get(&format!("{path}&bom=true"));
        assert_file_of_today(&marked, name);
        assert_eq!(marked.body, ["\u{feff}".as_bytes(), &plain.body[..]].concat(), "{path}");
        assert_eq!(EXPORTED.get(&format!("{path}&bom=false")).body, plain.body, "{path}");
    }
    let refused = EXPORTED.get("/v1/accounts/a/licenses/assignments?bom=true");
    assert_eq!((refused.status, &refused.json()["parameter"]), (400, &json!("bom")));
}

#[test]
fn assignments_come_with_formulas_defused() {
    let answer = EXPORTED.get("/v1/accounts/a/licenses/assignments?format=csv");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"));
    assert_file_of_today(&answer, "license-assignments");
    assert_eq!(
        answer.text(),
        "User,Email,License Source,Organization,TestOps Project,Last Assignment,Last Active Use\r\n\
         '=cmd|' /C calc'!A0,'+1@example.com,'-reseller,\"Quality, \
         \"\"Q\"\"\",'@SUM(A1),2026-01-02T03:04:05.678Z,\r\n\
         \"two\nlines\",,a,\"Quality, \
         \"\"Q\"\"\",,2026-01-02T03:04:05.678Z,2026-01-03T00:00:00.000Z\r\n"
    );
}

#[test]
fn the_accept_header_asks_for_csv_too() {
    let path = "/v1/accounts/a/licenses/assignments?status=all&sort=-user";
    let by_header = EXPORTED.request("GET", path, &[("accept", "text/csv")]);
    let by_parameter = EXPORTED.get(&format!("{path}&format=csv"));
    assert_eq!(by_header.body, by_parameter.body);
    let users: Vec<String> = csv::Reader::from_reader(&by_header.body[..])
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    assert_eq!(
        users,
        ["two\nlines", "'=cmd|' /C calc'!A0", "3"],
        "all filtered rows, in the order asked for"
    );
    let json = EXPORTED.request("GET", &format!("{path}&format=json"), &[("accept", "text/csv")]);
    assert_eq!(json.json()["total"], 3);
}

#[test]
fn an_export_has_a_tag_that_changes_with_its_lines() {
    let api = Api::open();
    let seat = |user: &str| {
        let data = json!({"account_id": "a", "organization_id": "o", "user_id": user});
        event("license.assigned", "2026-01-02T00:00:00Z", &data)
    };
    api.count(&[seat("1"), seat("2")]);
    let path = "/v1/accounts/a/licenses/assignments?format=csv";
    let tag = |path: &str| api.get(path).header("etag").unwrap().to_owned();
    let first = tag(path);
    assert_eq!(first, tag(path));
    let poll = |tag: &str| api.request("GET", path, &[("if-none-match", tag)]);
    assert_eq!((poll(&first).status, poll(&first).body.len()), (304, 0));
    assert_ne!(first, tag(&format!("{path}&sort=-user")), "the order is part of the answer");
    assert_ne!(first, tag(&path.replace("?format=csv", "")), "and so is the form");
    // A new name, a new use and a new seat each change it.
    let mut seen = vec![first];
    let renamed = json!({"account_id": "a", "user_id": "1", "email": "1@example.com"});
    let used = json!({"account_id": "a", "user_id": "2"});
    for change in [
        event("user.updated", "2026-01-01T00:00:00Z", &renamed),
        event("user.login", "2026-01-03T00:00:00Z", &used),
        seat("3"),
    ] {
        api.count(&[change]);
        let answer = poll(seen.last().unwrap());
        assert_eq!(answer.status, 200);
        let tag = answer.header("etag").unwrap().to_owned();
        assert!(!seen.contains(&tag));
        seen.push(tag);
    }
}

#[test]
fn an_export_has_no_pages() {
    for parameter in ["limit", "cursor"] {
        let answer =
            EXPORTED.get(&format!("/v1/accounts/a/licenses/assignments?format=csv&{parameter}=1"));
        assert_eq!(
            (answer.status, answer.json()["parameter"].as_str().unwrap().to_owned()),
            (400, parameter.to_owned())
        );
    }
    let answer = EXPORTED.get("/v1/accounts/nobody/licenses/assignments?format=csv");
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, Some("application/problem+json"))
    );
}

#[test]
fn an_empty_export_has_its_header() {
    let answer = EXPORTED.get("/v1/accounts/a/licenses/assignments?format=csv&user=unheard-of");
    assert_eq!(
        answer.text(),
        "User,Email,License Source,Organization,TestOps Project,Last Assignment,Last Active Use\r\n"
    );
}

#[test]
fn the_quota_history_keeps_its_numbers() {
    let answer = EXPORTED
        .get("/v1/accounts/a/organizations/o/quota/history?format=csv&as_of=2026-01-20T00:00:00Z");
    assert_eq!(
        answer.text(),
        "Start,End,Plan,Monthly Quota,Allowance,Used,Balance,Status\r\n\
         2026-01-10T12:00:00.000Z,2026-02-10T00:00:00.000Z,big,,,0,,within\r\n\
         2026-01-01T00:00:00.000Z,2026-01-10T12:00:00.000Z,'=plan,10,13,184,-174,exhausted\r\n"
    );
}

#[test]
fn the_usage_report_has_a_line_per_bucket() {
    let answer = EXPORTED.get(
        "/v1/accounts/a/organizations/o/test-activity?format=csv&from=2026-01-05&to=2026-01-07",
    );
    assert_eq!(
        answer.text(),
        "Date,Tests Run,Tests Uploaded,Test Duration (ms)\r\n\
         2026-01-05,184,0,5\r\n2026-01-06,0,3,7\r\n2026-01-07,0,0,0\r\n"
    );
}

#[test]
fn an_export_of_many_rows_arrives_whole_and_in_order() {
    let api = Api::open();
    let users = 2_345;
    let events: Vec<String> = (0..users)
        .map(|user| {
            let data = json!({
                "account_id": "a", "organization_id": "o", "user_id": format!("u{user:05}"),
            });
            event("license.assigned", "2026-01-02T00:00:00Z", &data)
        })
        .collect();
    api.count(&events);
    let path = "/v1/accounts/a/licenses/assignments?format=csv";
    let answer = api.get(path);
    let lines: Vec<String> = csv::Reader::from_reader(&answer.body[..])
        .records()
        .map(|row| row.unwrap()[0].to_owned())
        .collect();
    let expected: Vec<String> = (0..users).map(|user| format!("u{user:05}")).collect();
    assert_eq!(lines, expected);
    // As browsers request it. The compression polls the stream once more after its end.
    let packed = api.request("GET", path, &[("accept-encoding", "gzip, deflate, br")]);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = Vec::new();
    GzDecoder::new(&packed.body[..])
        .read_to_end(&mut text)
        .expect("the compressed answer is whole");
    assert!(text == answer.body, "compression changes nothing");
}
