//! Links that are handwritten, outdated or invalid.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::site::Site;

const AS_OF: &str = "as_of=2026-06-20T12:00:00Z";

#[test]
fn every_link_leads_to_a_report() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    // The length of a range without an end is not known at first.
    browser.goto(&site.page(&format!("account=1000&from=2020-01-01&{AS_OF}")));
    assert!(browser.table("#table-seats").len() > 12, "{:?}", browser.table("#table-seats"));
    assert_eq!(browser.eval("return document.getElementById('field-from').value"), "2020-01-01");

    browser.goto(&site.page(&format!("account=1000&constructor=1&__proto__=1&toString=1&{AS_OF}")));
    assert!(!browser.table("#table-seats").is_empty());

    browser.goto(&site.page(&format!("view=assignments&account=1000&page=5&{AS_OF}")));
    assert!(browser.text("#shown").starts_with("1–"), "{}", browser.text("#shown"));

    browser.goto(&site.page(
        "account=1000&from=2023-09-25&to=2026-06-20&interval=day&as_of=2026-06-25T12:00:00Z",
    ));
    assert_eq!(browser.eval("return document.querySelectorAll('.notice').length"), 0);
    assert_eq!(browser.table("#table-seats").len(), 1000);

    let long = "x".repeat(401);
    browser.goto(&site.page(&format!("view=assignments&account=1000&user={long}&{AS_OF}")));
    browser.wait_for_words("makes sense: user.");
    assert_eq!(browser.eval("return document.getElementById('field-user').maxLength"), 400);

    // The skip link does not change the history.
    browser
        .eval("history.replaceState({ ours: true }, ''); document.querySelector('.skip').click()");
    let after = browser.eval("return [history.state, location.hash, document.activeElement.id]");
    assert_eq!(after, json!([{ "ours": true }, "", "main"]));
    browser.console_is_clean();
}

#[test]
fn a_beginning_that_cannot_be_found_says_why() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("400 (Bad Request)");
    browser.goto(&Site::tiny().page("account=1000&range=all&as_of=2099-02-20T00:00:00Z"));
    browser.wait_for_words("The API cannot answer this");
    browser.console_is_clean();
}
