//! First answers of many small accounts: nothing is kept, and all is planning.

use super::clients::{Cost, cost};
use super::setting::{SMALL, Setting};

/// Accounts whose first answer is measured, of each report.
const ACCOUNTS: u32 = 40;

/// Accounts that are asked before, so that the engine has read its tables once.
const WARMING: u32 = 5;

/// From one account to the next, so that they lie all over the tables.
const STEP: u32 = 37;

const REPORTS: [(&str, &str); 9] = [
    ("history", "licenses/history"),
    ("usage", "licenses/usage"),
    ("usage by org", "licenses/usage?group_by=organization"),
    ("assignments", "licenses/assignments"),
    ("organizations", "organizations"),
    ("quota", "organizations/1/quota"),
    ("quota history", "organizations/1/quota/history"),
    ("test activity", "organizations/1/test-activity"),
    ("history, org", "licenses/history?organization_id=1"),
];

/// Measures and prints the first answers.
pub(crate) fn run() {
    let setting = Setting::prepare(SMALL);
    println!("{:<20} {:>8} {:>8}", "first answer", "wall", "engine");
    let mut accounts = (0..).step_by(usize::try_from(STEP).expect("it is small"));
    for (report, path) in REPORTS {
        let mut urls = |count: u32| -> Vec<String> {
            (0..count)
                .map(|_| {
                    let number: u32 = accounts.next().expect("they have no end");
                    setting.url(&format!("account-{}", number % 20_000), path)
                })
                .collect()
        };
        cost(&setting, urls(WARMING));
        let Cost { ms, engine_ms } = cost(&setting, urls(ACCOUNTS));
        println!("{report:<20} {ms:>8.1} {engine_ms:>8.1}");
    }
}
