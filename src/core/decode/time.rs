//! Reads RFC 3339 timestamps.

use chrono::NaiveDate;

/// The instant that an RFC 3339 timestamp names, milliseconds since 1970 UTC; `None` where the text
/// is none.
///
/// The offset is required, `T` and `Z` may be lower case, and digits beyond the millisecond are
/// cut. A leap second is read as the second after it, and is accepted only at the end of a day in
/// UTC, the only place where leap seconds occur.
pub(super) fn rfc3339_ms(text: &str) -> Option<i64> {
    let (date_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let [year @ .., b'-', m1, m2, b'-', d1, d2, b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] =
        date_time
    else {
        return None;
    };
    let &[y1, y2, y3, y4] = year;
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let (month, day_of_month) = (two_digits(*m1, *m2)?, two_digits(*d1, *d2)?);
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day_of_month)?;
    let (hour, minute, second) =
        (two_digits(*h1, *h2)?, two_digits(*n1, *n2)?, two_digits(*s1, *s2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (millisecond, rest) = fraction_ms(rest)?;
    let offset_s = offset_s(rest)?;
    let time_of_day_s = i64::from(hour * 3600 + minute * 60 + second);
    let utc_s = i64::from(date.to_epoch_days()) * 86_400 + time_of_day_s - offset_s;
    if second == 60 && utc_s.rem_euclid(86_400) != 0 {
        return None;
    }
    Some(utc_s * 1000 + millisecond)
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Reads the fraction, if there is one, cut to milliseconds. Also returns the rest of the text.
fn fraction_ms(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits_on)) = text.split_first() else { return Some((0, text)) };
    let count = digits_on.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits_on.split_at(count);
    if digits.is_empty() {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(0, |byte| i64::from(byte - b'0'));
    Some((digit(0) * 100 + digit(1) * 10 + digit(2), rest))
}

/// Reads the offset, which ends the text, as seconds east of UTC.
fn offset_s(text: &[u8]) -> Option<i64> {
    let (sign, h1, h2, m1, m2) = match *text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, h1, h2, m1, m2),
        [b'-', h1, h2, b':', m1, m2] => (-1, h1, h2, m1, m2),
        _ => return None,
    };
    let (hours, minutes) = (two_digits(h1, h2)?, two_digits(m1, m2)?);
    (hours <= 23 && minutes <= 59).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(rfc3339_ms(text), expected, "{text:?}");
    }

    #[test]
    fn offsets_are_applied() {
        let expected = Some(1_772_356_353_123);
        for text in [
            "2026-03-01T09:12:33.123Z",
            "2026-03-01t09:12:33.123z",
            "2026-03-01T09:12:33.123+00:00",
            "2026-03-01T09:12:33.123-00:00",
            "2026-03-01T14:57:33.123+05:45",
            "2026-02-28T23:42:33.123-09:30",
            "2026-03-02T09:11:33.123+23:59",
            "2026-02-28T09:13:33.123-23:59",
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn digits_beyond_the_millisecond_are_cut() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T00:00:00.1Z", Some(100));
        check("1970-01-01T00:00:00.12Z", Some(120));
        check("1970-01-01T00:00:00.0019999999999999999999999Z", Some(1));
        check("1970-01-01T00:00:00.000999+00:00", Some(0));
        check("1969-12-31T23:59:59.9999Z", Some(-1));
        check(&format!("1970-01-01T00:00:00.{}Z", "5".repeat(10_000)), Some(555));
    }

    #[test]
    fn the_calendar_is_kept() {
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000));
        check("9999-12-31T23:59:59.999-23:59", Some(253_402_387_139_999));
        for text in [
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        let new_year = 1_483_228_800_000;
        check("2016-12-31T23:59:60Z", Some(new_year));
        check("2016-12-31T23:59:60.5Z", Some(new_year + 500));
        check("2017-01-01T05:44:60+05:45", Some(new_year));
        check("2016-12-31T15:59:60-08:00", Some(new_year));
        check("2016-12-31T23:58:60Z", None);
        check("2016-12-31T23:59:60+01:00", None);
        check("2016-12-31T22:59:60Z", None);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T09:12:33",
            "2026-03-01 09:12:33Z",
            "2026-03-01T09:12Z",
            "2026-03-01T09:12:33.Z",
            "2026-03-01T09:12:33,5Z",
            "2026-03-01T09:12:33+01",
            "2026-03-01T09:12:33+0100",
            "2026-03-01T09:12:33+24:00",
            "2026-03-01T09:12:33+01:60",
            "2026-03-01T09:12:33Z ",
            " 2026-03-01T09:12:33Z",
            "2026-03-01T09:12:33Zz",
            "20260301T091233Z",
            "2026-3-01T09:12:33Z",
            "12026-03-01T09:12:33Z",
            "+026-03-01T09:12:33Z",
            "-026-03-01T09:12:33Z",
            "2026-03-01T09:12:33\u{2212}01:00",
            "２０２6-03-01T09:12:33Z",
            "2026-03-01T09:12:3\u{0}Z",
            "1772356353123",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn chrono_reads_the_same_instant(
            time_ms in -62_000_000_000_000_i64..253_000_000_000_000,
            offset_minutes in -1439_i32..1440,
            digits in 0_usize..9,
        ) {
            let offset = chrono::FixedOffset::east_opt(offset_minutes * 60).unwrap();
            let time = DateTime::from_timestamp_millis(time_ms).unwrap().with_timezone(&offset);
            let fraction = format!("{:09}", time_ms.rem_euclid(1000) * 1_000_000 + 999_999);
            let fraction = match digits {
                0 => String::new(),
                digits => format!(".{}", &fraction[..digits]),
            };
            let (seconds, zone) = (time.format("%Y-%m-%dT%H:%M:%S"), time.format("%:z"));
            let text = format!("{seconds}{fraction}{zone}");
            let expected = DateTime::parse_from_rfc3339(&text).unwrap().timestamp_millis();
            prop_assert_eq!(rfc3339_ms(&text), Some(expected), "{}", text);
        }

        /// Texts that differ from a timestamp in a few places.
        #[test]
        fn chrono_refuses_the_same_texts(
            edits in prop::collection::vec(
                (0_usize..30, prop::sample::select(&b"0123456789-+:.TtZz "[..])),
                1..4,
            ),
        ) {
            let mut bytes = b"2026-03-01T09:12:33.123+05:45".to_vec();
            for (at, byte) in edits {
                match bytes.get_mut(at) {
                    Some(place) => *place = byte,
                    None => bytes.push(byte),
                }
            }
            let text = String::from_utf8(bytes).unwrap();
            let expected = DateTime::parse_from_rfc3339(&text).ok();
            let expected = expected.map(|time| time.timestamp_millis());
            // Chrono also accepts a space for the T, and a leap second in any minute.
            prop_assume!(text.as_bytes()[10] != b' ' && &text[17..19] != "60");
            prop_assert_eq!(rfc3339_ms(&text), expected, "{}", text);
        }
    }
}
