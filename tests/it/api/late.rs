//! Seats of the past are kept from one poll to the next. Whatever comes in, however late, the next answer is the one of an
//! API that keeps nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::support::{Api, event};

const ROUNDS: usize = 12;

const REPORTS: [&str; 6] = [
    "licenses/history",
    "licenses/history?interval=week&from=FROM&organization_id=o0",
    "licenses/usage?interval=month&from=FROM",
    "licenses/usage?interval=week&organization_id=o1",
    "licenses/usage?group_by=organization",
    "licenses/usage?group_by=organization&interval=month&from=FROM&organization_id=o0",
];

/// Of the listings, each of which is read page by page.
const LISTING_ROUNDS: usize = 14;

const USERS: usize = 10;

const LISTINGS: [&str; 8] = [
    "",
    "sort=-user&status=all",
    "sort=email&status=all",
    "sort=-email&user=ANN",
    "sort=-organization&status=all&organization_id=o0",
    "sort=last_assignment&status=revoked",
    "sort=-last_active_use&activated=true&status=all&license_source=a",
    "sort=last_active_use&status=all&inactive_days=3&as_of=AS_OF&organization_id=o1",
];

fn path(report: &str) -> String {
    let from = Utc::now().date_naive() - TimeDelta::days(100);
    format!("/v1/accounts/a/{}", report.replace("FROM", &from.to_string()))
}

fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A time that is up to so long ago: mostly short, now and then long, and sometimes ahead.
fn time(random: &mut ChaCha8Rng) -> DateTime<Utc> {
    const DAY_MS: i64 = 86_400_000;
    let longest = [500, 500, 5_000, 60_000, 3_600_000, DAY_MS, 20 * DAY_MS, 120 * DAY_MS];
    let longest_ms = longest[random.random_range(0..longest.len())];
    if random.random_range(0..12) == 0 {
        return Utc::now() + TimeDelta::minutes(30);
    }
    Utc::now() - TimeDelta::milliseconds(random.random_range(0..longest_ms))
}

fn arbitrary(random: &mut ChaCha8Rng) -> String {
    let time = moment(time(random));
    let organization = format!("o{}", random.random_range(0..5));
    let user = format!("u{}", random.random_range(0..USERS));
    let of = |more: Value| {
        let mut data = json!({"account_id": "a", "organization_id": organization});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    match random.random_range(0..20) {
        0..7 => event("user.login", &time, &of(json!({"user_id": user}))),
        7..13 => event("license.assigned", &time, &of(json!({"user_id": user}))),
        13..16 => event("license.revoked", &time, &of(json!({"user_id": user}))),
        16 => event("license.purchased", &time, &json!({"account_id": "a", "seats": random.random_range(0..99)})),
        17 => event("license.allocated", &time, &of(json!({"seats": random.random_range(0..99)}))),
        18 => {
            event("organization.updated", &time, &of(json!({"parent_id": format!("o{}", random.random_range(0..5))})))
        }
        _ => event("user.updated", &time, &described(random, &user)),
    }
}

/// A name and an e-mail address that others have too, in other letters, or that nobody has.
fn described(random: &mut ChaCha8Rng, user: &str) -> Value {
    let names = ["Anna", "anna", "ANNA", "Zoë", "漢字", "u3", ""];
    let name = names[random.random_range(0..names.len())];
    let email = (random.random_range(0..2) == 0).then(|| format!("{name}@example.com"));
    json!({"account_id": "a", "user_id": user, "name": name, "email": email})
}

/// Now and then, before the API has seen what has just come in, it is merged with what was there.
fn merge_perhaps(random: &mut ChaCha8Rng, api: &Api) {
    for table in ["seat_facts", "seat_usage_state", "license_facts", "active_users_state"] {
        if random.random_range(0..3) == 0 {
            api.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
        }
    }
}

fn said(api: &Api, report: &str) -> String {
    let answer = api.get(&path(report));
    assert_eq!(answer.status, 200, "{report}: {}", answer.text());
    answer.text().split(",\"data_through\"").next().unwrap_or_default().to_owned()
}

#[test]
fn however_late_events_come_every_report_is_as_one_made_anew() {
    let seed = Utc::now().timestamp_millis().cast_unsigned();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let api = Api::open();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Somebody else polls all the time, so that rows come in while reports are read.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                REPORTS.iter().for_each(|report| drop(api.get(&path(report))));
            }
        });
        let _over = OnDrop(&over);
        for round in 0..ROUNDS {
            let events: Vec<String> = (0..random.random_range(1..8)).map(|_| arbitrary(&mut random)).collect();
            assert_eq!(api.count(&events).accepted, events.len() as u64, "every event of the test is good");
            merge_perhaps(&mut random, &api);
            let anew = api.beside(|_| {});
            // On a cluster an API cannot tell what is new, so that it reads every report from its views, and keeps nothing.
            let reading = api.beside(|config| config.clickhouse.cluster = Some("c".to_owned()));
            for report in REPORTS {
                let truth = said(&reading, report);
                for said in [said(&api, report), said(&anew, report)] {
                    assert!(
                        said == truth,
                        "seed {seed}, round {round}, {report}: {said} instead of {truth} after {events:#?}"
                    );
                }
            }
        }
    });
}

