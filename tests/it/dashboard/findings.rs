//! What people come for: who runs out, where seats were missing, which seats nobody uses, and the
//! way from one account to another.

use serde_json::{Value, json};

use super::browser::{Browser, DARK, LIGHT, Look, PHONE};
use super::site::{Site, event, token};
use crate::support::unique;

/// Keeps what is copied.
pub(super) const CLIPBOARD: &str = "Object.defineProperty(navigator, 'clipboard', { value: { \
    writeText: async (text) => { window.copied = text; } } })";

/// The table on the screen as CSV, as the page copies it.
#[track_caller]
fn copied_text(browser: &Browser, table: &str) -> String {
    browser.eval("window.copied = null");
    browser.click(&format!("#copy-{table}"));
    let text = browser.wait("it is copied", "return window.copied");
    text.as_str().unwrap().to_owned()
}

/// The cells of a table on the screen, heads first, as the page copies them.
#[track_caller]
fn copied(browser: &Browser, table: &str) -> Vec<Vec<String>> {
    cells(&copied_text(browser, table))
}

fn cells(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// The rows of a table as they are on the screen, blanks put together.
fn on_screen(browser: &Browser, table: &str) -> Vec<Vec<String>> {
    let rows = browser.eval(&format!(
        "return [...document.querySelectorAll('#{table} tbody tr')].map((row) => \
         [...row.cells].map((cell) => cell.innerText.replace(/\\s+/g, ' ').trim()\
         .replace('– none', '')))"
    ));
    serde_json::from_value(rows).unwrap()
}

pub(super) fn fact(account: &str, kind: &str, time: &str, more: Value) -> String {
    let mut data = json!({ "account_id": account });
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event(kind, time, &data)
}

#[test]
fn a_token_with_two_accounts_switches_between_them() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let api = site.listen(true, None);
    let [first, second] = [unique("first"), unique("second")];
    let time = "2026-01-05T10:00:00Z";
    let lines: Vec<String> = [(&first, "Alpha Works", 7), (&second, "Beta Works", 9)]
        .into_iter()
        .flat_map(|(account, name, seats)| {
            [
                fact(account, "account.updated", time, json!({ "name": name })),
                fact(account, "license.purchased", time, json!({ "seats": seats })),
            ]
        })
        .collect();
    site.count(&lines.join("\n"));
    let grant = |account: &str| json!({ "account": account, "role": "account_admin" });
    let both = token(&json!([grant(&first), grant(&second)]));
    browser.goto(&format!("{}#token={both}", api.page("")));
    browser.wait_for_text("h1", "Which account?");
    browser.wait("both are offered", "return document.querySelectorAll('.chip').length === 2");
    browser.eval("document.querySelector('.chip').click()");
    browser.wait_for_text("#stat-purchased .stat-value", "7");
    browser.wait_for_text("#account-switch .choice-name", "Alpha Works");

    browser.click("#account-switch");
    browser.wait(
        "both are listed",
        "return document.querySelectorAll('dialog[open] [data-account]').length === 2",
    );
    browser.is_accessible("the accounts");
    browser.type_into("#accounts-search", "bÉTA");
    browser.wait(
        "one is found",
        "return document.querySelectorAll('dialog[open] [data-account]').length === 1",
    );
    browser.click("dialog[open] [data-account]");
    browser.wait_for_text("#stat-purchased .stat-value", "9");
    browser.wait_for_text("#account-switch .choice-name", "Beta Works");
    assert!(browser.address().contains(&format!("account={second}")), "{}", browser.address());
    // A link without an account opens the last used one.
    browser.goto(&api.page("view=assignments"));
    browser.wait("it is open", &format!("return location.search.includes('account={second}')"));

    // Where there is nothing to switch to, there is no switch.
    browser.eval("sessionStorage.clear(); localStorage.clear()");
    browser.goto(&format!("{}#token={}", api.page("refresh=0"), token(&json!([grant(&first)]))));
    browser.wait_for_text(".account-name bdi", "Alpha Works");
    assert_eq!(browser.eval("return document.getElementById('account-switch')"), Value::Null);
    browser.console_is_clean();
    api.stop(site);
}

