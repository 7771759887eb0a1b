//! Pictures of all views, to be looked at: `cargo test --test it dashboard::screenshots -- --ignored`.

use seatmeter::generate::{Generator, Load};

use super::browser::{Browser, DARK, LIGHT, Look, PHONE};
use super::site::{Site, keep};

const WALL: Look = Look { width: 2560, height: 1440, scheme: "dark" };

const ACCOUNT: &str = "acme";
/// An organization of the account.
const ORGANIZATION: &str = "101";
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
    let lines: Vec<String> =
        Generator::new(&load).map(|line| String::from_utf8_lossy(&line.json).into_owned()).collect();
    let site = Site::start();
    for chunk in lines.chunks(CHUNK_LINES) {
        site.count(&chunk.join("\n"));
    }
    site
}

#[test]
#[ignore = "makes pictures in target/screenshots for people to look at"]
fn all_views() {
    let Some(browser) = Browser::open(LIGHT) else { panic!("chromium and chromedriver are needed for pictures") };
    let site = site();
    let page = |query: &str| site.page(&format!("account={ACCOUNT}&as_of={AS_OF}&{query}"));
    browser.goto(&site.page(""));
    keep("account-light", &browser.picture_of_window());
    let usage = format!("view=usage&range=90d&organization_id={ORGANIZATION}");
    let views = [
        ("license-history", "range=all"),
        ("license-usage", "view=license-usage&range=90d&interval=week"),
        ("assignments", "view=assignments"),
        ("usage", &usage),
    ];
    for (look, name) in [(LIGHT, "light"), (DARK, "dark"), (PHONE, "phone"), (WALL, "wall")] {
        browser.look(look);
        for (view, query) in views {
            browser.goto(&page(query));
            browser.drawn();
            keep(&format!("{view}-{name}"), &browser.picture());
        }
    }
    browser.look(LIGHT);
    browser.goto(&page("view=assignments"));
    browser.click(".person-link");
    browser.wait("the dialog is filled", "return document.querySelectorAll('#person .seats > li').length > 0");
    keep("user-light", &browser.picture_of_window());
    browser.goto(&page("range=all"));
    browser.drawn();
    browser.hover("#plot-seats", 0.6, 0.5);
    browser.wait("the tooltip is there", "return !document.getElementById('tooltip-seats').hidden");
    keep("tooltip-light", &browser.picture_of_window());
    browser.click("#organization");
    keep("organizations-light", &browser.picture_of_window());
    browser.console_is_clean();
}
