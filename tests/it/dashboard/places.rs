//! Where somebody is: on which account, at which row, with the keyboard on what; and where going
//! back leads.

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::browser::{Browser, LIGHT, PHONE};
use super::findings::{fact, two_hundred};
use super::site::{Site, token};
use crate::support::unique;

const TIME: &str = "2026-01-05T10:00:00Z";

#[test]
fn a_remembered_account_that_is_gone_gives_way() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("404 (Not Found)");
    let site = Site::tiny();
    // Where there is but one account, that one would be opened.
    let account = unique("there");
    site.count(&fact(&account, "account.updated", TIME, json!({ "name": "There" })));
    let remember = "localStorage.setItem('seatmeter.accounts', JSON.stringify(['gone', 'lost']))";
    browser.goto(&site.page("account=1000"));
    browser.eval(remember);
    browser.visit(&site.page(""));
    browser.wait_for_text("h1", "Which account?");
    browser.wait("there is a choice", "return document.querySelectorAll('main .chip').length > 0");
    assert_eq!(browser.eval("return localStorage.getItem('seatmeter.accounts')"), "[]");

    // A link to an account that is not there stays, and says which ones are.
    browser.goto(&site.page("account=gone"));
    browser.wait_for_words("Nothing counted yet");
    browser
        .wait("there is a choice", "return document.querySelectorAll('.state .chip').length > 0");
    browser.is_accessible("an account that is not there");

    // With one that is there beside it, that one is opened.
    browser.goto(&site.page(&format!("account={account}")));
    browser.eval(&format!(
        "localStorage.setItem('seatmeter.accounts', JSON.stringify(['gone', '{account}']))"
    ));
    browser.visit(&site.page("view=assignments"));
    browser.wait("it is open", &format!("return location.search.includes('account={account}')"));
    browser.settled();
    browser.console_is_clean();
}

#[test]
fn an_account_beyond_the_first_hundred_has_its_name() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let many = unique("many");
    let account = format!("{many}-last");
    let mut lines: Vec<String> = (0..101)
        .map(|number| {
            let name = json!({ "name": format!("!Account {number:03}") });
            fact(&format!("{many}-{number}"), "account.updated", TIME, name)
        })
        .collect();
    lines.push(fact(&account, "account.updated", TIME, json!({ "name": "Zürich Works" })));
    site.count(&lines.join("\n"));
    browser.goto(&site.page(&format!("account={account}")));
    browser.wait_for_text("#account-switch .choice-name", "Zürich Works");
    assert_eq!(browser.eval("return document.title"), "License history · Zürich Works · seatmeter");

    // The dialog by keyboard: from the search into the list, and Enter opens.
    let enter = Key::Enter.to_string();
    browser.type_into("#account-switch", &enter);
    browser.type_into("#accounts-search", &format!("{many}-1"));
    browser.wait(
        "some are found",
        "return document.querySelectorAll('dialog[open] [data-account]').length === 12",
    );
    browser.press(&Key::Down.to_string());
    browser.press(&Key::Down.to_string());
    assert_eq!(browser.eval("return document.activeElement.innerText"), "!Account 010");
    browser.press(&enter);
    browser.wait_for_text("#account-switch .choice-name", "!Account 010");
    browser.console_is_clean();
}

#[test]
fn an_account_that_a_token_only_checks_is_not_offered() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let api = site.listen(true, None);
    let [read, checked] = [unique("read"), unique("checked")];
    let lines = [&read, &checked]
        .map(|account| fact(account, "account.updated", TIME, json!({ "name": account })));
    site.count(&lines.join("\n"));
    let grants = json!([
        { "account": checked, "role": "checker" }, { "account": read, "role": "account_admin" },
    ]);
    browser.goto(&format!("{}#token={}", api.page("refresh=0"), token(&grants)));
    browser.wait("it is open", &format!("return location.search.includes('account={read}')"));
    browser.wait_for_text(".account-name bdi", &read);
    assert_eq!(browser.eval("return document.getElementById('account-switch')"), Value::Null);
    browser.console_is_clean();
    api.stop(site);
}

#[test]
fn back_leads_to_the_row_that_was_opened() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = two_hundred(site);
    let as_of = "as_of=2026-03-20T12:00:00Z";
    browser.goto(&site.page(&format!("view=usage&account={account}&{as_of}&refresh=0")));
    let focused = "return document.activeElement.innerText";
    // The first of the rows that were not there before.
    browser.type_into("#show-all", &Key::Enter.to_string());
    browser.wait("all", "return document.querySelectorAll('#overview tbody tr').length === 200");
    assert_eq!(browser.eval(focused), "Team 099");
    let place = browser.eval(
        "const link = document.querySelectorAll('#overview tbody a')[150]; link.focus(); \
         link.scrollIntoView({ block: 'center' }); return scrollY",
    );
    assert!(place.as_f64().unwrap() > 2000.0, "{place}");
    browser.press(&Key::Enter.to_string());
    browser.wait_for_text("h1", "Usage of Team 049");
    assert_eq!(browser.eval("return document.activeElement.id"), "title");
    let title = browser.eval("return document.title");
    assert!(title.as_str().unwrap().starts_with("Usage · Team 049 · "), "{title}");
    browser.settled();
    browser.back();
    browser.wait("the table", "return document.querySelectorAll('#overview tr').length === 201");
    browser.settled();
    assert_eq!(browser.eval("return scrollY"), place);
    assert_eq!(browser.eval(focused), "Team 049");
    browser.console_is_clean();
}

