//! User interaction: filter, sort, page, export, hover over a chart, follow links, go back.

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::browser::{Browser, DARK, LIGHT, Look, PHONE};
use super::expected::{Case, cases, figure};
use super::figures::{assigned, expected_rows};
use super::site::Site;

const AS_OF: &str = "as_of=2026-06-20T12:00:00Z";

/// The case of assignments with exactly these filters and `as_of`.
fn assignments(filters: &[(&str, &str)]) -> Case {
    let mut wanted = json!({ "as_of": "2026-06-20T12:00:00Z" });
    for (name, value) in filters {
        wanted[*name] = json!(value);
    }
    let found = cases("tiny", "/licenses/assignments")
        .into_iter()
        .find(|case| Value::Object(case.query.clone()) == wanted);
    found.unwrap_or_else(|| panic!("no case with {filters:?}"))
}

/// Waits until the table shows the case's rows.
#[track_caller]
fn shows(browser: &Browser, case: &Case) {
    let expected = expected_rows(case);
    let count = format!(
        "return document.querySelectorAll('#assignments tbody tr').length === {}",
        expected.len()
    );
    browser.wait("as many rows as expected", &count);
    browser.settled();
    assert_eq!(assigned(browser), expected, "{:?}", case.query);
}

#[test]
fn filters_narrow_the_table_and_reset_filters_widens_it() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("view=assignments&account=1000&{AS_OF}")));
    shows(&browser, &assignments(&[]));

    browser.type_into("#field-user", "NAME U");
    shows(&browser, &assignments(&[("user", "NAME U")]));
    assert!(browser.address().contains("user=NAME+U"), "{}", browser.address());
    let focus = browser.eval("return document.activeElement.id");
    assert_eq!(focus, "field-user", "who types is not interrupted by the answer");
    browser.click("[data-action='reset-filters']");
    shows(&browser, &assignments(&[]));
    assert_eq!(browser.eval("return document.getElementById('field-user').value"), "");

    browser.type_into("#field-email", "user-");
    shows(&browser, &assignments(&[("email", "user-")]));
    browser.click("[data-action='reset-filters']");

    browser.click("#field-activated option[value='false']");
    shows(&browser, &assignments(&[("activated", "false")]));
    browser.click("[data-action='reset-filters']");

    browser.click("#field-status option[value='revoked']");
    browser.wait_for_words("Nobody matches these filters");
    browser.click("main .state [data-action='reset-filters']");
    browser.wait(
        "all rows again",
        "return document.querySelectorAll('#assignments tbody tr').length > 3",
    );
    browser.console_is_clean();
}

#[test]
fn the_organization_is_chosen_in_the_tree_by_keyboard() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("view=assignments&account=1000&{AS_OF}")));
    browser.type_into("#organization", &Key::Enter.to_string());
    browser.wait(
        "the tree is open",
        "return document.querySelectorAll('dialog[open] [role=treeitem]').length === 4",
    );
    browser.is_accessible("the tree of organizations");
    browser.type_into("#picker-search", "org-0-0");
    browser.wait(
        "one is found",
        "return document.querySelectorAll('dialog[open] [role=treeitem]').length === 1",
    );
    browser.type_into("#picker-search", &Key::Down.to_string());
    browser.type_into("[role=treeitem]", &Key::Enter.to_string());
    shows(&browser, &assignments(&[("organization_id", "org-0-0")]));
    assert_eq!(browser.text("#organization-name"), "Org org-0-0");
    browser.console_is_clean();
}

#[test]
fn the_table_is_sorted_by_its_heads() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("view=assignments&account=1000&status=all&{AS_OF}")));
    browser.click("#assignments th:nth-child(4) a");
    browser.wait(
        "it is sorted",
        "return document.querySelector('#assignments th:nth-child(4)').ariaSort === 'ascending'",
    );
    shows(&browser, &assignments(&[("sort", "organization"), ("status", "all")]));
    assert!(browser.address().contains("sort=organization"), "{}", browser.address());
    browser.click("#assignments th:nth-child(4) a");
    browser.wait(
        "the other way",
        "return document.querySelector('#assignments th:nth-child(4)').ariaSort === 'descending'",
    );
    browser.back();
    browser.wait(
        "back",
        "return document.querySelector('#assignments th:nth-child(4)').ariaSort === 'ascending'",
    );
    shows(&browser, &assignments(&[("sort", "organization"), ("status", "all")]));
    browser.console_is_clean();
}

