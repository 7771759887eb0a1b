//! Screenshots of all views, for review: `cargo test --test it dashboard::screenshots --
//! --ignored`.

use seatmeter::generate::{Generator, Load};
use serde_json::json;

use super::browser::{Browser, DARK, LIGHT, Look, PHONE};
use super::site::{Site, keep, token};
use crate::support::alerts::{AlertEventRow, storing};

const WALL: Look = Look { width: 2560, height: 1440, scheme: "dark" };

const ACCOUNT: &str = "acme";
/// An organization of the account that runs tests, within its quota.
const ORGANIZATION: &str = "102";
const AS_OF: &str = "2026-06-20T12:00:00Z";

/// Lines that are sent at a time: the mock broker keeps 5 MiB of a partition.
const CHUNK_LINES: usize = 5_000;

/// Half a year of one made-up account.
fn site() -> Site {
    let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
    let load = Load {
        accounts: 1,
        users: 70,
        actions_per_day: 1,
        test_runs_per_day: 4,
        ..Load::ordinary(at("2025-12-01T00:00:00Z"), at(AS_OF))
    };
    let lines: Vec<String> = Generator::new(&load)
        .map(|line| String::from_utf8_lossy(&line.json).into_owned())
        .collect();
    let site = Site::start();
    for chunk in lines.chunks(CHUNK_LINES) {
        site.count(&chunk.join("\n"));
    }
    site
}

#[test]
#[ignore = "makes pictures in target/screenshots for people to look at"]
fn all_views() {
    let Some(mut browser) = Browser::open(LIGHT) else {
        panic!("chromium and chromedriver are needed for pictures")
    };
    browser.expect("Failed to load resource");
    let site = site();
    views(&browser, &site);
    dialogs(&browser, &site);
    states(&browser, &site);
    paper(&browser, &site);
    alerts(&browser, &site);
    browser.console_is_clean();
}

fn page(site: &Site, query: &str) -> String {
    site.page(&format!("account={ACCOUNT}&as_of={AS_OF}&{query}"))
}

fn queries() -> [(&'static str, String); 6] {
    [
        ("license-history", "range=all".to_owned()),
        ("license-usage", "view=license-usage&range=90d&interval=week".to_owned()),
        ("assignments", "view=assignments".to_owned()),
        ("reclaim", "view=assignments&inactive_days=30&held_days=30".to_owned()),
        ("overview", "view=usage".to_owned()),
        ("usage", format!("view=usage&range=90d&organization_id={ORGANIZATION}")),
    ]
}

fn views(browser: &Browser, site: &Site) {
    for (look, name) in [(LIGHT, "light"), (DARK, "dark"), (PHONE, "phone"), (WALL, "wall")] {
        browser.look(look);
        for (view, query) in queries() {
            browser.goto(&page(site, &query));
            browser.drawn();
            keep(&format!("{view}-{name}.png"), &browser.picture());
        }
    }
}

fn dialogs(browser: &Browser, site: &Site) {
    for (look, name) in [(LIGHT, "light"), (DARK, "dark"), (PHONE, "phone")] {
        browser.look(look);
        browser.goto(&page(site, "view=assignments&limit=10"));
        browser.click(".person-link");
        browser.wait(
            "the dialog is filled",
            "return document.querySelectorAll('#person .seats > li').length > 0",
        );
        keep(&format!("user-{name}.png"), &browser.picture_of_window());
        browser.goto(&page(site, "range=all"));
        browser.drawn();
        browser.hover("#plot-seats", 0.6, 0.5);
        browser.wait(
            "the tooltip is there",
            "return !document.getElementById('tooltip-seats').hidden",
        );
        keep(&format!("tooltip-{name}.png"), &browser.picture_of_window());
        browser.eval("document.querySelector('.filter-box').open = true");
        browser.click("#organization");
        keep(&format!("organizations-{name}.png"), &browser.picture_of_window());
    }
    browser.look(PHONE);
    browser.goto(&page(site, "view=assignments&limit=3"));
    browser.eval("document.querySelector('.filter-box').open = true");
    keep("filters-phone.png", &browser.picture());
}

/// The list of open alerts, and the panel of an organization that has one. Last, because from then
/// on every picture has a bell.
fn alerts(browser: &Browser, site: &Site) {
    site.sql(&storing(&[
        AlertEventRow::quota(ACCOUNT, ORGANIZATION, "quota", "80"),
        AlertEventRow::quota(ACCOUNT, ORGANIZATION, "pace", "runs_out"),
        AlertEventRow::seats(ACCOUNT, "overage"),
    ]));
    let panel = format!("view=usage&account={ACCOUNT}&organization_id={ORGANIZATION}");
    for (look, name) in [(LIGHT, "light"), (DARK, "dark"), (PHONE, "phone")] {
        browser.look(look);
        browser.goto(&site.page(&format!("{panel}&from=2026-03-01&to=2026-04-30")));
        browser.drawn();
        keep(&format!("alert-panel-{name}.png"), &browser.picture());
        browser.click("#bell");
        keep(&format!("alerts-{name}.png"), &browser.picture_of_window());
    }
}

fn states(browser: &Browser, site: &Site) {
    let locked = site.listen(true, None);
    let stranger =
        token(&json!([{ "account": ACCOUNT, "organization": ORGANIZATION, "role": "owner" }]));
    for (look, name) in [(LIGHT, "light"), (DARK, "dark"), (PHONE, "phone")] {
        browser.look(look);
        let shown = |address: &str, what: &str| {
            browser.goto(address);
            keep(&format!("{what}-{name}.png"), &browser.picture_of_window());
        };
        browser.goto(&site.page(""));
        browser.eval("localStorage.clear(); sessionStorage.clear()");
        shown(&site.page(""), "account");
        shown(&site.page("account=nobody"), "unknown-account");
        shown(&site.page(&format!("account={ACCOUNT}&from=2020-01-01&to=2020-02-01")), "no-seats");
        shown(&page(site, "view=assignments&user=nobody"), "nobody-matches");
        shown(
            &page(site, "view=usage&from=2025-12-01&to=2025-12-01&organization_id=101"),
            "no-tests",
        );
        browser.goto(&locked.page(""));
        browser.eval("localStorage.clear(); sessionStorage.clear()");
        shown(&locked.page(&format!("account={ACCOUNT}")), "token");
        shown(
            &format!(
                "{}#token={stranger}",
                locked.page(&format!("view=assignments&account={ACCOUNT}"))
            ),
            "forbidden",
        );
    }
    browser.look(LIGHT);
    browser.eval("localStorage.clear(); sessionStorage.clear()");
    let address = locked.stop(site);
    let open = site.listen(false, Some(address));
    browser.goto(&open.page(&format!("account={ACCOUNT}&as_of={AS_OF}&range=all&refresh=1")));
    browser.drawn();
    open.stop(site);
    browser.wait_for_words("The API does not answer.");
    keep("away-with-figures-light.png", &browser.picture_of_window());
    browser.eval("document.querySelector('#views li:nth-child(3) a').click()");
    browser.wait_for_words("It may be restarting");
    keep("away-light.png", &browser.picture_of_window());
}

fn paper(browser: &Browser, site: &Site) {
    browser.look(LIGHT);
    for (view, query) in queries() {
        browser.goto(&page(site, &query));
        browser.drawn();
        keep(&format!("{view}.pdf"), &browser.paper());
    }
}
