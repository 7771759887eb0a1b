//! The keys that tokens are judged by: PEM files and JWKS files, of which only keys strong enough
//! are taken.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use rsa::RsaPublicKey;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;

use crate::config::HS256_SECRET_BYTES_MIN;
use crate::telemetry::http as telemetry;

/// RFC 7518, section 3.3: a key of 2,048 bits or larger.
const RSA_BITS_MIN: usize = 2_048;

/// A key.
pub(super) struct Key {
    algorithm: Algorithm,
    /// Only of keys from a JWKS file.
    id: Option<String>,
    pub(super) key: DecodingKey,
}

impl Key {
    /// A key without a name.
    pub(super) fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { algorithm, id: None, key }
    }

    /// True if a token of this algorithm, and of this key id if it names one, may be signed by the
    /// key.
    pub(super) fn may_have_signed(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        let named = match (&self.id, id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        self.algorithm == algorithm && named
    }
}

/// The RSA public key of a PEM file.
pub(super) fn rs256_key(path: &Path) -> anyhow::Result<Key> {
    let pem = read(path)?;
    let fault = || format!("{} is no PEM file of an RSA public key", path.display());
    let key = DecodingKey::from_rsa_pem(&pem).with_context(fault)?;
    let text = std::str::from_utf8(&pem).with_context(fault)?;
    let public =
        RsaPublicKey::from_public_key_pem(text).or_else(|_| RsaPublicKey::from_pkcs1_pem(text));
    let bits = public.with_context(fault)?.n().bits();
    anyhow::ensure!(
        bits >= RSA_BITS_MIN,
        "the RSA key in {} has {bits} bits, and RS256 asks for {RSA_BITS_MIN} or more: make a \
        larger one",
        path.display()
    );
    Ok(Key::new(Algorithm::RS256, key))
}

/// The Ed25519 public key of a PEM file.
pub(super) fn eddsa_key(path: &Path) -> anyhow::Result<Key> {
    let key = DecodingKey::from_ed_pem(&read(path)?)
        .with_context(|| format!("{} is no PEM file of an Ed25519 public key", path.display()))?;
    Ok(Key::new(Algorithm::EdDSA, key))
}

/// The keys of a JWKS file that can be used here. The others, such as those for encryption or of
/// other algorithms, are named in the log.
pub(super) fn jwks_keys(path: &Path) -> anyhow::Result<Vec<Key>> {
    let set: JwkSet = serde_json::from_slice(&read(path)?)
        .with_context(|| format!("{} is no JWKS file", path.display()))?;
    let mut keys = Vec::new();
    for (index, jwk) in set.keys.iter().enumerate() {
        match jwks_key(jwk) {
            Ok(key) => keys.push(key),
            Err(reason) => {
                let kid = jwk.common.key_id.as_deref().unwrap_or("none");
                telemetry::key_unused(path, index, kid, reason);
            }
        }
    }
    anyhow::ensure!(
        !keys.is_empty(),
        "{} holds no usable key for HS256, RS256 or EdDSA (Ed25519)",
        path.display()
    );
    Ok(keys)
}

/// The key, or why it is not used.
fn jwks_key(jwk: &Jwk) -> Result<Key, &'static str> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("its use is not sig");
    }
    let (algorithm, own_name) = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(secret) => {
            let secret = URL_SAFE_NO_PAD
                .decode(secret.value.trim_end_matches('='))
                .map_err(|_| "its k is not base64url")?;
            if secret.len() < HS256_SECRET_BYTES_MIN {
                return Err("its secret is shorter than 32 bytes");
            }
            (Algorithm::HS256, KeyAlgorithm::HS256)
        }
        AlgorithmParameters::RSA(parameters) => {
            let modulus =
                URL_SAFE_NO_PAD.decode(&parameters.n).map_err(|_| "its n is not base64url")?;
            if bits(&modulus) < RSA_BITS_MIN {
                return Err("its modulus is shorter than 2,048 bits");
            }
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return Err("its kind is none of HS256, RS256 and Ed25519"),
    };
    if jwk.common.key_algorithm.is_some_and(|name| name != own_name) {
        return Err("its alg is none of HS256, RS256 and EdDSA, or does not fit its kind");
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| "it is broken")?;
    Ok(Key { algorithm, id: jwk.common.key_id.clone(), key })
}

/// Bits of a big-endian number, without leading zeros.
fn bits(number: &[u8]) -> usize {
    let mut significant = number.iter().skip_while(|&&byte| byte == 0);
    significant.next().map_or(0, |&first| {
        let of_first = usize::try_from(u8::BITS - first.leading_zeros()).unwrap_or(0);
        of_first + 8 * significant.count()
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the key file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(jwk: serde_json::Value) -> Result<(), &'static str> {
        jwks_key(&serde_json::from_value(jwk).unwrap()).map(drop)
    }

    #[test]
    fn keys_that_are_none_are_not_used() {
        let secret =
            |bytes: usize| json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(vec![7; bytes])});
        for bytes in [0, 1, 31] {
            assert_eq!(used(secret(bytes)), Err("its secret is shorter than 32 bytes"));
        }
        assert_eq!(used(secret(32)), Ok(()));
        let rsa = |bytes: usize, first: u8| {
            let mut modulus = vec![1; bytes];
            modulus[0] = first;
            json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
        };
        assert_eq!(used(rsa(256, 0x80)), Ok(()));
        assert_eq!(used(rsa(256, 0x7f)), Err("its modulus is shorter than 2,048 bits"));
        assert_eq!(used(rsa(128, 0x80)), Err("its modulus is shorter than 2,048 bits"));
        let mut encrypting = rsa(256, 0x80);
        encrypting["use"] = "enc".into();
        assert_eq!(used(encrypting), Err("its use is not sig"));
    }
}
