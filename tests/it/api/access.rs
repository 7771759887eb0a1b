//! Access: every endpoint with every kind of caller.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use seatmeter::config::{Auth, AuthMode, Jwt};
use seatmeter::http::endpoints;
use serde_json::{Value, json};

use super::support::{Answer, Api, event};

const SECRET: &str = "a secret of at least thirty-two bytes";
const NEXT_SECRET: &str = "the secret that replaces it some day";

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
const MATRIX: [(&str, &[Caller]); 16] = [
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
    ("/v1/ingest", &KNOWN),
    ("/healthz", &CALLERS),
    ("/readyz", &CALLERS),
    ("/metrics", &CALLERS),
    ("/openapi.json", &CALLERS),
    ("/docs", &CALLERS),
    ("/", &CALLERS),
];

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/keys").join(name)
}

fn key_bytes(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// A token signed with the first secret, with these claims and an expiry in the future.
fn token(claims: Value) -> String {
    signed(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

fn signed(header: &Header, claims: Value, key: &EncodingKey) -> String {
    let mut all = json!({"sub": "test", "exp": now() + 600});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    encode(header, &all, key).unwrap()
}

fn grants(account: &str, organization: Option<&str>, role: &str) -> Value {
    match organization {
        Some(organization) => {
            json!({"grants": [{"account": account, "organization": organization, "role": role}]})
        }
        None => json!({"grants": [{"account": account, "role": role}]}),
    }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn unsigned(claims: &Value) -> String {
    use base64::Engine as _;
    let part =
        |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

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
static GUARDED: LazyLock<Api> = LazyLock::new(|| {
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

fn ask(path: &str, authorization: Option<&str>) -> Answer {
    let headers: Vec<(&str, &str)> =
        authorization.iter().map(|value| ("authorization", *value)).collect();
    GUARDED.request("GET", path, &headers)
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
            let answer =
                ask(&filled(endpoint.path, "acme", "42"), authorization(caller).as_deref());
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
        for (path, _) in MATRIX.iter().filter(|(path, _)| path.contains("{account_id}")) {
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
fn all_keys_are_good_at_once() {
    let claims = || grants("acme", None, "account_admin");
    let rsa = EncodingKey::from_rsa_pem(&key_bytes("rsa.private.pem")).unwrap();
    let ed = EncodingKey::from_ed_pem(&key_bytes("ed25519.private.pem")).unwrap();
    let in_set = EncodingKey::from_secret(b"second key of a key set, thirty-two");
    let named = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let tokens = [
        ("first secret", token(claims()), 200),
        (
            "second secret",
            signed(&Header::default(), claims(), &EncodingKey::from_secret(NEXT_SECRET.as_bytes())),
            200,
        ),
        ("RS256", signed(&Header::new(Algorithm::RS256), claims(), &rsa), 200),
        ("EdDSA", signed(&Header::new(Algorithm::EdDSA), claims(), &ed), 200),
        ("key set", signed(&named("set-1"), claims(), &in_set), 200),
        ("key set, no key id", signed(&Header::default(), claims(), &in_set), 200),
        ("key set, another key id", signed(&named("set-2"), claims(), &in_set), 401),
        (
            "a secret with an unknown key id",
            signed(&named("set-2"), claims(), &EncodingKey::from_secret(SECRET.as_bytes())),
            200,
        ),
        ("RS512", signed(&Header::new(Algorithm::RS512), claims(), &rsa), 401),
        (
            "HS512",
            signed(
                &Header::new(Algorithm::HS512),
                claims(),
                &EncodingKey::from_secret(SECRET.as_bytes()),
            ),
            401,
        ),
        // Algorithm confusion: the public key used as an HMAC secret.
        (
            "public key as a secret",
            signed(
                &Header::default(),
                claims(),
                &EncodingKey::from_secret(&key_bytes("rsa.public.pem")),
            ),
            401,
        ),
    ];
    for (name, token, expected) in tokens {
        let answer = ask("/v1/accounts/acme/licenses/history", Some(&format!("Bearer {token}")));
        assert_eq!(answer.status, expected, "{name}: {}", answer.text());
    }
}

#[test]
fn expiry_and_not_before_have_a_small_leeway() {
    let status = |claim: &str, seconds: i64| {
        let claims = with(grants("acme", None, "account_admin"), claim, json!(now() + seconds));
        ask("/v1/accounts/acme/licenses/history", Some(&format!("Bearer {}", token(claims)))).status
    };
    assert_eq!(status("exp", -10), 200);
    assert_eq!(status("exp", -60), 401);
    assert_eq!(status("nbf", 10), 200);
    assert_eq!(status("nbf", 90), 401);
}

#[test]
fn grants_that_mean_nothing_grant_nothing() {
    let status = |grants: Value| {
        let token = token(json!({ "grants": grants }));
        ask("/v1/accounts/acme/licenses/history", Some(&format!("Bearer {token}"))).status
    };
    assert_eq!(status(json!([{"account": "acme", "role": "account_admin"}])), 200);
    assert_eq!(status(json!([])), 403);
    assert_eq!(status(json!([{"account": "acme", "role": "root"}])), 403);
    assert_eq!(status(json!([{"account": "acme", "role": "owner"}])), 403);
    assert_eq!(
        status(json!([{"account": "acme", "organization": "42", "role": "account_admin"}])),
        403
    );
    assert_eq!(status(json!([{"account": "ACME", "role": "account_admin"}])), 403);
    for malformed in [
        json!("all"),
        json!({"account": "acme"}),
        json!([{"account": true, "role": "account_admin"}]),
        json!([7]),
    ] {
        assert_eq!(status(malformed.clone()), 401, "{malformed}");
    }
}

/// An id with a byte order mark is another account, for clients and server.
#[test]
fn a_byte_order_mark_leads_to_nobody_elses_account() {
    let marked = "%EF%BB%BFacme";
    let ask_by = |granted: &str, path: &str| {
        let header = format!("Bearer {}", token(grants(granted, None, "account_admin")));
        ask(&format!("/v1/accounts/{path}/licenses/history"), Some(&header))
    };
    assert_eq!(ask_by("acme", "acme").status, 200);
    assert_eq!(ask_by("acme", marked).status, 403);
    assert_eq!(ask_by("\u{feff}acme", "acme").status, 403);
    let answer = ask_by("\u{feff}acme", marked);
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.json()["parameter"], "account_id");
}

#[test]
fn ids_in_grants_are_texts_or_numbers() {
    let api = GUARDED.beside(|_| {});
    api.count(&[event(
        "license.purchased",
        "2026-01-01T00:00:00Z",
        &json!({"account_id": 77, "seats": 1}),
    )]);
    for account in [json!("77"), json!(77)] {
        let token = token(json!({"grants": [{"account": account, "role": "account_admin"}]}));
        let answer = ask("/v1/accounts/77/licenses/history", Some(&format!("Bearer {token}")));
        assert_eq!(answer.status, 200, "{account}: {}", answer.text());
    }
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

#[test]
fn issuer_and_audience_are_required_where_they_are_configured() {
    let api = GUARDED.beside(|config| {
        let AuthMode::Jwt(jwt) = &mut config.auth.mode else { panic!("it is configured so") };
        jwt.issuer = Some("https://issuer.example".to_owned());
        jwt.audience = Some("seatmeter".to_owned());
    });
    let status = |claims: Value| {
        let mut all = grants("acme", None, "account_admin");
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = format!("Bearer {}", token(all));
        api.request("GET", "/v1/accounts/acme/licenses/history", &[("authorization", &header)])
            .status
    };
    let (issuer, audience) = ("https://issuer.example", "seatmeter");
    assert_eq!(status(json!({"iss": issuer, "aud": audience})), 200);
    assert_eq!(status(json!({"iss": issuer, "aud": ["else", audience]})), 200);
    assert_eq!(status(json!({"iss": issuer})), 401);
    assert_eq!(status(json!({"aud": audience})), 401);
    assert_eq!(status(json!({"iss": "https://else.example", "aud": audience})), 401);
    assert_eq!(status(json!({"iss": issuer, "aud": "else"})), 401);
}

#[test]
fn what_is_no_bearer_token_is_refused() {
    let good = token(grants("acme", None, "account_admin"));
    let path = "/v1/accounts/acme/licenses/history";
    assert_eq!(
        ask(path, Some(&format!("bearer {good}"))).status,
        200,
        "the scheme's case does not matter"
    );
    // Header fields that a verifier must understand or else refuse the token (RFC 7515, 4.1.11).
    let crit = Header { crit: Some(vec!["x".to_owned()]), ..Header::new(Algorithm::HS256) };
    let critical = signed(
        &crit,
        grants("acme", None, "account_admin"),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    );
    let long = "x".repeat(20_000);
    for header in [
        good.clone(),
        format!("Basic {good}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {good} {good}"),
        format!("Bearer {good}x"),
        format!("Bearer {}", good.replace('.', "..")),
        format!("Bearer {critical}"),
        format!("Bearer {long}"),
    ] {
        assert_eq!(ask(path, Some(&header)).status, 401, "{header}");
    }
    // A truncated signature is invalid, wherever it is cut within the base64 text.
    for cut in 1..5 {
        let answer = ask(path, Some(&format!("Bearer {}", &good[..good.len() - cut])));
        assert_eq!(answer.json()["detail"], "No key of ours signed the token.", "{cut}");
    }
    let header = format!("Bearer {good}");
    let twice = [("authorization", header.as_str()), ("authorization", header.as_str())];
    assert_eq!(GUARDED.request("GET", path, &twice).status, 401);
    assert_eq!(ask(&format!("{path}?access_token={good}"), None).status, 401);
}
