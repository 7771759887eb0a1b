//! Whether tests may run: checks as they are asked, one in a path or many in a body, and what is
//! answered.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::id::{AccountId, OrganizationId};
use super::query::{BadParameter, Query, parse_id};
use super::quota::QuotaStatus;
use super::standing::QuotaStanding;
use super::value::Timestamp;
use crate::core::id::NUMBER_MAX;

/// Checks of one request, at most.
pub const CHECKS_MAX: usize = 1_000;

/// Tests of one check, at most: as many as a quota may be.
pub const TESTS_MAX: u64 = 1_000_000_000_000;

/// The longest part of a value at fault that an answer repeats, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The form of a body, as told to whoever sends another one.
const FORM: &str = r#"{"checks": [{"account_id": "acme", "organization_id": "42", "tests": 10}]}"#;

/// A question: may this organization run so many tests more?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCheck {
    pub account: AccountId,
    pub organization: OrganizationId,
    /// 1 to [`TESTS_MAX`].
    pub tests: u64,
}

impl RunCheck {
    /// Takes the check of a path and its query.
    ///
    /// # Errors
    /// Where a parameter is at fault.
    pub fn parse(
        account: AccountId,
        organization: OrganizationId,
        mut query: Query,
    ) -> Result<Self, BadParameter> {
        let tests = query.take_parsed("tests", |text| tests(text).ok_or_else(|| no_tests(text)))?;
        query.finish()?;
        Ok(Self { account, organization, tests: tests.unwrap_or(1) })
    }

    /// Takes the checks of a body, 1 to [`CHECKS_MAX`] of them.
    ///
    /// # Errors
    /// The first fault, with its field.
    pub fn parse_many(body: &[u8]) -> Result<Vec<Self>, BadParameter> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|error| no_object(&error))?;
        let [checks] = take(fields, ["checks"], &|name| name.to_owned(), "The body has checks.")?;
        let checks = checks
            .ok_or_else(|| BadParameter::new("checks", format!("It is missing; send {FORM}.")))?;
        let Ok(checks) = serde_json::from_str::<Vec<&RawValue>>(checks.get()) else {
            let detail = format!("{} is no array of checks; send {FORM}.", shown(checks.get()));
            return Err(BadParameter::new("checks", detail));
        };
        match checks.len() {
            0 => Err(BadParameter::new("checks", "There are none; send 1 to 1,000.")),
            1..=CHECKS_MAX => (0..).zip(checks).map(|(at, check)| Self::take(at, check)).collect(),
            many => {
                let detail = format!("{many} are too many; send 1,000 at most in one request.");
                Err(BadParameter::new("checks", detail))
            }
        }
    }

    /// Takes the check of this place among many.
    fn take(at: usize, check: &RawValue) -> Result<Self, BadParameter> {
        let field = |name: &str| format!("checks[{at}].{name}");
        let Ok(Fields(fields)) = serde_json::from_str(check.get()) else {
            let detail = format!(
                "{} is no object with account_id, organization_id and, if not 1, tests.",
                shown(check.get())
            );
            return Err(BadParameter::new(format!("checks[{at}]"), detail));
        };
        let [account, organization, tests] = take(
            fields,
            ["account_id", "organization_id", "tests"],
            &field,
            "A check has account_id, organization_id and tests.",
        )?;
        Ok(Self {
            account: id(field("account_id"), account)?,
            organization: id(field("organization_id"), organization)?,
            tests: tests.map_or(Ok(1), |raw| {
                let text = raw.get();
                self::tests(text).ok_or_else(|| BadParameter::new(field("tests"), no_tests(text)))
            })?,
        })
    }
}

/// The fields of a JSON object, as they stand.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A text that is copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(3);
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// Takes the fields of these names; null counts as absent. `known` says which ones there are, for
/// whoever sends another one.
fn take<'a, const N: usize>(
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    names: [&str; N],
    path: &dyn Fn(&str) -> String,
    known: &str,
) -> Result<[Option<&'a RawValue>; N], BadParameter> {
    let mut found: [Option<&RawValue>; N] = [None; N];
    for (name, value) in fields {
        let Some(place) = names.iter().position(|known| *known == name) else {
            let detail = format!("There is no such field. {known}");
            return Err(BadParameter::new(path(&shown(&name)), detail));
        };
        if found[place].replace(value).is_some() {
            return Err(BadParameter::new(path(&name), "The field is given more than once."));
        }
    }
    Ok(found.map(|value| value.filter(|value| value.get() != "null")))
}

/// An id is a text or a whole number, as in events.
fn id<T: From<String>>(field: String, raw: Option<&RawValue>) -> Result<T, BadParameter> {
    let Some(raw) = raw.map(RawValue::get) else {
        return Err(BadParameter::new(field, "It is missing, and has no default."));
    };
    if let Ok(Text(text)) = serde_json::from_str(raw) {
        return parse_id(&field, &text);
    }
    match whole_number(raw).filter(|&number| number <= NUMBER_MAX) {
        Some(number) => Ok(number.to_string().into()),
        None => {
            let detail = format!("{} is neither a text nor a whole number below 2^63.", shown(raw));
            Err(BadParameter::new(field, detail))
        }
    }
}

