//! The values that answers are made of, and how each is written.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::core::calendar::Day;

/// An instant, milliseconds since 1970 UTC; written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time =
            DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        text_schema(
            KnownFormat::DateTime,
            "An instant, RFC 3339 in UTC with milliseconds.",
            "2026-03-01T09:12:33.123Z",
        )
    }
}

impl ToSchema for Timestamp {
    fn name() -> Cow<'static, str> {
        "Instant".into()
    }
}

/// A calendar day in the account's time zone; written as `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub Day);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialSchema for Date {
    fn schema() -> RefOr<Schema> {
        text_schema(KnownFormat::Date, "A calendar day in the account's time zone.", "2026-03-01")
    }
}

impl ToSchema for Date {}

/// A number with two decimals, kept exactly; written as a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hundredths(u128);

impl Hundredths {
    /// `numerator / denominator` to two decimals, half up; 0 where the denominator is 0.
    pub fn ratio(numerator: u64, denominator: u64) -> Self {
        let (numerator, denominator) = (u128::from(numerator), u128::from(denominator));
        if denominator == 0 {
            return Self(0);
        }
        Self((numerator * 200 + denominator) / (denominator * 2))
    }

    /// `part` as a percentage of `whole`, rounded down to two decimals; `None` of a whole of 0.
    pub fn share(part: u64, whole: u64) -> Option<Self> {
        (u128::from(part) * 10_000).checked_div(u128::from(whole)).map(Self)
    }

    /// `part` as a percentage of `whole`, rounded down to two decimals, so that 100 means reached.
    /// Of a whole of 0 it is 0 while the part is 0, else 100.
    pub fn percent(part: u64, whole: u64) -> Self {
        match (part, u128::from(whole)) {
            (0, 0) => Self(0),
            (_, 0) => Self(10_000),
            (part, whole) => Self(u128::from(part) * 10_000 / whole),
        }
    }
}

impl fmt::Display for Hundredths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Hundredths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nearest: f64 =
            self.to_string().parse().expect("digits, a point and two digits are a number");
        serializer.serialize_f64(nearest)
    }
}

impl PartialSchema for Hundredths {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some(
                "A number with two decimals: a percentage is rounded down, an average half up.",
            ))
            .minimum(Some(0))
            .examples([serde_json::json!(12.34)])
            .into()
    }
}

impl ToSchema for Hundredths {}

fn text_schema(format: KnownFormat, description: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(format)))
        .description(Some(description))
        .examples([serde_json::json!(example)])
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_decimals_are_rounded_half_up() {
        let check = |numerator, denominator, expected: &str| {
            assert_eq!(
                Hundredths::ratio(numerator, denominator).to_string(),
                expected,
                "{numerator}/{denominator}"
            );
        };
        check(5, 31, "0.16");
        check(1, 8, "0.13");
        check(1, 200, "0.01");
        check(1, 201, "0.00");
        check(3, 1, "3.00");
        check(3, 0, "0.00");
        check(u64::MAX, 1, "18446744073709551615.00");
    }

    #[test]
    fn a_percentage_is_rounded_down_and_of_nothing_it_is_nothing_or_all() {
        assert_eq!(Hundredths::percent(0, 0).to_string(), "0.00");
        assert_eq!(Hundredths::percent(1, 0).to_string(), "100.00");
        assert_eq!(Hundredths::percent(1, 8).to_string(), "12.50");
        assert_eq!(Hundredths::percent(1, 3).to_string(), "33.33");
        assert_eq!(Hundredths::percent(2, 3).to_string(), "66.66");
        assert_eq!(Hundredths::percent(99_999, 100_000).to_string(), "99.99");
        assert_eq!(Hundredths::percent(u64::MAX, 1).to_string(), "1844674407370955161500.00");
    }

    #[test]
    fn a_share_is_rounded_down() {
        let share = |part, whole| Hundredths::share(part, whole).map(|share| share.to_string());
        assert_eq!(share(2, 3).as_deref(), Some("66.66"));
        assert_eq!(share(0, 3).as_deref(), Some("0.00"));
        assert_eq!(share(3, 2).as_deref(), Some("150.00"));
        assert_eq!(share(1, 0), None);
        assert_eq!(share(u64::MAX, 1).as_deref(), Some("1844674407370955161500.00"));
    }

    #[test]
    fn values_are_written_as_the_contract_says() {
        let text = |value: serde_json::Value| value.to_string();
        assert_eq!(
            text(serde_json::json!(Timestamp(1_772_356_353_123))),
            "\"2026-03-01T09:12:33.123Z\""
        );
        assert_eq!(text(serde_json::json!(Timestamp(0))), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(text(serde_json::json!(Date(Day(0)))), "\"1970-01-01\"");
        assert_eq!(text(serde_json::json!(Hundredths::ratio(5, 31))), "0.16");
    }
}
