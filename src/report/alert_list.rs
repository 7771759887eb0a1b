//! The alerts of an account: what was raised, and whether it has been resolved.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::alert::{AlertRule, SeatFigures};
use super::cursor::{seal, unseal};
use super::id::{AccountId, OrganizationId};
use super::page::Page;
use super::query::{BadParameter, Query};
use super::quota::CurrentQuota;
use super::quota_overview::VisibleTree;
use super::subject::Subject;
use super::value::Timestamp;
use crate::core::calendar::Zone;

/// Fields of an event's data that the list says by itself, from what the alert is known by and from
/// the organizations of now.
const TOLD_APART: [&str; 6] =
    ["state", "rule", "line", "account_id", "organization_id", "organization"];

/// Which alerts are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsRequest {
    /// Only those of this organization, alone.
    pub organization: Option<OrganizationId>,
    /// Only those of this rule.
    pub rule: Option<&'static str>,
    /// Also those that are resolved, or whose month or purchase is over.
    pub with_closed: bool,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertPosition {
    /// When its last alert was raised, milliseconds since 1970 UTC.
    pub raised_at_ms: i64,
    /// The id of that alert.
    pub id: String,
}

impl AlertsRequest {
    /// Takes the parameters of a request for a page of the account's alerts.
    ///
    /// # Errors
    /// Where a parameter is at fault.
    pub fn parse(
        account: &str,
        mut query: Query,
    ) -> Result<(Self, Page<AlertPosition>), BadParameter> {
        let request = Self {
            organization: query.take_id("organization_id")?,
            rule: query.take_parsed("rule", |value| {
                let rule = AlertRule::named(value).map(AlertRule::as_str);
                rule.ok_or_else(|| "Not one of quota, pace, seats.".to_owned())
            })?,
            with_closed: query
                .take_parsed("state", |value| match value {
                    "open" => Ok(false),
                    "all" => Ok(true),
                    _ => Err("Neither open nor all.".to_owned()),
                })?
                .unwrap_or(false),
        };
        let page = Page::take(&mut query, "account and query", |cursor| {
            let (raised_at_ms, id) = unseal(&request.scope(account), cursor)?;
            Some(AlertPosition { raised_at_ms, id })
        })?;
        query.finish()?;
        Ok((request, page))
    }

    /// Names the account and everything that decides which alerts there are.
    fn scope(&self, account: &str) -> String {
        format!("alerts {account:?} {self:?}")
    }
}

/// An alert, as the store gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAlert {
    /// The account.
    pub account_id: String,
    /// The organization; `None` for a rule of the whole account.
    pub organization_id: Option<String>,
    /// The rule: quota, pace or seats.
    pub rule: String,
    /// The line that was reached.
    pub line: String,
    /// The id of the event that raised it.
    pub id: String,
    /// When it was found, milliseconds since 1970 UTC.
    pub raised_at_ms: i64,
    /// When it had fallen below its line again; `None` if it has not.
    pub resolved_at_ms: Option<i64>,
    /// When its month or purchase was over; `None` while it is not.
    pub ended_at_ms: Option<i64>,
    /// Whether nothing was sent.
    pub is_silent: bool,
    /// The data of the event that raised it.
    pub data: Map<String, Value>,
}

impl StoredAlert {
    /// The state, as in the data of events.
    pub fn state(&self) -> AlertStanding {
        match self.resolved_at_ms {
            None => AlertStanding::Raised,
            Some(_) => AlertStanding::Resolved,
        }
    }
}

/// Whether an alert has been resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AlertState)]
pub enum AlertStanding {
    /// The figure has not fallen below the line since. It stays so when the month or purchase is
    /// over.
    Raised,
    /// The figure fell below the line again within the same month, or after a purchase.
    Resolved,
}

/// An alert in the list.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct ListedAlert {
    /// The id of the event that raised it.
    #[schema(example = "9c37a02e5d1f4b609c37a02e5d1f4b60")]
    pub id: String,
    /// When it was found.
    pub time: Timestamp,
    /// When the figure had fallen below the line again; null if it has not.
    #[schema(required = true)]
    pub resolved_at: Option<Timestamp>,
    pub state: AlertStanding,
    /// The rule: `quota`, `pace` or `seats`.
    #[schema(value_type = AlertRule)]
    pub rule: String,
    /// The line that was reached: a percentage, `exhausted` (rule quota), `runs_out` (rule pace) or
    /// `overage` (rule seats).
    #[schema(example = "80")]
    pub line: String,
    /// The account.
    #[schema(example = "acme")]
    pub account_id: String,
    /// The organization; null for a rule of the whole account.
    #[schema(example = "42", required = true)]
    pub organization_id: Option<String>,
    /// Its path of now: the names from the top of the tree down, joined by ` / `.
    #[schema(example = "Acme / Quality", required = true)]
    pub organization: Option<String>,
    /// The figures as they were when it was found.
    #[serde(flatten)]
    #[schema(value_type = ListedFigures)]
    pub figures: Map<String, Value>,
}

/// The figures of a report when a line was reached, for the API's description.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ListedFigures {
    Quota(QuotaAlertFigures),
    Seats(SeatFigures),
}

/// An alert about the quota of an organization: the figures are those of its quota when it was
/// found.
#[derive(Serialize, ToSchema)]
#[schema(as = QuotaAlert)]
pub struct QuotaAlertFigures {
    #[serde(flatten)]
    pub quota: CurrentQuota,
}

