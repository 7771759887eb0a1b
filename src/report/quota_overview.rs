//! Who runs out: the quota of every organization that has a plan, the most used first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use utoipa::ToSchema;

use super::csv::{Cell, Table};
use super::cursor::{seal, unseal};
use super::id::{AccountId, OrganizationId};
use super::organizations::{OrganizationsReport, Visible};
use super::page::{Page, refuse_pages};
use super::period::Pinned;
use super::query::{BadParameter, Query};
use super::quota::{CurrentQuota, Figures, QuotaFacts, QuotaStatus};
use super::subject::Subject;
use super::tree::OrganizationTree;
use super::value::{Date, Hundredths};
use crate::core::calendar::{Zone, day_of};

/// Which organizations are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaOverviewRequest {
    /// Only this organization and all below it.
    pub organization: Option<OrganizationId>,
    /// Only those whose quota is used as far.
    pub status: Option<QuotaStatus>,
    as_of_ms: Option<i64>,
}

/// Where a page ended: what the last row is ranked by, but for the path, which its organization has
/// at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaPosition {
    used: u64,
    monthly_quota: Option<u64>,
    organization_id: String,
}

impl QuotaOverviewRequest {
    /// Takes the parameters of a request for all rows, as CSV has them.
    pub fn parse_all(mut query: Query) -> Result<Self, BadParameter> {
        let request = Self::take(&mut query)?;
        refuse_pages(&mut query)?;
        query.finish()?;
        Ok(request)
    }

    /// Takes the parameters of a request for a page of the account's rows.
    pub fn parse_page(
        account: &str,
        mut query: Query,
    ) -> Result<(Self, Page<QuotaPosition>), BadParameter> {
        let request = Self::take(&mut query)?;
        let page = Page::take(&mut query, "account and query", |cursor| {
            let (used, monthly_quota, organization_id) = unseal(&request.scope(account), cursor)?;
            Some(QuotaPosition { used, monthly_quota, organization_id })
        })?;
        query.finish()?;
        Ok((request, page))
    }

    fn take(query: &mut Query) -> Result<Self, BadParameter> {
        Ok(Self {
            organization: query.take_id("organization_id")?,
            status: query.take_parsed("status", |value| {
                QuotaStatus::ALL
                    .into_iter()
                    .find(|status| status.as_str() == value)
                    .ok_or_else(|| "Not one of within, grace, exhausted.".to_owned())
            })?,
            as_of_ms: query.take_instant("as_of")?,
        })
    }

    /// Whether the rows change as now moves on.
    pub fn pinned(&self) -> Pinned {
        Pinned::by(self.as_of_ms)
    }

    /// The instant that is asked about, milliseconds since 1970 UTC.
    pub fn as_of_ms(&self, now_ms: i64) -> i64 {
        self.as_of_ms.unwrap_or(now_ms)
    }

    /// Names the account and everything that decides which rows there are.
    fn scope(&self, account: &str) -> String {
        format!("quota overview {account:?} {self:?}")
    }
}

/// The organizations of an account, as a caller may see them.
pub struct VisibleTree<'a> {
    tree: &'a OrganizationTree,
    /// Those of the caller; `None` where all are.
    own: Option<&'a BTreeSet<String>>,
}

impl<'a> VisibleTree<'a> {
    /// The organizations of the tree, of which a caller sees these alone, or all.
    pub fn new(tree: &'a OrganizationTree, own: Option<&'a BTreeSet<String>>) -> Self {
        Self { tree, own }
    }

    /// Those that a request asks for; `None` where all of the account are.
    pub fn asked_for(&self, request: &QuotaOverviewRequest) -> Option<BTreeSet<&'a str>> {
        let own = self.own.map(|own| own.iter().map(String::as_str));
        let Some(organization) = request.organization.as_deref() else {
            return own.map(Iterator::collect);
        };
        let below = self.tree.subtree(organization).into_iter();
        Some(match self.own {
            None => below.collect(),
            Some(own) => below.filter(|&id| own.contains(id)).collect(),
        })
    }

    /// The path of each, without the names of others.
    pub(super) fn paths(&self) -> HashMap<String, String> {
        let visible = match self.own {
            None => Visible::All,
            Some(own) => Visible::Only(own.iter().cloned().collect()),
        };
        let organizations = self.tree.organizations();
        let report = OrganizationsReport::assemble(&"".into(), Zone::UTC, &visible, organizations);
        let paths = report.organizations.into_iter();
        paths.map(|organization| (organization.organization_id, organization.path)).collect()
    }
}

