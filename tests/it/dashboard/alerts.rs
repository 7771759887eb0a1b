//! Open alerts: the bell with their list, and the panel of an organization.

use fantoccini::key::Key;
use serde_json::json;

use super::browser::{Browser, DARK, LIGHT, PHONE};
use super::site::{Site, event, token};
use crate::support::alerts::{AlertEventRow, FOUND_AT_MS, storing};
use crate::support::unique;

/// Whether the list is open, by what a screen reader is told.
const EXPANDED: &str = "return document.getElementById('bell')?.ariaExpanded ?? 'no bell'";
const NO_BELL: &str = "return !document.getElementById('bell')";
const FOCUSED: &str = "return document.activeElement.id || document.activeElement.innerText";
/// What lies beyond the window, sideways.
const TOO_WIDE: &str =
    "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// A new account with the organizations top and, below it, leaf, which has a plan.
fn account(site: &Site) -> String {
    let account = unique("alerts");
    let time = "2026-01-05T10:00:00Z";
    let of = |more: serde_json::Value| {
        let mut data = json!({ "account_id": account });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let top = of(json!({ "organization_id": "top", "name": "Top" }));
    let leaf = of(json!({ "organization_id": "leaf", "name": "Leaf", "parent_id": "top" }));
    let plan = of(json!({ "organization_id": "leaf", "plan": "team", "monthly_quota": 1000 }));
    let facts = [
        event("organization.updated", time, &top),
        event("organization.updated", time, &leaf),
        event("plan.started", time, &plan),
        event("license.purchased", time, &of(json!({ "seats": 100 }))),
    ];
    site.count(&facts.join("\n"));
    account
}

/// What the bell says, with what only a screen reader is told.
fn wait_for_bell(browser: &Browser, words: &str) {
    let script =
        format!("return document.getElementById('bell')?.textContent === {}", json!(words));
    browser.wait(&format!("the bell says {words:?}"), &script);
}

/// The lines of the open list.
fn list(browser: &Browser) -> serde_json::Value {
    browser.eval(
        "return [...document.querySelectorAll('#alert-list li')].map((item) => \
         [...item.children].map((part) => part.innerText.replaceAll('\\u00a0', ' ')).join(' | '))",
    )
}

fn press(browser: &Browser, key: Key) {
    browser.press(&String::from(char::from(key)));
}

#[test]
fn open_alerts_are_behind_a_bell_for_the_keyboard_too() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = account(site);
    browser.goto(&site.page(&format!("account={account}&refresh=1")));
    assert_eq!(browser.eval(NO_BELL), true, "there is none");
    browser.eval("document.querySelector('.view').isTheSame = true");
    let quota = AlertEventRow::quota(&account, "leaf", "quota", "80");
    let mut pace = AlertEventRow::quota(&account, "leaf", "pace", "runs_out");
    pace.found_at_ms += 60_000;
    let mut seats = AlertEventRow::seats(&account, "90");
    seats.found_at_ms += 120_000;
    site.sql(&storing(&[quota.clone(), pace.clone(), seats.clone()]));
    wait_for_bell(&browser, "3 open alerts");
    assert_eq!(browser.eval("return document.querySelector('.view').isTheSame"), true);
    assert_eq!(browser.eval(EXPANDED), "false");
    browser.eval("document.getElementById('bell').focus()");
    press(&browser, Key::Enter);
    assert_eq!(browser.eval(EXPANDED), "true");
    assert_eq!(
        list(&browser),
        json!([
            "90 % of the seats assigned | Since 10 Mar 2026, 12:02; then 95 of 100 seats",
            "Allowance about to run out: Top / Leaf | Since 10 Mar 2026, 12:01; then 812 of 1,000 \
             tests, to run out on 17 Mar 2026",
            "80 % of the quota used: Top / Leaf | Since 10 Mar 2026, 12:00; then 812 of 1,000 \
             tests",
        ])
    );
    browser.is_accessible("the list of alerts");
    press(&browser, Key::Escape);
    assert_eq!((browser.eval(EXPANDED), browser.eval(FOCUSED)), (json!("false"), json!("bell")));

    // It stays open while it is polled, and the keyboard stays where it is.
    press(&browser, Key::Enter);
    press(&browser, Key::Tab);
    press(&browser, Key::Tab);
    let second = "Allowance about to run out: Top / Leaf";
    assert_eq!(browser.eval(FOCUSED), second);
    site.sql(&storing(&[seats.closed("resolved", FOUND_AT_MS + 180_000)]));
    wait_for_bell(&browser, "2 open alerts");
    assert_eq!((browser.eval(EXPANDED), browser.eval(FOCUSED)), (json!("true"), json!(second)));
    press(&browser, Key::Enter);
    browser.wait_for_text("h1", "Usage of Leaf");
    assert_eq!((browser.eval(EXPANDED), browser.eval(FOCUSED)), (json!("false"), json!("title")));
    assert!(browser.address().contains("organization_id=leaf"), "{}", browser.address());

    // With its alert the keyboard goes to the bell, and with the bell to the report.
    browser.click("#bell");
    browser.eval("document.querySelector('#alert-list a').focus()");
    assert_eq!(browser.eval(FOCUSED), second);
    site.sql(&storing(&[pace.closed("ended", FOUND_AT_MS + 1)]));
    wait_for_bell(&browser, "1 open alert");
    assert_eq!(browser.eval(FOCUSED), "bell");
    site.sql(&storing(&[quota.closed("ended", FOUND_AT_MS + 1)]));
    browser.wait("the bell is gone", NO_BELL);
    assert_eq!(browser.eval(FOCUSED), "main");
    browser.console_is_clean();
}

