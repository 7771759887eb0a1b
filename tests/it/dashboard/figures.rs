//! Each view shows the numbers that the scenario expects, whatever the dates, the interval and the
//! organization.

use serde_json::Value;

use super::browser::{Browser, LIGHT};
use super::expected::{Case, cases, figure};
use super::site::Site;

/// The page that sends the request of a case to the API. The API's default interval is a day; the
/// page would choose one by the length of the range.
fn page(site: &Site, view: &str, case: &Case) -> String {
    let interval = if case.query.contains_key("interval") { "" } else { "&interval=day" };
    site.page(&format!("view={view}&account=1000&{}{interval}", case.query()))
}

fn columns(point: &Value, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| figure(&point[*name])).collect()
}

fn is_zero(points: &[Value], names: &[&str]) -> bool {
    points.iter().all(|point| names.iter().all(|name| point[*name] == 0))
}

#[test]
fn license_history() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let names = ["purchased", "assigned", "activated"];
    for case in cases("tiny", "/licenses/history") {
        browser.follow(&page(site, "license-history", &case));
        let points = case.list("points");
        if is_zero(points, &names) {
            browser.wait_for_words("No seats in this period");
            continue;
        }
        let rows = browser.table("#table-seats");
        let shown: Vec<&[String]> = rows.iter().map(|row| &row[1..4]).collect();
        let expected: Vec<Vec<String>> =
            points.iter().map(|point| columns(point, &names)).collect();
        assert_eq!(shown, expected, "{:?}", case.query);
        let partial: Vec<bool> = rows.iter().map(|row| row[0].ends_with(", so far")).collect();
        let expected: Vec<bool> = points.iter().map(|point| point["partial"] == true).collect();
        assert_eq!(partial, expected, "{:?}", case.query);
        let last = points.last().unwrap();
        for name in names {
            assert_eq!(
                browser.text(&format!("#stat-{name} .stat-value")),
                figure(&last[name]),
                "{:?}",
                case.query
            );
        }
    }
    browser.console_is_clean();
}

#[test]
fn license_usage() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let names =
        ["active_users", "assigned", "peak_daily_active_users", "average_daily_active_users"];
    for case in
        cases("tiny", "/licenses/usage").iter().filter(|case| !case.query.contains_key("group_by"))
    {
        browser.follow(&page(site, "license-usage", case));
        let points = case.list("points");
        if is_zero(points, &["active_users", "assigned"]) {
            browser.wait_for_words("No seats and no activity in this period");
            continue;
        }
        let rows = browser.table("#table-activity");
        let shown: Vec<&[String]> = rows.iter().map(|row| &row[1..5]).collect();
        let expected: Vec<Vec<String>> =
            points.iter().map(|point| columns(point, &names)).collect();
        assert_eq!(shown, expected, "{:?}", case.query);
        let summary = &case.body["summary"];
        for (card, name) in [
            ("assigned", "assigned"),
            ("active-users", "active_users"),
            ("peak", "peak_daily_active_users"),
            ("average", "average_daily_active_users"),
        ] {
            assert_eq!(
                browser.text(&format!("#stat-{card} .stat-value")),
                figure(&summary[name]),
                "{name} {:?}",
                case.query
            );
        }
    }
    browser.console_is_clean();
}

#[test]
fn license_usage_by_organization() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let names =
        ["assigned", "active_users", "peak_daily_active_users", "average_daily_active_users"];
    for case in
        cases("tiny", "/licenses/usage").iter().filter(|case| case.query.contains_key("group_by"))
    {
        let series = case.list("series");
        if series.is_empty() {
            browser.follow(&page(site, "license-usage", case));
            browser.wait_for_words("No organizations below this one");
            continue;
        }
        for (index, point) in series[0]["points"].as_array().unwrap().iter().enumerate() {
            let period = format!(
                "{}&period={}",
                page(site, "license-usage", case),
                point["start"].as_str().unwrap()
            );
            browser.follow(&period);
            let mut shown = browser.table("#comparison");
            shown.sort();
            let row = |one: &Value| {
                let mut row = columns(&one["points"][index], &names);
                let [assigned, active] =
                    ["assigned", "active_users"].map(|name| &one["points"][index][name]);
                row.insert(2, share(active.as_u64().unwrap(), assigned.as_u64().unwrap()));
                row.insert(0, format!("Org {}", one["organization_id"].as_str().unwrap()));
                row
            };
            let mut expected: Vec<Vec<String>> = series.iter().map(row).collect();
            expected.sort();
            assert_eq!(shown, expected, "{period}");
        }
    }
    browser.console_is_clean();
}

/// A part in percent, rounded down to two decimals, as the report has it.
fn share(part: u64, whole: u64) -> String {
    let Some(hundredths) = (part * 10_000).checked_div(whole) else { return "–".to_owned() };
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[test]
fn assignments() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for case in cases("tiny", "/licenses/assignments") {
        browser.follow(&page(site, "assignments", &case));
        assert_eq!(assigned(&browser), expected_rows(&case), "{:?}", case.query);
        let total = case.body["total"].as_u64().unwrap();
        if total == 0 {
            browser.wait_for_words("Nobody matches these filters");
        } else {
            let ends =
                if total == 1 { "of 1 seat".to_owned() } else { format!("of {total} seats") };
            assert!(browser.text("#shown").ends_with(&ends), "{}", browser.text("#shown"));
        }
    }
    browser.console_is_clean();
}

