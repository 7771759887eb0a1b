//! Pace: how a quota month ends if the days to come are like the week before. It is an estimate in
//! whole numbers, and none is made of less than a week.

use serde::Serialize;
use utoipa::ToSchema;

use super::value::{Date, Hundredths};
use crate::core::calendar::Day;

/// Days of the week that the estimate is made from.
const WEEK_DAYS: u8 = 7;

/// An estimate from the tests that ran on the 7 days before the day of `as_of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pace {
    /// Tests run on the platform on those days, by day.
    pub daily_average: Hundredths,
    /// Tests that will be used at the end of the month if the days to come are like them.
    #[schema(example = 1120)]
    pub projected_used: u64,
    /// The first day on which the allowance will be used up then; null where it lasts the month,
    /// where it is used up already, and where it is unlimited.
    #[schema(required = true)]
    pub runs_out_on: Option<Date>,
}

/// The data of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// The day of `as_of`.
    pub as_of_day: Day,
    /// The first day after the quota month.
    pub end_day: Day,
    /// Tests used in the month, up to and including the day of `as_of`.
    pub used: u64,
    /// Tests that may be used in it; `None` is unlimited.
    pub allowance: Option<u64>,
    /// Tests run on the platform on the days of [`week_before`].
    pub week_tests: u64,
}

/// The first and the last of the 7 days before the day of `as_of`.
pub fn week_before(as_of_day: Day) -> (Day, Day) {
    (as_of_day.plus_days(-i32::from(WEEK_DAYS)), as_of_day.plus_days(-1))
}

impl Pace {
    /// The estimate; `None` where the organization had its first plan on `first_day`, after the
    /// first of the 7 days.
    pub fn estimate(first_day: Day, course: &Course) -> Option<Self> {
        let (week_start, _) = week_before(course.as_of_day);
        (first_day <= week_start).then(|| Self::of(course))
    }

    fn of(course: &Course) -> Self {
        let added = u128::from(course.week_tests) * u128::from(days_left(course));
        let projected = u128::from(course.used) + added / u128::from(WEEK_DAYS);
        Self {
            daily_average: Hundredths::ratio(course.week_tests, WEEK_DAYS.into()),
            projected_used: u64::try_from(projected).unwrap_or(u64::MAX),
            runs_out_on: runs_out_on(course).map(Date),
        }
    }
}

/// The days after that of `as_of` and before the end of the month.
fn days_left(course: &Course) -> u32 {
    u32::try_from(course.end_day.0 - course.as_of_day.0 - 1).unwrap_or(0)
}

/// The first day left by whose end what is open is used. The tests of k days, `week_tests` * k / 7
/// rounded down, reach a whole number exactly when they reach it unrounded: so the least such k is
/// a quotient rounded up.
fn runs_out_on(course: &Course) -> Option<Day> {
    let open = course.allowance?.checked_sub(course.used).filter(|&open| open > 0)?;
    if course.week_tests == 0 {
        return None;
    }
    let days = (u128::from(open) * u128::from(WEEK_DAYS)).div_ceil(course.week_tests.into());
    let days = i32::try_from(days).ok()?;
    let day = course.as_of_day.plus_days(days);
    (days.unsigned_abs() <= days_left(course)).then_some(day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn course(used: u64, allowance: Option<u64>, week_tests: u64, days_left: i32) -> Course {
        Course { as_of_day: Day(100), end_day: Day(101 + days_left), used, allowance, week_tests }
    }

    /// Checks daily average, projection, and after how many days it runs out.
    #[track_caller]
    fn check(course: &Course, average: &str, projected: u64, runs_out_after: Option<i32>) {
        let pace = Pace::of(course);
        let after = pace.runs_out_on.map(|day| day.0.0 - course.as_of_day.0);
        let found = (pace.daily_average.to_string(), pace.projected_used, after);
        assert_eq!(found, (average.to_owned(), projected, runs_out_after), "{course:?}");
    }

    #[test]
    fn figures_of_the_contract() {
        check(&course(1, Some(50), 1, 18), "0.14", 3, None);
        check(&course(18, Some(65), 18, 21), "2.57", 72, Some(19));
        check(&course(18, Some(65), 18, 18), "2.57", 64, None);
        check(&course(0, Some(7), 7, 7), "1.00", 7, Some(7));
        check(&course(0, Some(8), 7, 7), "1.00", 7, None);
    }

    #[test]
    fn nothing_runs_out_that_is_used_up_or_unlimited() {
        check(&course(50, Some(50), 70, 10), "10.00", 150, None);
        check(&course(78, Some(50), 70, 10), "10.00", 178, None);
        check(&course(0, Some(0), 70, 10), "10.00", 100, None);
        check(&course(49, Some(50), 70, 10), "10.00", 149, Some(1));
        check(&course(49, None, 70, 10), "10.00", 149, None);
    }

    #[test]
    fn the_last_day_of_a_month_leaves_nothing_to_guess() {
        check(&course(5, Some(6), 700, 0), "100.00", 5, None);
        check(&course(5, Some(6), 700, -3), "100.00", 5, None);
        check(&course(5, Some(6), 0, 30), "0.00", 5, None);
    }

    #[test]
    fn nothing_is_guessed_before_seven_days_are_there() {
        let course = course(5, Some(6), 700, 5);
        assert_eq!(week_before(Day(100)), (Day(93), Day(99)));
        assert_eq!(Pace::estimate(Day(94), &course), None);
        assert_eq!(Pace::estimate(Day(93), &course), Some(Pace::of(&course)));
        assert_eq!(Pace::estimate(Day(-5), &course), Some(Pace::of(&course)));
    }

    proptest! {
        /// The contract, day by day.
        #[test]
        fn estimates_are_those_of_a_naive_computation(
            used in prop_oneof![0..200_u64, any::<u64>()],
            allowance in proptest::option::of(prop_oneof![0..300_u64, any::<u64>()]),
            week_tests in prop_oneof![0..100_u64, any::<u64>()],
            days_left in -2..=31_i32,
        ) {
            let pace = Pace::of(&course(used, allowance, week_tests, days_left));
            let used_after = |day: i32| {
                let day = u128::try_from(day.max(0)).unwrap();
                u128::from(used) + u128::from(week_tests) * day / 7
            };
            let runs_out = (1..=days_left).find(|&day| {
                allowance.is_some_and(|allowance| {
                    used < allowance && used_after(day) >= u128::from(allowance)
                })
            });
            let projected = u64::try_from(used_after(days_left)).unwrap_or(u64::MAX);
            prop_assert_eq!(pace.projected_used, projected);
            prop_assert_eq!(pace.runs_out_on, runs_out.map(|day| Date(Day(100 + day))));
        }
    }
}
