//! The page over time: it follows the counts, survives an API outage, and explains missing data.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::site::{Site, event};
use crate::support::unique;

/// Observes whether the figure is ever removed from the page, and whether it stays the same
/// element.
const WATCH: &str = "window.figure = document.getElementById('stat-purchased'); window.blanked = \
    false; \
    new MutationObserver(() => { window.blanked ||= !document.getElementById('stat-purchased'); }) \
    .observe(document.getElementById('main'), { childList: true, subtree: true })";
const NEVER_BLANK: &str = "return !window.blanked && window.figure.isConnected";

fn purchased(account: &str, seats: u64, time: &str) -> String {
    event("license.purchased", time, &json!({ "account_id": account, "seats": seats }))
}

#[test]
fn a_new_event_shows_by_itself() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("live");
    site.count(&purchased(&account, 5, "2026-01-05T10:00:00Z"));
    browser.goto(&site.page(&format!("account={account}&refresh=1")));
    browser.wait_for_text("#stat-purchased .stat-value", "5");
    browser.eval(WATCH);
    let asked = "return performance.getEntriesByType('resource').filter((entry) => \
        entry.responseStatus === 304).length > 2";
    browser.wait("what has not changed is answered by 304", asked);
    site.count(&purchased(&account, 9, "2026-01-06T10:00:00Z"));
    browser.wait_for_text("#stat-purchased .stat-value", "9");
    assert_eq!(browser.eval(NEVER_BLANK), true);
    browser.wait(
        "it is fresh",
        "return document.getElementById('fresh').innerText.startsWith('Live · counted')",
    );

    browser.click("#pause");
    browser.wait("it is paused", "return document.getElementById('pause').ariaPressed === 'true'");
    site.count(&purchased(&account, 11, "2026-01-07T10:00:00Z"));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(browser.text("#stat-purchased .stat-value"), "9");
    browser.click("#pause");
    browser.wait_for_text("#stat-purchased .stat-value", "11");
    browser.console_is_clean();
}

#[test]
fn the_figures_stay_while_the_api_is_away() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("Failed to load resource: net::ERR_");
    let site = Site::tiny();
    let api = site.listen(false, None);
    browser.goto(&api.page("account=1000&refresh=1&from=2026-03-05&to=2026-04-20"));
    let figure = browser.text("#stat-purchased .stat-value");
    browser.eval(WATCH);
    let address = api.stop(site);
    browser.wait_for_words("The API does not answer. These are the last figures");
    browser.wait(
        "the header says so",
        "return document.getElementById('fresh').innerText.startsWith('No answer since')",
    );
    assert_eq!(browser.text("#stat-purchased .stat-value"), figure);
    browser.is_accessible("the API is away");

    let api = site.listen(false, Some(address));
    browser.wait("the notice is gone", "return !document.querySelector('.notice')");
    browser.wait(
        "it is fresh",
        "return document.getElementById('fresh').innerText.startsWith('Live · counted')",
    );
    assert_eq!(browser.eval(NEVER_BLANK), true);

    // A page opened while the API is away has no figures; it loads them by itself later.
    let address = api.stop(site);
    browser.eval("document.querySelector('#views li:nth-child(3) a').click()");
    browser.wait_for_words("The API does not answer");
    let api = site.listen(false, Some(address));
    browser.wait(
        "the rows are there",
        "return document.querySelectorAll('#assignments tbody tr').length > 3",
    );
    browser.console_is_clean();
    api.stop(site);
}

/// Makes every answer report a server clock that is `window.ahead` milliseconds ahead.
const OTHER_SERVER_TIME: &str = "const real = window.fetch; window.fetch = async (...asked) => { \
    const answer = await real(...asked); \
    const headers = new Headers(answer.headers); \
    headers.set('Date', new Date(window.ours.call(Date) + window.ahead).toUTCString()); \
    const body = answer.status === 304 ? null : await answer.arrayBuffer(); \
    return new Response(body, { status: answer.status, headers }); }";