/// Says that the test is over, also when it fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn after_midnight_the_users_of_a_month_go_on_with_the_new_day() {
    let api = Api::open();
    let now = Utc::now();
    let ago = |days: i64| now - TimeDelta::days(days);
    let login = |user: &str, days: i64| {
        let data = json!({"account_id": "a", "organization_id": "o", "user_id": user});
        event("user.login", &moment(ago(days)), &data)
    };
    let report = format!("licenses/usage?group_by=organization&interval=year&from={}", ago(5).date_naive());
    let until_yesterday = format!("{report}&as_of={}", moment(ago(1)));
    api.count(&[login("u", 4), login("v", 0), login("u", 0)]);
    said(&api, &until_yesterday);
    // A day of it has changed, so that its users are remembered from now on.
    api.count(&[login("w", 3)]);
    said(&api, &until_yesterday);
    let reading = api.beside(|config| config.clickhouse.cluster = Some("c".to_owned()));
    let truth = said(&reading, &report);
    // Whoever reads all of it fails from here on.
    api.sql("DROP VIEW license_usage_by_organization");
    assert_eq!(said(&api, &report), truth);
    api.count(&[login("x", 0), login("x", 2)]);
    let told = said(&api, &report);
    assert_ne!(told, truth);
    assert_eq!(told, said(&api.beside(|_| {}), &report));
}

#[test]
fn what_happens_now_does_not_cost_the_whole_history_again() {
    let api = Api::open();
    let data = json!({"account_id": "a", "organization_id": "o", "user_id": "u"});
    let day = TimeDelta::days(1);
    api.count(&[event("license.assigned", &moment(Utc::now() - day * 5), &data)]);
    let last = |report: &str| {
        let answer = api.get(&path(report));
        let point = (answer.status == 200).then(|| answer.json()["points"].as_array().unwrap().last().unwrap().clone());
        (answer.status, point.unwrap_or_default())
    };
    let report = "licenses/history";
    assert_eq!(last(report).1["activated"], 0);
    // Whoever reads all of it fails from here on.
    api.sql("DROP VIEW license_history");
    api.count(&[event("user.login", &moment(Utc::now()), &data)]);
    assert_eq!(last(report).1["activated"], 1);
    api.count(&[event("license.assigned", &moment(Utc::now() - day * 3), &data)]);
    assert_eq!(last(report).1["assigned"], 1, "it is enough to go back for three days");
    api.count(&[event("license.purchased", &moment(Utc::now() - day * 90), &json!({"account_id": "a", "seats": 3}))]);
    assert_eq!(last(report).0, 500, "nothing of what is kept holds any more");
}