fn tests(text: &str) -> Option<u64> {
    whole_number(text).filter(|tests| (1..=TESTS_MAX).contains(tests))
}

fn no_tests(text: &str) -> String {
    format!("{} is not a whole number from 1 to 1,000,000,000,000.", shown(text))
}

fn whole_number(text: &str) -> Option<u64> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_whole)
}

fn no_object(error: &serde_json::Error) -> BadParameter {
    let at = format!("line {}, column {}", error.line(), error.column());
    let fault = if error.is_data() { "no object" } else { "no JSON" };
    BadParameter::new("body", format!("It is {fault} ({at}); send {FORM}."))
}

/// What a caller made up is not sent back at length.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// How far the quota of an organization is used, or why nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Less than the quota is used.
    Within,
    /// The quota is used, the allowance is not.
    Grace,
    /// The allowance is used, and nothing more may run.
    Exhausted,
    /// The organization has no plan, or nobody has heard of it.
    NoPlan,
    /// The token grants no role that may ask about it, whether it exists or not.
    Forbidden,
}

impl From<QuotaStatus> for CheckStatus {
    fn from(status: QuotaStatus) -> Self {
        match status {
            QuotaStatus::Within => Self::Within,
            QuotaStatus::Grace => Self::Grace,
            QuotaStatus::Exhausted => Self::Exhausted,
        }
    }
}

/// Whether an organization may run the tests that a check is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckResult {
    /// The account.
    #[schema(value_type = String, example = "acme")]
    pub account_id: AccountId,
    /// The organization.
    #[schema(value_type = String, example = "42")]
    pub organization_id: OrganizationId,
    /// Whether what is used and these tests together stay within the allowance; always true of an
    /// unlimited plan. Null where `status` is `no_plan` or `forbidden`.
    #[schema(required = true)]
    pub can_run: Option<bool>,
    pub status: CheckStatus,
    /// Tests that may still run in the quota month; null where the plan is unlimited, and where
    /// there is none.
    #[schema(example = 430, required = true)]
    pub remaining: Option<u64>,
    /// The first instant after the quota month, at which the count starts again; null where there
    /// is no plan.
    #[schema(required = true)]
    pub resets_at: Option<Timestamp>,
}

impl CheckResult {
    /// By the organization's standing; `None` is that of one without a plan.
    pub fn judged(check: RunCheck, standing: Option<&QuotaStanding>) -> Self {
        let status = standing.map_or(CheckStatus::NoPlan, |standing| standing.status.into());
        Self {
            can_run: standing.map(|standing| standing.lets_run(check.tests)),
            remaining: standing.and_then(QuotaStanding::remaining),
            resets_at: standing.map(|standing| Timestamp(standing.ends_ms)),
            ..Self::unknown(check, status)
        }
    }

    /// To a caller who may not ask.
    pub fn forbidden(check: RunCheck) -> Self {
        Self::unknown(check, CheckStatus::Forbidden)
    }

    fn unknown(check: RunCheck, status: CheckStatus) -> Self {
        Self {
            account_id: check.account,
            organization_id: check.organization,
            can_run: None,
            status,
            remaining: None,
            resets_at: None,
        }
    }
}

/// The result of a single check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CanRunReport {
    #[serde(flatten)]
    pub result: CheckResult,
    /// Time since the figures were read from ClickHouse, milliseconds.
    #[schema(example = 120)]
    pub age_ms: u64,
}

/// The results of many checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CanRunResults {
    /// One for each check, in the same order.
    pub results: Vec<CheckResult>,
    /// Time since the figures were read from ClickHouse, milliseconds.
    #[schema(example = 120)]
    pub age_ms: u64,
}

/// Checks to be made together.
#[derive(ToSchema)]
#[schema(as = Checks)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of `RunCheck`")]
pub struct ChecksBody {
    #[schema(min_items = 1, max_items = 1000)]
    checks: Vec<CheckBody>,
}