#[test]
fn escape_leaves_a_person_for_good() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let page = Site::tiny().page("account=1000&as_of=2026-06-20T12:00:00Z");
    browser.goto(&page);
    browser.eval("document.querySelector('#views li:nth-child(3) a').click()");
    browser.wait_for_text("h1", "Assignments");
    browser.settled();
    browser.type_into(".person-link", &Key::Enter.to_string());
    browser.wait("the seats", "return document.querySelector('#person[open] .seats')");
    browser.press(&Key::Escape.to_string());
    browser.wait("it is closed", "return !location.search.includes('person')");
    assert_eq!(browser.eval("return document.activeElement.className"), "person-link");
    browser.back();
    browser.wait_for_text("h1", "License history");
    assert_eq!(browser.eval("return document.getElementById('person').open"), false);

    // An organization of the person leads to its seats.
    browser.goto(&Site::tiny().page("view=assignments&account=1000&person=9003&user=9003"));
    browser.click("#person .seat-head a");
    browser.wait("its seats", "return location.search.includes('organization_id=')");
    browser.wait("it is closed", "return !document.getElementById('person').open");
    assert!(!browser.address().contains("user=9003"), "{}", browser.address());
    browser.console_is_clean();
}

#[test]
fn a_phone_sorts_without_heads() {
    let Some(browser) = Browser::open(PHONE) else { return };
    let site = Site::tiny();
    let as_of = "as_of=2026-06-20T12:00:00Z";
    for (view, table, order) in
        [("usage", "overview", "organization"), ("license-usage", "comparison", "organization")]
    {
        browser.goto(&site.page(&format!("view={view}&account=1000&{as_of}")));
        let first = || browser.table(&format!("#{table}"))[0][0].clone();
        let mut names: Vec<String> =
            browser.table(&format!("#{table}")).iter().map(|row| row[0].clone()).collect();
        names.sort_unstable();
        browser.click(&format!("#field-order option[value='{order}']"));
        browser.wait("it is sorted", "return location.search.includes('order=')");
        assert_eq!(first(), names[0], "{view}");
        browser.click(&format!("#field-order option[value='-{order}']"));
        browser.wait("it is sorted", "return location.search.includes('order=-')");
        assert_eq!(first(), *names.last().unwrap(), "{view}");
        let reached = browser.eval(
            "return [...document.querySelectorAll('thead a')].filter((link) => \
             link.checkVisibility()).length",
        );
        assert_eq!(reached, 0, "links that nobody sees are not reached");
        browser.is_accessible(view);
    }
    browser.console_is_clean();
}

#[test]
fn a_poll_without_news_draws_nothing() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let account = two_hundred(Site::tiny());
    let as_of = "as_of=2026-03-20T12:00:00Z";
    browser.goto(&Site::tiny().page(&format!("view=usage&account={account}&{as_of}&refresh=1")));
    browser.wait(
        "polls begin",
        "const made = document.createElement; window.polls ??= (document.createElement = (name) => \
         { if (name === 'tr') window.rows = (window.rows ?? 0) + 1; return made.call(document, \
         name); }, performance.now()); return performance.now() - window.polls > 4000",
    );
    assert_eq!(browser.eval("return window.rows ?? 0"), 0);
    browser.console_is_clean();
}

#[test]
fn a_figure_leads_to_what_it_is_made_of_or_nowhere() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let as_of = "as_of=2026-06-20T12:00:00Z";
    browser.goto(&site.page(&format!("account=1000&{as_of}")));
    let leads = |name: &str| {
        browser.eval(&format!("return document.querySelector('#stat-{name} a') !== null"))
    };
    // No view lists what was purchased, or is free.
    assert_eq!([leads("purchased"), leads("free")], [json!(false), json!(false)]);
    assert_eq!(leads("assigned"), true);

    let usage = format!("view=usage&account=1000&organization_id=org-0-0&{as_of}");
    browser.goto(&site.page(&usage));
    browser.drawn();
    browser.click("#quota-used a");
    browser.wait("the days", "return location.search.includes('interval=day')");
    browser.settled();
    assert!(browser.address().contains("from="), "{}", browser.address());
    browser.goto(&site.page(&usage));
    browser.click("#quota-seats");
    browser.wait_for_text("h1", "Assignments");
    assert!(browser.address().contains("organization_id=org-0-0"), "{}", browser.address());
    browser.console_is_clean();
}