/// An account of 200 organizations, of which number n used n percent of its quota of 1,000.
pub(super) fn two_hundred(site: &Site) -> String {
    let account = unique("overview");
    let lines: Vec<String> = (0..200)
        .flat_map(|number| {
            let id = format!("o{number:03}");
            let data = |more: Value| {
                let mut data = json!({ "organization_id": id });
                data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                data
            };
            let run = data(json!({ "origin": "run", "tests": number * 10 + 1 }));
            let plan = data(json!({ "plan": "team", "monthly_quota": 1000 }));
            let name = data(json!({ "name": format!("Team {number:03}") }));
            [
                fact(&account, "organization.updated", "2026-03-01T08:00:00Z", name),
                fact(&account, "plan.started", "2026-03-01T08:00:00Z", plan),
                fact(&account, "test.executed", "2026-03-02T08:00:00Z", run),
            ]
        })
        .collect();
    site.count(&lines.join("\n"));
    account
}

#[test]
fn two_hundred_organizations_are_ranked_filtered_opened_and_left() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = two_hundred(site);
    browser.before_each_page(CLIPBOARD);
    let as_of = "as_of=2026-03-20T12:00:00Z";
    browser.goto(&site.page(&format!("view=usage&account={account}&{as_of}&refresh=1")));
    let names = || -> Vec<String> {
        on_screen(&browser, "overview").into_iter().map(|row| row[0].clone()).collect()
    };
    let shown = |count: usize| {
        browser.wait(
            &format!("{count} rows"),
            &format!("return document.querySelectorAll('#overview tbody tr').length === {count}"),
        )
    };
    shown(100);
    let ranked: Vec<String> = (0..200).rev().map(|number| format!("Team {number:03}")).collect();
    assert_eq!(names(), ranked[..100]);
    browser.click("#show-all");
    shown(200);
    assert_eq!(names(), ranked);
    assert_eq!(copied(&browser, "overview")[1..], on_screen(&browser, "overview"));
    browser.is_accessible("the overview");

    // 100.1 % to 129.1 % are in the grace allowance, 130.1 % and more are exhausted.
    browser.wait_for_text(".chip[data-value='exhausted'] .chip-count", "70");
    browser.click(".chip[data-value='grace']");
    shown(30);
    assert_eq!(names(), ranked[70..100]);
    browser.click("#overview th:first-child a");
    browser.wait(
        "sorted by name",
        "return document.querySelector('#overview th').ariaSort === 'ascending'",
    );
    assert_eq!(names()[0], "Team 100");
    // Those that run out first come first.
    browser.click("#overview th:nth-child(5) a");
    browser.wait(
        "the earliest first",
        "return document.querySelector('#overview th:nth-child(5)').ariaSort === 'ascending'",
    );
    browser.back();
    browser.type_into("#field-search", "TEAM 12");
    shown(10);
    browser.wait_for_text("#matches", "10 organizations match.");
    browser.wait_for_text(".chip[data-value='exhausted'] .chip-count", "0");
    assert_eq!(browser.text("#export-quotas"), "Export CSV of all 30 in the grace allowance");
    // The whole report, with the status of the filter.
    browser.click("#export-quotas");
    let saved = browser.download(&format!("quota-{account}"));
    let mut reader = csv::Reader::from_reader(saved.trim_start_matches('\u{feff}').as_bytes());
    let saved: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    assert_eq!(saved, ranked[70..100]);

    browser.eval("document.querySelector('#overview tbody a').click()");
    browser.wait_for_text("#quota-used", "1,201");
    assert!(browser.text("#quota-status").starts_with("In the grace allowance"));
    browser.back();
    shown(10);
    assert_eq!(names()[0], "Team 120");
    assert_eq!(browser.eval("return document.getElementById('field-search').value"), "TEAM 12");
    browser.console_is_clean();
}

