//! Where more seats were assigned than purchased, at moments that no end of a day shows.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::findings::fact;
use super::site::Site;
use crate::support::unique;

/// Two seats; three are assigned on 10 January, and a fourth for half a second before its midnight.
fn missing(account: &str) -> Vec<String> {
    let mut lines =
        vec![fact(account, "license.purchased", "2026-01-02T08:00:00Z", json!({ "seats": 2 }))];
    let seat = |user: &str| json!({ "organization_id": "42", "user_id": user });
    for user in ["ada", "ben", "cleo"] {
        lines.push(fact(account, "license.assigned", "2026-01-10T09:00:00Z", seat(user)));
    }
    lines.push(fact(account, "license.revoked", "2026-01-10T17:00:00Z", seat("cleo")));
    // The account's 10 January ends at 23:00 UTC.
    lines.push(fact(
        account,
        "account.updated",
        "2026-01-01T00:00:00Z",
        json!({ "timezone": "Europe/Berlin" }),
    ));
    let change = |kind: &str, user: &str, time: &str| fact(account, kind, time, seat(user));
    lines.extend([
        change("license.assigned", "dan", "2026-01-10T22:59:59Z"),
        change("license.revoked", "dan", "2026-01-10T22:59:59.500Z"),
        change("license.revoked", "ada", "2026-01-10T23:00:01Z"),
        change("license.assigned", "eve", "2026-01-10T23:00:02Z"),
    ]);
    lines
}

#[test]
fn seats_that_were_missing_within_a_day_are_marked() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("overage");
    site.count(&missing(&account).join("\n"));
    let page = |interval: &str| {
        site.page(&format!(
            "account={account}&from=2026-01-05&to=2026-01-18&interval={interval}&\
             as_of=2026-01-20T00:00:00Z"
        ))
    };
    browser.goto(&page("week"));
    browser.drawn();
    let clocks = browser.eval(
        "return performance.getEntriesByType('resource').filter(({ name }) => \
         name.includes('zone.json')).length",
    );
    assert_eq!(clocks, 1, "reports that arrive together ask for the zone once");
    assert_eq!(
        browser.text("#overage"),
        "At most 1 seat over the purchase: 5–11 Jan 2026. It happened in 1 of 2 periods. The most \
         seats assigned within that period, whether at that moment or at another: 3."
    );
    // At the end of each week nothing is over.
    let rows = browser.table("#table-seats");
    assert_eq!(rows[0][1..], ["2", "2", "0", "0", "2", "3", "1"]);
    let drawn = browser.eval(
        "return [document.querySelector('#plot-seats .band.color-over') !== null, \
         [...document.querySelectorAll('#plot-seats [data-place]')].map((mark) => \
         mark.dataset.place)]",
    );
    assert_eq!(drawn, json!([true, ["0"]]));
    browser.is_accessible("a week in which seats were missing");
    // The week leads to its days, the day to the seats.
    browser.click("#overage a");
    browser
        .wait("the days", "return document.querySelectorAll('#table-seats tbody tr').length === 7");
    browser.settled();
    assert!(browser.text("#overage").contains("10 Jan 2026"), "{}", browser.text("#overage"));
    browser.click("#overage a");
    browser.wait_for_text("h1", "Assignments");
    browser.settled();
    // Eve's was assigned on the day after.
    let rows = browser.table("#assignments");
    let users: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(users, ["dan", "ada", "ben", "cleo"]);
    assert!(
        browser.text("#assigned-by").contains("at or before 11 Jan 2026, 00:00"),
        "{}",
        browser.text("#assigned-by")
    );
    browser.is_accessible("the seats of a day");
    browser.console_is_clean();
}

/// Ten seats in the morning, and two more than three at noon.
#[test]
fn the_two_peaks_of_a_day_are_not_told_as_one_moment() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("peaks");
    let purchase = |time: &str, seats: u64| {
        fact(&account, "license.purchased", time, json!({ "seats": seats }))
    };
    let mut lines = vec![purchase("2026-01-02T08:00:00Z", 20)];
    let seats = |kind: &str, time: &str, count: u64| -> Vec<String> {
        (0..count)
            .map(|user| {
                fact(&account, kind, time, json!({ "organization_id": "42", "user_id": user }))
            })
            .collect()
    };
    lines.extend(seats("license.assigned", "2026-01-10T08:00:00Z", 10));
    lines.extend(seats("license.revoked", "2026-01-10T10:00:00Z", 5));
    lines.push(purchase("2026-01-10T12:00:00Z", 3));
    lines.push(purchase("2026-01-10T14:00:00Z", 20));
    site.count(&lines.join("\n"));
    let days = "from=2026-01-05&to=2026-01-18&interval=day&as_of=2026-01-20T00:00:00Z";
    browser.goto(&site.page(&format!("account={account}&{days}")));
    browser.drawn();
    assert_eq!(
        browser.text("#overage"),
        "At most 2 seats over the purchase: 10 Jan 2026. It happened in 1 of 14 days. The most \
         seats assigned within that day, whether at that moment or at another: 10."
    );
    // What was missing is drawn upwards from the purchase, and its mark at the top of it.
    let apart = browser.eval(
        "const box = (part) => document.querySelector(`#plot-seats ${part}`).getBBox(); \
         const band = box('.band.color-over'); const mark = box('[data-place]'); \
         return [Math.abs(band.y + band.height - box(\"[data-series='Purchased'] .line\").y), \
         Math.abs(mark.y + mark.height / 2 - band.y)]",
    );
    let apart: Vec<f64> = serde_json::from_value(apart).unwrap();
    assert!(apart.iter().all(|distance| *distance < 2.0), "{apart:?}");
    browser.console_is_clean();
}
