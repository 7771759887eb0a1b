//! Which form of a report is asked for, and the description of the parameters for the OpenAPI
//! document.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use utoipa::{IntoParams, ToSchema};

use crate::http::reply::{CsvFile, Form};
use crate::http::request::list_field::elements;
use crate::report::alert::AlertRule;
use crate::report::query::{BadParameter, Query};
use crate::report::quota::QuotaStatus;
use crate::report::subject::IntervalName;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Format {
    Json,
    Csv { byte_order_mark: bool },
}

impl Format {
    /// What a report in this format is sent as. The CSV is saved under the name, the day and
    /// `.csv`.
    pub(in crate::http) fn form(self, name: &'static str) -> Form {
        match self {
            Self::Json => Form::Json,
            Self::Csv { byte_order_mark } => Form::Csv(CsvFile { name, byte_order_mark }),
        }
    }

    /// Takes `format`, without which the `Accept` header decides, and `bom`, which is for CSV.
    pub(in crate::http) fn take(
        query: &mut Query,
        headers: &HeaderMap,
    ) -> Result<Self, BadParameter> {
        let named = query.take_parsed("format", |value| match value {
            "json" => Ok(false),
            "csv" => Ok(true),
            _ => Err("Neither json nor csv.".to_owned()),
        })?;
        let byte_order_mark = query.take_parsed("bom", |value| match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("Neither true nor false.".to_owned()),
        })?;
        let byte_order_mark = byte_order_mark.unwrap_or(false);
        if named.unwrap_or_else(|| prefers_csv(headers)) {
            return Ok(Self::Csv { byte_order_mark });
        }
        if byte_order_mark {
            let detail = "JSON has no byte order mark; CSV may have one, with format=csv.";
            return Err(BadParameter::new("bom", detail));
        }
        Ok(Self::Json)
    }
}

/// True where the caller likes CSV better than JSON, or as well and names it.
fn prefers_csv(headers: &HeaderMap) -> bool {
    let values: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<MediaRange> =
        values.iter().flat_map(|value| elements(value, ',')).map(media_range).collect();
    let (csv, csv_named) = quality(&ranges, "text", "csv");
    let (json, _) = quality(&ranges, "application", "json");
    csv > 0.0 && (csv > json || (csv == json && csv_named))
}

/// A media range of an `Accept` header, in lower case and without its parameters, and its weight.
struct MediaRange {
    name: String,
    weight: f32,
}

fn media_range(text: &str) -> MediaRange {
    let mut parts = elements(text, ';');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let named = |part: &str| {
        let (key, value) = part.split_once('=')?;
        key.eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
    };
    MediaRange { name, weight: parts.find_map(named).unwrap_or(1.0) }
}

/// How much a type is liked, by the most specific range that holds it (RFC 9110, 12.5.1), and
/// whether that one names it.
fn quality(ranges: &[MediaRange], kind: &str, subtype: &str) -> (f32, bool) {
    let names = [format!("{kind}/{subtype}"), format!("{kind}/*"), "*/*".to_owned()];
    let found = names.iter().zip([true, false, false]).find_map(|(name, is_named)| {
        let range = ranges.iter().find(|range| range.name == *name)?;
        Some((range.weight, is_named))
    });
    found.unwrap_or((0.0, false))
}

/// The account of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(
    dead_code,
    reason = "only its description is used; the parsing is that of crate::http::request::path"
)]
pub(in crate::http) struct AccountParam {
    /// The account.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "acme"
    )]
    account_id: String,
}

/// The organization of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(
    dead_code,
    reason = "only its description is used; the parsing is that of crate::http::request::path"
)]
pub(in crate::http) struct OwnOrganizationParam {
    /// The organization, alone: not those below it.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "42"
    )]
    organization_id: String,
}

