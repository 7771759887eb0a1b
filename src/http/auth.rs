//! Who calls, and what they may read.
//!
//! A token is judged by the keys of its own algorithm alone, so that a public key can never pass
//! for a secret, and `none` is no algorithm here. Access is decided from the token and the path
//! before anything is read: a refusal cannot tell whether the thing exists.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use std::collections::HashSet;

use super::keys::{self, Key};
use crate::config;
use crate::http::reply::problem::Problem;
use crate::report::accounts::{Role, Roles};
use crate::report::id::{AccountId, OrganizationId};
use crate::report::organizations::Visible;

/// The longest token that is looked at, bytes.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The account of a checker's grant that stands for all of them. No other role is granted so: it
/// is an id too.
const ALL_ACCOUNTS: &str = "*";

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// The bearer of any valid token.
    AnyToken,
    /// Account admins of the account in the path.
    AccountAdmin,
    /// Whoever has any role in the account in the path; what they see depends on it.
    AnyRoleInAccount,
    /// Account admins, and owners, admins and billing managers of the organization in the path.
    OrganizationRole,
    /// The same, and checkers of the account in the path.
    Check,
}

/// How callers are known.
pub struct Authenticator {
    mode: Mode,
}

enum Mode {
    /// Everybody may read everything.
    Off,
    Jwt(Box<Verifier>),
}

/// The keys that tokens are judged by.
struct Verifier {
    keys: Vec<Key>,
    /// Its algorithms are set for each key in turn.
    validation: Validation,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Caller {
    Anyone,
    Bearer(Vec<Grant>),
}

/// A role that a token grants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grant {
    AccountAdmin {
        account: AccountId,
    },
    /// `owner`, `admin` and `billing_manager` may read the same.
    OrganizationRole {
        account: AccountId,
        organization: OrganizationId,
        role: Role,
    },
    /// May read no report.
    Checker {
        /// `None` for all accounts.
        account: Option<AccountId>,
    },
}

/// Admission of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// The organizations that the caller may see, of the account in the path.
    pub(super) visible: Visible,
    /// The caller's roles in any account.
    pub(super) roles: Roles,
    /// What the caller may ask about.
    pub(super) may_check: MayCheck,
}

/// The organizations of which a caller may ask whether tests may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MayCheck(Caller);

/// The ids that a path names.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathIds<'p> {
    pub(super) account: Option<&'p str>,
    pub(super) organization: Option<&'p str>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    grants: Vec<GrantClaim>,
}

#[derive(Deserialize)]
struct GrantClaim {
    account: IdClaim,
    organization: Option<IdClaim>,
    role: String,
}

/// An identifier is a text or a number, as in events.
#[derive(Deserialize)]
#[serde(untagged)]
enum IdClaim {
    Text(String),
    Number(u64),
}

impl IdClaim {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

impl GrantClaim {
    /// What it grants; `None` for a role that this program does not know, or one that lacks its
    /// organization.
    fn grant(self) -> Option<Grant> {
        let account = AccountId::from(self.account.into_text());
        match (Role::parse(&self.role)?, self.organization) {
            (Role::AccountAdmin, None) => Some(Grant::AccountAdmin { account }),
            (role @ (Role::Owner | Role::Admin | Role::BillingManager), Some(organization)) => {
                let organization = organization.into_text().into();
                Some(Grant::OrganizationRole { account, organization, role })
            }
            (Role::Checker, None) => Some(Grant::Checker {
                account: Some(account).filter(|id| id.as_str() != ALL_ACCOUNTS),
            }),
            _ => None,
        }
    }
}

impl Authenticator {
    /// Reads the configured keys.
    ///
    /// # Errors
    /// Where a key file cannot be read or holds no usable key.
    pub fn new(config: &config::Auth) -> anyhow::Result<Self> {
        let mode = match &config.mode {
            config::AuthMode::Off => Mode::Off,
            config::AuthMode::Jwt(jwt) => Mode::Jwt(Box::new(Verifier::new(jwt)?)),
        };
        Ok(Self { mode })
    }

    /// Everybody may read everything.
    pub(super) fn is_off(&self) -> bool {
        matches!(self.mode, Mode::Off)
    }

    /// The part of the account that the caller may see on an endpoint of this access.
    ///
    /// # Errors
    /// Where the token is missing or bad, or the caller may not use the endpoint.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        access: Access,
        named: PathIds<'_>,
    ) -> Result<Admission, Problem> {
        let caller = self.authenticate(headers)?;
        let visible = caller.visible(access, named).ok_or_else(Problem::forbidden)?;
        Ok(Admission { visible, roles: caller.roles(), may_check: MayCheck(caller) })
    }

    fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match &self.mode {
            Mode::Off => Ok(Caller::Anyone),
            Mode::Jwt(verifier) => verifier.verify(bearer_token(headers)?).map(Caller::Bearer),
        }
    }
}

/// The token of the only `Authorization` header.
fn bearer_token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::unauthenticated());
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Problem::unauthenticated()),
    }
}

