//! `GET A/alerts`, over rows as a worker stores them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::access::{GUARDED, ask};
use super::support::{Answer, Api, event};
use super::tokens::{grants, token};
use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};

const HOUR_MS: i64 = 3_600_000;

/// An API with accounts that hold organizations a to e, each below the one before.
fn open(accounts: &[&str]) -> Api {
    let api = Api::open();
    for account in accounts {
        let organization = |(id, parent): (&str, Option<&str>)| {
            let data = json!({"account_id": account, "organization_id": id,
                "name": id.to_uppercase(), "parent_id": parent});
            event("organization.updated", "2026-01-01T00:00:00Z", &data)
        };
        let tree = [("a", None), ("b", Some("a")), ("c", Some("b")), ("d", None), ("e", None)];
        api.count(&tree.map(organization));
    }
    api
}

static EMPTY: LazyLock<Api> = LazyLock::new(|| open(&["figures", "often", "fresh", "silent"]));

fn listed(report: &Value) -> Vec<Value> {
    report["alerts"].as_array().unwrap().clone()
}

fn ids(report: &Value) -> Vec<String> {
    let id = |alert: &Value| alert["id"].as_str().unwrap().to_owned();
    listed(report).iter().map(id).collect()
}

#[test]
fn an_alert_is_the_data_of_its_event_with_the_organization_of_now() {
    let raised = AlertEventRow::quota("figures", "c", "quota", "80");
    let seats = AlertEventRow::seats("figures", "overage");
    let seats = AlertEventRow { found_at_ms: FOUND_AT_MS + 1, ..seats };
    EMPTY.sql(&storing(&[
        raised.clone(),
        raised.closed("resolved", FOUND_AT_MS + HOUR_MS),
        seats.clone(),
    ]));
    let report = EMPTY.report("/v1/accounts/figures/alerts?state=all");
    let mut first = seats.data.clone();
    first["id"] = seats.id.into();
    first["time"] = "2026-03-10T12:00:00.001Z".into();
    first["resolved_at"] = Value::Null;
    let mut second = raised.data.clone();
    second["id"] = raised.id.into();
    second["time"] = "2026-03-10T12:00:00.000Z".into();
    second["resolved_at"] = "2026-03-10T13:00:00.000Z".into();
    second["state"] = "resolved".into();
    second["organization"] = "A / B / C".into();
    assert_eq!(listed(&report), [first, second]);
    assert_eq!((&report["total"], &report["next_cursor"]), (&json!(2), &Value::Null));
    assert_eq!((&report["account_id"], &report["timezone"]), (&json!("figures"), &json!("UTC")));
    assert!(report["data_through"].is_string() && report["organization_id"].is_null());
    assert_eq!(EMPTY.report("/v1/accounts/figures/alerts")["total"], 1);
    let report = EMPTY.report("/v1/accounts/figures/alerts?organization_id=c");
    assert_eq!((&report["organization_id"], &report["total"]), (&json!("c"), &json!(0)));
}

#[test]
fn of_several_rows_of_a_state_the_first_that_was_stored_counts() {
    let raised = AlertEventRow::quota("often", "a", "quota", "100");
    let mut later = raised.clone();
    later.stored_us = 7;
    later.found_at_ms += HOUR_MS;
    later.data["used"] = 999.into();
    let resolved = raised.closed("resolved", FOUND_AT_MS + 2 * HOUR_MS);
    let mut again = resolved.clone();
    again.stored_us = 9;
    again.found_at_ms += HOUR_MS;
    // One that is closed without having been raised is none.
    let stray = AlertEventRow::quota("often", "b", "quota", "100").closed("ended", FOUND_AT_MS);
    for rows in [vec![later, again, stray], vec![raised.clone()], vec![resolved, raised]] {
        EMPTY.sql(&storing(&rows));
    }
    let report = EMPTY.report("/v1/accounts/often/alerts?state=all");
    assert_eq!(report["total"], 1);
    let alert = &listed(&report)[0];
    assert_eq!((&alert["used"], &alert["line"]), (&json!(812), &json!("100")));
    assert_eq!(alert["time"], "2026-03-10T12:00:00.000Z");
    assert_eq!(alert["resolved_at"], "2026-03-10T14:00:00.000Z");
    assert_eq!(EMPTY.report("/v1/accounts/often/alerts")["total"], 0);
}

