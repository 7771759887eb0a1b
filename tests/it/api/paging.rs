//! Assignments: filters, orders, pages.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::support::{Api, event};

/// Users with names that are hard to sort, some without e-mail address, some never active, in two
/// organizations.
static ASSIGNED: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    let mut events = Vec::new();
    let names = [
        "Ünal",
        "anna",
        "Anna",
        "Zoë",
        "ΣΊΣΥΦΟΣ",
        "100%_sure",
        "=cmd",
        "漢字",
        "Anna",
        "O'Brien \\ \"x\"",
    ];
    for (index, name) in names.iter().enumerate() {
        let user = format!("u{index}");
        let email = (index % 3 != 0).then(|| format!("{user}@Example.COM"));
        let data = json!({"account_id": "a", "user_id": user, "name": name, "email": email});
        events.push(event("user.updated", "2026-01-01T00:00:00Z", &data));
        for organization in ["o", "p"] {
            let day = 10 + index / 2;
            let data = json!({"account_id": "a", "organization_id": organization, "user_id": user,
                "license_source": if index % 2 == 0 { "reseller" } else { "a" }});
            events.push(event("license.assigned", &format!("2026-01-{day}T00:00:00Z"), &data));
        }
        if index % 4 == 1 {
            let data = json!({"account_id": "a", "organization_id": "p", "user_id": user});
            events.push(event("license.revoked", "2026-02-01T00:00:00Z", &data));
        }
        if index % 2 == 1 {
            let data = json!({"account_id": "a", "user_id": user});
            events.push(event("user.login", &format!("2026-01-2{index}T00:00:00Z"), &data));
        }
    }
    api.count(&events);
    api
});

fn list(query: &str) -> Value {
    ASSIGNED.report(&format!("/v1/accounts/a/licenses/assignments?{query}"))
}

fn keys(report: &Value) -> Vec<String> {
    let rows = report["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        format!("{}/{}", row["user_id"].as_str().unwrap(), row["organization_id"].as_str().unwrap())
    })
    .collect()
}

/// The order of two rows: nulls last, then the key, then user id and organization id.
fn sorted(mut rows: Vec<Value>, key: &str, descending: bool) -> Vec<Value> {
    rows.sort_by(|a, b| {
        let text = |row: &Value| row[key].as_str().map(str::to_owned);
        let (left, right) = (text(a), text(b));
        let by_key = if descending { right.cmp(&left) } else { left.cmp(&right) };
        let tie = |row: &Value| {
            (
                row["user_id"].as_str().map(str::to_owned),
                row["organization_id"].as_str().map(str::to_owned),
            )
        };
        left.is_none().cmp(&right.is_none()).then(by_key).then_with(|| tie(a).cmp(&tie(b)))
    });
    rows
}

#[test]
fn every_order_is_total_and_pages_add_up_to_the_whole() {
    let all = list("status=all&limit=1000");
    assert_eq!(all["total"], 20);
    for key in ["user", "email", "organization", "last_assignment", "last_active_use"] {
        for descending in [false, true] {
            let sort = format!("{}{key}", if descending { "-" } else { "" });
            let whole = list(&format!("status=all&limit=1000&sort={sort}"));
            let rows = whole["rows"].as_array().unwrap().clone();
            assert_eq!(rows, sorted(rows.clone(), key, descending), "{sort}");
            for limit in [3, 20] {
                let mut pages = Vec::new();
                let mut cursor = String::new();
                loop {
                    let page = list(&format!("status=all&limit={limit}&sort={sort}{cursor}"));
                    assert_eq!(page["total"], 20);
                    pages.extend(page["rows"].as_array().unwrap().clone());
                    let Some(next) = page["next_cursor"].as_str() else { break };
                    assert_eq!(page["rows"].as_array().unwrap().len(), limit);
                    cursor = format!("&cursor={next}");
                    assert!(pages.len() <= rows.len(), "{sort} by {limit} goes round in circles");
                }
                assert_eq!(pages, rows, "{sort} by {limit}");
            }
        }
    }
}

