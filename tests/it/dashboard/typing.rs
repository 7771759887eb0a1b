//! Typing: dates by keyboard, and text that is discarded on navigation.

use std::time::Duration;

use fantoccini::key::Key;

use super::browser::{Browser, LIGHT};
use super::site::Site;

const AS_OF: &str = "as_of=2026-06-20T12:00:00Z";

fn value(browser: &Browser, id: &str) -> String {
    browser
        .eval(&format!("return document.getElementById('{id}').value"))
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_range_is_typed_by_keyboard_and_judged_at_its_end() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("account=1000&refresh=1&{AS_OF}")));
    let before = browser.address();
    let entries = browser.eval("return history.length").as_u64().unwrap();
    browser.eval("document.getElementById('field-from').focus()");
    browser.press("12152025");
    // The page has been redrawn meanwhile.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(value(&browser, "field-from"), "2025-12-15");
    assert_eq!(browser.address(), before, "nothing is chosen yet");
    browser.eval("document.getElementById('field-to').focus()");
    browser.press("11012025");
    browser.press(&Key::Enter.to_string());
    browser.wait_for_text("#wrong-days", "The last day lies before the first one.");
    assert_eq!(browser.eval("return document.activeElement.id"), "field-to");
    assert_eq!(browser.address(), before, "a range that ends before it begins is not asked for");

    browser.eval(
        "document.getElementById('field-from').focus(); \
        document.getElementById('field-to').focus()",
    );
    browser.press("04202026");
    assert_eq!(browser.address(), before, "nothing is chosen yet");
    browser.eval("document.activeElement.blur()");
    browser
        .wait("it is chosen", "return location.search.includes('from=2025-12-15&to=2026-04-20')");
    assert_eq!(browser.text("#wrong-days"), "");
    assert_eq!(browser.eval("return history.length"), entries + 1);
    browser.settled();
    browser.back();
    browser.wait(
        "the range of before",
        "return document.getElementById('field-from').value === '2026-05-23'",
    );
    assert_eq!(browser.address(), before);

    browser.eval(
        "const field = document.getElementById('field-from'); field.value = '2026-06-01';
        ['input', 'change'].forEach((name) => field.dispatchEvent(new Event(name, { bubbles: true \
        })))",
    );
    browser.wait(
        "a day picked in the calendar is chosen at once",
        "return location.search.includes('from=2026-06-01')",
    );
    browser.console_is_clean();
}

#[test]
fn typed_text_gives_way_to_the_address() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.goto(&Site::tiny().page(&format!("view=assignments&account=1000&{AS_OF}")));
    browser.click("#field-status option[value='all']");
    browser.wait("the status is chosen", "return location.search.includes('status=all')");
    browser.eval(
        "const field = document.getElementById('field-user'); field.value = 'nobody'; \
         field.dispatchEvent(new Event('input', { bubbles: true })); history.back()",
    );
    browser.wait("the state of before", "return !location.search.includes('status=all')");
    browser
        .wait("nothing in the field", "return document.getElementById('field-user').value === ''");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!browser.address().contains("user="), "{}", browser.address());
    browser.console_is_clean();
}
