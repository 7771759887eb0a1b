//! Access: every endpoint with every kind of caller.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use seatmeter::config::{Auth, AuthMode, Jwt};
use seatmeter::http::endpoints;
use serde_json::{Value, json};

use super::support::{Answer, Api, event};
use super::tokens::{NEXT_SECRET, SECRET, grants, key_file, now, signed, token, unsigned, with};

/// A kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    NoToken,
    BadSignature,
    Expired,
    NeverExpires,
    NotYet,
    AlgorithmNone,
    NoGrants,
    /// An account admin of another account.
    OtherAccount,
    /// The owner of an organization of the same id in another account.
    SameOrganizationOfOtherAccount,
    /// The owner of another organization of the account.
    OtherOrganization,
    /// A service that may ask whether tests may run, in all accounts.
    Checker,
    AccountAdmin,
    Owner,
    Admin,
    BillingManager,
}

use Caller::*;

const CALLERS: [Caller; 15] = [
    NoToken,
    BadSignature,
    Expired,
    NeverExpires,
    NotYet,
    AlgorithmNone,
    NoGrants,
    OtherAccount,
    SameOrganizationOfOtherAccount,
    OtherOrganization,
    Checker,
    AccountAdmin,
    Owner,
    Admin,
    BillingManager,
];

/// Callers with valid tokens.
const KNOWN: [Caller; 9] = [
    NoGrants,
    OtherAccount,
    SameOrganizationOfOtherAccount,
    OtherOrganization,
    Checker,
    AccountAdmin,
    Owner,
    Admin,
    BillingManager,
];

/// The callers that may use an endpoint; others with a valid token get 403, and without one 401.
const MATRIX: [(&str, &[Caller]); 20] = [
    ("/v1/accounts", &KNOWN),
    ("/v1/accounts/{account_id}/licenses/history", &[AccountAdmin]),
    ("/v1/accounts/{account_id}/licenses/usage", &[AccountAdmin]),
    ("/v1/accounts/{account_id}/licenses/assignments", &[AccountAdmin]),
    (
        "/v1/accounts/{account_id}/organizations",
        &[AccountAdmin, Owner, Admin, BillingManager, OtherOrganization],
    ),
    (
        "/v1/accounts/{account_id}/quota",
        &[AccountAdmin, Owner, Admin, BillingManager, OtherOrganization],
    ),
    (
        "/v1/accounts/{account_id}/alerts",
        &[AccountAdmin, Owner, Admin, BillingManager, OtherOrganization],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/quota",
        &[AccountAdmin, Owner, Admin, BillingManager],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/quota/history",
        &[AccountAdmin, Owner, Admin, BillingManager],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/test-activity",
        &[AccountAdmin, Owner, Admin, BillingManager],
    ),
    (
        "/v1/accounts/{account_id}/organizations/{organization_id}/can-run",
        &[AccountAdmin, Owner, Admin, BillingManager, Checker],
    ),
    ("/v1/can-run", &KNOWN),
    ("/v1/ingest", &KNOWN),
    ("/v1/audit", &KNOWN),
    ("/healthz", &CALLERS),
    ("/readyz", &CALLERS),
    ("/metrics", &CALLERS),
    ("/openapi.json", &CALLERS),
    ("/docs", &CALLERS),
    ("/", &CALLERS),
];

/// A body for `/v1/can-run`, which tells by check what is forbidden.
const CHECKS: &str = r#"{"checks": [{"account_id": "acme", "organization_id": "42"}]}"#;