#[test]
fn figures_that_grow_old_say_so() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page("account=1000&from=2026-03-05&to=2026-04-20&refresh=1"));
    browser.wait(
        "they are fresh",
        "return document.getElementById('fresh').innerText.startsWith('Live · counted')",
    );
    let figure = browser.text("#stat-purchased .stat-value");
    // The browser's clock is not used.
    browser.eval("const now = Date.now; Date.now = () => now() + 600_000; window.ours = now");
    browser.eval(OTHER_SERVER_TIME);
    browser.eval("window.ahead = 0");
    let polled = "const polled = performance.getEntriesByType('resource').length; \
                  if (window.before === undefined) window.before = polled; return polled > \
                  window.before + 4";
    browser.wait("it is polled again", polled);
    assert_eq!(
        browser.eval("return document.getElementById('fresh').innerText.startsWith('Live')"),
        true
    );
    // The server's clock advances, and nothing is counted meanwhile.
    browser.eval("window.ahead = 600_000");
    let behind = "return document.getElementById('fresh').innerText.startsWith('Behind: counted 10 \
        min ago')";
    browser.wait("the header says so", behind);
    assert_eq!(browser.text("#stat-purchased .stat-value"), figure);
    browser.is_accessible("the figures are old");
    browser.console_is_clean();
}

#[test]
fn there_are_words_for_what_is_not_there() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("404 (Not Found)");
    browser.expect("400 (Bad Request)");
    let site = Site::tiny();
    // The only account would be opened at once.
    site.count(&purchased(&unique("another"), 5, "2026-01-05T10:00:00Z"));
    browser.goto(&site.page(""));
    browser.wait_for_text("h1", "Which account?");
    browser.is_accessible("no account is chosen");
    // Blanks are significant in an id.
    browser.type_into("#account-id", " nobody ");
    browser.click(".account-form button");
    browser.wait_for_words("Nothing counted yet");
    assert!(browser.address().contains("account=+nobody+"), "{}", browser.address());
    browser.is_accessible("an account without events");

    browser.goto(&site.page("account=1000&from=2026-04-20&to=2026-03-05"));
    browser.wait_for_words("The API cannot answer this");
    browser.goto(&site.page("account=1000&from=2099-01-01"));
    browser.wait("some words", "return document.querySelector('main .state h2') !== null");
    browser.goto(
        &site.page("view=usage&account=1000&organization_id=org-0-0&as_of=2025-12-19T00:00:00Z"),
    );
    browser.wait_for_words("No plan");
    browser.goto(&site.page("view=assignments&account=1000&user=nobody+of+that+name"));
    browser.wait_for_words("Nobody matches these filters");

    // The account was remembered when it had figures.
    browser.goto(&site.page(""));
    browser.wait_for_text("h1", "License history");
    assert!(browser.address().ends_with("?account=1000"), "{}", browser.address());
    browser.console_is_clean();
}

#[test]
fn names_are_text_whatever_they_hold() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("names");
    let name = "<img src=x onerror=alert(1)><b>bold</b> & \"quoted\" <a \
        href='https://example.com'>a</a> ${1}";
    let time = "2026-01-05T10:00:00Z";
    let facts = [
        event(
            "organization.updated",
            time,
            &json!({ "account_id": account, "organization_id": "o<1>", "name": name }),
        ),
        event(
            "user.updated",
            time,
            &json!({ "account_id": account, "user_id": "<u>", "name": name, "email": name }),
        ),
        event(
            "license.assigned",
            time,
            &json!({ "account_id": account, "organization_id": "o<1>", "user_id": "<u>" }),
        ),
        event(
            "user.login",
            "2026-01-05T11:00:00Z",
            &json!({ "account_id": account, "organization_id": "o<1>", "user_id": "<u>" }),
        ),
    ];
    site.count(&facts.join("\n"));
    browser.goto(&site.page(&format!("view=assignments&account={account}")));
    assert_eq!(browser.text(".person-link"), name);
    browser.click(".person-link");
    browser.wait(
        "the dialog is filled",
        "return document.querySelectorAll('#person .seats > li').length === 1",
    );
    assert_eq!(browser.text("#person-title"), name);

    browser.goto(
        &site.page(&format!("view=license-usage&account={account}&from=2026-01-01&to=2026-01-10")),
    );
    browser.wait(
        "the comparison is drawn",
        "return document.querySelectorAll('#bars .bar-name').length === 1",
    );
    assert_eq!(browser.table("#comparison")[0][0], name);
    assert_eq!(browser.text("#bars .bar-name"), name);
    assert_eq!(
        browser.eval("return document.querySelectorAll('main b, main svg a, main img').length"),
        0
    );
    browser.console_is_clean();
}
