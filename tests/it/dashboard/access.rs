//! Tokens: requested, refused, taken from the fragment, kept only in the tab; and views that a role
//! may not see.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::expected::cases;
use super::site::{Site, token};

#[test]
fn a_token_is_entered_once() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("401 (Unauthorized)");
    let site = Site::tiny();
    let api = site.listen(true, None);
    browser.goto(&api.page("account=1000"));
    browser.wait_for_text("h1", "A token is needed");
    browser.is_accessible("the token's form");
    browser.type_into("#token", "no-token-at-all");
    browser.click(".token-form button");
    browser.wait_for_text("h1", "This token does not work");
    // A token that no request can carry is refused with the same text.
    for unusable in ["%E2%9C%93", "two%0Alines"] {
        browser.goto(&format!("{}#token={unusable}", api.page("account=1000")));
        browser.wait("it is taken", "return location.hash === ''");
        if unusable == "%E2%9C%93" {
            // The other token is kept, even if it does not work.
            browser.wait_for_text("h1", "Use the token of this link?");
            browser.click("#take-token");
        }
        browser.wait_for_text("h1", "This token does not work");
        assert_eq!(browser.eval("return sessionStorage.length"), 0);
    }

    let good = token(&json!([
        { "account": "1000", "role": "account_admin" },
        { "account": "1000", "organization": "101", "role": "billing_manager" },
    ]));
    browser.clear("#token");
    browser.type_into("#token", &good);
    browser.click(".token-form button");
    browser.wait_for_text("h1", "License history");
    browser.settled();
    assert!(!browser.table("#table-seats").is_empty());
    assert_eq!(browser.eval("return sessionStorage.getItem('seatmeter.token')"), json!(good));
    assert!(
        !browser
            .eval(
                "return JSON.stringify(localStorage) + document.cookie + \
                document.documentElement.outerHTML"
            )
            .as_str()
            .unwrap()
            .contains(&good)
    );

    // The next view does not request it again.
    browser.eval("document.querySelector('#views li:last-child a').click()");
    browser.wait_for_text("h1", "Usage");
    browser.settled();
    assert!(!browser.table("#overview").is_empty());
    assert!(!browser.address().contains(&good));

    browser.click("[data-action='forget-token']");
    browser.wait_for_text("h1", "A token is needed");
    assert_eq!(browser.eval("return sessionStorage.length"), 0);
    browser.console_is_clean();
    api.stop(site);
}

#[test]
fn a_token_in_the_fragment_leaves_the_address() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let api = site.listen(true, None);
    let good = token(&json!([{ "account": "1000", "role": "account_admin" }]));
    // Its grants name the account, so it need not be entered.
    browser.goto(&format!("{}#token={good}", api.page("view=assignments")));
    browser.wait_for_text("h1", "Assignments");
    browser.settled();
    assert_eq!(browser.eval("return location.hash"), "");
    assert!(browser.address().ends_with("?view=assignments&account=1000"), "{}", browser.address());
    browser.back();
    assert!(!browser.eval("return location.href").as_str().unwrap().contains(&good));
    browser.console_is_clean();
    api.stop(site);
}

#[test]
fn a_link_does_not_replace_a_token_unasked() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let api = site.listen(true, None);
    let mine = token(&json!([{ "account": "1000", "role": "account_admin" }]));
    let theirs = token(&json!([{ "account": "1000", "organization": "org-0-0", "role": "owner" }]));
    let page = api.page("account=1000");
    let kept = "return sessionStorage.getItem('seatmeter.token')";
    browser.goto(&format!("{page}#token={mine}"));
    browser.wait_for_text("h1", "License history");
    browser.settled();
    browser.goto(&format!("{page}&refresh=0#token={theirs}"));
    browser.wait_for_text("h1", "Use the token of this link?");
    browser.is_accessible("the question about a link's token");
    assert_eq!(browser.eval("return location.hash"), "");
    assert_eq!(browser.eval(kept), json!(mine));
    browser.click("#keep-token");
    browser.wait_for_text("h1", "License history");
    assert_eq!(browser.eval(kept), json!(mine));
    // Also within an open page.
    browser.eval(&format!("location.hash = 'token={theirs}'"));
    browser.wait_for_text("h1", "Use the token of this link?");
    browser.click("#take-token");
    // The address names no view, so the role decides.
    browser.wait_for_text("h1", "Usage of Org org-0-0");
    browser.wait(
        "it is kept",
        &format!("return sessionStorage.getItem('seatmeter.token') === '{theirs}'"),
    );
    api.stop(site);
}