#[test]
fn the_projection_reaches_the_allowance_on_its_day() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("pace");
    let mut lines = Vec::new();
    for (organization, quota) in [("42", 1000), ("43", 100)] {
        let data =
            json!({ "organization_id": organization, "plan": "team", "monthly_quota": quota });
        lines.push(fact(&account, "plan.started", "2026-03-01T00:00:00Z", data));
        for day in 1..=14 {
            let data = json!({ "organization_id": organization, "origin": "run", "tests": 50 });
            let time = format!("2026-03-{day:02}T09:00:00Z");
            lines.push(fact(&account, "test.executed", &time, data));
        }
    }
    site.count(&lines.join("\n"));
    let as_of = "as_of=2026-03-15T12:00:00Z";
    // Nothing more runs where the allowance is used up.
    browser.goto(&site.page(&format!("view=usage&account={account}&{as_of}")));
    let estimates: Vec<String> =
        on_screen(&browser, "overview").into_iter().map(|row| row[4].clone()).collect();
    assert_eq!(estimates, ["used up", "runs out on 27 Mar 2026"]);
    let projected = "return document.querySelectorAll('.bar-projected').length";
    assert_eq!(browser.eval(projected), 1);
    browser.goto(&site.page(&format!("view=usage&account={account}&organization_id=43&{as_of}")));
    browser.drawn();
    assert!(!browser.text("#legend-month").contains("Projection"));

    browser.goto(&site.page(&format!("view=usage&account={account}&organization_id=42&{as_of}")));
    browser.drawn();
    // 700 used, 50 a day, an allowance of 1,300.
    browser.wait_for_text(
        "#quota-estimate",
        "At the pace of the last seven days the allowance is reached on 27 Mar 2026.",
    );
    let rows = browser.table("#table-month");
    assert_eq!(rows.len(), 31);
    assert_eq!(rows[13][..2], ["14 Mar 2026", "700"]);
    assert_eq!(rows[14][0], "15 Mar 2026, so far");
    assert_eq!(rows[26][..5], ["27 Mar 2026", "–", "1,000", "1,300", "1,300"]);
    assert_eq!(rows[30][4], "1,300", "nothing runs beyond the allowance");
    // The keyboard and a screen reader begin with the day of the report.
    let now =
        browser.eval("return document.getElementById('plot-month').getAttribute('aria-valuenow')");
    assert_eq!(now, "14");
    let mark =
        browser.eval("return document.querySelector('#plot-month [data-place]').dataset.place");
    assert_eq!(mark, "26");
    // The mark lies where the line is on that day, and on the line of the allowance.
    let apart = browser.eval(
        "const series = (name) => document.querySelector(`#plot-month [data-series='${name}']`); \
         const box = series('Reaches the allowance').getBBox(); \
         const line = series('Projection (estimate)').querySelector('.line').getAttribute('d'); \
         const [x, y] = line.slice(1).split('L')[12].split(' ').map(Number); \
         return [Math.abs(box.x + box.width / 2 - x), Math.abs(box.y + box.height / 2 - y), \
         Math.abs(series('Allowance').getBBox().y - y)]",
    );
    let apart: Vec<f64> = serde_json::from_value(apart).unwrap();
    assert!(apart.iter().all(|distance| *distance < 2.0), "{apart:?}");
    for look in [LIGHT, DARK] {
        browser.look(look);
        browser.is_accessible("a month with its projection");
    }
    browser.console_is_clean();
}

#[test]
fn what_is_copied_is_as_harmless_as_what_is_exported() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("formulas");
    let names = [
        "=1+1",
        "\u{200b}=1",
        "\u{3164}@x",
        "＝1",
        "﹢1",
        "\u{301}-1",
        "x;=1+1;y",
        "a=b",
        "say \"a\"",
    ];
    let lines: Vec<String> = names
        .iter()
        .enumerate()
        .flat_map(|(id, name)| {
            let time = "2026-03-01T08:00:00Z";
            let named = json!({ "organization_id": id, "name": name });
            let plan = json!({ "organization_id": id, "plan": "team", "monthly_quota": 1000 });
            [
                fact(&account, "organization.updated", time, named),
                fact(&account, "plan.started", time, plan),
            ]
        })
        .collect();
    site.count(&lines.join("\n"));
    browser.before_each_page(CLIPBOARD);
    browser.goto(&site.page(&format!("view=usage&account={account}&as_of=2026-03-20T12:00:00Z")));
    let ours = copied_text(&browser, "overview");
    let theirs = browser.eval_async(&format!(
        "const done = arguments[0]; fetch('/v1/accounts/{account}/quota?format=csv&\
         as_of=2026-03-20T12:00:00Z').then((answer) => answer.text()).then(done)"
    ));
    let theirs = theirs.as_str().unwrap();
    let first_column = |text: &str| -> Vec<String> {
        let mut column: Vec<String> = cells(text)[1..].iter().map(|row| row[0].clone()).collect();
        column.sort_unstable();
        column
    };
    assert_eq!(first_column(&ours), first_column(theirs));
    for text in [ours.as_str(), theirs] {
        assert!(text.contains("\n\"x;=1+1;y\",\""), "a cell that is split elsewhere: {text}");
    }
    browser.console_is_clean();
}