#[test]
fn pages_are_turned_there_and_back() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(
        &Site::tiny().page(&format!("view=assignments&account=1000&status=all&limit=3&{AS_OF}")),
    );
    let all = expected_rows(&assignments(&[("status", "all"), ("limit", "1000")]));
    let pages: Vec<&[Vec<String>]> = all.chunks(3).collect();
    let wait_for = |first: usize, last: usize| {
        browser.wait_for_text("#shown", &format!("{first}–{last} of {} seats", all.len()));
        browser.settled();
    };
    wait_for(1, 3);
    assert_eq!(assigned(&browser), pages[0]);
    browser.click("#page-next");
    wait_for(4, 6);
    assert_eq!(assigned(&browser), pages[1]);
    browser.click("#page-next");
    wait_for(7, all.len());
    assert_eq!(assigned(&browser), pages[2]);
    assert_eq!(browser.eval("return document.getElementById('page-next').disabled"), true);
    browser.click("#page-previous");
    wait_for(4, 6);
    assert_eq!(assigned(&browser), pages[1]);
    // The address alone leads to this page too.
    browser.goto(&browser.address());
    wait_for(4, 6);
    assert_eq!(assigned(&browser), pages[1]);
    browser.click("#page-first");
    wait_for(1, 3);
    browser.console_is_clean();
}

#[test]
fn a_name_opens_what_is_known_of_the_user() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("view=assignments&account=1000&{AS_OF}")));
    browser.wait(
        "the name is there",
        "return [...document.querySelectorAll('.person-link')].some((a) => a.innerText === 'Name \
        9003')",
    );
    browser.eval(
        "[...document.querySelectorAll('.person-link')].find((a) => a.innerText === 'Name \
        9003').click()",
    );
    browser.wait(
        "the seats are there",
        "return document.querySelectorAll('#person .seats > li').length === 2",
    );
    let words = browser.text("#person");
    for part in [
        "Name 9003",
        "9003@example.com",
        "2 seats, 1 activated",
        "Org 101",
        "Org org-0-0",
        "p-1",
        "Never",
    ] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    browser.is_accessible("what is known of a user");
    // A shared link opens the same page.
    browser.goto(&browser.address());
    browser.wait(
        "the seats are there",
        "return document.querySelectorAll('#person[open] .seats > li').length === 2",
    );
    browser.click("#person-close");
    browser.wait("it is closed", "return !document.getElementById('person').open");
    assert!(!browser.address().contains("person"), "{}", browser.address());
    browser.console_is_clean();
}

#[test]
fn exports_hold_every_filtered_row() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    browser.goto(&site.page(&format!("view=assignments&account=1000&status=all&limit=3&{AS_OF}")));
    browser.click("#export-assignments");
    let csv = browser.download("assignments-1000");
    let case = assignments(&[("status", "all"), ("limit", "1000")]);
    let users: Vec<&str> =
        case.list("rows").iter().map(|row| row["user"].as_str().unwrap()).collect();
    assert_eq!(column(&csv, "User"), users);
    assert!(csv.starts_with('\u{feff}'), "a spreadsheet is told that it is UTF-8");
    assert_eq!(column(&csv, "Last Assignment").len(), users.len());

    let activity = cases("tiny", "/test-activity")
        .into_iter()
        .find(|case| case.query.contains_key("interval"))
        .unwrap();
    browser.goto(&site.page(&format!(
        "view=usage&account=1000&organization_id={}&{}",
        activity.organization(),
        activity.query()
    )));
    browser.click("#export-activity");
    let csv = browser.download(&format!("usage-1000-{}", activity.organization()));
    let starts: Vec<&str> =
        activity.list("points").iter().map(|point| point["start"].as_str().unwrap()).collect();
    assert_eq!(column(&csv, "Date"), starts);
    let run: Vec<String> =
        activity.list("points").iter().map(|point| point["run"].to_string()).collect();
    assert_eq!(column(&csv, "Tests Run"), run);

    browser.click("#export-quota");
    let csv = browser.download(&format!("quota-1000-{}", activity.organization()));
    let history = cases("tiny", "/quota/history")
        .into_iter()
        .find(|case| case.path.contains(activity.organization()))
        .unwrap();
    let used: Vec<String> =
        history.list("windows").iter().map(|month| month["used"].to_string()).collect();
    assert_eq!(column(&csv, "Used"), used);
    browser.console_is_clean();
}

