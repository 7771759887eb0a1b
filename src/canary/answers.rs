//! Reads the figures of an answer.

use serde_json::Value;

use super::figures::{JUDGED, JudgedReport, places};

/// The account's time zone: nobody but the canary sends events of it, and the canary sets none.
const ZONE: &str = "UTC";

/// The figures of the report, by their places. `None` stands for an answer 404: there is nothing
/// yet, and every figure is 0.
///
/// # Errors
///
/// What the answer lacks, for an operator.
pub fn figures_of(
    report: JudgedReport,
    answer: Option<&Value>,
) -> Result<Vec<(usize, u64)>, String> {
    let Some(answer) = answer else {
        return Ok(places(report).map(|place| (place, 0)).collect());
    };
    if let Some(zone) = answer["timezone"].as_str().filter(|zone| *zone != ZONE) {
        return Err(format!("the account's time zone is {zone}, and the canary's is {ZONE}"));
    }
    let holder = match report {
        JudgedReport::TestActivity | JudgedReport::LicenseHistory => &answer["points"][0],
        JudgedReport::LicenseUsage => &answer["summary"],
        JudgedReport::Quota | JudgedReport::Assignments => answer,
    };
    let figure = |place: usize| {
        let name = JUDGED[place].name;
        let value = holder[name].as_u64();
        value.map(|value| (place, value)).ok_or_else(|| format!("it holds no number {name:?}"))
    };
    places(report).map(figure).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_found_where_each_report_has_them() {
        let history = json!({"timezone": "UTC", "points": [{"start": "2026-03-01", "purchased": 5,
            "assigned": 4, "activated": 3, "peak_assigned": 6, "peak_overage": 1}]});
        assert_eq!(
            figures_of(JudgedReport::LicenseHistory, Some(&history)),
            Ok(vec![(6, 5), (7, 4), (8, 3), (9, 6), (10, 1)])
        );
        let usage = json!({"summary": {"assigned": 4, "active_users": 9}, "points": []});
        let found = figures_of(JudgedReport::LicenseUsage, Some(&usage));
        assert_eq!(found, Ok(vec![(11, 4), (12, 9)]));
        assert_eq!(figures_of(JudgedReport::Quota, None), Ok(vec![(4, 0), (5, 0)]));
    }

    #[test]
    fn what_is_no_such_answer_is_told() {
        let problem = |report, answer| figures_of(report, Some(&answer)).unwrap_err();
        let unlimited = json!({"used": 1, "remaining": null});
        assert_eq!(problem(JudgedReport::Quota, unlimited), "it holds no number \"remaining\"");
        let elsewhere = json!({"timezone": "Asia/Tokyo", "total": 1});
        assert!(problem(JudgedReport::Assignments, elsewhere).contains("Asia/Tokyo"));
    }
}
