//! The report API on much data: `cargo bench --bench reports`.
//!
//! One account with three years of 100,000 seats in 2,020 organizations, in the embedded engine;
//! the API is a process of its own; 8 clients poll one report at a time while events of the account
//! come in, a flush a second. The other columns are of one client without events, each the median
//! time in milliseconds and the engine's CPU time on average: "cold" is the first answer of an API
//! that has just started, "alone" one as of an instant that nobody has asked for before, "changed"
//! one after an event of the account. The loaded data is kept below the target folder for as long
//! as the day lasts. `cargo bench --bench reports -- history` runs the reports with that in their
//! line.
//!
//! `-- alerts` measures what judging the alerts of that account costs, and
//! `-- can-run` whether tests may run, from memory, of 100,000 organizations.
//! `-- small accounts` measures the first answers of 20,000 small accounts instead, and
//! `-- many accounts` polls of random accounts while all of them change (`-- many accounts each`
//! report by report too).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports on standard output")]

mod alerts;
mod can_run;
mod clients;
mod events;
mod many_accounts;
mod process;
mod setting;
mod small_accounts;

use std::time::Duration;

use chrono::{Days, Utc};

use self::clients::{ACCOUNT, Cost, Figures, alone, changed, cold, poll};
use self::events::Feed;
use self::setting::{LARGE, Setting};

/// How long each report is polled.
const ROUND: Duration = Duration::from_secs(4);

/// A report with a range and a scope.
struct Case {
    report: &'static str,
    range: &'static str,
    scope: &'static str,
    path: String,
}

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["alerts"] => return alerts::run(),
        ["can-run"] => return can_run::run(),
        ["small", "accounts"] => return small_accounts::run(),
        ["many", "accounts"] => return many_accounts::run(false),
        ["many", "accounts", "each"] => return many_accounts::run(true),
        _ => {}
    }
    let mut setting = Setting::prepare(LARGE);
    let cases: Vec<Case> = cases().into_iter().filter(|case| is_wanted(&wanted, case)).collect();
    println!(
        "{:<20} {:<12} {:<9} {:>13} {:>13} {:>13} {:>8} {:>8} {:>8} {:>8} {:>6}",
        "report", "range", "scope", "cold", "alone", "changed", "p50", "p99", "max", "req/s", "CPU"
    );
    for case in &cases {
        let costs = [
            cold(&mut setting, &case.path),
            alone(&setting, &case.path),
            changed(&setting, &case.path),
        ];
        let feed = Feed::start(&setting, ACCOUNT);
        let before = setting.cpu_s();
        let figures = poll(&setting, &case.path, ROUND, None);
        let cpu = (setting.cpu_s() - before) / ROUND.as_secs_f64();
        drop(feed);
        print_line([case.report, case.range, case.scope], Some(costs), &figures, cpu);
    }
    if wanted.is_empty() || wanted.iter().any(|word| "not modified 304".contains(word.as_str())) {
        not_modified(&setting);
    }
    if wanted.is_empty() || wanted.iter().any(|word| "csv".contains(word.as_str())) {
        export(&setting);
    }
}

fn is_wanted(words: &[String], case: &Case) -> bool {
    let line = format!("{} {} {}", case.report, case.range, case.scope);
    words.is_empty() || words.iter().any(|word| line.contains(word.as_str()))
}

/// `costs` are those of a cold report, of one alone, and of one after a change.
fn print_line(names: [&str; 3], costs: Option<[Cost; 3]>, figures: &Figures, cpu: f64) {
    let [report, range, scope] = names;
    let text = |Cost { ms, engine_ms }: Cost| format!("{ms:.0} ({engine_ms:.0})");
    let [cold, alone, changed] = costs.map(|costs| costs.map(text)).unwrap_or_default();
    println!(
        "{report:<20} {range:<12} {scope:<9} {cold:>13} {alone:>13} {changed:>13} {:>8.1} {:>8.1} \
        {:>8.1} {:>8.0} {cpu:>6.2}",
        figures.ms(0.5),
        figures.ms(0.99),
        figures.ms(1.0),
        figures.per_second
    );
}

fn cases() -> Vec<Case> {
    let today = Utc::now().date_naive();
    let days_ago = |days| today - Days::new(days);
    let ranges = [
        ("30 days", String::new()),
        ("12 months", format!("&interval=month&from={}", days_ago(365))),
        ("3 years", format!("&interval=quarter&from={}", days_ago(1094))),
    ];
    let scopes =
        [("account", ""), ("100 below", "&organization_id=1"), ("leaf", "&organization_id=2000")];
    let mut cases = Vec::new();
    let mut add = |report, range, scope, path: String| {
        cases.push(Case { report, range, scope, path: path.replace("?&", "?") })
    };
    for (report, path, by_organization) in [
        ("history", "licenses/history", false),
        ("usage", "licenses/usage", false),
        ("usage by org", "licenses/usage", true),
    ] {
        let grouped = if by_organization { "&group_by=organization" } else { "" };
        for (range, days) in &ranges {
            for (scope, organization) in scopes {
                add(report, *range, scope, format!("{path}?{grouped}{days}{organization}"));
            }
        }
    }
    for (scope, organization) in scopes {
        add("assignments", "", scope, format!("licenses/assignments?limit=100{organization}"));
        add(
            "assignments",
            "-last use",
            scope,
            format!("licenses/assignments?sort=-last_active_use{organization}"),
        );
    }
    add("organizations", "", "account", "organizations?".to_owned());
    for (scope, organization) in [("100 below", "1"), ("leaf", "2000")] {
        add("quota", "", scope, format!("organizations/{organization}/quota?"));
        add("quota history", "", scope, format!("organizations/{organization}/quota/history?"));
        for (range, days) in &ranges {
            add(
                "test activity",
                *range,
                scope,
                format!("organizations/{organization}/test-activity?{days}"),
            );
        }
    }
    cases
}

/// Polls with the entity tag, while events of another account come in.
fn not_modified(setting: &Setting) {
    let feed = Feed::start(setting, "other");
    let before = setting.cpu_s();
    let path = "licenses/history?";
    let tag = clients::tag(setting, path);
    let figures = poll(setting, path, ROUND, Some(&tag));
    let cpu = (setting.cpu_s() - before) / ROUND.as_secs_f64();
    drop(feed);
    assert_eq!(
        figures.not_modified, figures.answers,
        "every poll of an untouched account is answered with 304"
    );
    print_line(["history, 304", "30 days", "account"], None, &figures, cpu);
}

/// The export of every seat, and the memory of the API's process.
fn export(setting: &Setting) {
    let before = setting.api_memory_mb();
    for round in 1..=3 {
        let (rows, bytes, first_ms, total_ms) =
            clients::export(setting, "licenses/assignments?format=csv");
        println!(
            "CSV {round}: {rows} rows, {:.1} MB, first byte after {first_ms:.0} ms, last after \
            {total_ms:.0} ms; \
             memory of the API {before} MB before, {} MB after, {} MB at its peak",
            bytes / 1e6,
            setting.api_memory_mb(),
            setting.api_memory_peak_mb()
        );
    }
}
