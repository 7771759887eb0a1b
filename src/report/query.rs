//! Query strings and identifiers of a request. Every parameter is taken exactly once, and what is
//! left over is refused.

use chrono::{DateTime, Timelike as _};
use percent_encoding::percent_decode;

use crate::core::calendar::Day;
use crate::core::id::{ID_BYTES_MAX, IdFault, judge_text};

/// The longest value of a text filter, bytes: as long as a name may be.
pub const TEXT_BYTES_MAX: usize = 4096;

/// The instants that a request may name, milliseconds since 1970 UTC: the years 1 to 9999, which
/// are those of RFC 3339.
const INSTANTS_MS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// A parameter of the request is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {detail}")]
pub struct BadParameter {
    /// Its name, as the request gave it.
    pub parameter: String,
    /// Its fault, as one sentence for the caller.
    pub detail: String,
}

impl BadParameter {
    /// `parameter` is at fault because of `detail`.
    pub fn new(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), detail: detail.into() }
    }
}

/// The parameters of a query string that are not taken yet.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Splits and decodes a query string. Fails where it is not UTF-8, or where a parameter stands
    /// twice.
    pub fn parse(raw: Option<&str>) -> Result<Self, BadParameter> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in raw.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name)
                .ok_or_else(|| BadParameter::new("query", "A parameter's name is not UTF-8."))?;
            let value = decode(value)
                .ok_or_else(|| BadParameter::new(shown(&name), "The value is not UTF-8."))?;
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(BadParameter::new(
                    shown(&name),
                    "The parameter is given more than once.",
                ));
            }
            // No endpoint knows as many, so the rest cannot be right, and looking for repetitions
            // must not get slow.
            if pairs.len() == 32 {
                return Err(BadParameter::new(shown(&name), "There are too many parameters."));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Takes a parameter's value, if it is given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let index = self.pairs.iter().position(|(given, _)| given == name)?;
        Some(self.pairs.swap_remove(index).1)
    }

    /// Takes a parameter and parses it.
    pub fn take_parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, BadParameter> {
        self.take(name)
            .map(|value| parse(&value).map_err(|detail| BadParameter::new(name, detail)))
            .transpose()
    }

    /// Takes an identifier.
    pub fn take_id<T: From<String>>(&mut self, name: &str) -> Result<Option<T>, BadParameter> {
        self.take(name).map(|value| parse_id(name, &value)).transpose()
    }

    /// Takes part of a text to look for; an empty one asks for nothing.
    pub fn take_text(&mut self, name: &str) -> Result<Option<String>, BadParameter> {
        let text = self.take_parsed(name, |value| match value.len() {
            0..=TEXT_BYTES_MAX => Ok(value.to_owned()),
            _ => Err(format!("The text is longer than {TEXT_BYTES_MAX} bytes.")),
        })?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Takes a calendar day.
    pub fn take_day(&mut self, name: &str) -> Result<Option<Day>, BadParameter> {
        self.take_parsed(name, |value| {
            value.parse::<Day>().map_err(|_| "Not a date of the form YYYY-MM-DD.".to_owned())
        })
    }

    /// Takes an instant, milliseconds since 1970 UTC. Digits beyond the millisecond are cut.
    pub fn take_instant(&mut self, name: &str) -> Result<Option<i64>, BadParameter> {
        self.take_parsed(name, parse_instant)
    }

    /// Takes a whole number within `range`.
    pub fn take_number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<Option<u32>, BadParameter> {
        self.take_parsed(name, |value| {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let number =
                value.parse::<u32>().ok().filter(|number| digits && range.contains(number));
            number.ok_or_else(|| {
                format!("Not a whole number from {} to {}.", range.start(), range.end())
            })
        })
    }

    /// Refuses parameters that were not taken.
    pub fn finish(self) -> Result<(), BadParameter> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(BadParameter::new(shown(name), "This endpoint has no such parameter."))
            }
        }
    }
}

/// Judges an identifier of the request, by the rule for those of events; on success it is the text
/// that the store knows it by.
pub fn parse_id<T: From<String>>(parameter: &str, text: &str) -> Result<T, BadParameter> {
    let detail = match judge_text(text, ID_BYTES_MAX) {
        Ok(()) => return Ok(text.to_owned().into()),
        Err(IdFault::Empty) => "An identifier is not empty.",
        Err(IdFault::TooLong) => "An identifier has at most 64 bytes.",
        Err(IdFault::Control) => "An identifier has no control characters.",
        Err(IdFault::ByteOrderMark) => {
            "An identifier does not contain U+FEFF, the byte order mark."
        }
        Err(IdFault::DotSegment) => "An identifier is neither `.` nor `..`.",
    };
    Err(BadParameter::new(parameter, detail))
}

