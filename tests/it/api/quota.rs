//! The quota overview and the pace, against what single organizations report.

use std::cmp::Reverse;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::support::{Api, event};

const AS_OF: &str = "2026-03-20T12:00:00Z";

/// (organization, name, parent, monthly quota, tests run on 2026-03-15, plan's start).
type Organization =
    (&'static str, &'static str, Option<&'static str>, Option<u64>, u64, &'static str);

/// Quotas of every status, equal percentages, no tests, no plan yet, and a new plan.
const ORGANIZATIONS: [Organization; 11] = [
    ("grace", "Grace", None, Some(10), 12, "2026-03-01T10:00:00Z"),
    ("over", "=Over, \"x\"", Some("grace"), Some(10), 14, "2026-03-01T10:00:00Z"),
    ("third", "Third", Some("over"), Some(3), 1, "2026-03-01T10:00:00Z"),
    ("same-b", "Same", None, Some(6), 2, "2026-03-01T10:00:00Z"),
    ("same-a", "Same", None, Some(3), 1, "2026-03-01T10:00:00Z"),
    ("nothing", "Nothing", None, Some(0), 0, "2026-03-01T10:00:00Z"),
    ("something", "Something", None, Some(0), 1, "2026-03-01T10:00:00Z"),
    ("free", "Free", None, None, 5, "2026-03-01T10:00:00Z"),
    ("free-idle", "", None, None, 0, "2026-03-01T10:00:00Z"),
    ("new", "New", None, Some(100), 7, "2026-03-14T10:00:00Z"),
    ("later", "Later", None, Some(100), 7, "2026-03-20T12:00:00.001Z"),
];

static COUNTED: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::open();
    let mut events = Vec::new();
    for (id, name, parent, quota, tests, start) in ORGANIZATIONS {
        let of = |more: Value| {
            let mut data = json!({"account_id": "a", "organization_id": id});
            data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            data
        };
        events.push(event(
            "organization.updated",
            "2026-01-01T00:00:00Z",
            &of(json!({"name": name, "parent_id": parent})),
        ));
        let plan = of(json!({"plan": "team", "monthly_quota": quota}));
        events.push(event("plan.started", start, &plan));
        if tests > 0 {
            let run = of(json!({"origin": "run", "tests": tests}));
            events.push(event("test.executed", "2026-03-15T10:00:00Z", &run));
        }
        let upload = of(json!({"origin": "upload", "tests": 50}));
        events.push(event("test.executed", "2026-03-16T10:00:00Z", &upload));
    }
    let data = json!({"account_id": "a", "organization_id": "no-plan", "user_id": 1});
    events.push(event("user.login", "2026-03-01T00:00:00Z", &data));
    api.count(&events);
    api
});

fn overview(query: &str) -> Value {
    COUNTED.report(&format!("/v1/accounts/a/quota?as_of={AS_OF}&{query}"))
}

fn rows(report: &Value) -> Vec<Value> {
    report["rows"].as_array().unwrap().clone()
}

fn ids(report: &Value) -> Vec<String> {
    let id = |row: &Value| row["organization_id"].as_str().unwrap().to_owned();
    rows(report).iter().map(id).collect()
}

/// What the overview must hold, from the reports of single organizations.
fn naive() -> Vec<Value> {
    let mut rows: Vec<Value> = ORGANIZATIONS
        .iter()
        .filter_map(|(id, ..)| {
            let path = format!("/v1/accounts/a/organizations/{id}/quota?as_of={AS_OF}");
            let answer = COUNTED.get(&path);
            (answer.status == 200).then(|| answer.json())
        })
        .collect();
    let report = COUNTED.report("/v1/accounts/a/organizations");
    for row in &mut rows {
        let fields = row.as_object_mut().unwrap();
        fields.remove("account_id");
        fields.remove("timezone");
        fields.remove("data_through");
        let organizations = report["organizations"].as_array().unwrap();
        let known = organizations
            .iter()
            .find(|known| known["organization_id"] == fields["organization_id"])
            .unwrap();
        fields.insert("organization".to_owned(), known["path"].clone());
    }
    rows.sort_by_key(|row| {
        let percent_used = row["percent_used"].as_f64();
        let hundredths =
            percent_used.map(|percent| format!("{:.0}", percent * 100.0).parse::<i64>().unwrap());
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (Reverse(hundredths), text("organization"), text("organization_id"))
    });
    rows
}