/// The `Authorization` header of a caller for organization 42 of account acme.
fn authorization(caller: Caller) -> Option<String> {
    let admin = grants("acme", None, "account_admin");
    let token = match caller {
        NoToken => return None,
        BadSignature => {
            let key = EncodingKey::from_secret(b"a secret that nobody has configured here");
            let mut both = admin.clone();
            both["grants"]
                .as_array_mut()
                .unwrap()
                .push(json!({"account": "acme", "organization": "42", "role": "owner"}));
            signed(&Header::new(Algorithm::HS256), both, &key)
        }
        Expired => token(with(admin, "exp", json!(now() - 3600))),
        NeverExpires => {
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            encode(&Header::new(Algorithm::HS256), &admin, &key).unwrap()
        }
        NotYet => token(with(admin, "nbf", json!(now() + 3600))),
        AlgorithmNone => unsigned(&with(admin, "exp", json!(now() + 600))),
        NoGrants => token(json!({})),
        OtherAccount => token(grants("other", None, "account_admin")),
        SameOrganizationOfOtherAccount => token(grants("other", Some("42"), "owner")),
        OtherOrganization => token(grants("acme", Some("43"), "owner")),
        Checker => token(grants("*", None, "checker")),
        AccountAdmin => token(admin),
        Owner => token(grants("acme", Some("42"), "owner")),
        Admin => token(grants("acme", Some("42"), "admin")),
        BillingManager => token(grants("acme", Some("42"), "billing_manager")),
    };
    Some(format!("Bearer {token}"))
}

/// An API with every kind of key, over two accounts that both have an organization 42.
pub(super) static GUARDED: LazyLock<Api> = LazyLock::new(|| {
    let api = Api::with(|config| {
        config.auth = Auth {
            mode: AuthMode::Jwt(Jwt {
                hs256_secrets: vec![SECRET.into(), NEXT_SECRET.into()],
                rs256_public_key_files: vec![key_file("rsa.public.pem")],
                eddsa_public_key_files: vec![key_file("ed25519.public.pem")],
                jwks_files: vec![key_file("jwks.json")],
                issuer: None,
                audience: None,
                require_exp: true,
                leeway: std::time::Duration::from_secs(30),
            }),
        };
    });
    let mut events = Vec::new();
    for account in ["acme", "other"] {
        for organization in ["42", "43"] {
            let data = json!({
                "account_id": account, "organization_id": organization, "plan": "free",
                "monthly_quota": 10,
            });
            events.push(event("plan.started", "2026-01-01T00:00:00Z", &data));
        }
    }
    api.count(&events[..2]);
    api.count(&events[2..]);
    api.count(&tree());
    api
});

/// An account whose organizations lie below one another: top, middle, leaf.
fn tree() -> Vec<String> {
    let mut events = Vec::new();
    for (id, parent) in [("top", None), ("middle", Some("top")), ("leaf", Some("middle"))] {
        let data = json!({"account_id": "tree", "organization_id": id,
            "name": format!("The {id}"), "parent_id": parent});
        events.push(event("organization.updated", "2026-01-01T00:00:00Z", &data));
        let data = json!({"account_id": "tree", "organization_id": id, "plan": "free",
            "monthly_quota": 10});
        events.push(event("plan.started", "2026-01-01T00:00:00Z", &data));
    }
    events
}

pub(super) fn ask(path: &str, authorization: Option<&str>) -> Answer {
    GUARDED.request("GET", path, &headers(authorization))
}

/// The same of an endpoint that takes a body.
pub(super) fn ask_by_body(path: &str, body: &str, authorization: Option<&str>) -> Answer {
    GUARDED.post(path, &headers(authorization), body)
}

fn headers(authorization: Option<&str>) -> Vec<(&'static str, &str)> {
    authorization.map(|value| ("authorization", value)).into_iter().collect()
}

fn filled(path: &str, account: &str, organization: &str) -> String {
    path.replace("{account_id}", account).replace("{organization_id}", organization)
}

#[test]
fn every_endpoint_lets_in_whom_it_should() {
    for endpoint in endpoints() {
        let (_, allowed) = MATRIX
            .iter()
            .find(|(path, _)| *path == endpoint.path)
            .unwrap_or_else(|| panic!("{} has no entry in the matrix of access", endpoint.path));
        for caller in CALLERS {
            let path = filled(endpoint.path, "acme", "42");
            let authorization = authorization(caller);
            let answer = match endpoint.methods {
                "POST" => ask_by_body(&path, CHECKS, authorization.as_deref()),
                _ => ask(&path, authorization.as_deref()),
            };
            let expected = match caller {
                _ if allowed.contains(&caller) => 200,
                _ if KNOWN.contains(&caller) => 403,
                _ => 401,
            };
            assert_eq!(
                answer.status,
                expected,
                "{} by {caller:?}: {}",
                endpoint.path,
                answer.text()
            );
            if expected == 401 {
                assert!(
                    answer.header("www-authenticate").unwrap().starts_with("Bearer"),
                    "{}",
                    endpoint.path
                );
            }
        }
    }
    assert_eq!(
        endpoints().len(),
        MATRIX.len(),
        "the matrix has entries of endpoints that are gone"
    );
}

