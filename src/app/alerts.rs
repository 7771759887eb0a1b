//! `seatmeter alerts`: the alerts that are stored.

use std::io::Write as _;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::alert_test;
use super::output::written;
use super::progress::say;
use crate::config::Config;
use crate::report::alert_list::StoredAlert;
use crate::report::value::Timestamp;
use crate::store::Store;

/// Rows that are aligned with one another: all of a short list, and of a long one no more than are
/// to be held.
const ALIGNED_ROWS: usize = 1_000;

/// The heads of the table.
const HEADS: [&str; 7] = ["TIME", "ACCOUNT", "ORGANIZATION", "RULE", "LINE", "STATE", "FIGURES"];

/// List alerts (quotas and seats that reached a line), and try out who is told of them
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    List(ListArgs),
    Test(alert_test::Args),
}

/// List the alerts that are open, newest first
///
/// Read from the view `alerts` of the configured ClickHouse; no API has to run. The figures are
/// those of the moment when the line was reached.
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// List alerts of this account alone
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// List those too that are resolved, or whose quota month or purchase is over
    #[arg(long)]
    all: bool,

    /// Print each alert as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> anyhow::Result<()> {
    match &args.command {
        AlertsCommand::List(args) => list(args, config).await,
        AlertsCommand::Test(_) => alert_test::run(config).await,
    }
}

async fn list(args: &ListArgs, config: &Config) -> anyhow::Result<()> {
    let store = Store::connect(&config.clickhouse)?;
    store.check_server().await?;
    store.check_schema().await?;
    let mut alerts = store.all_alerts(args.account.as_deref(), args.all)?;
    let mut table = AlertTable::default();
    let mut listed = 0_u64;
    while let Some(alert) = alerts.next().await? {
        listed += 1;
        if args.json {
            print(&format!("{}\n", object(alert)))?;
        } else if table.add(cells(&alert)) {
            print(&table.take_text())?;
        }
    }
    print(&table.take_text())?;
    if listed == 0 {
        say(if args.all { "no alert has been raised" } else { "no alert is open" });
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    written(std::io::stdout().lock().write_all(text.as_bytes()))
}

/// Rows of text, whose columns are aligned.
#[derive(Default)]
struct AlertTable {
    rows: Vec<[String; HEADS.len()]>,
    /// Of each column, characters.
    widths: [usize; HEADS.len()],
}

impl AlertTable {
    /// Adds a row, below the heads if it is the first. Returns whether the rows are to be taken.
    fn add(&mut self, row: [String; HEADS.len()]) -> bool {
        if self.widths[0] == 0 {
            self.push(HEADS.map(str::to_owned));
        }
        self.push(row);
        self.rows.len() >= ALIGNED_ROWS
    }

    fn push(&mut self, row: [String; HEADS.len()]) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = cell.chars().count().max(*width);
        }
        self.rows.push(row);
    }

    /// The rows as lines of text. Columns stay as wide as they were.
    fn take_text(&mut self) -> String {
        let mut text = String::new();
        for row in self.rows.drain(..) {
            let padded = row.iter().zip(self.widths).map(|(cell, width)| format!("{cell:width$}"));
            text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

fn cells(alert: &StoredAlert) -> [String; HEADS.len()] {
    let state = match alert {
        StoredAlert { resolved_at_ms: Some(_), .. } => "resolved",
        StoredAlert { ended_at_ms: Some(_), .. } => "ended",
        _ => "open",
    };
    [
        Timestamp(alert.raised_at_ms).to_string(),
        alert.account_id.clone(),
        alert.organization_id.clone().unwrap_or_else(|| "-".to_owned()),
        alert.rule.clone(),
        alert.line.clone(),
        state.to_owned(),
        figures(alert),
    ]
}

/// The figures in a few words.
fn figures(alert: &StoredAlert) -> String {
    let field = |name: &str| match alert.data.get(name) {
        None => format!("(no {name})"),
        Some(value) => value.to_string(),
    };
    let pace = alert.data.get("pace").and_then(|pace| pace["runs_out_on"].as_str());
    match (alert.rule.as_str(), pace) {
        ("seats", _) => format!("{} of {} seats", field("assigned"), field("purchased")),
        ("pace", Some(day)) => format!("runs out on {day}"),
        _ => format!("{} of {}", field("used"), field("monthly_quota")),
    }
}

/// The data of the event, and what became of the alert since.
fn object(alert: StoredAlert) -> Value {
    let time = |time_ms: Option<i64>| json!(time_ms.map(Timestamp));
    let state = json!(alert.state());
    let since = Map::from_iter([
        ("id".to_owned(), json!(alert.id)),
        ("time".to_owned(), time(Some(alert.raised_at_ms))),
        ("resolved_at".to_owned(), time(alert.resolved_at_ms)),
        ("ended_at".to_owned(), time(alert.ended_at_ms)),
        ("is_silent".to_owned(), json!(alert.is_silent)),
        ("state".to_owned(), state),
    ]);
    let mut fields = alert.data;
    fields.extend(since);
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(rule: &str, organization: Option<&str>, data: &Value) -> StoredAlert {
        StoredAlert {
            account_id: "acme".to_owned(),
            organization_id: organization.map(str::to_owned),
            rule: rule.to_owned(),
            line: "90".to_owned(),
            id: "1".to_owned(),
            raised_at_ms: 0,
            resolved_at_ms: None,
            ended_at_ms: None,
            is_silent: false,
            data: data.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn figures_are_a_few_words() {
        let words = |rule, data: Value| figures(&alert(rule, None, &data));
        assert_eq!(words("seats", json!({"purchased": 100, "assigned": 95})), "95 of 100 seats");
        let pace = json!({"runs_out_on": "2026-03-12"});
        let quota = json!({"used": 812, "monthly_quota": 1000, "pace": pace});
        assert_eq!(words("quota", quota.clone()), "812 of 1000");
        assert_eq!(words("pace", quota), "runs out on 2026-03-12");
        let without = json!({"used": 812, "pace": null});
        assert_eq!(words("quota", without), "812 of (no monthly_quota)");
    }

    #[test]
    fn columns_are_aligned_and_stay_so() {
        let data = json!({"purchased": 100, "assigned": 95});
        let mut table = AlertTable::default();
        assert!(!table.add(cells(&alert("seats", None, &data))));
        let mut resolved = alert("seats", Some("ünïcode"), &data);
        resolved.resolved_at_ms = Some(1);
        resolved.ended_at_ms = Some(2);
        table.add(cells(&resolved));
        let first = table.take_text();
        assert_eq!(
            first,
            "TIME                      ACCOUNT  ORGANIZATION  RULE   LINE  STATE     FIGURES\n\
             1970-01-01T00:00:00.000Z  acme     -             seats  90    open      95 of 100 \
             seats\n\
             1970-01-01T00:00:00.000Z  acme     ünïcode       seats  90    resolved  95 of 100 \
             seats\n"
        );
        assert_eq!(table.take_text(), "");
        table.add(cells(&alert("seats", None, &data)));
        let next = table.take_text();
        assert_eq!(next.lines().count(), 1, "without heads");
        assert_eq!(next.find("95 of"), first.find("FIGURES"), "as wide as before");
        while !table.add(cells(&resolved)) {}
        assert_eq!(table.take_text().lines().count(), ALIGNED_ROWS);
    }
}