/// The quota of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaRow {
    /// The organization.
    #[schema(example = "42")]
    pub organization_id: String,
    /// Its path: the names from the top of the tree down, joined by ` / `.
    #[schema(example = "Acme / Quality")]
    pub organization: String,
    #[serde(flatten)]
    pub quota: CurrentQuota,
}

/// How many organizations have used how much of their quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaStatusCounts {
    /// Less than the quota is used.
    #[schema(example = 12)]
    pub within: u64,
    /// The quota is used, the allowance is not.
    #[schema(example = 2)]
    pub grace: u64,
    /// The allowance is used, and nothing more may run.
    #[schema(example = 1)]
    pub exhausted: u64,
}

/// A page of the organizations that have a plan, those first that have used most of their quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QuotaOverviewReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// The rows of this page: the greatest `percent_used` first, unlimited ones last, then by path
    /// and id.
    pub rows: Vec<QuotaRow>,
    /// How many rows there are on all pages.
    #[schema(example = 15)]
    pub total: u64,
    /// How many there are of each status, whichever is asked for.
    pub by_status: QuotaStatusCounts,
    /// `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// The quota of each organization, ranked.
pub struct QuotaOverview {
    zone: Zone,
    /// Of the status that is asked for.
    rows: Vec<QuotaRow>,
    by_status: QuotaStatusCounts,
    paths: HashMap<String, String>,
}

impl QuotaOverview {
    /// Ranks the organizations that have a plan at the instant, milliseconds since 1970 UTC.
    pub fn rank(
        request: &QuotaOverviewRequest,
        organizations: &VisibleTree<'_>,
        zone: Zone,
        as_of_ms: i64,
        facts: HashMap<String, QuotaFacts>,
    ) -> Self {
        let asked_for = organizations.asked_for(request);
        let paths = organizations.paths();
        let mut by_status = QuotaStatusCounts::default();
        let mut rows = Vec::new();
        for (organization_id, facts) in facts {
            if asked_for.as_ref().is_some_and(|ids| !ids.contains(organization_id.as_str())) {
                continue;
            }
            let Some(quota) = Figures::new(zone, &facts, as_of_ms).current() else { continue };
            by_status.add(quota.month.status);
            if request.status.is_none_or(|status| status == quota.month.status) {
                let organization = path_of(&paths, &organization_id).to_owned();
                rows.push(QuotaRow { organization_id, organization, quota });
            }
        }
        rows.sort_unstable_by(|a, b| Rank::of(a).cmp(&Rank::of(b)));
        Self { zone, rows, by_status, paths }
    }

    /// A page of the rows.
    pub fn page(
        self,
        account: &AccountId,
        request: &QuotaOverviewRequest,
        page: &Page<QuotaPosition>,
    ) -> QuotaOverviewReport {
        let total = self.rows.len();
        let start = page.after.as_ref().map_or(0, |after| {
            let percent_used =
                after.monthly_quota.map(|quota| Hundredths::percent(after.used, quota));
            let after = Rank {
                percent_used: Reverse(percent_used),
                path: path_of(&self.paths, &after.organization_id),
                id: &after.organization_id,
            };
            self.rows.partition_point(|row| Rank::of(row) <= after)
        });
        let rows: Vec<QuotaRow> = self.rows.into_iter().skip(start).take(page.limit).collect();
        let last = rows.last().filter(|_| start + rows.len() < total);
        let next_cursor = last.map(|row| {
            let (month, id) = (&row.quota.month, &row.organization_id);
            let position = serde_json::json!([month.used, month.monthly_quota, id]);
            seal(&request.scope(account), &position)
        });
        QuotaOverviewReport {
            subject: Subject::new(account, request.organization.as_ref(), self.zone),
            rows,
            total: total as u64,
            by_status: self.by_status,
            next_cursor,
        }
    }