#[test]
fn a_refusal_does_not_tell_whether_the_thing_exists() {
    for (path, allowed) in MATRIX.iter().filter(|(path, _)| path.contains("{account_id}")) {
        for caller in KNOWN.iter().filter(|caller| !allowed.contains(caller)) {
            let header = authorization(*caller);
            let ask = |account, organization| {
                ask(&filled(path, account, organization), header.as_deref())
            };
            let existing = ask("acme", "42");
            assert_eq!(existing.status, 403, "{path} by {caller:?}");
            for missing in [
                ask("acme", "never-heard-of"),
                ask("nobody", "42"),
                ask("nobody", "never-heard-of"),
            ] {
                // `OtherAccount` and similar callers have no rights on these either.
                assert_eq!(missing.status, 403, "{path} by {caller:?}");
                assert_eq!(missing.body, existing.body, "{path} by {caller:?}");
                let mut names: [Vec<&str>; 2] = [&missing, &existing]
                    .map(|answer| answer.headers.keys().map(|name| name.as_str()).collect());
                names.iter_mut().for_each(|names| names.sort_unstable());
                assert_eq!(names[0], names[1]);
            }
            // A request that is also malformed is refused in the same way.
            let malformed = super::access::ask(&filled(path, "acme", "42%00"), header.as_deref());
            assert_eq!(malformed.body, existing.body, "{path} by {caller:?}");
            let malformed = super::access::ask(
                &format!("{}?x=1&x=1", filled(path, "acme", "42")),
                header.as_deref(),
            );
            assert_eq!(malformed.body, existing.body, "{path} by {caller:?}");
        }
    }
}

