//! `[auth]`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::check::{Check, unless_empty};
use crate::config::options::{Auth, AuthMode, Jwt};
use crate::config::raw::RawAuth;

/// RFC 7518, section 3.2: a key of the size of the hash, or larger.
pub(crate) const HS256_SECRET_BYTES_MIN: usize = 32;

impl Check<'_> {
    pub(super) fn auth(&mut self, raw: RawAuth, listen: SocketAddr) -> Auth {
        match raw.mode.as_str() {
            "off" if listen.ip().is_loopback() => Auth { mode: AuthMode::Off },
            "off" => {
                let reason = format!(
                    "everybody who reaches http.listen = \"{listen}\" could read everything; it is \
                    allowed on loopback \
                     addresses only, so listen on 127.0.0.1 or set auth.mode = \"jwt\" and a key"
                );
                self.refuse("auth.mode", &raw.mode, reason);
                Auth { mode: AuthMode::Off }
            }
            "jwt" => Auth { mode: AuthMode::Jwt(self.jwt(raw)) },
            mode => {
                self.refuse("auth.mode", mode, "allowed are jwt and off");
                Auth { mode: AuthMode::Off }
            }
        }
    }

    fn jwt(&mut self, raw: RawAuth) -> Jwt {
        let mut secrets = raw.hs256_secrets;
        let short = |secret: &String| secret.len() < HS256_SECRET_BYTES_MIN;
        if secrets.iter().any(short) {
            let expected = format!(": a secret is shorter than {HS256_SECRET_BYTES_MIN} bytes");
            self.problem("auth.hs256_secrets", expected);
        }
        for path in &raw.hs256_secret_files {
            let Some(secret) = self.secret_file("auth.hs256_secret_files", path) else { continue };
            if short(&secret) {
                let expected =
                    format!("the secret in it is shorter than {HS256_SECRET_BYTES_MIN} bytes");
                self.refuse("auth.hs256_secret_files", path, expected);
            }
            secrets.push(secret);
        }
        let files = [&raw.rs256_public_key_files, &raw.eddsa_public_key_files, &raw.jwks_files];
        if secrets.is_empty()
            && raw.hs256_secret_files.is_empty()
            && files.iter().all(|files| files.is_empty())
        {
            let expected = "needs a key: set auth.hs256_secrets, auth.hs256_secret_files, \
                auth.rs256_public_key_files, auth.eddsa_public_key_files or auth.jwks_files";
            self.refuse("auth.mode", &raw.mode, expected);
        }
        let leeway_seconds = self.integer("auth.leeway_seconds", raw.leeway_seconds, 0..=600_u64);
        Jwt {
            hs256_secrets: secrets.into_iter().map(SecretString::from).collect(),
            rs256_public_key_files: paths(raw.rs256_public_key_files),
            eddsa_public_key_files: paths(raw.eddsa_public_key_files),
            jwks_files: paths(raw.jwks_files),
            issuer: unless_empty(raw.issuer),
            audience: unless_empty(raw.audience),
            require_exp: raw.require_exp,
            leeway: Duration::from_secs(leeway_seconds),
        }
    }
}

fn paths(texts: Vec<String>) -> Vec<PathBuf> {
    texts.into_iter().map(PathBuf::from).collect()
}