#[test]
fn alerts_of_which_nothing_was_sent_are_listed_like_others() {
    let silent = AlertEventRow::quota("silent", "a", "pace", "runs_out");
    EMPTY.sql(&storing(&[AlertEventRow { is_silent: true, ..silent }]));
    let report = EMPTY.report("/v1/accounts/silent/alerts");
    assert_eq!(ids(&report), ["pace runs_out a 1"]);
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// An alert of the random account: its rows, and whether it is open.
fn random_alert(dice: &mut Dice, number: u32) -> (AlertEventRow, Vec<AlertEventRow>, bool) {
    let organization = ["a", "b", "c", "d", "e"][dice.below(5)];
    let mut raised = match dice.below(4) {
        0 => AlertEventRow::seats("random", ["90", "100", "overage"][dice.below(3)]),
        1 => AlertEventRow::quota("random", organization, "pace", "runs_out"),
        _ => {
            let line = ["80", "100", "exhausted"][dice.below(3)];
            AlertEventRow::quota("random", organization, "quota", line)
        }
    };
    // Several are found at one moment.
    raised.found_at_ms += i64::try_from(dice.below(12)).unwrap() * 100;
    raised.month = number;
    raised.id = format!("{:05}", dice.below(100_000));
    let mut rows = vec![raised.clone()];
    let closing = dice.below(6);
    if closing == 0 || closing == 2 {
        rows.push(raised.closed("resolved", raised.found_at_ms + HOUR_MS));
    }
    if closing == 1 || closing == 2 {
        rows.push(raised.closed("ended", raised.found_at_ms + 2 * HOUR_MS));
    }
    (raised, rows, closing > 2)
}

#[test]
fn filters_and_pages_agree_with_a_naive_list_and_with_the_view() {
    let api = open(&["random", "other"]);
    let mut dice = Dice(7);
    let mut alerts = Vec::new();
    let mut stored = vec![AlertEventRow::seats("other", "90")];
    for number in 1..=90 {
        let (raised, rows, is_open) = random_alert(&mut dice, number);
        alerts.push((raised, is_open));
        stored.extend(rows);
    }
    api.sql(&storing(&stored));
    alerts.sort_by_key(|(raised, _)| (-raised.found_at_ms, raised.id.clone()));
    let opened = "isNull(a.resolved_at) AND isNull(a.ended_at)";
    for (query, condition, limit) in [
        ("state=all", "1", 7),
        ("state=all", "1", 1000),
        ("state=open", opened, 10),
        ("", opened, 1),
        ("rule=seats&state=all", "a.rule = 'seats'", 3),
        ("rule=quota", &format!("a.rule = 'quota' AND {opened}"), 4),
        ("organization_id=b&state=all", "a.organization_id = 'b'", 5),
        ("rule=pace&organization_id=d&state=all", "a.rule = 'pace' AND a.organization_id = 'd'", 1),
        ("rule=seats&organization_id=d&state=all", "0", 1),
        ("organization_id=nobody&state=all", "0", 1),
    ] {
        let named = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(name));
            pair.and_then(|pair| pair.strip_prefix('='))
        };
        let naive: Vec<String> = alerts
            .iter()
            .filter(|(_, is_open)| *is_open || named("state") == Some("all"))
            .filter(|(raised, _)| named("rule").is_none_or(|rule| rule == raised.rule))
            .filter(|(raised, _)| {
                named("organization_id").is_none_or(|id| id == raised.organization)
            })
            .map(|(raised, _)| raised.id.clone())
            .collect();
        let sql = format!(
            "SELECT a.id FROM alerts AS a WHERE a.account_id = 'random' AND {condition} \
            ORDER BY a.raised_at DESC, a.id"
        );
        let by_the_view: Vec<String> = api.sql(&sql).lines().map(str::to_owned).collect();
        assert_eq!(naive, by_the_view, "{query}");
        assert_eq!(in_pages(&api, query, limit, naive.len()), naive, "{query} by {limit}");
    }
}

