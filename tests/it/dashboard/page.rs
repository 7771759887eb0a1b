//! Loading of the page: few requests, from this server only, with a message for every wait and
//! failure.

use std::time::Duration;

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::browser::{Browser, LIGHT, PHONE};
use super::site::Site;

const AS_OF: &str = "as_of=2026-06-20T12:00:00Z";

/// Records how many reports had been asked for when the figures appeared, and whether a chart was
/// drawn with them.
const WATCH: &str = "const real = window.fetch; const asked = []; \
    window.fetch = (...request) => { if (String(request[0]).startsWith('/v1')) \
    asked.push(String(request[0])); return real(...request); }; \
    new MutationObserver((_, observer) => { \
    if (!document.querySelector('.stat-value, #assignments tbody tr, #overview tbody tr')) return; \
    observer.disconnect(); \
    queueMicrotask(() => { window.atFigures = { asked: [...asked], drawn: \
    document.querySelectorAll('.drawing').length }; }); \
    }).observe(document, { childList: true, subtree: true, attributes: true })";

/// Answers requests for the license history with the value of `window.answer`; without one, the API
/// answers.
const HISTORY_BY_HAND: &str = "const real = window.fetch; \
    window.answer = () => new Promise((resolve) => { window.release = resolve; }); \
    window.fetch = async (address, options) => { \
      if (!String(address).includes('/licenses/history')) return real(address, options); \
      return await window.answer() ?? real(address, options); }";

#[test]
fn a_view_needs_three_reports_at_first_and_draws_at_once() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    browser.before_each_page(WATCH);
    for (view, charts) in [
        ("license-history", 1),
        ("license-usage", 1),
        ("assignments", 0),
        ("usage", 0),
        ("usage&organization_id=org-0-0", 1),
    ] {
        browser.goto(&site.page(&format!("view={view}&account=1000&{AS_OF}")));
        browser.wait("the figures are noticed", "return Boolean(window.atFigures)");
        let at_figures = browser.eval("return window.atFigures");
        let asked = at_figures["asked"].as_array().unwrap().len();
        assert!(asked <= 3, "{view}: {at_figures:#}");
        assert!(at_figures["drawn"].as_u64().unwrap() >= charts, "{view}: {at_figures:#}");
    }
    browser.console_is_clean();
}

#[test]
fn a_chart_may_be_left_while_it_is_being_drawn() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    browser.expect("404 (Not Found)");
    // Navigates away at the moment when the first chart is inserted.
    browser.before_each_page(
        "let left = false; new MutationObserver(() => {
            if (left || !document.querySelector('.drawing')) return;
            left = true;
            history.pushState(null, '', '/?account=nobody');
            dispatchEvent(new PopStateEvent('popstate'));
        }).observe(document, { childList: true, subtree: true })",
    );
    browser.goto(&Site::tiny().page(&format!("account=1000&{AS_OF}")));
    browser.wait_for_words("Nothing counted yet");
    std::thread::sleep(Duration::from_millis(300));
    browser.console_is_clean();
}

#[test]
fn everything_comes_from_this_server() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("account=1000&{AS_OF}")));
    browser.wait(
        "the chart is drawn",
        "return Boolean(document.querySelector('#plot-seats .drawing'))",
    );
    let loaded = browser.eval(
        "return performance.getEntriesByType('resource').map(({ name }) => new URL(name)) \
         .filter(({ origin }) => origin !== location.origin).map(String)",
    );
    assert_eq!(loaded, json!([]));
    let unhashed = browser.eval(
        "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname) \
         .filter((path) => \
          !/^\\/(v1|assets\\/[0-9a-f]{16})\\/|^\\/assets\\/zone.json$/.test(path))",
    );
    assert_eq!(unhashed, json!([]));
    browser.console_is_clean();
}

#[test]
fn a_page_asks_every_ten_seconds_unless_told_otherwise() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    browser.before_each_page(
        "window.delays = []; const real = window.setTimeout; \
         window.setTimeout = (work, delay, ...rest) => { window.delays.push(delay); return \
         real(work, delay, ...rest); }",
    );
    browser.goto(&site.page(&format!("view=assignments&account=1000&{AS_OF}")));
    browser.wait("the next poll is due in ten seconds", "return window.delays.includes(10000)");
    browser.goto(&site.page(&format!("view=assignments&account=1000&refresh=37&{AS_OF}")));
    browser.wait("the next poll is due in 37 seconds", "return window.delays.includes(37000)");
    assert_eq!(browser.eval("return window.delays.includes(10000)"), false);
    browser.console_is_clean();
}

#[test]
fn waiting_and_failing_have_their_own_words() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.before_each_page(HISTORY_BY_HAND);
    let site = Site::tiny();
    let address = site.page(&format!("account=1000&range=quarter&refresh=1&{AS_OF}"));
    browser.eval(&format!("location.assign({})", json!(address)));
    browser.wait_for_words("Loading the license history…");
    browser.is_accessible("a report is being loaded");
    browser.eval("window.answer = () => null; window.release()");
    browser.settled();
    let figure = browser.text("#stat-purchased .stat-value");

    // Existing figures stay, with a message why they are old.
    let answer = |status: u16, problem: Value| {
        browser.eval(&format!(
            "window.answer = () => new Response({}, {{ status: {status}, headers: {{ \
            'Content-Type': 'application/problem+json' }} }})",
            json!(problem.to_string()),
        ))
    };
    answer(503, json!({ "title": "Busy", "detail": "Too many reports are being drawn up." }));
    browser
        .wait_for_words("The figures cannot be read right now. These are the last figures it gave");
    assert_eq!(browser.text("#stat-purchased .stat-value"), figure);
    answer(500, json!({ "title": "Internal error" }));
    browser.wait_for_words("The API could not refresh this report (error 500).");
    assert_eq!(browser.text("#stat-purchased .stat-value"), figure);

    // Without figures, the message takes their place.
    browser.click(".chip[data-value='7d']");
    browser.wait_for_words("The API could not draw up this report");
    browser.is_accessible("a report that the API could not draw up");
    answer(503, json!({ "title": "Busy", "detail": "Too many reports are being drawn up." }));
    browser
        .wait_for_words("Too many reports are being drawn up. This page goes on asking by itself.");
    browser.eval("window.answer = () => null");
    browser
        .wait("the figures are there", "return Boolean(document.getElementById('stat-purchased'))");
    browser.console_is_clean();
}

#[test]
fn tooltips_stay_within_the_window() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for look in [LIGHT, PHONE] {
        browser.look(look);
        browser.goto(&site.page(&format!("account=1000&range=quarter&{AS_OF}")));
        browser.drawn();
        for (place, block) in
            [("at the top", "start"), ("in the middle", "center"), ("at the bottom", "end")]
        {
            for key in [Key::Home, Key::End] {
                browser.type_into("#plot-seats", &key.to_string());
                browser.eval(&format!(
                    "document.getElementById('plot-seats').scrollIntoView({{ block: '{block}', \
                    behavior: 'instant' }})"
                ));
                browser.type_into("#plot-seats", &Key::Right.to_string());
                let within = browser.eval(
                    "const box = document.getElementById('tooltip-seats').getBoundingClientRect(); \
                     return box.height > 0 && box.top >= 0 && box.left >= 0 && box.bottom <= \
                     innerHeight && box.right <= innerWidth",
                );
                assert_eq!(within, true, "{place} of {look:?}");
            }
        }
    }
    browser.console_is_clean();
}
