//! `/docs`: the description of the API, drawn in a real browser.

use serde_json::json;

use super::browser::{Browser, LIGHT};
use super::site::Site;

#[test]
fn the_api_is_described_and_tried_out_under_the_policy() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    browser.before_each_page(
        "window.violations = []; document.addEventListener('securitypolicyviolation', (event) => \
         window.violations.push(`${event.violatedDirective} ${event.blockedURI}`))",
    );
    let dashboard = url::Url::parse(&Site::tiny().page("")).unwrap();
    browser.visit(dashboard.join("/docs").unwrap().as_str());
    let operations = seatmeter::http::endpoints().len();
    browser.wait(
        "every operation is there",
        &format!("return document.querySelectorAll('.opblock').length === {operations}"),
    );
    assert_eq!(browser.text(".info .title").lines().next(), Some("seatmeter"));

    let history = "#operations-licenses-getLicenseHistory";
    browser.click(&format!("{history} .opblock-summary-control"));
    browser
        .wait("it is open", &format!("return document.querySelector('{history} .try-out__btn')"));
    browser.wait_for_words("as it stood at the end of the bucket's last day");
    browser.click(&format!("{history} .try-out__btn"));
    let account = format!("{history} tr[data-param-name=account_id] input");
    browser.clear(&account);
    browser.type_into(&account, "1000");
    browser.click(&format!("{history} .execute"));
    browser.wait(
        "the report is answered",
        &format!(
            "return document.querySelector('{history} .live-responses-table \
             .response .response-col_status')?.innerText.includes('200')"
        ),
    );
    assert_eq!(browser.eval("return window.violations"), json!([]));
    browser.console_is_clean();
}