/// The ids on all pages of a query.
fn in_pages(api: &Api, query: &str, limit: usize, total: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/accounts/random/alerts?limit={limit}&{query}{cursor}");
        let page = api.report(&path);
        assert_eq!(page["total"], total, "{path}");
        found.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        assert_eq!(ids(&page).len(), limit, "{path}");
        assert!(found.len() < total, "pages of {limit} go round in circles");
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn others_see_alerts_of_their_own_organizations_and_no_name_of_another() {
    GUARDED.sql(&storing(&[
        AlertEventRow::quota("tree", "top", "quota", "80"),
        AlertEventRow::quota("tree", "middle", "pace", "runs_out"),
        AlertEventRow::quota("tree", "leaf", "quota", "exhausted"),
        AlertEventRow::seats("tree", "90"),
    ]));
    let own = |organizations: &[&str]| {
        let grants: Vec<Value> = organizations
            .iter()
            .map(|id| json!({"account": "tree", "organization": id, "role": "billing_manager"}))
            .collect();
        format!("Bearer {}", token(json!({"grants": grants})))
    };
    let paths = |header: &str, query: &str| -> Vec<Value> {
        let answer = ask(&format!("/v1/accounts/tree/alerts{query}"), Some(header));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let report = answer.json();
        assert_eq!(report["total"], listed(&report).len());
        let mut paths: Vec<Value> =
            listed(&report).iter().map(|alert| alert["organization"].clone()).collect();
        paths.sort_by_key(|path| path.as_str().map(str::to_owned));
        paths
    };
    let admin = format!("Bearer {}", token(grants("tree", None, "account_admin")));
    let whole = ["The top", "The top / The middle", "The top / The middle / The leaf"];
    assert_eq!(paths(&admin, ""), [&[Value::Null], &whole.map(Value::from)[..]].concat());
    assert_eq!(paths(&own(&["leaf"]), ""), ["The leaf"]);
    assert_eq!(paths(&own(&["leaf", "middle"]), ""), ["The middle", "The middle / The leaf"]);
    assert_eq!(paths(&own(&["leaf", "top"]), ""), ["The leaf", "The top"]);
    assert_eq!(paths(&own(&["leaf", "top"]), "?organization_id=top"), ["The top"]);
    assert_eq!(paths(&own(&["leaf", "top"]), "?rule=seats"), [Value::Null; 0]);
    // The alerts of the account have no organization, and no token is good for that one.
    assert_eq!(paths(&own(&["", "leaf"]), ""), ["The leaf"]);
    let text = ask("/v1/accounts/tree/alerts?state=all", Some(&own(&["leaf"]))).text();
    for name in ["top", "middle", "Then", "seats"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
    // A filter by an organization of others does not tell whether it is there.
    for organization in ["top", "middle", "never-heard-of"] {
        let path = format!("/v1/accounts/tree/alerts?organization_id={organization}");
        assert_eq!(ask(&path, Some(&own(&["leaf"]))).status, 403, "{organization}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let bad = [
        ("state=ended", "state"),
        ("rule=all", "rule"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("organization_id=", "organization_id"),
        ("organization_id=a&organization_id=a", "organization_id"),
        ("as_of=2026-03-01T00:00:00Z", "as_of"),
    ];
    for (query, parameter) in bad {
        let answer = EMPTY.get(&format!("/v1/accounts/figures/alerts?{query}"));
        assert_eq!((answer.status, &answer.json()["parameter"]), (400, &json!(parameter)));
    }
    assert_eq!(EMPTY.get("/v1/accounts/nobody/alerts").status, 404);
}

#[test]
fn a_new_alert_shows_at_once_and_the_same_list_is_not_sent_again() {
    let path = "/v1/accounts/fresh/alerts";
    let again = |answer: &Answer| {
        EMPTY.request("GET", path, &[("if-none-match", answer.header("etag").unwrap())])
    };
    let none = EMPTY.get(path);
    assert_eq!((none.json()["total"].clone(), again(&none).status), (json!(0), 304));
    let raised = AlertEventRow::quota("fresh", "b", "quota", "80");
    EMPTY.sql(&storing(std::slice::from_ref(&raised)));
    let one = again(&none);
    assert_eq!((one.status, ids(&one.json())), (200, vec![raised.id.clone()]));
    assert_eq!(again(&one).status, 304);
    // A repetition is another row, and the same answer.
    EMPTY.sql(&storing(&[AlertEventRow { stored_us: 5, ..raised.clone() }]));
    assert_eq!(again(&one).status, 304);
    let data = json!({"account_id": "fresh", "organization_id": "b", "name": "New"});
    EMPTY.count(&[event("organization.updated", "2026-01-02T00:00:00Z", &data)]);
    let renamed = again(&one);
    assert_eq!(renamed.status, 200);
    assert_eq!(listed(&renamed.json())[0]["organization"], "A / New");
    EMPTY.sql(&storing(&[raised.closed("ended", FOUND_AT_MS + HOUR_MS)]));
    let closed = again(&renamed);
    assert_eq!((closed.status, closed.json()["total"].clone()), (200, json!(0)));
}