#[test]
fn a_token_works_where_the_browser_stores_nothing() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("401 (Unauthorized)");
    let site = Site::tiny();
    let api = site.listen(true, None);
    browser.before_each_page(
        "for (const name of ['sessionStorage', 'localStorage']) Object.defineProperty(window, \
        name, \
         { get() { throw new DOMException('The request was denied.', 'SecurityError') } })",
    );
    browser.goto(&api.page("account=1000"));
    browser.wait_for_text("h1", "A token is needed");
    browser.type_into("#token", &token(&json!([{ "account": "1000", "role": "account_admin" }])));
    browser.click(".token-form button");
    browser.wait_for_text("h1", "License history");
    browser.settled();
    browser.eval("document.querySelector('#views li:nth-child(3) a').click()");
    browser.wait_for_text("h1", "Assignments");
    browser.wait(
        "the rows are there",
        "return document.querySelectorAll('#assignments tbody tr').length > 3",
    );
    browser.click("[data-action='forget-token']");
    browser.wait_for_text("h1", "A token is needed");
    browser.console_is_clean();
    api.stop(site);
}

#[test]
fn a_role_opens_its_own_views() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("403 (Forbidden)");
    let site = Site::tiny();
    let api = site.listen(true, None);
    let owner = token(&json!([{ "account": "1000", "organization": "org-0-0", "role": "owner" }]));
    let as_of = "as_of=2026-06-20T12:00:00Z";
    browser.goto(&format!("{}#token={owner}", api.page(&format!("account=1000&{as_of}"))));
    // The address names no view, so the role decides.
    browser.wait_for_text("h1", "Usage of Org org-0-0");
    browser.settled();
    assert_eq!(browser.text("#views"), "Usage", "what the role may not read is not offered");
    browser.goto(&api.page(&format!("view=license-history&account=1000&{as_of}")));
    browser.wait_for_text("h1", "License history");
    browser.wait_for_words("Your token does not open this");
    browser.is_accessible("a view that the token does not open");

    browser.eval(
        "[...document.querySelectorAll('main a')].find((a) => a.innerText === 'See the \
        usage of your organizations').click()",
    );
    browser.wait_for_text("h1", "Usage of Org org-0-0");
    browser.settled();
    let quota = cases("tiny", "org-0-0/quota")
        .into_iter()
        .find(|case| case.query["as_of"] == "2026-06-20T12:00:00Z")
        .unwrap();
    browser.wait_for_text("#quota-used", &quota.body["used"].to_string());
    assert_eq!(browser.text("#organization-name"), "Org org-0-0");

    // Another organization of the account is refused like one that does not exist.
    for organization in ["101", "unheard-of"] {
        browser.goto(
            &api.page(&format!("view=usage&account=1000&organization_id={organization}&{as_of}")),
        );
        browser.wait_for_words("Your token does not open this");
    }
    browser.goto(&api.page("account=another"));
    browser.wait_for_words("Your token does not open this");
    browser.console_is_clean();
    api.stop(site);
}

#[test]
fn a_dialog_does_not_cover_the_question_for_a_token() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("401 (Unauthorized)");
    let site = Site::tiny();
    let api = site.listen(true, None);
    let good = token(&json!([{ "account": "1000", "role": "account_admin" }]));
    browser.goto(&format!(
        "{}#token={good}",
        api.page("view=assignments&account=1000&person=9003&refresh=1")
    ));
    browser.wait("the dialog is open", "return document.getElementById('person').open");
    browser.eval("sessionStorage.setItem('seatmeter.token', 'expired')");
    browser.wait_for_text("h1", "This token does not work");
    browser.wait("the dialog is closed", "return !document.getElementById('person').open");
    assert!(browser.address().contains("person=9003"), "{}", browser.address());
    browser.type_into("#token", &good);
    browser.click(".token-form button");
    browser.wait("the dialog is open again", "return document.getElementById('person').open");
    browser.console_is_clean();
    api.stop(site);
}