#[test]
fn others_see_their_own_organizations_alone() {
    let seen = |caller| -> Vec<String> {
        let report =
            ask("/v1/accounts/acme/organizations", authorization(caller).as_deref()).json();
        let organizations = report["organizations"].as_array().unwrap().iter();
        organizations
            .map(|organization| organization["organization_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(seen(AccountAdmin), ["42", "43"]);
    assert_eq!(seen(BillingManager), ["42"]);
    assert_eq!(seen(OtherOrganization), ["43"]);
}

/// The accounts that a token with these grants sees: ids with roles.
fn listed(grants: Value) -> Vec<(String, Value)> {
    let header = format!("Bearer {}", token(json!({ "grants": grants })));
    let answer = ask("/v1/accounts", Some(&header));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let accounts = body["accounts"].as_array().unwrap();
    assert_eq!(body["total"], accounts.len());
    let with_roles =
        |one: &Value| (one["account_id"].as_str().unwrap().to_owned(), one["roles"].clone());
    // Other tests count other accounts here.
    accounts.iter().map(with_roles).filter(|(id, _)| id == "acme" || id == "other").collect()
}

#[test]
fn a_token_lists_the_accounts_of_its_grants_with_its_roles() {
    let of = |account: &str, roles: &[&str]| (account.to_owned(), json!(roles));
    let grant = |account: &str, role: &str| match role {
        "account_admin" | "checker" => json!({"account": account, "role": role}),
        _ => json!({"account": account, "organization": "42", "role": role}),
    };
    assert_eq!(listed(json!([])), []);
    assert_eq!(listed(json!([grant("nobody", "account_admin")])), []);
    assert_eq!(listed(json!([grant("acme", "root")])), []);
    assert_eq!(listed(json!([grant("acme", "account_admin")])), [of("acme", &["account_admin"])]);
    let several = json!([
        grant("other", "checker"),
        grant("acme", "billing_manager"),
        grant("acme", "owner"),
        grant("acme", "owner"),
        grant("nobody", "admin"),
    ]);
    assert_eq!(
        listed(several),
        [of("acme", &["owner", "billing_manager"]), of("other", &["checker"])]
    );
    let all = json!([grant("*", "checker"), grant("acme", "admin")]);
    assert_eq!(listed(all), [of("acme", &["admin", "checker"]), of("other", &["checker"])]);
    // For any other role the star is an id, and no account has it.
    assert_eq!(listed(json!([grant("*", "account_admin")])), []);
    assert_eq!(listed(json!([grant("*", "owner")])), []);
    let everywhere = Api::with(|_| {});
    assert_eq!(everywhere.report("/v1/accounts")["accounts"], json!([]));
}

#[test]
fn a_checker_reads_no_report() {
    for account in ["acme", "*"] {
        let header = format!("Bearer {}", token(grants(account, None, "checker")));
        let is_report = |path: &str| path.contains("{account_id}") && !path.ends_with("/can-run");
        for (path, _) in MATRIX.iter().filter(|(path, _)| is_report(path)) {
            assert_eq!(ask(&filled(path, "acme", "42"), Some(&header)).status, 403, "{path}");
        }
    }
}

#[test]
fn others_see_the_quota_of_their_own_organizations_and_no_name_of_another() {
    let own = |organizations: &[&str]| {
        let grants: Vec<Value> = organizations
            .iter()
            .map(|id| json!({"account": "tree", "organization": id, "role": "owner"}))
            .collect();
        format!("Bearer {}", token(json!({"grants": grants})))
    };
    let paths = |organizations: &[&str], query: &str| -> Vec<String> {
        let answer = ask(&format!("/v1/accounts/tree/quota{query}"), Some(&own(organizations)));
        let report = answer.json();
        assert_eq!(report["total"], report["rows"].as_array().unwrap().len());
        assert_eq!(report["by_status"]["within"], report["total"]);
        let rows = report["rows"].as_array().unwrap().iter();
        rows.map(|row| row["organization"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(paths(&["leaf"], ""), ["The leaf"]);
    assert_eq!(paths(&["middle", "leaf"], ""), ["The middle", "The middle / The leaf"]);
    assert_eq!(paths(&["top", "leaf"], ""), ["The leaf", "The top"]);
    assert_eq!(paths(&["top", "leaf"], "?organization_id=top"), ["The leaf", "The top"]);
    assert_eq!(paths(&["middle", "leaf"], "?organization_id=leaf"), ["The middle / The leaf"]);
    let csv = ask("/v1/accounts/tree/quota?format=csv", Some(&own(&["leaf"]))).text();
    assert!(csv.contains("The leaf") && !csv.contains("middle"), "{csv}");
    // A filter by an organization of others does not tell whether it is there.
    for organization in ["top", "middle", "never-heard-of"] {
        let path = format!("/v1/accounts/tree/quota?organization_id={organization}");
        assert_eq!(ask(&path, Some(&own(&["leaf"]))).status, 403, "{organization}");
    }
    // Answers are kept by what a caller may see.
    let rows = |header: &str| ask("/v1/accounts/tree/quota", Some(header)).json()["total"].clone();
    let admin = format!("Bearer {}", token(grants("tree", None, "account_admin")));
    assert_eq!([rows(&admin), rows(&own(&["top"])), rows(&own(&["leaf"]))], [3, 1, 1]);
}

#[test]
fn readiness_tells_strangers_no_cause() {
    let api = GUARDED.beside(|_| {});
    api.health.not_ready(
        "clickhouse",
        "cannot write to ClickHouse: http://clickhouse.lan does not answer",
    );
    api.health.degraded(
        "split_accounts",
        "1 accounts are split (\"acme\" in partitions [0, 3]): see README",
    );
    let answer = api.get("/readyz");
    assert_eq!(answer.status, 503);
    let told = answer.json();
    let waiting_for = json!([{"component": "clickhouse", "reason": "cannot write to ClickHouse"}]);
    assert_eq!(told["waiting_for"], waiting_for);
    assert_eq!(
        told["degraded"],
        json!([{"component": "split_accounts", "reason": "1 accounts are split"}])
    );
}