    /// All rows as CSV; cells that a quota bounds are empty where it is unlimited.
    pub fn table(self) -> Table {
        let mut table = Table::new(&[
            "Organization",
            "Plan",
            "Status",
            "Used",
            "Monthly Quota",
            "Allowance",
            "Percent Used",
            "Projected Used",
            "Runs Out On",
            "Resets On",
        ]);
        for QuotaRow { organization, quota: CurrentQuota { month, pace }, .. } in self.rows {
            table.row([
                Cell::Text(organization),
                Cell::Text(month.plan),
                Cell::Plain(month.status.as_str().to_owned()),
                Cell::number(Some(month.used)),
                Cell::number(month.monthly_quota),
                Cell::number(month.allowance),
                Cell::number(month.percent_used),
                Cell::number(pace.map(|pace| pace.projected_used)),
                Cell::number(pace.and_then(|pace| pace.runs_out_on)),
                Cell::number(Some(Date(day_of(self.zone, month.window.end.0)))),
            ]);
        }
        table
    }
}

impl QuotaStatusCounts {
    fn add(&mut self, status: QuotaStatus) {
        match status {
            QuotaStatus::Within => self.within += 1,
            QuotaStatus::Grace => self.grace += 1,
            QuotaStatus::Exhausted => self.exhausted += 1,
        }
    }
}

/// A path; of an organization that the directory does not know yet, the id.
fn path_of<'a>(paths: &'a HashMap<String, String>, organization: &'a str) -> &'a str {
    paths.get(organization).map_or(organization, String::as_str)
}

/// The order of rows.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    /// Greater percentages come first; `None`, which is unlimited, is less than any.
    percent_used: Reverse<Option<Hundredths>>,
    path: &'a str,
    id: &'a str,
}