/// The rows of the assignments table: user, email, license source, organization, project, the two
/// moments, status.
pub(super) fn assigned(browser: &Browser) -> Vec<Vec<String>> {
    let rows = browser.eval(
        "return [...document.querySelectorAll('#assignments tbody tr')].map((row) => \
        [...row.cells].map((cell) => \
         cell.querySelector('time')?.dateTime ?? \
        (cell.querySelector('.badge') ?? cell).innerText.trim()))",
    );
    serde_json::from_value(rows).unwrap()
}

/// The rows that a case expects, as the table shows them.
pub(super) fn expected_rows(case: &Case) -> Vec<Vec<String>> {
    let text = |value: &Value, absent: &str| value.as_str().unwrap_or(absent).to_owned();
    let status = |row: &Value| match (
        row["status"].as_str().unwrap(),
        row["activated"].as_bool().unwrap(),
    ) {
        ("revoked", _) => "Revoked".to_owned(),
        (_, true) => "Activated".to_owned(),
        (_, false) => "Not activated".to_owned(),
    };
    let none = "–\nnone";
    case.list("rows")
        .iter()
        .map(|row| {
            vec![
                text(&row["user"], ""),
                text(&row["email"], none),
                text(&row["license_source"], ""),
                text(&row["organization"], ""),
                text(&row["project"], none),
                text(&row["last_assignment"], ""),
                text(&row["last_active_use"], "Never"),
                status(row),
            ]
        })
        .collect()
}

#[test]
fn quota() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    let overview = "/v1/accounts/1000/quota";
    for case in cases("tiny", "/quota").into_iter().filter(|case| case.path != overview) {
        let (body, organization) = (&case.body, case.organization());
        browser.follow(&format!("{}&organization_id={organization}", page(site, "usage", &case)));
        for name in ["used", "balance", "remaining", "allowance"] {
            assert_eq!(
                browser.text(&format!("#quota-{name}")),
                figure(&body[name]),
                "{name} of {organization}"
            );
        }
        if let Some(percent) = body["percent_used"].as_f64() {
            assert_eq!(browser.text("#quota-percent"), format!("{percent:.2} %"), "{organization}");
        }
        let verdict = match body["status"].as_str().unwrap() {
            "within" => "Within quota",
            "grace" => "In the grace allowance",
            _ => "Exhausted",
        };
        assert!(browser.text("#quota-status").starts_with(verdict), "{organization}");
        assert_eq!(
            browser.eval("return document.querySelector('#quota-reset time').dateTime"),
            body["window"]["end"]
        );
        let plan = format!("{}, month {}", body["plan"].as_str().unwrap(), body["window"]["month"]);
        assert_eq!(browser.text("#quota-plan"), plan, "{organization}");
        if body["monthly_quota"].is_null() {
            // An unlimited plan has no grace to speak of.
            assert_eq!(browser.eval("return document.getElementById('quota-grace')"), Value::Null);
            continue;
        }
        let grace = browser.text("#quota-grace");
        let begins = match body["grace"]["active"] == true {
            false => "Ended on ",
            true => "130 % of the quota may be used until ",
        };
        assert!(grace.starts_with(begins), "{grace}");
    }
    browser.console_is_clean();
}

#[test]
fn quota_history() {
    let Some(browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    for case in cases("tiny", "/quota/history") {
        browser.follow(&format!(
            "{}&organization_id={}",
            page(site, "usage", &case),
            case.organization()
        ));
        let shown: Vec<Vec<String>> =
            browser.table("#table-months").iter().map(|row| row[1..6].to_vec()).collect();
        let row = |month: &Value| {
            let mut row = columns(month, &["used", "monthly_quota", "allowance", "balance"]);
            row.push(month["plan"].as_str().unwrap().to_owned());
            row
        };
        let expected: Vec<Vec<String>> = case.list("windows").iter().rev().map(row).collect();
        assert_eq!(shown, expected, "{}", case.path);
    }
    browser.console_is_clean();
}

#[test]
fn test_activity() {
    let Some(mut browser) = Browser::open(LIGHT) else { return };
    let site = Site::tiny();
    // An unknown organization has no plan: the API answers 404.
    browser.expect("unheard-of/quota");
    for case in cases("tiny", "/test-activity") {
        browser.follow(&format!(
            "{}&organization_id={}",
            page(site, "usage", &case),
            case.organization()
        ));
        let points = case.list("points");
        let week = &case.body["preceding_week"];
        assert_eq!(
            browser.text("#stat-week-executions .stat-value"),
            figure(&week["executions"]),
            "{}",
            case.path
        );
        let duration = browser.text("#stat-week-duration .stat-remark");
        assert_eq!(duration, format!("{} ms", figure(&week["duration_ms"])), "{}", case.path);
        if is_zero(points, &["executions"]) {
            browser.wait_for_words("No tests in this period");
            continue;
        }
        let rows = browser.table("#table-tests");
        let shown: Vec<&[String]> = rows.iter().map(|row| &row[1..4]).collect();
        let expected: Vec<Vec<String>> =
            points.iter().map(|point| columns(point, &["run", "uploaded", "executions"])).collect();
        assert_eq!(shown, expected, "{} {:?}", case.path, case.query);
        for (row, point) in rows.iter().zip(points) {
            assert!(
                row[4].ends_with(&format!("({} ms)", figure(&point["duration_ms"]))),
                "{row:?}"
            );
        }
    }
    browser.console_is_clean();
}