/// The range of a report.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct RangeParams {
    /// First day of the report, in the account's zone; by default it covers 30 days.
    #[param(format = Date, example = "2026-03-01")]
    from: Option<String>,
    /// Last day, inclusive; by default the day of `as_of`.
    #[param(format = Date, example = "2026-03-31")]
    to: Option<String>,
    /// The calendar unit of the buckets, of which there may be 1,000; by default `day`.
    #[param(inline)]
    interval: Option<IntervalName>,
    /// The instant as of which the report is made; by default now.
    #[param(format = DateTime, example = "2026-04-01T00:00:00Z")]
    as_of: Option<String>,
}

/// Limits a license report to an organization and all below it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct OrganizationParam {
    /// Only this organization and all below it; an unknown one is empty.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "42"
    )]
    organization_id: Option<String>,
}

/// `as_of` alone.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct AsOfParam {
    /// The instant as of which the report is made; by default now.
    #[param(format = DateTime, example = "2026-04-01T00:00:00Z")]
    as_of: Option<String>,
}

/// Search and page of the accounts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct AccountListParams {
    /// Part of the name or of the id in any case, with or without accents: `zoe` finds Zoë.
    #[param(max_length = 4096)]
    search: Option<String>,
    /// How many accounts a page has at most; by default 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, of the same search.
    cursor: Option<String>,
}

/// Range and page of the audit.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct AuditParams {
    /// The first hour, by its beginning in UTC; by default 23 hours before `to`.
    #[param(format = DateTime, example = "2026-03-01T00:00:00Z")]
    from: Option<String>,
    /// The last hour, inclusive, by its beginning in UTC; by default the present one.
    #[param(format = DateTime, example = "2026-03-01T23:00:00Z")]
    to: Option<String>,
    /// `next_cursor` of the page before, of the same query.
    cursor: Option<String>,
}

/// The comparison by organization.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct GroupByParam {
    /// `organization`: `series` instead of `points`, one per direct child of the chosen
    /// organization (per top-level organization if none is chosen).
    #[param(inline)]
    group_by: Option<GroupBy>,
}

/// The project of a test activity report.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct ProjectParam {
    /// Only this project.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "7"
    )]
    project_id: Option<String>,
}

/// The form of the answer.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct FormatParam {
    /// `csv` for a CSV export; `Accept: text/csv` asks for the same.
    #[param(inline)]
    format: Option<FormatName>,
    /// `true` for a CSV that begins with a byte order mark, by which spreadsheets know that it is
    /// UTF-8; by default it does not. Only of CSV.
    #[param(example = false)]
    bom: Option<bool>,
}

/// Filters, order and page of the assignments.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct AssignmentParams {
    /// Only seats taken from this licence.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "acme"
    )]
    license_source: Option<String>,
    /// Part of the user's name (of the id, where there is none) in any case, with or without
    /// accents: `zoe` finds Zoë.
    #[param(max_length = 4096)]
    user: Option<String>,
    /// Part of the e-mail address in any case, with or without accents.
    #[param(max_length = 4096)]
    email: Option<String>,
    /// Whether the seats are still held; by default `active`.
    #[param(inline)]
    status: Option<StatusName>,
    /// Whether their users were active while holding them.
    activated: Option<bool>,
    /// Only seats that were never used, or last before `as_of` less that many times 24 hours.
    #[param(minimum = 0, maximum = 100_000, example = 30)]
    inactive_days: Option<u32>,
    /// Only seats that were assigned at or before `as_of` less that many times 24 hours: so that
    /// new starters do not look idle.
    #[param(minimum = 0, maximum = 100_000, example = 30)]
    held_days: Option<u32>,
    /// The order, `-` first for descending; by default `user`. Nulls come last, ties go by user id,
    /// then organization id.
    #[param(inline)]
    sort: Option<SortName>,
    /// How many rows a page has at most; by default 100. Not of CSV, which holds all rows.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, of the same account and query. Not of CSV.
    cursor: Option<String>,
}

/// The tests that are about to run.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct CanRunParams {
    /// The tests that are about to run; by default 1.
    #[param(minimum = 1, maximum = 1_000_000_000_000_u64, example = 10)]
    tests: Option<u64>,
}

