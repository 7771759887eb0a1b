//! `seatmeter token`: mints a JSON Web Token, for trying the API out. A real deployment has an
//! issuer of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::Utc;
use clap::ValueEnum;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::output::written;
use crate::config::{AuthMode, Config, Jwt};

/// Mint a bearer token for the report API
///
/// Signed with the first HS256 secret of the configuration unless a key is named here. Example:
/// seatmeter token --account acme --role account_admin
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Account that the token opens; for the role checker also '*', which is all of them
    #[arg(long, value_name = "ID", required_unless_present = "grants", requires = "role")]
    account: Option<String>,

    /// Role in the account
    #[arg(long, requires = "account")]
    role: Option<AccountRole>,

    /// Organization that the role holds in; needed for every role but account_admin and checker
    #[arg(long, value_name = "ID", requires = "account")]
    organization: Option<String>,

    /// The whole `grants` claim, a JSON array, where one grant is not enough
    #[arg(long, value_name = "JSON", conflicts_with = "account")]
    grants: Option<String>,

    /// File that holds an HS256 secret
    #[arg(long, value_name = "FILE", conflicts_with = "private_key")]
    secret_file: Option<PathBuf>,

    /// PEM file of an RSA (RS256) or Ed25519 (EdDSA) private key
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,

    /// Seconds until the token expires
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3600,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    expires_in: u32,

    /// The `sub` claim
    #[arg(long, default_value = "seatmeter-cli")]
    subject: String,

    /// The `kid` of the token's header, for keys from a JWKS file
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
}

/// The roles of the report API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum AccountRole {
    AccountAdmin,
    Owner,
    Admin,
    BillingManager,
    Checker,
}

#[derive(Serialize)]
struct MintedGrant<'a> {
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    role: AccountRole,
}

#[derive(Serialize)]
struct MintedClaims<'a> {
    sub: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    grants: serde_json::Value,
}

pub(super) fn run(
    args: &Args,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    let config = load()?;
    let jwt = match &config.auth.mode {
        AuthMode::Jwt(jwt) => Some(jwt),
        AuthMode::Off => None,
    };
    let (algorithm, key) = signing_key(args, jwt)?;
    let issued_at = Utc::now().timestamp();
    let claims = MintedClaims {
        sub: &args.subject,
        iat: issued_at,
        exp: issued_at + i64::from(args.expires_in),
        iss: jwt.and_then(|jwt| jwt.issuer.as_deref()),
        aud: jwt.and_then(|jwt| jwt.audience.as_deref()),
        grants: grants(args)?,
    };
    let header = Header { kid: args.key_id.clone(), ..Header::new(algorithm) };
    let token = jsonwebtoken::encode(&header, &claims, &key).context("cannot sign the token")?;
    written(writeln!(std::io::stdout().lock(), "{token}"))
}

/// The `grants` claim.
fn grants(args: &Args) -> anyhow::Result<serde_json::Value> {
    if let Some(text) = &args.grants {
        let grants: serde_json::Value =
            serde_json::from_str(text).context("--grants is not JSON")?;
        if !grants.is_array() {
            bail!(
                "--grants must be a JSON array, such as \
                [{{\"account\":\"acme\",\"role\":\"account_admin\"}}]"
            );
        }
        return Ok(grants);
    }
    let (Some(account), Some(role)) = (&args.account, args.role) else {
        bail!("name --account and --role, or --grants")
    };
    let organization = args.organization.as_deref();
    match (role, organization) {
        (AccountRole::AccountAdmin, Some(_)) => {
            bail!("the role account_admin is of the whole account; leave --organization out")
        }
        (AccountRole::Checker, Some(_)) => {
            bail!("the role checker is of the whole account; leave --organization out")
        }
        (AccountRole::AccountAdmin | AccountRole::Checker, None) | (_, Some(_)) => {}
        (_, None) => bail!("this role is of one organization: name it by --organization"),
    }
    Ok(serde_json::to_value([MintedGrant { account, organization, role }])?)
}

fn signing_key(args: &Args, jwt: Option<&Jwt>) -> anyhow::Result<(Algorithm, EncodingKey)> {
    if let Some(path) = &args.private_key {
        let pem = read(path)?;
        let rsa = || EncodingKey::from_rsa_pem(&pem).map(|key| (Algorithm::RS256, key));
        return EncodingKey::from_ed_pem(&pem)
            .map(|key| (Algorithm::EdDSA, key))
            .or_else(|_| rsa())
            .with_context(|| {
                format!("{} holds no RSA or Ed25519 private key in PEM form", path.display())
            });
    }
    if let Some(path) = &args.secret_file {
        let content = read(path)?;
        // As for auth.hs256_secret_files: a line end at the end is not part of the secret.
        let secret = content.strip_suffix(b"\n").unwrap_or(&content);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        return Ok((Algorithm::HS256, EncodingKey::from_secret(secret)));
    }
    let Some(secret) = jwt.and_then(|jwt| jwt.hs256_secrets.first()) else {
        bail!(
            "no key to sign with: name --secret-file or --private-key, or configure auth.mode = \
            \"jwt\" with an HS256 secret"
        );
    };
    Ok((Algorithm::HS256, EncodingKey::from_secret(secret.expose_secret().as_bytes())))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
