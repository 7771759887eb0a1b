//! Access by tokens: keys, claims and headers that are good, and those that are not.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use seatmeter::config::AuthMode;
use serde_json::{Value, json};

use super::access::{GUARDED, ask};
use super::support::event;
use super::tokens::{NEXT_SECRET, SECRET, grants, key_bytes, now, signed, token, with};

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