/// Filter and page of the quota overview.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct QuotaOverviewParams {
    /// Only organizations whose quota is used as far; `by_status` counts all of them.
    #[param(inline)]
    status: Option<QuotaStatus>,
    /// How many rows a page has at most; by default 100. Not of CSV, which holds all rows.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, of the same account and query. Not of CSV.
    cursor: Option<String>,
}

/// Filter and page of the alerts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of crate::report")]
pub(in crate::http) struct AlertsParams {
    /// `all` for those too that are resolved, or whose quota month or purchase is over; by default
    /// `open`.
    #[param(inline)]
    state: Option<AlertChoice>,
    /// Only alerts of this rule.
    #[param(inline)]
    rule: Option<AlertRule>,
    /// Only alerts of this organization, alone: not of those below it.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "42"
    )]
    organization_id: Option<String>,
    /// How many alerts a page has at most; by default 100.
    #[param(minimum = 1, maximum = 1000, example = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before, of the same account and query.
    cursor: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum AlertChoice {
    Open,
    All,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum GroupBy {
    Organization,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum FormatName {
    Json,
    Csv,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its description is used")]
enum StatusName {
    Active,
    Revoked,
    All,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "only its description is used")]
enum SortName {
    #[schema(rename = "user")]
    User,
    #[schema(rename = "-user")]
    UserDescending,
    #[schema(rename = "email")]
    Email,
    #[schema(rename = "-email")]
    EmailDescending,
    #[schema(rename = "organization")]
    Organization,
    #[schema(rename = "-organization")]
    OrganizationDescending,
    #[schema(rename = "last_assignment")]
    LastAssignment,
    #[schema(rename = "-last_assignment")]
    LastAssignmentDescending,
    #[schema(rename = "last_active_use")]
    LastActiveUse,
    #[schema(rename = "-last_active_use")]
    LastActiveUseDescending,
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const CSV: Format = Format::Csv { byte_order_mark: false };

    fn check(query: &str, accept: &str, expected: Format) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        let mut query = Query::parse(Some(query)).unwrap();
        assert_eq!(Format::take(&mut query, &headers), Ok(expected), "{accept}");
    }

    #[test]
    fn csv_is_answered_to_whoever_asks_for_it() {
        check("", "", Format::Json);
        check("", "*/*", Format::Json);
        check("", "text/csv", CSV);
        check("", "Text/CSV; charset=utf-8, */*;q=0.1", CSV);
        check("", "application/json, text/csv;q=0.5", Format::Json);
        check("", "application/json;q=0.4, text/csv;q=0.5", CSV);
        check("", "text/csv;q=0", Format::Json);
        check("", "text/csv;q=x", Format::Json);
        check("", "text/csv;q=0.1, */*", Format::Json);
        check("", "text/csv, */*", CSV);
        check("", "text/*", CSV);
        check("", "*/*, application/json;q=0.5", CSV);
        check("", "text/*;q=0.9, text/csv;q=0, application/json;q=0.1", Format::Json);
        check("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json);
        check("", "application/json;note=\"a,text/csv\"", Format::Json);
        check("", "text/csv;note=\"\\\",application/json\"; Q=0.7, application/json;q=0.6", CSV);
        check("format=json", "text/csv", Format::Json);
        check("format=csv", "application/json", CSV);
        check("bom=false", "application/json", Format::Json);
    }

    #[test]
    fn a_byte_order_mark_is_for_csv() {
        let marked = Format::Csv { byte_order_mark: true };
        check("format=csv&bom=true", "", marked);
        check("bom=true", "text/csv", marked);
        for query in ["bom=true", "format=json&bom=true", "format=csv&bom=1"] {
            let mut query = Query::parse(Some(query)).unwrap();
            assert_eq!(Format::take(&mut query, &HeaderMap::new()).unwrap_err().parameter, "bom");
        }
    }
}