fn column(text: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let index = reader.headers().unwrap().iter().position(|head| head == name).unwrap();
    reader.records().map(|record| record.unwrap()[index].to_owned()).collect()
}

#[test]
fn charts_tell_exact_figures_to_pointer_and_keyboard() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let case = &cases("tiny", "/licenses/history")[0];
    browser.goto(&Site::tiny().page(&format!("account=1000&{}", case.query())));
    browser.wait(
        "the chart is drawn",
        "return Boolean(document.querySelector('#plot-seats .drawing'))",
    );
    let rows = browser.table("#table-seats");
    let told = || -> Vec<String> {
        let script = "const tooltip = document.getElementById('tooltip-seats'); \
            return [tooltip.querySelector('.tooltip-title'), \
            ...tooltip.querySelectorAll('dd')].map((part) => part.innerText)";
        serde_json::from_value(browser.eval(script)).unwrap()
    };
    let is_shown = "return !document.getElementById('tooltip-seats').hidden";
    let is_hidden = "return document.getElementById('tooltip-seats').hidden";

    browser.hover("#plot-seats", 0.5, 0.5);
    browser.wait("the tooltip is there", is_shown);
    let middle = told();
    let place = rows
        .iter()
        .position(|row| *row == middle)
        .unwrap_or_else(|| panic!("{middle:?} is no row of the table"));
    assert!(
        place.abs_diff(rows.len() / 2) <= 2,
        "place {place} of {} is not in the middle",
        rows.len()
    );
    browser.hover("h1", 0.1, 0.5);
    browser.wait("the tooltip is gone", is_hidden);

    browser.type_into("#plot-seats", &Key::Home.to_string());
    browser.wait("the tooltip is there", is_shown);
    assert_eq!(told(), rows[0]);
    browser.type_into("#plot-seats", &Key::Right.to_string());
    assert_eq!(told(), rows[1]);
    let said =
        browser.eval("return document.getElementById('plot-seats').getAttribute('aria-valuetext')");
    let purchased = figure(&case.list("points")[1]["purchased"]);
    assert!(
        said.as_str()
            .unwrap()
            .starts_with(&format!("{}: Purchased {purchased}, Assigned ", rows[1][0])),
        "{said}"
    );
    browser.type_into("#plot-seats", &Key::End.to_string());
    assert_eq!(told(), *rows.last().unwrap());
    browser.type_into("#plot-seats", &Key::Escape.to_string());
    browser.wait("the tooltip is gone", is_hidden);
    browser.console_is_clean();
}

#[test]
fn a_tooltip_stays_after_a_tap_until_something_else_is_tapped() {
    let Some(browser) = Browser::open(PHONE) else { return };
    browser.goto(&Site::tiny().page(&format!("account=1000&{AS_OF}")));
    browser.drawn();
    // What a browser sends while a finger is put down and lifted.
    let tap = |selector: &str| {
        browser.eval(&format!(
            "const element = document.querySelector('{selector}'); \
             const box = element.getBoundingClientRect(); \
             for (const name of ['pointerdown', 'pointerup', 'pointerleave']) \
             element.dispatchEvent(new PointerEvent(name, {{ pointerType: 'touch', \
             bubbles: name !== 'pointerleave', clientX: box.left + box.width / 2, \
             clientY: box.top + box.height / 2 }}))"
        ));
    };
    let is_hidden = "return document.getElementById('tooltip-seats').hidden";
    tap("#plot-seats");
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(browser.eval(is_hidden), false, "it is there to be read");
    tap("h1");
    browser.wait("the tooltip is gone", is_hidden);
    browser.console_is_clean();
}

#[test]
fn weeks_that_the_range_cuts_are_told_apart() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let page = |days: &str| {
        let query = format!("view=usage&account=1000&organization_id=org-0-0&interval=week&{days}");
        Site::tiny().page(&format!("{query}&{AS_OF}"))
    };
    let notes = "return document.querySelector('[data-key=chart-tests]').innerText";
    // A Wednesday and a Monday; the Sundays are whole weeks' last days.
    for (days, is_cut) in
        [("from=2026-04-01&to=2026-05-31", true), ("from=2026-04-06&to=2026-05-31", false)]
    {
        browser.goto(&page(days));
        let said = browser.eval(notes);
        assert_eq!(said.as_str().unwrap().contains("cut by the period"), is_cut, "{days}: {said}");
    }
    browser.console_is_clean();
}

