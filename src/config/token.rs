//! What makes unsecured tokens for OAUTHBEARER, which only test brokers accept: `sasl.oauthbearer.config`.

use std::time::Duration;

/// Lifetime of a token unless the configuration names one, as librdkafka has it.
const LIFE: Duration = Duration::from_secs(3_600);

/// What makes an unsecured token, in librdkafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsecuredToken {
    /// Who the token says that its bearer is.
    pub principal: String,
    /// The claim that names the principal.
    pub principal_claim: String,
    /// What the bearer may do, where anything is said of it.
    pub scope: Option<Vec<String>>,
    /// The claim that holds the scope.
    pub scope_claim: String,
    /// How long a token lives.
    pub life: Duration,
}

/// librdkafka's own bound.
const LIFE_SECONDS_MAX: u32 = 2_147_483_647;

/// The form of `sasl.oauthbearer.config`.
const FORM: &str = "expected principal=NAME, and if wanted lifeSeconds=1 to 2147483647, scope=NAME,…, \
                        principalClaimName=NAME, scopeClaimName=NAME, with a blank between two";

impl UnsecuredToken {
    /// Reads `sasl.oauthbearer.config`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without a word of it: it may hold secrets.
    pub(super) fn parse(config: &str) -> Result<Self, &'static str> {
        let mut token = Self {
            principal: String::new(),
            principal_claim: "sub".to_owned(),
            scope: None,
            scope_claim: "scope".to_owned(),
            life: LIFE,
        };
        let mut seen = Vec::new();
        for entry in config.split(' ').filter(|entry| !entry.is_empty()) {
            let Some((name, value)) = entry.split_once('=').filter(|(_, value)| !value.is_empty()) else {
                return Err(FORM);
            };
            if seen.contains(&name) {
                return Err("names something twice");
            }
            seen.push(name);
            match name {
                "principal" => token.principal = value.to_owned(),
                "principalClaimName" => token.principal_claim = value.to_owned(),
                "scopeClaimName" => token.scope_claim = value.to_owned(),
                "scope" => {
                    let names = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned);
                    token.scope = Some(names.collect());
                }
                "lifeSeconds" => {
                    let seconds = value.parse::<u32>().ok().filter(|seconds| (1..=LIFE_SECONDS_MAX).contains(seconds));
                    token.life = Duration::from_secs(seconds.ok_or(FORM)?.into());
                }
                name if name.starts_with("extension_") => return Err("extensions are not supported"),
                _ => return Err(FORM),
            }
        }
        if token.principal.is_empty() { Err(FORM) } else { Ok(token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        let wrong = [
            "",
            "hunter2",
            "principal=",
            "scope=a",
            "principal=hunter2 lifeSeconds=0",
            "principal=hunter2 lifeSeconds=1.5",
            "principal=hunter2 password=x",
            "principal=hunter2 principal=b",
            "principal=hunter2 extension_a=b",
        ];
        for config in wrong {
            let problem = UnsecuredToken::parse(config).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