/// May this organization run so many tests more?
#[derive(ToSchema)]
#[schema(as = Check)]
#[expect(dead_code, reason = "only its description is used; the parsing is that of `RunCheck`")]
pub struct CheckBody {
    /// The account; a whole number stands for its digits.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "acme"
    )]
    account_id: String,
    /// The organization; a whole number stands for its digits.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$",
        example = "42"
    )]
    organization_id: String,
    /// The tests that are about to run; by default 1.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_u64, example = 10)]
    tests: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(account: &str, organization: &str, tests: u64) -> RunCheck {
        RunCheck { account: account.into(), organization: organization.into(), tests }
    }

    #[test]
    fn checks_are_taken_in_their_order() {
        let body = br#" {"checks":[{"account_id":"a","organization_id":42,"tests":1000000000000},
            {"tests":null,"organization_id":"\u00e9","account_id":"42"}]} "#;
        let checks = RunCheck::parse_many(body).unwrap();
        assert_eq!(checks, [check("a", "42", TESTS_MAX), check("42", "é", 1)]);
        let most = format!(
            r#"{{"checks":[{}]}}"#,
            vec![r#"{"account_id":"a","organization_id":"o"}"#; CHECKS_MAX].join(",")
        );
        assert_eq!(RunCheck::parse_many(most.as_bytes()).unwrap().len(), CHECKS_MAX);
    }

    #[track_caller]
    fn refused(body: &str, parameter: &str, detail: &str) {
        let fault = RunCheck::parse_many(body.as_bytes()).unwrap_err();
        assert_eq!(fault.parameter, parameter, "{body}: {}", fault.detail);
        assert!(fault.detail.contains(detail), "{body}: {}", fault.detail);
    }

    #[test]
    fn a_bad_body_names_field_value_and_way_out() {
        refused("", "body", "It is no JSON (line 1, column 0); send {\"checks\"");
        refused("{\"checks\": [}", "body", "no JSON");
        refused("{\"checks\": []} x", "body", "no JSON");
        refused("\u{0}", "body", "no JSON");
        refused("[]", "body", "It is no object (line 1, column 0)");
        refused("{}", "checks", "It is missing");
        refused("{\"checks\": null}", "checks", "It is missing");
        refused("{\"checks\": []}", "checks", "There are none; send 1 to 1,000.");
        refused("{\"checks\": 7}", "checks", "7 is no array of checks; send {");
        refused("{\"checks\": [], \"check\": 1}", "check", "no such field. The body has checks.");
        refused("{\"checks\": [], \"checks\": []}", "checks", "more than once");
        let many = format!("{{\"checks\": [{}]}}", vec!["0"; CHECKS_MAX + 1].join(","));
        refused(&many, "checks", "1001 are too many; send 1,000 at most in one request.");
    }

    #[test]
    fn a_bad_check_names_its_place() {
        let with = |more: &str| {
            let good = r#"{"account_id":"a","organization_id":"o"}"#;
            format!(r#"{{"checks":[{good},{{"account_id":"a"{more}}}]}}"#)
        };
        refused("{\"checks\": [0]}", "checks[0]", "0 is no object with account_id");
        refused(&with(""), "checks[1].organization_id", "missing");
        refused(&with(r#","organization_id":null"#), "checks[1].organization_id", "missing");
        refused(&with(r#","organization_id":"""#), "checks[1].organization_id", "not empty");
        refused(&with(r#","organization_id":"a\u0000""#), "checks[1].organization_id", "control");
        for odd in ["1.5", "-1", "[1]", "true", "9223372036854775808"] {
            let body = with(&format!(r#","organization_id":{odd}"#));
            refused(&body, "checks[1].organization_id", &format!("{odd} is neither a text nor"));
        }
        for odd in ["0", "-1", "1.0", "1e3", "\"1\"", "1000000000001", "99999999999999999999"] {
            let body = with(&format!(r#","organization_id":"o","tests":{odd}"#));
            refused(&body, "checks[1].tests", &format!("{odd} is not a whole number from 1 to"));
        }
        refused(&with(r#","test":1"#), "checks[1].test", "A check has account_id");
        refused(&with(r#","account_id":"b""#), "checks[1].account_id", "more than once");
        let long = with(&format!(r#","organization_id":[{}]"#, "7".repeat(99)));
        refused(&long, "checks[1].organization_id", "777… is neither");
    }

    #[test]
    fn a_single_check_is_one_test_unless_told() {
        let parse = |raw| {
            let query = Query::parse(Some(raw)).unwrap();
            RunCheck::parse("a".into(), "o".into(), query).map_err(|fault| fault.parameter)
        };
        assert_eq!(parse(""), Ok(check("a", "o", 1)));
        assert_eq!(parse("tests=250"), Ok(check("a", "o", 250)));
        for bad in ["tests=0", "tests=", "tests=1.5", "tests=+1", "tests=1000000000001"] {
            assert_eq!(parse(bad), Err("tests".to_owned()), "{bad}");
        }
        assert_eq!(parse("as_of=2026-01-01T00:00:00Z"), Err("as_of".to_owned()));
    }

    #[test]
    fn results_say_no_more_than_the_caller_may_know() {
        let text = |result| serde_json::to_string(&result).unwrap();
        let nothing = |status: &str| {
            let ids = r#""account_id":"a","organization_id":"o""#;
            let nulls = r#""remaining":null,"resets_at":null"#;
            format!(r#"{{{ids},"can_run":null,"status":"{status}",{nulls}}}"#)
        };
        assert_eq!(text(CheckResult::judged(check("a", "o", 1), None)), nothing("no_plan"));
        assert_eq!(text(CheckResult::forbidden(check("a", "o", 1))), nothing("forbidden"));
        let standing = QuotaStanding {
            anchor_ms: 0,
            month: 1,
            ends_ms: 7,
            bounds: None,
            used: 5,
            status: QuotaStatus::Within,
        };
        let result = CheckResult::judged(check("a", "o", TESTS_MAX), Some(&standing));
        assert_eq!((result.can_run, result.remaining), (Some(true), None));
        assert_eq!(result.resets_at, Some(Timestamp(7)));
    }
}