/// All rows of the listing, page by page, and the total that every page tells.
fn listed(api: &Api, listing: &str, limit: usize, as_of: &str) -> (Vec<Value>, Value) {
    let path = format!("/v1/accounts/a/licenses/assignments?limit={limit}&{}", listing.replace("AS_OF", as_of));
    let mut page = api.report(path.trim_end_matches('&'));
    let total = page["total"].clone();
    let mut rows = Vec::new();
    loop {
        assert_eq!(page["total"], total, "{listing}");
        rows.extend(page["rows"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { return (rows, total) };
        assert!(rows.len() <= 100, "{listing} goes round in circles");
        page = api.report(&format!("{path}&cursor={cursor}").replace("&&", "&"));
    }
}

#[test]
fn however_late_events_come_every_listing_is_as_one_made_anew() {
    let seed = Utc::now().timestamp_millis().cast_unsigned();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let api = Api::open();
    let as_of = moment(Utc::now());
    for round in 0..LISTING_ROUNDS {
        let mut events: Vec<String> = (0..random.random_range(1..8)).map(|_| arbitrary(&mut random)).collect();
        if round % 3 == 0 {
            // Some get another name, while nobody need have been active.
            for user in 0..USERS / 2 {
                let described = described(&mut random, &format!("u{user}"));
                events.push(event("user.updated", &moment(Utc::now()), &described));
            }
        }
        assert_eq!(api.count(&events).accepted, events.len() as u64, "every event of the test is good");
        merge_perhaps(&mut random, &api);
        let anew = api.beside(|_| {});
        for listing in LISTINGS {
            let kept = listed(&api, listing, random.random_range(1..4), &as_of);
            let truth = listed(&anew, listing, 1_000, &as_of);
            assert!(
                kept == truth,
                "seed {seed}, {round}, {listing}: {kept:#?} instead of {truth:#?} after {events:#?}"
            );
        }
    }
}

/// Seats of three users, the first of whom was active a day later, and a listing of them that is kept.
fn kept_listing() -> (Api, DateTime<Utc>) {
    let api = Api::open();
    let start = Utc::now() - TimeDelta::days(5);
    let seat = |user: &str| json!({"account_id": "a", "organization_id": "o", "user_id": user});
    let mut events: Vec<String> =
        ["u", "v", "w"].map(|user| event("license.assigned", &moment(start), &seat(user))).to_vec();
    events.push(event("user.login", &moment(start + TimeDelta::days(1)), &seat("u")));
    api.count(&events);
    for limit in [50, 60] {
        assert_eq!(listed(&api, "sort=-last_active_use", limit, "").0.len(), 3);
    }
    (api, start)
}

#[test]
fn what_happens_now_does_not_cost_the_whole_listing_again() {
    let (api, start) = kept_listing();
    // Whoever reads all of it fails from here on.
    api.sql("DROP VIEW organization_tree");
    let data = json!({"account_id": "a", "organization_id": "o", "user_id": "v"});
    let path = "/v1/accounts/a/licenses/assignments?sort=-last_active_use";
    assert_eq!(api.get("/v1/accounts/a/licenses/assignments?sort=-user").status, 500, "it was not asked for before");
    let used = moment(start + TimeDelta::days(2));
    api.count(&[event("user.login", &used, &data)]);
    let report = api.report(path);
    assert_eq!(report["total"], 3);
    assert_eq!((&report["rows"][0]["user_id"], &report["rows"][0]["last_active_use"]), (&json!("v"), &json!(used)));
    assert_eq!(report["rows"][1]["user_id"], "u");
    api.count(&[event("license.revoked", &moment(start + TimeDelta::days(3)), &data)]);
    let report = api.report(path);
    assert_eq!((&report["total"], &report["rows"][0]["user_id"]), (&json!(2), &json!("u")));
    api.count(&[event("user.updated", &used, &json!({"account_id": "a", "user_id": "w", "name": "W"}))]);
    assert_eq!(api.get(path).status, 500, "names may be others by now");
}

#[test]
fn a_merge_does_not_cost_the_whole_listing_again() {
    let (api, start) = kept_listing();
    // Whoever reads all of it, or all that happened since some time, fails from here on.
    api.sql("DROP VIEW organization_tree");
    api.sql("DROP VIEW seat_holders_touched");
    for (day, user) in [(2, "v"), (3, "w"), (4, "v")] {
        let used = moment(start + TimeDelta::days(day));
        api.count(&[event("user.login", &used, &json!({"account_id": "a", "organization_id": "o", "user_id": user}))]);
        api.sql("OPTIMIZE TABLE seat_usage_state FINAL");
        let first = &api.report("/v1/accounts/a/licenses/assignments?sort=-last_active_use")["rows"][0];
        assert_eq!((&first["user_id"], &first["last_active_use"]), (&json!(user), &json!(used)));
    }
}

#[test]
fn a_merge_hides_no_use_from_a_listing() {
    let (api, start) = kept_listing();
    let used = moment(start + TimeDelta::days(2));
    api.count(&[event("user.login", &used, &json!({"account_id": "a", "organization_id": "o", "user_id": "u"}))]);
    // The API learns of the use, and then a merge makes one row of it and the one before it.
    api.report(&path("licenses/history"));
    api.sql("OPTIMIZE TABLE seat_usage_state FINAL");
    let (rows, _) = listed(&api, "sort=-last_active_use", 70, "");
    assert_eq!(rows[0]["last_active_use"], json!(used));
}

#[test]
fn a_use_is_not_missed_while_others_are_followed() {
    let (api, start) = kept_listing();
    let used = |day| {
        let used = moment(start + TimeDelta::days(day));
        api.count(&[event("user.login", &used, &json!({"account_id": "a", "organization_id": "o", "user_id": "u"}))]);
        used
    };
    used(2);
    listed(&api, "sort=-last_active_use", 50, "");
    let last = used(3);
    // The API learns of the last use by another report, and then so many ask for other accounts that this one is forgotten.
    api.report(&path("licenses/history"));
    let others: Vec<String> = (0..30).map(|other| format!("other{other}")).collect();
    let seats = |other: &String| event("license.purchased", &moment(start), &json!({"account_id": other, "seats": 1}));
    api.count(&others.iter().map(seats).collect::<Vec<_>>());
    for other in &others {
        api.report(&format!("/v1/accounts/{other}/licenses/history"));
    }
    let (rows, _) = listed(&api, "sort=-last_active_use", 60, "");
    assert_eq!((&rows[0]["user_id"], &rows[0]["last_active_use"]), (&json!("u"), &json!(last)));
}
