//! Files of keys and certificates that librdkafka cannot use: which one, and why. OpenSSL reports
//! only a number.

use std::collections::BTreeMap;
use std::path::Path;

/// Why librdkafka created no client, if a file is the cause. `properties` holds those that are not
/// secret.
pub(super) fn cause(text: &str, properties: &BTreeMap<String, String>) -> Option<String> {
    if text.starts_with("Private key check failed") {
        return Some(
            "the key of ssl.key.location or ssl.key.pem does not belong to the client's \
            certificate of ssl.certificate.location or ssl.certificate.pem"
                .to_owned(),
        );
    }
    if let Some(name) = ["ssl.key.pem", "ssl.certificate.pem", "ssl.ca.pem"]
        .iter()
        .find(|name| text.contains(*name))
    {
        let password = if *name == "ssl.key.pem" {
            ", or its ssl.key.password is wrong or missing"
        } else {
            ""
        };
        return Some(format!("{name} is not in PEM{password}"));
    }
    let files =
        ["ssl.key.location", "ssl.certificate.location", "ssl.ca.location", "ssl.crl.location"];
    let name =
        files.into_iter().chain(["ssl.keystore.location"]).find(|name| text.contains(name))?;
    let path = properties.get(name)?;
    let named = |reason: &str| Some(format!("{name} = {path:?}: {reason}"));
    let content = match std::fs::read(Path::new(path)) {
        Ok(content) => content,
        Err(_) if Path::new(path).is_dir() && name == "ssl.ca.location" => {
            return named("the folder holds no certificates that OpenSSL can use");
        }
        Err(error) => return named(&format!("the file cannot be read: {error}")),
    };
    let holds = |part: &str| content.windows(part.len()).any(|window| window == part.as_bytes());
    match name {
        "ssl.keystore.location" => named(
            "the file cannot be read as a PKCS#12 key store: it is of another kind, or \
            ssl.keystore.password is wrong",
        ),
        "ssl.key.location" if holds("ENCRYPTED") => {
            named("the key in the file is encrypted, and ssl.key.password is wrong or missing")
        }
        "ssl.key.location" if !holds("PRIVATE KEY-----") => {
            named("the file holds no private key in PEM")
        }
        "ssl.key.location" => named("the private key in the file cannot be used"),
        "ssl.crl.location" => named("the file holds no certificate revocation list in PEM"),
        _ if !holds("-----BEGIN") => named("the file holds no certificate in PEM"),
        _ => named("the certificate in the file cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, content: Option<&str>, text: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let path = path.to_str().unwrap().to_owned();
        let told = cause(text, &BTreeMap::from([(name.to_owned(), path.clone())])).unwrap();
        assert_eq!(told, format!("{name} = {path:?}: {expected}"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let key = "ssl.key.location failed: error:0A080002:SSL routines::system lib";
        let missing = "the file cannot be read: No such file or directory (os error 2)";
        check("ssl.key.location", None, key, missing);
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
        let wrong_password =
            "the key in the file is encrypted, and ssl.key.password is wrong or missing";
        check("ssl.key.location", Some(encrypted), key, wrong_password);
        check("ssl.key.location", Some("hello"), key, "the file holds no private key in PEM");
        check("ssl.ca.location", None, "ssl.ca.location failed: error:05880020", missing);
        check(
            "ssl.ca.location",
            Some(""),
            "ssl.ca.location failed: error",
            "the file holds no certificate in PEM",
        );
        check(
            "ssl.keystore.location",
            None,
            "Failed to open ssl.keystore.location: x: error",
            missing,
        );
    }

    #[test]
    fn what_is_no_files_fault_is_left_to_others() {
        assert_eq!(cause("Unsupported SASL mechanism: X", &BTreeMap::new()), None);
    }
}
