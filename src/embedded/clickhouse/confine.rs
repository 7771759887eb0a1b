//! Confining the engine to its data folder by the operating system, so that what slips past the
//! engine's own [access control](super::access) and the [guard](super::guard) still finds no other
//! file, program or host.
//!
//! Linux does it (Landlock, 5.13 and newer; connections from 6.7 on). It holds for the calling
//! thread and those that it starts, and cannot be taken back; what is open or loaded already stays
//! so.

use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
pub(super) use linux::confine;

/// What else the engine reads: how large the machine is and what it does, the time zone, and the
/// system's libraries.
#[cfg(target_os = "linux")]
const READ: [&str; 19] = [
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/localtime",
    "/lib",
    "/lib64",
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/vmstat",
    "/sys",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
];

/// What an engine before 26.7 reads besides: where it keeps the trace of an error, it looks for
/// names in its library and in this program, and aborts if one of them cannot be opened.
pub(super) fn read_before_26_7(library: &Path) -> Vec<PathBuf> {
    std::env::current_exe().into_iter().chain([library.to_owned()]).collect()
}

/// Says where nothing is confined; the reason goes on after "the engine is not confined: ".
fn not_confined(reason: &str, data_dir: &Path) {
    tracing::info!(
        data_dir = %data_dir.display(),
        "the engine is not confined to its data folder by the system, only by its own access \
        control: {reason}"
    );
}

#[cfg(not(target_os = "linux"))]
pub(super) fn confine(data_dir: &Path, _: &[PathBuf]) {
    not_confined("only Linux can", data_dir);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::{Path, PathBuf};

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
        RulesetError, RulesetStatus, path_beneath_rules,
    };

    use crate::embedded::clickhouse::confine::{READ, not_confined};

    /// The newest kind of access that is known here; an older kernel confines as far as it can.
    const KNOWN: ABI = ABI::V5;

    /// Leaves this thread, and those that it starts, all access to the data folder, read access to
    /// a little of the system and to `files`, and no connection to anywhere. Where the system
    /// cannot, that is logged.
    pub(in super::super) fn confine(data_dir: &Path, files: &[PathBuf]) {
        match restrict(data_dir, files) {
            Ok(RulesetStatus::NotEnforced) => not_confined("this kernel lacks Landlock", data_dir),
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {}
            Err(error) => not_confined(&error.to_string(), data_dir),
        }
    }

    fn restrict(data_dir: &Path, files: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
        // The engine runs no program.
        let read = AccessFs::from_read(KNOWN) & !AccessFs::Execute;
        let all = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::ConnectTcp)?
            .create()?
            .add_rules(path_beneath_rules(READ, read))?
            .add_rules(path_beneath_rules(files, read))?
            .add_rules(path_beneath_rules([data_dir], all))?
            .restrict_self()?;
        Ok(status.ruleset)
    }

    #[cfg(test)]
    mod tests {
        use std::fs;
        use std::io::ErrorKind;
        use std::net::{TcpListener, TcpStream};
        use std::os::unix::fs::symlink;
        use std::process::Command;

        use super::*;

        #[test]
        fn only_the_data_folder_is_left() {
            let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::write(other.path().join("secret"), "x").unwrap();
            let named = other.path().join("named");
            fs::write(&named, "y").unwrap();
            symlink(other.path().join("secret"), data.path().join("link")).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (inside, outside) = (data.path().to_owned(), other.path().to_owned());
            // On a thread of its own, as nothing takes it back.
            let confined = std::thread::spawn(move || {
                let status = restrict(&inside, std::slice::from_ref(&named)).unwrap();
                if status == RulesetStatus::NotEnforced {
                    return None;
                }
                fs::create_dir(inside.join("store")).unwrap();
                fs::write(inside.join("store/part"), "x").unwrap();
                fs::rename(inside.join("store/part"), inside.join("part")).unwrap();
                assert_eq!(fs::read(inside.join("part")).unwrap(), b"x");
                assert!(!fs::read("/proc/self/status").unwrap().is_empty());
                assert_eq!(fs::read(named).unwrap(), b"y");
                Some([
                    fs::read(outside.join("secret")).map(drop),
                    fs::read(inside.join("link")).map(drop),
                    fs::write(outside.join("new"), ""),
                    fs::read_dir("/etc").map(drop),
                    fs::read("/etc/passwd").map(drop),
                    fs::read("/proc/1/status").map(drop),
                    Command::new("/bin/true").status().map(drop),
                    // Kernels from 6.7 on.
                    if status == RulesetStatus::FullyEnforced {
                        TcpStream::connect(address).map(drop)
                    } else {
                        Err(ErrorKind::PermissionDenied.into())
                    },
                ])
            });
            let Some(attempts) = confined.join().unwrap() else {
                eprintln!("skipped: this kernel lacks Landlock");
                return;
            };
            for (at, attempt) in attempts.into_iter().enumerate() {
                assert_eq!(
                    attempt.map_err(|error| error.kind()),
                    Err(ErrorKind::PermissionDenied),
                    "attempt {at}"
                );
            }
            assert_eq!(fs::read(other.path().join("secret")).unwrap(), b"x", "another thread");
        }
    }
}