#[test]
fn expert_filters_are_folded_away_until_they_are_in_use() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let is_open = "return document.querySelector('.expert').open";
    browser.goto(&Site::tiny().page("view=assignments&account=1000"));
    assert_eq!(browser.eval(is_open), false);
    browser.goto(&Site::tiny().page("view=assignments&account=1000&license_source=1000"));
    assert_eq!(browser.eval(is_open), true);
    browser.console_is_clean();
}

#[test]
fn links_carry_the_filters_and_the_back_button_leads_back() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    browser.goto(&site.page(&format!(
        "view=license-usage&account=1000&organization_id=org-0-0&range=quarter&interval=month&\
        {AS_OF}"
    )));
    assert_eq!(browser.text("h1"), "License usage");
    assert_eq!(browser.text("#organization-name"), "Org org-0-0");
    assert_eq!(
        browser.eval("return document.querySelector('.chip[aria-pressed=true]').dataset.value"),
        "quarter"
    );
    assert_eq!(browser.eval("return document.getElementById('field-from').value"), "2026-04-01");
    assert_eq!(
        browser.eval("return document.getElementById('field-to').value"),
        "2026-06-21",
        "the day in Apia"
    );
    assert_eq!(browser.table("#table-activity").len(), 3);

    browser.eval("document.querySelector('#views li:first-child a').click()");
    browser.wait_for_text("h1", "License history");
    browser.settled();
    assert_eq!(browser.table("#table-seats").len(), 3);
    assert!(browser.address().contains("organization_id=org-0-0"), "{}", browser.address());
    browser.click(".chip[data-value='7d']");
    browser.click("#field-interval option[value='day']");
    browser.wait(
        "seven days",
        "return document.querySelectorAll('#table-seats tbody tr').length === 7",
    );
    browser.back();
    browser.back();
    browser.wait(
        "three months again",
        "return document.querySelectorAll('#table-seats tbody tr').length === 3",
    );
    browser.back();
    browser.wait_for_text("h1", "License usage");
    browser.settled();
    assert_eq!(browser.text("#organization-name"), "Org org-0-0");

    browser.click("[data-action='now']");
    browser.settled();
    assert!(!browser.address().contains("as_of"), "{}", browser.address());
    browser.console_is_clean();
}

#[test]
fn all_begins_with_the_first_day_that_has_anything() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("account=1000&range=all&interval=month&{AS_OF}")));
    let rows = browser.table("#table-seats");
    let case = cases("tiny", "/licenses/history")
        .into_iter()
        .find(|case| case.query.get("interval") == Some(&json!("month")));
    let last = case.unwrap().list("points").last().unwrap()["purchased"].clone();
    assert_eq!(rows.last().unwrap()[1], figure(&last));
    assert!(rows[0][1..4].iter().any(|figure| figure != "0"), "{:?}", rows[0]);
    assert!(rows.len() < 12, "{} months", rows.len());

    browser.goto(&Site::tiny().page(&format!("account=1000&range=all&interval=day&{AS_OF}")));
    let rows = browser.table("#table-seats");
    assert!(rows[0][1..4].iter().any(|figure| figure != "0"), "{:?}", rows[0]);
    browser.console_is_clean();
}

#[test]
fn nobody_is_kept_out() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let views = [
        "license-history",
        "license-usage&interval=week",
        "assignments&limit=3",
        "assignments&activated=false&held_days=30",
        "usage",
        "usage&organization_id=org-0-0",
    ];
    for view in views {
        browser.goto(&site.page(&format!("view={view}&account=1000&range=quarter&{AS_OF}")));
        // 320 pixels are the width of a page of 1280 at 400 % zoom.
        for look in [LIGHT, DARK, PHONE, Look { width: 320, ..PHONE }] {
            browser.look(look);
            browser.drawn();
            browser.eval(
                "for (const details of document.querySelectorAll('details')) details.open = true",
            );
            browser.is_accessible(&format!("{view} {look:?}"));
            let wide = browser.eval("return document.documentElement.scrollWidth");
            assert!(
                wide.as_u64().unwrap() <= u64::from(look.width),
                "{view} is {wide} wide at {look:?}"
            );
        }
    }
    browser.console_is_clean();
}