fn parse_instant(value: &str) -> Result<i64, String> {
    let malformed = || {
        "Not an RFC 3339 instant such as 2026-03-01T00:00:00Z (a + in it is written %2B)."
            .to_owned()
    };
    let time = DateTime::parse_from_rfc3339(value).map_err(|_| malformed())?;
    // The library takes 60 for a second, which no clock of an event shows.
    let is_leap_second = time.nanosecond() >= 1_000_000_000;
    let time_ms = time.timestamp_millis();
    if !is_leap_second && INSTANTS_MS.contains(&time_ms) { Ok(time_ms) } else { Err(malformed()) }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A parameter's name as it may stand in an answer: what a caller made up is not sent back at
/// length.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        raw: &str,
        take: impl FnOnce(&mut Query) -> Result<(), BadParameter>,
        expected: Result<(), &str>,
    ) {
        let judged = Query::parse(Some(raw)).and_then(|mut query| {
            take(&mut query)?;
            query.finish()
        });
        assert_eq!(
            judged.map_err(|fault| fault.parameter),
            expected.map_err(str::to_owned),
            "{raw}"
        );
    }

    #[test]
    fn every_parameter_is_known_and_stands_once() {
        let take = |query: &mut Query| query.take_id::<String>("organization_id").map(drop);
        check("", take, Ok(()));
        check("&&organization_id=a%26b&", take, Ok(()));
        check("organization_id=a&organization_id=a", take, Err("organization_id"));
        check("organization_id=a&Organization_id=a", take, Err("Organization_id"));
        check("x", take, Err("x"));
        check("organization_id=%ff", take, Err("organization_id"));
        check("%ff=1", take, Err("query"));
        check(&"a=1&".repeat(2), take, Err("a"));
        let many: String = (0..40).map(|n| format!("p{n}=1&")).collect();
        check(&many, take, Err("p32"));
    }

    #[test]
    fn identifiers_are_judged_as_in_events() {
        for good in ["42", "a b", "é", "=1+1", "' OR 1=1 --", "...", "a.b", &"x".repeat(64)] {
            assert_eq!(parse_id::<String>("id", good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "a\nb",
            "\u{7f}",
            "\u{85}",
            "\0",
            "\u{feff}a",
            "a\u{feff}b",
            ".",
            "..",
            &"x".repeat(65),
        ] {
            assert!(parse_id::<String>("id", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_days_and_instants_are_strict() {
        let number = |query: &mut Query| query.take_number("limit", 1..=1000).map(drop);
        check("limit=1", number, Ok(()));
        check("limit=1000", number, Ok(()));
        for bad in ["0", "1001", "-1", "%2B5", "5.0", "5e1", "", "99999999999999999999", "٣"] {
            check(&format!("limit={bad}"), number, Err("limit"));
        }
        let day = |query: &mut Query| query.take_day("from").map(drop);
        check("from=2026-02-28", day, Ok(()));
        for bad in [
            "2026-02-29",
            "2026-2-28",
            "",
            "today",
            "20260228",
            "2026-02-28T00:00:00Z",
            "-2026-02-28",
        ] {
            check(&format!("from={bad}"), day, Err("from"));
        }
        let instant = |query: &mut Query| query.take_instant("as_of").map(drop);
        for good in [
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00.123456789%2B05:45",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999Z",
        ] {
            check(&format!("as_of={good}"), instant, Ok(()));
        }
        for bad in [
            "2026-03-01",
            "now",
            "",
            "0000-12-31T23:59:59Z",
            "9999-12-31T23:59:59-00:01",
            "2026-03-01T00:00:00",
        ] {
            check(&format!("as_of={bad}"), instant, Err("as_of"));
        }
    }

    #[test]
    fn digits_beyond_the_millisecond_are_cut() {
        assert_eq!(parse_instant("1970-01-01T00:00:00.0019999Z"), Ok(1));
    }

    #[test]
    fn no_instant_lies_in_a_leap_second() {
        assert!(parse_instant("2016-12-31T23:59:60Z").is_err());
        assert!(parse_instant("2016-12-31T23:59:59.999Z").is_ok());
    }

    #[test]
    fn an_empty_text_filter_asks_for_nothing() {
        let mut query = Query::parse(Some("user=&email=a%20b")).unwrap();
        assert_eq!(query.take_text("user"), Ok(None));
        assert_eq!(query.take_text("email"), Ok(Some("a b".to_owned())));
    }
}
