//! Hostile and unusual names, ids and links.

use serde_json::{Value, json};

use super::browser::{Browser, LIGHT};
use super::site::{Site, event};
use crate::support::unique;

/// An account with a seat of a user with that name.
fn account_with(site: &Site, user: &str, name: &str) -> String {
    let account = unique("names");
    let data = |more: Value| {
        let mut data = json!({ "account_id": account, "user_id": user });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        data
    };
    let lines = [
        event("user.updated", "2026-01-01T00:00:00Z", &data(json!({ "name": name }))),
        event("license.assigned", "2026-01-02T00:00:00Z", &data(json!({ "organization_id": "o" }))),
    ];
    site.count(&lines.join("\n"));
    account
}

fn rows(account: &str) -> String {
    format!("view=assignments&account={account}&as_of=2026-06-20T12:00:00Z")
}

const TITLE: &str = "return document.querySelector('#person[open] h2')?.innerText";

#[test]
fn a_person_with_a_long_name_can_be_opened() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for (letters, name) in [(345, "漢"), (1_000, "字")] {
        let name = name.repeat(letters);
        let account = account_with(site, "7", &name);
        browser.goto(&site.page(&rows(&account)));
        browser.settled();
        browser.click(".person-link");
        browser.wait(
            "the person is shown",
            &format!("return document.querySelector('#person[open] h2')?.innerText === '{name}'"),
        );
        browser.wait(
            "with a seat",
            "return document.querySelectorAll('#person .seats li').length === 1",
        );
        // An older link, with as much of the name as an address holds.
        let old = name.chars().take(400).collect::<String>();
        browser.goto(&site.page(&format!("{}&person=7&person_name={old}", rows(&account))));
        browser.wait(
            "the person is shown",
            &format!("return document.querySelector('#person[open] h2')?.innerText === '{name}'"),
        );
    }
    browser.console_is_clean();
}

#[test]
fn a_name_without_a_letter_that_shows_gives_way_to_the_id() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for name in [" ", "\u{200b}", "\u{3164}\u{2060}"] {
        let account = account_with(site, "user-7", name);
        browser.goto(&site.page(&rows(&account)));
        browser.settled();
        browser.wait_for_text(".person-link", "user-7");
        browser.click(".person-link");
        browser.wait(
            "the person is shown",
            "return document.querySelector('#person[open] h2')?.innerText === 'user-7'",
        );
    }
    browser.console_is_clean();
}

#[test]
fn a_title_never_comes_from_the_address() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = account_with(site, "7", "Ada");
    let words = "Call%20555%201234";
    for (person, title) in [("7", "Ada"), ("call-555-1234", "User")] {
        browser
            .goto(&site.page(&format!("{}&person={person}&person_name={words}", rows(&account))));
        browser.wait("the dialog is open", &format!("{TITLE} !== undefined"));
        browser.settled();
        browser.wait(
            "it says who",
            &format!("return document.querySelector('#person[open] h2')?.innerText === '{title}'"),
        );
        assert_eq!(
            browser.eval("return document.getElementById('person').innerText.includes('555')"),
            false
        );
    }
    browser.console_is_clean();
}

#[test]
fn a_step_of_a_path_is_no_id() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for query in [
        "account=..",
        "account=.",
        "view=usage&account=1000&organization_id=..",
        "view=usage&account=1000&organization_id=.",
    ] {
        browser.goto(&site.page(query));
        browser.wait("the page stands", "return document.querySelector('h1') !== null");
        let asked = "return performance.getEntriesByType('resource').map(({ name }) => new \
            URL(name).pathname) \
                     .filter((path) => path.startsWith('/v1/') && \
                     !/^\\/v1\\/(ingest$|accounts$|accounts\\/1000\\/)/.test(path))";
        assert_eq!(browser.eval(asked), json!([]), "{query}");
    }
    browser.console_is_clean();
}

#[test]
fn the_picker_finds_what_people_type() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("picker");
    let names = ["İpek", "Zoë", "Straße", "ΟΔΟΣ", "ﬁn"];
    let lines: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let data = json!({
                "account_id": account, "organization_id": format!("o{number}"), "name": name,
            });
            event("organization.updated", "2026-01-01T00:00:00Z", &data)
        })
        .collect();
    site.count(&lines.join("\n"));
    browser.goto(&site.page(&format!("account={account}")));
    browser.settled();
    for (typed, found) in [
        ("ipek", "İpek"),
        ("ZOE", "Zoë"),
        ("strasse", "Straße"),
        ("οδος", "ΟΔΟΣ"),
        ("FIN", "ﬁn"),
        ("zoe\u{308}", "Zoë"),
    ] {
        browser.click("#organization");
        browser.type_into("#picker-search", typed);
        browser.wait(
            &format!("{typed} finds {found}"),
            &format!(
                "const found = [...document.querySelectorAll('#picker-tree li bdi')].map((name) => \
                name.innerText); \
                 return found[0] === '{found}'"
            ),
        );
        browser.click("[data-picker='close']");
    }
    browser.console_is_clean();
}

#[test]
fn figures_are_rounded_as_the_contract_says() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page("account=1000"));
    browser.settled();
    let shown = |call: &str| {
        browser.eval(&format!(
            "const module = document.querySelector('link[href$=\"/format.js\"]').href; \
             return import(module).then((format) => format.{call})"
        ))
    };
    assert_eq!(shown("percent(199999, 200000)"), "99.99 %");
    assert_eq!(shown("percent(1, 2)"), "50.00 %");
    assert_eq!(shown("percent(200000, 200000)"), "100.00 %");
    assert_eq!(shown("percent(0, 0)"), Value::Null);
    assert_eq!(shown("count(9007199254740991)"), "9,007,199,254,740,991");
    assert_eq!(shown("count(9007199254740993)"), "≈\u{a0}9,007,199,254,740,992");
    browser.console_is_clean();
}