#[test]
fn the_overview_holds_what_each_organization_reports_most_used_first() {
    let report = overview("");
    assert_eq!(rows(&report), naive());
    assert_eq!(
        ids(&report),
        [
            "over",
            "grace",
            "something",
            "third",
            "same-a",
            "same-b",
            "new",
            "nothing",
            "free",
            "free-idle",
        ]
    );
    assert_eq!(report["total"], 10);
    assert_eq!(report["by_status"], json!({"within": 6, "grace": 1, "exhausted": 3}));
    assert_eq!(report["organization_id"], Value::Null);
    let third = &rows(&report)[3];
    assert_eq!((&third["percent_used"], &third["used"]), (&json!(33.33), &json!(1)));
    assert_eq!(third["organization"], "Grace / =Over, \"x\" / Third");
}

#[test]
fn pages_add_up_to_the_whole() {
    let whole = rows(&overview("limit=1000"));
    for limit in [1, 3, 9, 10] {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = overview(&format!("limit={limit}{cursor}"));
            assert_eq!(page["total"], 10);
            pages.extend(rows(&page));
            let Some(next) = page["next_cursor"].as_str() else { break };
            assert_eq!(rows(&page).len(), limit);
            cursor = format!("&cursor={next}");
            assert!(pages.len() < whole.len(), "pages of {limit} go round in circles");
        }
        assert_eq!(pages, whole, "pages of {limit}");
    }
    let cursor = overview("limit=1")["next_cursor"].as_str().unwrap().to_owned();
    for other in ["status=within", "organization_id=grace"] {
        let path = format!("/v1/accounts/a/quota?as_of={AS_OF}&{other}&cursor={cursor}");
        assert_eq!(COUNTED.get(&path).status, 400, "{other}");
    }
}

#[test]
fn filters_narrow_and_counts_by_status_hold_all() {
    let report = overview("status=exhausted");
    assert_eq!(ids(&report), ["over", "something", "nothing"]);
    assert_eq!(report["total"], 3);
    assert_eq!(report["by_status"], json!({"within": 6, "grace": 1, "exhausted": 3}));
    let report = overview("organization_id=over");
    assert_eq!(ids(&report), ["over", "third"], "with all below it");
    assert_eq!(report["organization_id"], "over");
    assert_eq!(report["by_status"], json!({"within": 1, "grace": 0, "exhausted": 1}));
    assert_eq!(overview("organization_id=unheard-of")["total"], 0);
    let before = COUNTED.report("/v1/accounts/a/quota?as_of=2026-03-01T09:59:59.999Z");
    assert_eq!((&before["total"], rows(&before).len()), (&json!(0), 0));
    let later = COUNTED.report("/v1/accounts/a/quota?as_of=2026-03-20T12:00:00.001Z");
    assert_eq!(later["total"], 11, "a plan that starts at as_of has begun");
}

#[test]
fn pace_is_an_estimate_from_the_week_before() {
    let pace = |id: &str, as_of: &str| {
        let path = format!("/v1/accounts/a/organizations/{id}/quota?as_of={as_of}");
        COUNTED.report(&path)["pace"].clone()
    };
    let estimate = |average: f64, projected: u64, runs_out: Option<&str>| {
        let (average, projected) = (json!(average), json!(projected));
        json!({
            "daily_average": average, "projected_used": projected, "runs_out_on": runs_out,
        })
    };
    // Of 12 that ran in the week, 50 more were uploaded, and 11 days of the month are left.
    assert_eq!(pace("grace", AS_OF), estimate(1.71, 30, Some("2026-03-21")));
    assert_eq!(pace("over", AS_OF), estimate(2.0, 36, None));
    assert_eq!(pace("free", AS_OF), estimate(0.71, 12, None));
    // The day of as_of does not belong to the week, and neither does the eighth day before it.
    assert_eq!(pace("grace", "2026-03-15T12:00:00Z"), estimate(0.0, 12, None));
    assert_eq!(pace("grace", "2026-03-23T12:00:00Z"), estimate(0.0, 12, None));
    // The plan began on the 14th.
    assert_eq!(pace("new", "2026-03-20T23:59:59.999Z"), Value::Null);
    assert_eq!(pace("new", "2026-03-21T00:00:00Z"), estimate(1.0, 30, None));
}

#[test]
fn the_overview_as_csv_has_all_rows() {
    let answer = COUNTED.get(&format!("/v1/accounts/a/quota?format=csv&as_of={AS_OF}"));
    let text = answer.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "Organization,Plan,Status,Used,Monthly Quota,Allowance,Percent Used,Projected Used,\
         Runs Out On,Resets On"
    );
    assert_eq!(lines.len(), 12, "a header, ten rows, and an end");
    assert!(lines[1].starts_with("\"Grace / =Over, \"\"x\"\"\",team,exhausted,"), "{}", lines[1]);
    assert!(lines.contains(&"Free,team,within,5,,,,12,,2026-04-01"), "{lines:?}");
    let answer =
        COUNTED.get(&format!("/v1/accounts/a/quota?format=csv&status=grace&as_of={AS_OF}"));
    assert_eq!(answer.text().lines().count(), 2);
}