impl Verifier {
    fn new(config: &config::Jwt) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for secret in &config.hs256_secrets {
            let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
            keys.push(Key::new(Algorithm::HS256, key));
        }
        for path in &config.rs256_public_key_files {
            keys.push(keys::rs256_key(path)?);
        }
        for path in &config.eddsa_public_key_files {
            keys.push(keys::eddsa_key(path)?);
        }
        for path in &config.jwks_files {
            keys.extend(keys::jwks_keys(path)?);
        }
        anyhow::ensure!(!keys.is_empty(), "auth.mode = \"jwt\" needs at least one key");
        Ok(Self { keys, validation: validation(config) })
    }

    fn verify(&self, token: &str) -> Result<Vec<Grant>, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Problem::invalid_token("The token is too long."));
        }
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Problem::invalid_token("The token is not a JWT that we take."))?;
        if header.crit.is_some() {
            return Err(Problem::invalid_token(
                "The token demands extensions that we do not know.",
            ));
        }
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let mut detail = "No key of ours signed the token.";
        for candidate in
            self.keys.iter().filter(|key| key.may_have_signed(header.alg, header.kid.as_deref()))
        {
            match jsonwebtoken::decode::<Claims>(token, &candidate.key, &validation) {
                Ok(data) => {
                    return Ok(data
                        .claims
                        .grants
                        .into_iter()
                        .filter_map(GrantClaim::grant)
                        .collect());
                }
                Err(error) => detail = refusal(&error).unwrap_or(detail),
            }
        }
        Err(Problem::invalid_token(detail))
    }
}

/// The answer to a token that is refused although its signature is good; `None` where it is not
/// good.
fn refusal(error: &jsonwebtoken::errors::Error) -> Option<&'static str> {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        // The claims come after the signature: what is no base64 is the signature.
        ErrorKind::InvalidSignature
        | ErrorKind::Base64(_)
        | ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidKeyFormat => None,
        ErrorKind::ExpiredSignature => Some("The token has expired."),
        ErrorKind::ImmatureSignature => Some("The token is not valid yet."),
        ErrorKind::InvalidIssuer => Some("The token is of another issuer."),
        ErrorKind::InvalidAudience => Some("The token is for another audience."),
        ErrorKind::MissingRequiredClaim(claim) if claim == "exp" => {
            Some("The token never expires: it lacks the claim exp.")
        }
        ErrorKind::MissingRequiredClaim(_) => Some("The token lacks a claim."),
        _ => Some("The token's claims cannot be read."),
    }
}

/// Not-before, and expiry unless it is required, are judged where a token has them; issuer and
/// audience are required where they are configured.
fn validation(config: &config::Jwt) -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = config.leeway.as_secs();
    validation.validate_nbf = true;
    validation.validate_aud = config.audience.is_some();
    let mut required: Vec<&str> = Vec::new();
    if config.require_exp {
        required.push("exp");
    }
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        required.push("iss");
    }
    if let Some(audience) = &config.audience {
        validation.set_audience(&[audience]);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
}

impl MayCheck {
    /// Whether the caller may ask about the organization.
    pub(super) fn allows(&self, account: &str, organization: &str) -> bool {
        self.0.may_check(account, organization)
    }
}

impl Caller {
    /// Which organizations of the account the caller may see on an endpoint of this access; `None`
    /// where the caller may not use it.
    fn visible(&self, access: Access, named: PathIds<'_>) -> Option<Visible> {
        let PathIds { account, organization } = named;
        let Self::Bearer(grants) = self else { return Some(Visible::All) };
        let account_admin = grants.iter().any(|grant| match grant {
            Grant::AccountAdmin { account: granted } => Some(granted.as_str()) == account,
            Grant::OrganizationRole { .. } | Grant::Checker { .. } => false,
        });
        let organizations: HashSet<String> = grants
            .iter()
            .filter_map(|grant| match grant {
                Grant::OrganizationRole { account: granted, organization, .. }
                    if Some(granted.as_str()) == account =>
                {
                    Some(organization.as_str().to_owned())
                }
                _ => None,
            })
            .collect();
        let allowed = match access {
            Access::Public | Access::AnyToken => true,
            Access::AccountAdmin => account_admin,
            Access::AnyRoleInAccount => account_admin || !organizations.is_empty(),
            Access::OrganizationRole => {
                account_admin || organization.is_some_and(|id| organizations.contains(id))
            }
            Access::Check => account
                .zip(organization)
                .is_some_and(|(account, organization)| self.may_check(account, organization)),
        };
        let visible = if account_admin { Visible::All } else { Visible::Only(organizations) };
        allowed.then_some(visible)
    }

    /// Whether the caller may ask if tests of the organization may run.
    fn may_check(&self, account: &str, organization: &str) -> bool {
        let Self::Bearer(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::AccountAdmin { account: granted } => granted.as_str() == account,
            Grant::OrganizationRole { account: granted, organization: own, .. } => {
                own.as_str() == organization && granted.as_str() == account
            }
            Grant::Checker { account: granted } => {
                granted.as_ref().is_none_or(|granted| granted.as_str() == account)
            }
        })
    }

    fn roles(&self) -> Roles {
        let Self::Bearer(grants) = self else { return Roles::of_anyone() };
        let mut roles = Roles::default();
        for grant in grants {
            match grant {
                Grant::AccountAdmin { account } => roles.add(account, Role::AccountAdmin),
                Grant::OrganizationRole { account, role, .. } => roles.add(account, *role),
                Grant::Checker { account: Some(account) } => roles.add(account, Role::Checker),
                Grant::Checker { account: None } => roles.add_everywhere(Role::Checker),
            }
        }
        roles
    }
}