#[test]
fn the_default_is_active_seats_by_user() {
    let report = list("");
    assert_eq!(report["total"], 17);
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["status"] == "active"));
    assert_eq!(*rows, sorted(rows.clone(), "user", false));
    assert_eq!(report["next_cursor"], Value::Null);
}

#[test]
fn filters_narrow() {
    assert_eq!(list("status=revoked")["total"], 3);
    assert_eq!(list("status=all")["total"], 20);
    assert_eq!(list("status=all&organization_id=p")["total"], 10);
    assert_eq!(list("status=all&organization_id=unheard-of")["total"], 0);
    assert_eq!(list("status=all&license_source=reseller")["total"], 10);
    assert_eq!(list("status=all&license_source=RESELLER")["total"], 0);
    assert_eq!(list("status=all&activated=true")["total"], 10);
    assert_eq!(list("status=all&activated=false")["total"], 10);
    assert_eq!(list("status=all&activated=false&license_source=a")["total"], 0);
}

#[test]
fn parts_of_names_are_found_in_any_case_and_literally() {
    let found = |query: &str| {
        let mut users: Vec<String> = keys(&list(&format!("status=all&organization_id=o&{query}")));
        users.iter_mut().for_each(|user| user.truncate(2));
        users.sort_unstable();
        users
    };
    assert_eq!(found("user=ANNA"), ["u1", "u2", "u8"]);
    assert_eq!(found("user=%C3%9CN"), ["u0"]);
    assert_eq!(found("user=%C3%BCn"), ["u0"]);
    assert_eq!(found("user=zo%C3%8B"), ["u3"]);
    assert_eq!(found("user=%CF%83%CE%AF"), ["u4"]);
    assert_eq!(found("user=%E6%BC%A2"), ["u7"]);
    assert_eq!(found("user=%25"), ["u5"], "a percent sign is itself");
    assert_eq!(found("user=_"), ["u5"], "and so is an underscore");
    assert_eq!(found("user=.*"), [] as [&str; 0]);
    assert_eq!(found("user=%27"), ["u9"]);
    assert_eq!(found("user=%5C"), ["u9"]);
    assert_eq!(found("email=@example"), ["u1", "u2", "u4", "u5", "u7", "u8"]);
    assert_eq!(found("user=&email="), ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9"]);
}

#[test]
fn inactivity_is_never_used_or_last_used_before() {
    // u1, u3, u5, u7 and u9 were last active on 21, 23, 25, 27 and 29 January.
    let inactive = |days: u32, as_of: &str| {
        list(&format!("status=all&organization_id=o&inactive_days={days}&as_of={as_of}"))["total"]
            .clone()
    };
    assert_eq!(inactive(5, "2026-01-30T00:00:00Z"), 7, "5 never, u1 and u3");
    assert_eq!(inactive(5, "2026-01-30T00:00:00.001Z"), 8, "and u5, by a millisecond");
    assert_eq!(inactive(0, "2026-01-29T00:00:00Z"), 9);
    assert_eq!(inactive(100_000, "2026-01-29T00:00:00Z"), 5);
}

#[test]
fn held_seats_were_assigned_at_or_before() {
    // Two users each were assigned their seats on 10, 11, 12, 13 and 14 January.
    let held = |days: u32, as_of: &str| {
        list(&format!("status=all&organization_id=o&held_days={days}&as_of={as_of}"))["total"]
            .clone()
    };
    assert_eq!(held(5, "2026-01-17T00:00:00Z"), 6);
    assert_eq!(held(5, "2026-01-16T23:59:59.999Z"), 4, "by a millisecond");
    assert_eq!(held(0, "2026-01-14T00:00:00Z"), 10);
    assert_eq!(held(100_000, "2026-01-17T00:00:00Z"), 0);
    let reclaimed = "status=active&inactive_days=6&held_days=10&as_of=2026-01-28T00:00:00Z";
    // Of the seats assigned up to 18 January: u1 was last active on 21 January, u0, u2, u4, u6 and
    // u8 never; the seat of u1 in p is revoked.
    let mut users = keys(&list(&format!("{reclaimed}&organization_id=o")));
    users.sort_unstable();
    assert_eq!(users, ["u0/o", "u1/o", "u2/o", "u4/o", "u6/o", "u8/o"]);
}

#[test]
fn pages_total_and_export_agree_on_held_seats() {
    let query = "status=all&sort=-last_assignment&held_days=5&as_of=2026-01-17T00:00:00Z";
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("{query}&limit=5{cursor}"));
        assert_eq!(page["total"], 12);
        rows.extend(keys(&page));
        let Some(next) = page["next_cursor"].as_str() else { break };
        let other = query.replace("held_days=5", "held_days=4");
        let path = format!("/v1/accounts/a/licenses/assignments?{other}&cursor={next}");
        assert_eq!(ASSIGNED.get(&path).json()["parameter"], "cursor");
        cursor = format!("&cursor={next}");
    }
    assert_eq!(rows.len(), 12);
    let csv = ASSIGNED.get(&format!("/v1/accounts/a/licenses/assignments?{query}&format=csv"));
    assert_eq!(csv.text().lines().count(), 13);
}

