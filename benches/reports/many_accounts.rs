//! Reports of random accounts while all of them change.

use std::time::Duration;

use chrono::{Days, Utc};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::clients::poll_each;
use super::events::{Feed, Writer, event_at};
use super::setting::{EMPTY, Setting};

const ACCOUNTS: u32 = 50;
/// Of each account; the first is at the top, the others lie below it.
const ORGANIZATIONS: u32 = 20;
/// Of each account.
const USERS: u32 = 200;
/// Days that were counted before the first poll.
const DAYS: u64 = 28;

const EVENTS_PER_S: u32 = 1_500;
const CLIENTS: u32 = 3;
/// Between an answer and the next question; three clients come to nine polls a second.
const PAUSE: Duration = Duration::from_millis(300);
const ROUND: Duration = Duration::from_secs(30);
/// Polls that are not measured, so that the engine has read its tables once.
const WARMING: Duration = Duration::from_secs(3);

const REPORTS: [&str; 7] = [
    "licenses/history",
    "licenses/usage",
    "licenses/usage?group_by=organization",
    "licenses/assignments",
    "organizations",
    "organizations/1/quota",
    "organizations/1/test-activity",
];

/// Measures and prints the polls: of all reports, and of each alone if `each` asks for it.
pub(crate) fn run(each: bool) {
    let setting = Setting::prepare(EMPTY);
    let mut writer = Writer::new(&setting);
    fill(&mut writer);
    let feed = Feed::of(writer, EVENTS_PER_S, live);
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "many accounts", "p50", "p99", "max", "polls/s", "engine"
    );
    std::thread::sleep(WARMING);
    let before = setting.engine_cpu_s();
    std::thread::sleep(WARMING);
    let share = (setting.engine_cpu_s() - before) / WARMING.as_secs_f64();
    println!("{:<40} {:>44.2}", "flushes alone", share);
    measure(&setting, "all reports", ROUND, &REPORTS);
    for report in REPORTS.iter().filter(|_| each) {
        measure(&setting, report, ROUND / 3, &[report]);
    }
    drop(feed);
}

fn measure(setting: &Setting, name: &str, round: Duration, reports: &[&str]) {
    let url = |random: &mut ChaCha8Rng| {
        let account = random.random_range(0..ACCOUNTS);
        let report = reports[random.random_range(0..reports.len())];
        setting.url(&format!("account-{account}"), report)
    };
    poll_each(CLIENTS, PAUSE, WARMING, None, url);
    let before = setting.engine_cpu_s();
    let figures = poll_each(CLIENTS, PAUSE, round, None, url);
    let share = (setting.engine_cpu_s() - before) / round.as_secs_f64();
    println!(
        "{name:<40} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {share:>8.2}",
        figures.ms(0.5),
        figures.ms(0.99),
        figures.ms(1.0),
        figures.per_second
    );
}

/// Counts four weeks: directories, plans, seats, and what the users did.
fn fill(writer: &mut Writer) {
    let mut random = writer.random();
    let begun = Utc::now() - Days::new(DAYS);
    let mut events = Vec::new();
    for number in 0..ACCOUNTS {
        let account = format!("account-{number}");
        let mut add = |kind, data: String| {
            events.push(event_at(&mut random, begun, &account, kind, &data));
        };
        add("account.updated", format!(r#""name":"Account {number}","timezone":"Europe/Berlin""#));
        add("license.purchased", format!(r#""seats":{USERS}"#));
        for organization in 1..=ORGANIZATIONS {
            let parent = if organization == 1 { "null" } else { "\"1\"" };
            let id = format!(r#""organization_id":"{organization}""#);
            let name = format!(r#"{id},"name":"Organization {organization}","parent_id":{parent}"#);
            add("organization.updated", name);
            add("plan.started", format!(r#"{id},"plan":"team","monthly_quota":10000"#));
        }
        for user in 1..=USERS {
            let organization = user % ORGANIZATIONS + 1;
            add("user.updated", format!(r#""user_id":{user},"name":"User {user}""#));
            let seat = format!(r#""organization_id":"{organization}","user_id":{user}"#);
            add("license.assigned", seat);
        }
    }
    for day in 1..DAYS {
        for _ in 0..ACCOUNTS * USERS / 2 {
            events.push(action(&mut random, begun + Days::new(day)));
        }
    }
    for flush in events.chunks(20_000) {
        writer.count(flush);
    }
}

/// What happens all the time.
fn live(random: &mut ChaCha8Rng) -> String {
    action(random, Utc::now())
}

/// A login, an action, a test, or now and then a seat or a name, of a random user.
fn action(random: &mut ChaCha8Rng, time: chrono::DateTime<Utc>) -> String {
    let account = format!("account-{}", random.random_range(0..ACCOUNTS));
    let user = random.random_range(1..=USERS);
    let kind = match random.random_range(0..1000) {
        0..300 => "user.login",
        300..500 => "user.action",
        500..995 => "test.executed",
        995..998 => "license.assigned",
        _ => "user.updated",
    };
    let organization = user % ORGANIZATIONS + 1;
    let data = format!(
        r#""organization_id":"{organization}","user_id":{user},"origin":"run","name":"User {user}""#
    );
    event_at(random, time, &account, kind, &data)
}