impl<'a> Rank<'a> {
    fn of(row: &'a QuotaRow) -> Self {
        Self {
            percent_used: Reverse(row.quota.month.percent_used),
            path: &row.organization,
            id: &row.organization_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::Day;
    use crate::core::event::PlanKind;
    use crate::report::quota::QuotaUsed;
    use crate::report::tree::Node;
    use crate::report::window::PlanRecord;

    const DAY_MS: i64 = 86_400_000;
    const AS_OF_MS: i64 = 10 * DAY_MS;

    /// Organizations a to f, each below the one before, all of one name.
    fn tree() -> OrganizationTree {
        let ids: Vec<String> = ('a'..='f').map(String::from).collect();
        let parents = std::iter::once(None).chain(ids.iter().cloned().map(Some));
        let node =
            |(id, parent): (&String, _)| Node { id: id.clone(), name: "x".to_owned(), parent };
        OrganizationTree::new(ids.iter().zip(parents).map(node).collect())
    }

    fn facts(quota: Option<u64>, used: u64) -> QuotaFacts {
        let record = PlanRecord {
            time_ms: 0,
            kind: PlanKind::Started,
            plan: "team".to_owned(),
            monthly_quota: quota,
        };
        let used = QuotaUsed { anchor_ms: 0, month: 1, day: Day(0), tests: used };
        QuotaFacts { records: vec![record], used: vec![used], week_tests: 7 }
    }

    fn request(raw: &str) -> (QuotaOverviewRequest, Page<QuotaPosition>) {
        let query = Query::parse(Some(raw)).unwrap();
        QuotaOverviewRequest::parse_page("acme", query).unwrap()
    }

    fn report(
        raw: &str,
        own: Option<&[&str]>,
        known: &[(&str, QuotaFacts)],
    ) -> QuotaOverviewReport {
        let (request, page) = request(raw);
        let tree = tree();
        let own = own.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        let organizations = VisibleTree::new(&tree, own.as_ref());
        let facts = known.iter().map(|(id, facts)| ((*id).to_owned(), facts.clone())).collect();
        QuotaOverview::rank(&request, &organizations, Zone::UTC, AS_OF_MS, facts).page(
            &"acme".into(),
            &request,
            &page,
        )
    }

    fn paths(report: &QuotaOverviewReport) -> Vec<(&str, &str)> {
        let rows = report.rows.iter();
        rows.map(|row| (row.organization_id.as_str(), row.organization.as_str())).collect()
    }

    #[test]
    fn a_caller_sees_the_rows_and_names_of_own_organizations_alone() {
        let known = ["a", "b", "d", "e", "new"].map(|id| (id, facts(Some(10), 5)));
        let all = report("", None, &known);
        assert_eq!(
            paths(&all),
            [
                ("new", "new"),
                ("a", "x"),
                ("b", "x / x"),
                ("d", "x / x / x / x"),
                ("e", "x / x / x / x / x"),
            ]
        );
        let own = report("", Some(&["b", "d", "e", "f"]), &known);
        assert_eq!(paths(&own), [("b", "x"), ("d", "x"), ("e", "x / x")]);
        assert_eq!((own.total, own.by_status.within), (3, 3));
        let below = report("organization_id=d", Some(&["b", "d", "e"]), &known);
        assert_eq!(paths(&below), [("d", "x"), ("e", "x / x")]);
        assert_eq!(paths(&report("organization_id=e", None, &known)).len(), 1);
    }

    #[test]
    fn a_cursor_is_good_for_its_own_query_alone() {
        let known = ["a", "b"].map(|id| (id, facts(None, 5)));
        let first = report("limit=1", None, &known);
        let cursor = first.next_cursor.unwrap();
        let second = report(&format!("limit=1&cursor={cursor}"), None, &known);
        assert_eq!((paths(&second), second.next_cursor.clone()), (vec![("b", "x / x")], None));
        for (account, raw) in [("acme", "status=grace&"), ("other", "")] {
            let query = Query::parse(Some(&format!("{raw}cursor={cursor}"))).unwrap();
            let fault = QuotaOverviewRequest::parse_page(account, query).unwrap_err();
            assert_eq!(fault.parameter, "cursor");
        }
    }

    #[test]
    fn bad_values_name_their_parameter() {
        for (raw, parameter) in [
            ("status=all", "status"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("cursor=x", "cursor"),
            ("interval=day", "interval"),
        ] {
            let query = Query::parse(Some(raw)).unwrap();
            let fault = QuotaOverviewRequest::parse_page("acme", query).unwrap_err();
            assert_eq!(fault.parameter, parameter);
        }
        let query = Query::parse(Some("limit=10")).unwrap();
        assert_eq!(QuotaOverviewRequest::parse_all(query).unwrap_err().parameter, "limit");
    }

    proptest! {
        #[test]
        fn pages_add_up_to_a_naive_ranking(
            plans in proptest::collection::btree_map(
                "[a-f]",
                (proptest::option::of(0..8_u64), 0..12_u64),
                0..6,
            ),
            limit in 1..4_usize,
        ) {
            let known: Vec<(&str, QuotaFacts)> = plans
                .iter()
                .map(|(id, &(quota, used))| (id.as_str(), facts(quota, used)))
                .collect();
            let mut expected: Vec<&str> = plans.keys().map(String::as_str).collect();
            // All lie below one another, so that paths are in the order of ids.
            expected.sort_by_key(|id| match plans[*id] {
                (None, _) => (true, 0, *id),
                (Some(0), used) => (false, if used == 0 { 0 } else { -10_000 }, *id),
                (Some(quota), used) => {
                    (false, -i64::try_from(used * 10_000 / quota).unwrap(), *id)
                }
            });
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = report(&format!("limit={limit}{cursor}"), None, &known);
                prop_assert_eq!(page.total, plans.len() as u64);
                found.extend(page.rows.iter().map(|row| row.organization_id.clone()));
                let Some(next) = page.next_cursor else { break };
                prop_assert_eq!(page.rows.len(), limit);
                cursor = format!("&cursor={next}");
            }
            prop_assert_eq!(found, expected);
        }
    }
}