#[test]
fn a_cursor_is_good_for_its_account_and_query_alone() {
    let first = list("status=all&limit=1&sort=user");
    let cursor = first["next_cursor"].as_str().unwrap();
    let status = |path: &str| {
        let answer = ASSIGNED.get(path);
        if answer.status == 400 {
            assert_eq!(answer.json()["parameter"], "cursor", "{path}");
        }
        answer.status
    };
    assert_eq!(
        status(&format!(
            "/v1/accounts/a/licenses/assignments?status=all&sort=user&cursor={cursor}"
        )),
        200
    );
    assert_eq!(
        status(&format!("/v1/accounts/a/licenses/assignments?status=all&limit=5&cursor={cursor}")),
        200
    );
    assert_eq!(
        status(&format!("/v1/accounts/a/licenses/assignments?sort=user&cursor={cursor}")),
        400
    );
    assert_eq!(
        status(&format!(
            "/v1/accounts/a/licenses/assignments?status=all&sort=-user&cursor={cursor}"
        )),
        400
    );
    assert_eq!(
        status(&format!(
            "/v1/accounts/b/licenses/assignments?status=all&sort=user&cursor={cursor}"
        )),
        400
    );
    assert_eq!(
        status(&format!(
            "/v1/accounts/a/licenses/assignments?status=all&sort=user&cursor={cursor}A"
        )),
        400
    );
    assert_eq!(status("/v1/accounts/a/licenses/assignments?cursor="), 400);
    assert_eq!(status("/v1/accounts/a/licenses/assignments?cursor=%00"), 400);
}