/// A page of the alerts of an account.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertsReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// The alerts of this page, newest first, then by id.
    pub alerts: Vec<ListedAlert>,
    /// How many alerts there are on all pages.
    #[schema(example = 2)]
    pub total: u64,
    /// `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl AlertsReport {
    /// A page of the alerts, of which one more was read than it may have.
    pub fn assemble(
        account: &AccountId,
        zone: Zone,
        (request, page): (&AlertsRequest, &Page<AlertPosition>),
        organizations: &VisibleTree<'_>,
        mut stored: Vec<StoredAlert>,
        total: u64,
    ) -> Self {
        let has_more = stored.len() > page.limit;
        stored.truncate(page.limit);
        let next_cursor = stored.last().filter(|_| has_more).map(|last| {
            let position = serde_json::json!([last.raised_at_ms, last.id]);
            seal(&request.scope(account), &position)
        });
        let paths = organizations.paths();
        let listed = |alert: StoredAlert| {
            let organization = alert.organization_id.as_ref();
            let path = organization.map(|id| paths.get(id).unwrap_or(id).clone());
            ListedAlert::new(alert, path)
        };
        Self {
            subject: Subject::new(account, request.organization.as_ref(), zone),
            alerts: stored.into_iter().map(listed).collect(),
            total,
            next_cursor,
        }
    }
}

impl ListedAlert {
    /// The alert, with the path of its organization.
    pub fn new(alert: StoredAlert, organization: Option<String>) -> Self {
        let state = alert.state();
        let mut figures = alert.data;
        figures.retain(|name, _| !TOLD_APART.contains(&name.as_str()));
        Self {
            id: alert.id,
            time: Timestamp(alert.raised_at_ms),
            resolved_at: alert.resolved_at_ms.map(Timestamp),
            state,
            rule: alert.rule,
            line: alert.line,
            account_id: alert.account_id,
            organization_id: alert.organization_id,
            organization,
            figures,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(query: &str) -> Result<(AlertsRequest, Page<AlertPosition>), String> {
        let query = Query::parse(Some(query)).unwrap();
        AlertsRequest::parse("a", query).map_err(|fault| fault.parameter)
    }

    #[test]
    fn open_alerts_of_every_rule_are_the_default() {
        let (request, page) = parse("").unwrap();
        let expected = AlertsRequest { organization: None, rule: None, with_closed: false };
        assert_eq!((request, page), (expected, Page { limit: 100, after: None }));
        let (request, page) = parse("state=all&rule=pace&organization_id=7&limit=3").unwrap();
        assert!(request.with_closed && request.rule == Some("pace") && page.limit == 3);
        assert_eq!(request.organization.as_deref(), Some("7"));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, parameter) in [
            ("state=resolved", "state"),
            ("rule=Quota", "rule"),
            ("rule=", "rule"),
            ("organization_id=", "organization_id"),
            ("limit=1001", "limit"),
            ("cursor=x", "cursor"),
            ("as_of=2026-03-01T00:00:00Z", "as_of"),
            ("format=csv", "format"),
        ] {
            assert_eq!(parse(query).unwrap_err(), parameter, "{query}");
        }
    }

    #[test]
    fn a_cursor_leads_on_in_the_same_query_alone() {
        let stored = |number: i64| StoredAlert {
            account_id: "a".to_owned(),
            organization_id: None,
            rule: "seats".to_owned(),
            line: "90".to_owned(),
            id: format!("id {number}"),
            raised_at_ms: 100 - number,
            resolved_at_ms: (number == 1).then_some(200),
            ended_at_ms: None,
            is_silent: false,
            data: json!({"state": "raised", "purchased": 10, "line": "90", "assigned": 9})
                .as_object()
                .unwrap()
                .clone(),
        };
        let tree = crate::report::tree::OrganizationTree::new(Vec::new());
        let organizations = VisibleTree::new(&tree, None);
        let report = |query: &str, alerts| {
            let (request, page) = parse(query).unwrap();
            let asked = (&request, &page);
            AlertsReport::assemble(&"a".into(), Zone::UTC, asked, &organizations, alerts, 5)
        };
        let page = report("limit=2", (0..3).map(stored).collect());
        assert_eq!((page.alerts.len(), page.total), (2, 5));
        assert_eq!(
            serde_json::to_value(&page.alerts[1]).unwrap(),
            json!({
                "id": "id 1", "time": "1970-01-01T00:00:00.099Z",
                "resolved_at": "1970-01-01T00:00:00.200Z", "state": "resolved", "rule": "seats",
                "line": "90", "account_id": "a", "organization_id": null, "organization": null,
                "purchased": 10, "assigned": 9,
            })
        );
        let cursor = page.next_cursor.unwrap();
        let (_, next) = parse(&format!("limit=7&cursor={cursor}")).unwrap();
        assert_eq!(next.after, Some(AlertPosition { raised_at_ms: 99, id: "id 1".to_owned() }));
        for other in ["state=all", "rule=seats", "organization_id=o"] {
            assert_eq!(parse(&format!("{other}&cursor={cursor}")).unwrap_err(), "cursor");
        }
        assert_eq!(report("limit=3", (0..3).map(stored).collect()).next_cursor, None);
    }
}
