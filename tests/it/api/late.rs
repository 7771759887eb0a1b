//! Answers are kept from one poll to the next. Whatever comes in, however late, the next answer is
//! the one of an API that keeps nothing.

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
    "sort=last_active_use&status=all&inactive_days=3&held_days=1&as_of=AS_OF&organization_id=o1",
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
        16 => event(
            "license.purchased",
            &time,
            &json!({"account_id": "a", "seats": random.random_range(0..99)}),
        ),
        17 => event("license.allocated", &time, &of(json!({"seats": random.random_range(0..99)}))),
        18 => event(
            "organization.updated",
            &time,
            &of(json!({"parent_id": format!("o{}", random.random_range(0..5))})),
        ),
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
    for table in ["seat_facts", "seat_intervals", "license_facts", "active_users_state"] {
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
            let events: Vec<String> =
                (0..random.random_range(1..8)).map(|_| arbitrary(&mut random)).collect();
            assert_eq!(
                api.count(&events).accepted,
                events.len() as u64,
                "every event of the test is good"
            );
            merge_perhaps(&mut random, &api);
            let anew = api.beside(|_| {});
            for report in REPORTS {
                let (truth, said) = (said(&anew, report), said(&api, report));
                assert!(
                    said == truth,
                    "seed {seed}, round {round}, {report}: {said} instead of {truth} after \
                    {events:#?}"
                );
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

/// All rows of the listing, page by page, and the total that every page tells.
fn listed(api: &Api, listing: &str, limit: usize, as_of: &str) -> (Vec<Value>, Value) {
    let path = format!(
        "/v1/accounts/a/licenses/assignments?limit={limit}&{}",
        listing.replace("AS_OF", as_of)
    );
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
        let mut events: Vec<String> =
            (0..random.random_range(1..8)).map(|_| arbitrary(&mut random)).collect();
        if round % 3 == 0 {
            // Some get another name, while nobody need have been active.
            for user in 0..USERS / 2 {
                let described = described(&mut random, &format!("u{user}"));
                events.push(event("user.updated", &moment(Utc::now()), &described));
            }
        }
        assert_eq!(
            api.count(&events).accepted,
            events.len() as u64,
            "every event of the test is good"
        );
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
