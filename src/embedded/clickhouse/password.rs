//! The generated password of an engine: random, created at the first start, kept in the data
//! directory.

use std::path::Path;

use anyhow::{Context as _, Result};
use secrecy::SecretString;

use crate::embedded::private;

/// Its name in the data directory.
const PASSWORD_FILE: &str = "seatmeter-password";

/// 128 bits: impossible to guess, and short enough for an address.
const PASSWORD_BYTES: usize = 16;

/// The password of a data directory, created if there is none yet. It is hexadecimal, so it needs
/// no escaping.
///
/// # Errors
///
/// It cannot be read, written or created, or belongs to another user.
pub(super) fn of_data_dir(data_dir: &Path) -> Result<SecretString> {
    let path = data_dir.join(PASSWORD_FILE);
    if let Some(kept) = private::read_file(&path)?
        .map(|text| text.trim().to_owned())
        .filter(|kept| is_password(kept))
    {
        return Ok(SecretString::from(kept));
    }
    let mut bytes = [0; PASSWORD_BYTES];
    getrandom::fill(&mut bytes).context("the operating system gives no random numbers")?;
    let password = hex::encode(bytes);
    private::write_file(&path, &format!("{password}\n"))?;
    Ok(SecretString::from(password))
}

/// A truncated or empty file is replaced.
fn is_password(text: &str) -> bool {
    text.len() == 2 * PASSWORD_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn it_is_made_once() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let passwords = folders
            .each_ref()
            .map(|folder| of_data_dir(folder.path()).unwrap().expose_secret().to_owned());
        assert_ne!(passwords[0], passwords[1]);
        assert_eq!(of_data_dir(folders[0].path()).unwrap().expose_secret(), passwords[0]);
        std::fs::write(folders[0].path().join(PASSWORD_FILE), "").unwrap();
        let anew = of_data_dir(folders[0].path()).unwrap().expose_secret().to_owned();
        assert!(is_password(&anew) && anew != passwords[0], "{anew}");
    }
}
