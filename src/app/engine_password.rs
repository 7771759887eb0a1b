//! The password of the embedded engine: as a user gives it, and hidden from other users of the
//! machine.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};

use crate::embedded::clickhouse::PASSWORD_VARIABLE;

const OPTION: &str = "--password";

#[derive(Debug, clap::Args)]
pub(super) struct PasswordArgs {
    /// Password of ClickHouse's user `default`, instead of a random one; an empty one counts as
    /// none. The environment variable keeps it out of the shell's history
    #[arg(long, env = PASSWORD_VARIABLE, hide_env_values = true, value_name = "PASSWORD")]
    password: Option<SecretString>,
}

impl PasswordArgs {
    /// The password, if one is given and not empty.
    pub(super) fn given(&self) -> Option<SecretString> {
        self.password.clone().filter(|password| !password.expose_secret().is_empty())
    }
}

/// Re-executes this program, in the same process, with the password in its environment instead of
/// its arguments, which every user of the machine can list. Returns at once if no argument holds
/// it. Threads and open files do not survive this, so it is called before there are any.
pub(super) fn keep_from_process_list() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Some((kept, password)) = without_password(&arguments) else { return Ok(()) };
    let exe = std::env::current_exe().context("cannot tell which program this is")?;
    let (name, rest) = kept.split_first().context("the program was started without a name")?;
    let error = Command::new(exe).arg0(name).args(rest).env(PASSWORD_VARIABLE, password).exec();
    Err(error).context("cannot start anew to keep the password out of the list of processes")
}

/// The arguments without the option and its value, and the last value; `None` where there is none.
fn without_password(arguments: &[OsString]) -> Option<(Vec<OsString>, OsString)> {
    let mut kept = Vec::new();
    let mut password = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == OPTION {
            password = rest.next().cloned();
        } else if let Some(value) = argument.as_bytes().strip_prefix(b"--password=") {
            password = Some(OsString::from_vec(value.to_vec()));
        } else {
            kept.push(argument.clone());
        }
    }
    password.map(|password| (kept, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_taken_out_of_the_arguments() {
        let arguments = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
        for given in [
            &["s", "demo", "--password", "a b", "--listen", "x"][..],
            &["s", "demo", "--password=a b", "--listen", "x"],
        ] {
            let (kept, password) = without_password(&arguments(given)).unwrap();
            assert_eq!(
                (kept, password),
                (arguments(&["s", "demo", "--listen", "x"]), OsString::from("a b")),
                "{given:?}"
            );
        }
        assert_eq!(without_password(&arguments(&["s", "demo", "--listen", "x"])), None);
    }
}