#[test]
fn pages_go_on_behind_names_of_any_length() {
    let api = Api::open();
    // Names of equal length share the prefix that fits into a cursor; 32,000 characters are more
    // than an address may have.
    let name = |letter: char, length: usize| format!("{}{letter}", "n".repeat(length));
    let names = [
        name('a', 300),
        name('b', 300),
        name('a', 32_000),
        name('b', 32_000),
        "é".repeat(32_000),
        "z".to_owned(),
    ];
    let mut events = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let user = format!("u{index}");
        let email = (index != 3).then(|| format!("{name}@example.com"));
        let described = json!({"account_id": "a", "user_id": user, "name": name, "email": email});
        events.push(event("user.updated", "2026-01-01T00:00:00Z", &described));
        let seat =
            json!({"account_id": "a", "organization_id": format!("o{index}"), "user_id": user});
        events.push(event("license.assigned", "2026-01-02T00:00:00Z", &seat));
        let organization =
            json!({"account_id": "a", "organization_id": format!("o{index}"), "name": name});
        events.push(event("organization.updated", "2026-01-01T00:00:00Z", &organization));
    }
    api.count(&events);
    for sort in ["user", "-user", "email", "-email", "organization", "-organization"] {
        let path = format!("/v1/accounts/a/licenses/assignments?sort={sort}");
        let whole = api.report(&path)["rows"].as_array().unwrap().clone();
        assert_eq!(whole.len(), names.len());
        let mut paged = Vec::new();
        let mut cursor = String::new();
        for _ in 0..names.len() {
            let page = api.report(&format!("{path}&limit=1{cursor}"));
            paged.extend(page["rows"].as_array().unwrap().clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(paged == whole, "{sort}");
    }
    // The last row of a page gets another name: no row is skipped, in either direction.
    for (sort, last) in [("user", "u5"), ("-user", "u0")] {
        let path = format!("/v1/accounts/a/licenses/assignments?sort={sort}");
        let page = api.report(&format!("{path}&limit=3"));
        let third = page["rows"][2]["user_id"].as_str().unwrap().to_owned();
        let renamed = json!({"account_id": "a", "user_id": third, "name": "renamed"});
        api.count(&[event("user.updated", "2026-02-01T00:00:00Z", &renamed)]);
        let rest = api.report(&format!("{path}&cursor={}", page["next_cursor"].as_str().unwrap()));
        assert!(keys(&rest).iter().any(|key| key.starts_with(last)), "{sort}: {:?}", keys(&rest));
        let back = json!({
            "account_id": "a", "user_id": third,
            "name": names[usize::from(third.as_bytes()[1] - b'0')],
        });
        api.count(&[event("user.updated", "2026-02-02T00:00:00Z", &back)]);
    }
}

#[test]
fn a_long_name_is_whole_in_a_listing_that_it_does_not_order() {
    let api = Api::open();
    let name = |user: usize| if user == 2 { "n".repeat(300) } else { format!("n{user}") };
    for user in 0..5 {
        let described =
            json!({"account_id": "a", "user_id": format!("u{user}"), "name": name(user)});
        let seat =
            json!({"account_id": "a", "organization_id": "o", "user_id": format!("u{user}")});
        let events = [
            event("user.updated", "2026-01-01T00:00:00Z", &described),
            event("license.assigned", &format!("2026-01-0{}T00:00:00Z", 9 - user), &seat),
        ];
        api.count(&events);
    }
    let names: Vec<String> = (0..5).map(name).rev().collect();
    // The second request caches the order.
    for round in 0..4 {
        let mut paged: Vec<String> = Vec::new();
        let mut cursor = String::new();
        while paged.len() < names.len() {
            let path =
                format!("/v1/accounts/a/licenses/assignments?sort=last_assignment&limit=2{cursor}");
            let page = api.report(&path);
            assert_eq!(page["total"], 5, "{round}");
            paged.extend(
                page["rows"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|row| row["user"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, names, "{round}");
    }
}

/// A user without a name is shown and found by id, until it has a name.
#[test]
fn a_nameless_user_is_searched_by_the_id() {
    let api = Api::open();
    let assigned = |user: &str| {
        let data = json!({"account_id": "a", "organization_id": "o", "user_id": user});
        event("license.assigned", "2026-01-02T00:00:00Z", &data)
    };
    let found = |part: &str| -> Vec<String> {
        let part: String = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
        let report = api.report(&format!("/v1/accounts/a/licenses/assignments?user={part}"));
        report["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["user_id"].as_str().unwrap().to_owned())
            .collect()
    };
    api.count(&[assigned("İpek-7"), assigned("plain-7"), assigned("UPPER-7")]);
    assert_eq!(found("ipek"), ["İpek-7"]);
    assert_eq!(found("UPPER"), ["UPPER-7"]);
    assert_eq!(found("-7").len(), 3);
    assert_eq!(
        api.sql("SELECT groupArray(name_search_key) FROM (SELECT * FROM users ORDER BY user_id)")
            .trim(),
        "['upper-7','plain-7','ipek-7']"
    );
    let log = [
        assigned("İpek-7"),
        assigned("plain-7"),
        assigned("UPPER-7"),
        event(
            "user.updated",
            "2026-01-03T00:00:00Z",
            &json!({"account_id": "a", "user_id": "UPPER-7", "name": "Zoë"}),
        ),
    ];
    let api = Api::open();
    api.count(&log);
    let total = |query: &str| {
        api.report(&format!("/v1/accounts/a/licenses/assignments?user={query}"))["total"].clone()
    };
    assert_eq!(total("zoe"), 1);
    assert_eq!(total("upper"), 0);
}