/// Six seats, of which four are idle for a month and longer.
fn idle(account: &str) -> Vec<String> {
    // When each was assigned, and last used.
    let seats = [
        ("ada", "one", "2026-01-01", None),
        ("ben", "one", "2026-05-10", None),
        ("cleo", "two", "2026-01-01", Some("2026-02-01")),
        ("dan", "two", "2026-01-01", Some("2026-05-01")),
        ("eve", "two", "2026-01-01", Some("2026-06-19")),
        ("new", "two", "2026-06-15", None),
    ];
    let mut lines = Vec::new();
    for (user, organization, assigned, used) in seats {
        let data = json!({ "organization_id": organization, "user_id": user });
        lines.push(fact(
            account,
            "license.assigned",
            &format!("{assigned}T08:00:00Z"),
            data.clone(),
        ));
        if let Some(day) = used {
            lines.push(fact(account, "user.login", &format!("{day}T09:00:00Z"), data));
        }
    }
    lines
}

#[test]
fn chips_count_the_seats_that_they_show() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let account = unique("reclaim");
    site.count(&idle(&account).join("\n"));
    browser.before_each_page(CLIPBOARD);
    let as_of = "as_of=2026-06-20T12:00:00Z";
    browser.goto(&site.page(&format!("view=assignments&account={account}&{as_of}")));
    for (chip, users, sums) in [
        ("never", vec!["ada", "ben"], vec![["one", "2"]]),
        ("idle-30", vec!["ada", "ben", "cleo", "dan"], vec![["one", "2"], ["two", "2"]]),
        ("idle-90", vec!["ada", "cleo"], vec![["one", "1"], ["two", "1"]]),
    ] {
        browser.click(&format!("#chip-{chip}"));
        browser.wait(
            "the chip is pressed",
            &format!("return document.getElementById('chip-{chip}').ariaPressed === 'true'"),
        );
        browser.settled();
        browser.wait_for_text(&format!("#chip-{chip} .chip-count"), &users.len().to_string());
        let rows = on_screen(&browser, "assignments");
        let shown: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(shown, users, "{chip}");
        assert_eq!(on_screen(&browser, "reclaim"), sums, "{chip}");
        browser.wait_for_text("#reclaim-total", &format!("{} seats", users.len()));
        let organizations = if sums.len() == 1 { "1 organization." } else { "2 organizations." };
        let said = browser.text("[data-key='reclaim-total']");
        assert!(said.contains(&format!("could be reclaimed in {organizations}")), "{said}");
        assert_eq!(copied(&browser, "assignments")[1..], rows, "{chip}");
        browser.is_accessible(chip);
    }
    let words = browser.text("#assignments");
    assert!(
        words.contains("assigned 1 Jan 2026, last used 1 Feb 2026: idle for 139 days"),
        "{words}"
    );
    assert!(words.contains("assigned 1 Jan 2026, never used: idle for 170 days"), "{words}");
    // From the whole account to the person.
    browser.click("#reclaim tbody a");
    browser.wait(
        "one organization",
        "return document.querySelectorAll('#reclaim tbody tr').length === 1",
    );
    browser.settled();
    browser.click(".person-link");
    browser.wait(
        "the person",
        "return document.querySelector('#person[open] h2')?.innerText === 'ada'",
    );
    browser.console_is_clean();
}

#[test]
fn no_view_is_wider_than_a_phone() {
    let Some(browser) = Browser::open(Look { width: 390, ..PHONE }) else { return };
    let site = Site::tiny();
    let as_of = "as_of=2026-06-20T12:00:00Z";
    // Tables do not scroll sideways either.
    for view in ["license-usage", "assignments", "usage"] {
        browser.goto(&site.page(&format!("view={view}&account=1000&{as_of}")));
        for width in [320, 390, 700, 800, 1024] {
            browser.look(Look { width, ..PHONE });
            let wide = browser.eval(
                "return [...document.querySelectorAll('.across')].filter((part) => \
                 part.scrollWidth > part.clientWidth + 1).length",
            );
            assert_eq!(wide, 0, "{view} at {width}");
        }
        browser.look(Look { width: 390, ..PHONE });
    }
    for view in [
        "license-history&range=year&interval=month",
        "license-usage",
        "assignments&activated=false&held_days=30",
        "usage",
        "usage&organization_id=org-0-0",
    ] {
        browser.goto(&site.page(&format!("view={view}&account=1000&{as_of}")));
        browser.drawn();
        for open in [false, true] {
            browser.eval(&format!(
                "for (const part of document.querySelectorAll('details')) part.open = {open}"
            ));
            let wide = browser.eval("return document.documentElement.scrollWidth");
            assert_eq!(wide, 390, "{view}, with everything open: {open}");
        }
    }
    browser.console_is_clean();
}
