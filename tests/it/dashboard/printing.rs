//! The printed page: every figure is present, nothing is cut off, and pages are filled.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::findings::two_hundred;
use super::site::{Site, event};
use crate::support::unique;

const AS_OF: &str = "as_of=2026-06-20T12:00:00Z";

/// Width of an A4 page within its margins, CSS pixels.
const PAPER_WIDTH: u32 = 700;

/// Pages of a PDF file, each of which is an object.
fn pages(paper: &[u8]) -> usize {
    let text = String::from_utf8_lossy(paper);
    text.matches("/Type /Page").count() - text.matches("/Type /Pages").count()
}

#[test]
fn paper_shows_every_figure() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(
        &Site::tiny().page(&format!(
            "view=usage&account=1000&organization_id=org-0-0&range=quarter&{AS_OF}"
        )),
    );
    browser.drawn();
    browser.eval(
        "addEventListener('beforeprint', () => { window.notOnPaper = \
        document.querySelectorAll('details.as-table:not([open])').length })",
    );
    let paper = browser.paper();
    assert!(paper.starts_with(b"%PDF-"));
    assert_eq!(browser.eval("return window.notOnPaper"), 0, "tables that are not on paper");
    let open = browser.eval("return document.querySelectorAll('details.as-table[open]').length");
    assert_eq!(open, 0, "on the screen they are as they were");
    browser.console_is_clean();
}

#[test]
fn long_tables_go_on_over_pages_instead_of_leaving_them_blank() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("paper");
    let assigned: Vec<String> = (0..60)
        .map(|number| {
            let data = json!({
                "account_id": account, "organization_id": "42",
                "user_id": format!("user-{number}"),
            });
            event("license.assigned", "2026-01-05T10:00:00Z", &data)
        })
        .collect();
    site.count(&assigned.join("\n"));
    browser.goto(&site.page(&format!("view=assignments&account={account}&limit=60")));
    assert_eq!(browser.table("#assignments").len(), 60);
    // A row takes some 6 mm: they would fill one page and begin a second one.
    assert!((1..=2).contains(&pages(&browser.paper())), "{} pages", pages(&browser.paper()));

    // Figures, drawing and table of two weeks fit on one page.
    browser.goto(&site.page(&format!("account={account}&from=2026-01-01&to=2026-01-14")));
    browser.drawn();
    assert_eq!(pages(&browser.paper()), 1);
    browser.console_is_clean();
}

#[test]
fn paper_has_words_and_nothing_to_press() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let account = two_hundred(Site::tiny());
    let as_of = "as_of=2026-03-20T12:00:00Z";
    browser.goto(&Site::tiny().page(&format!("view=usage&account={account}&{as_of}")));
    browser.look_as_on_paper(PAPER_WIDTH);
    let found = browser.eval(
        "const shown = (part) => document.querySelector(part)?.checkVisibility() ?? null; \
         const color = (part) => getComputedStyle(document.querySelector(part)).color; \
         return [shown('#overview .remark'), shown('#show-all'), shown('.sort-by'), \
         color('.chip[aria-pressed=true]') === color('body'), \
         getComputedStyle(document.querySelector('#account .choice') ?? \
         document.body, '::after').display]",
    );
    assert_eq!(
        found.as_array().unwrap()[..4],
        [json!(true), json!(false), json!(false), json!(true)]
    );
    browser.look(LIGHT);
    browser.console_is_clean();
}

#[test]
fn nothing_is_wider_than_the_paper() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let views = [
        "license-history",
        "license-usage&interval=week",
        "assignments&status=all",
        "usage",
        "usage&organization_id=org-0-0",
    ];
    for view in views {
        browser.goto(&site.page(&format!("view={view}&account=1000&range=quarter&{AS_OF}")));
        browser.drawn();
        browser.look_as_on_paper(PAPER_WIDTH);
        browser.eval(
            "for (const details of document.querySelectorAll('details')) details.open = true",
        );
        let wide = browser.eval(
            "return [...document.querySelectorAll('main *')].filter((part) => !part.closest('svg') \
             && part.getBoundingClientRect().right > innerWidth + 1).map((part) => \
             part.outerHTML.slice(0, 100))",
        );
        assert_eq!(wide, json!([]), "{view}");
        browser.look(LIGHT);
    }
    browser.console_is_clean();
}