#[test]
fn the_list_closes_where_somebody_goes_on_and_fits_into_every_window() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = account(site);
    let seats = AlertEventRow::seats(&account, "overage");
    site.sql(&storing(&[seats, AlertEventRow::quota(&account, "leaf", "quota", "exhausted")]));
    for look in [LIGHT, DARK, PHONE] {
        browser.look(look);
        browser.goto(&site.page(&format!("view=usage&account={account}&organization_id=leaf")));
        wait_for_bell(&browser, "2 open alerts");
        browser.click("#bell");
        assert_eq!(browser.eval(EXPANDED), "true", "{look:?}");
        assert_eq!(browser.eval(TOO_WIDE), 0, "{look:?}");
        let inside = "const { left, right, top } = \
            document.getElementById('alert-list').getBoundingClientRect(); return left >= 0 && \
            right <= innerWidth && top >= document.getElementById('bell')\
            .getBoundingClientRect().bottom";
        assert_eq!(browser.eval(inside), true, "{look:?}");
        browser.is_accessible(&format!("the list of alerts, {look:?}"));
        browser.eval("document.querySelector('.foot').click()");
        assert_eq!(browser.eval(EXPANDED), "false", "{look:?}");
        browser.click("#bell");
        browser.eval("document.getElementById('title').focus()");
        assert_eq!(browser.eval(EXPANDED), "false", "{look:?}");
        assert_eq!(browser.eval(TOO_WIDE), 0, "{look:?}");
    }
    // An alert of seats leads to their history, of the whole account.
    browser.click("#bell");
    browser.eval(
        "[...document.querySelectorAll('#alert-list a')].find((link) => \
         link.innerText === 'More seats assigned than purchased').click()",
    );
    browser.wait_for_text("h1", "License history");
    assert!(browser.address().ends_with(&format!("?account={account}")), "{}", browser.address());
    browser.console_is_clean();
}

#[test]
fn the_panel_of_an_organization_tells_of_its_alerts_on_paper_too() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    // One of the organizations has no plan.
    browser.expect("404 (Not Found)");
    let site = Site::tiny();
    let account = account(site);
    let own = AlertEventRow::quota(&account, "leaf", "quota", "exhausted");
    let page = |more: &str| site.page(&format!("view=usage&account={account}{more}"));
    site.sql(&storing(std::slice::from_ref(&own)));
    let words = "Allowance exhausted since 10 Mar 2026, 12:00; then 1,300 of 1,000 tests.";
    let told = |browser: &Browser| {
        let told = "return document.getElementById('own-alerts')?.innerText\
            .replaceAll('\\u00a0', ' ')";
        browser.wait("the panel tells", told)
    };
    browser.goto(&page("&organization_id=leaf"));
    assert_eq!(told(&browser), words);
    browser.is_accessible("the panel of an organization with an alert");
    browser.look_as_on_paper(700);
    let shown = "const shown = (id) => document.getElementById(id).checkVisibility(); \
        return [shown('bell'), shown('own-alerts')]";
    assert_eq!(browser.eval(shown), json!([false, true]));
    browser.look(LIGHT);

    // Neither elsewhere nor of another moment.
    let silent = "return document.getElementById('bell') && \
        !document.getElementById('own-alerts')";
    browser.goto(&page("&organization_id=top"));
    browser.wait("another organization has none", silent);
    browser.goto(&page("&organization_id=leaf&as_of=2026-02-01T00:00:00Z"));
    browser.wait("another moment has none", silent);

    // The list of the account may be too long to have it.
    let others: Vec<AlertEventRow> = (0..100)
        .map(|number| AlertEventRow {
            month: number + 2,
            id: format!("other {number}"),
            found_at_ms: FOUND_AT_MS + 1 + i64::from(number),
            ..AlertEventRow::quota(&account, "top", "quota", "80")
        })
        .collect();
    site.sql(&storing(&others));
    browser.goto(&page("&organization_id=leaf"));
    wait_for_bell(&browser, "101 open alerts");
    assert_eq!(told(&browser), words);
    browser.click("#bell");
    browser.wait_for_words("These are the latest 100.");
    browser.console_is_clean();
}

#[test]
fn whoever_may_not_see_an_alert_sees_no_bell() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("404 (Not Found)");
    browser.expect("403 (Forbidden)");
    let site = Site::tiny();
    let account = account(site);
    let alerts = [
        AlertEventRow::quota(&account, "leaf", "quota", "80"),
        AlertEventRow::quota(&account, "top", "quota", "80"),
        AlertEventRow::seats(&account, "90"),
    ];
    site.sql(&storing(&alerts));
    let api = site.listen(true, None);
    let grant = |account: &str, organization: &str| {
        token(&json!([{ "account": account, "organization": organization, "role": "owner" }]))
    };
    let page = api.page(&format!("view=usage&account={account}&organization_id=leaf"));
    browser.goto(&format!("{page}#token={}", grant(&account, "leaf")));
    wait_for_bell(&browser, "1 open alert");
    browser.click("#bell");
    assert_eq!(
        list(&browser),
        json!(["80 % of the quota used: Leaf | Since 10 Mar 2026, 12:00; then 812 of 1,000 tests"])
    );
    browser.eval("sessionStorage.clear()");
    browser.visit("about:blank");
    browser.goto(&format!("{page}#token={}", grant("another", "leaf")));
    browser.wait_for_words("Your token does not open this");
    assert_eq!(browser.eval(NO_BELL), true);
    browser.goto(&site.page("account=nobody-at-all"));
    browser.wait_for_words("Nothing counted yet");
    assert_eq!(browser.eval(NO_BELL), true);
    browser.console_is_clean();
    api.stop(site);
}
