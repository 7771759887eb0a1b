//! Fetching the engine's library with a missing or untrustworthy npm.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::LONG;
use crate::support::Program;
use crate::support::program::command;

/// Starts the engine with an empty cache folder and only `programs` in its path; returns its error.
#[track_caller]
fn fails_to_fetch(folder: &Path, programs: &Path) -> String {
    let cache = folder.join("cache");
    let mut engine = Program::spawn(
        command(&["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .env("PATH", programs)
            .env("SEATMETER_CACHE_DIR", &cache),
    );
    assert_eq!(engine.wait(LONG).code(), Some(1));
    let left: Vec<_> =
        std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.is_file()), "{left:?}");
    engine.stderr()
}

#[test]
fn a_missing_npm_is_named_with_the_ways_out() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = fails_to_fetch(folder.path(), &folder.path().join("nothing"));
    for part in ["npm", "install Node.js", "--library FILE", "clickhouse.url"] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn a_package_that_is_not_the_pinned_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let npm = folder.path().join("npm");
    std::fs::write(&npm, "#!/bin/sh\necho something else > package.tgz\n").unwrap();
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let stderr = fails_to_fetch(folder.path(), folder.path());
    assert!(
        stderr.contains("is not the package that it should be") && stderr.contains("sha512-"),
        "{stderr}"
    );
}

#[test]
fn what_npm_complains_of_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let npm = folder.path().join("npm");
    std::fs::write(&npm, "#!/bin/sh\necho no network >&2\nexit 7\n").unwrap();
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let stderr = fails_to_fetch(folder.path(), folder.path());
    assert!(stderr.contains("no network") && stderr.contains("exit status: 7"), "{stderr}");
}

#[test]
fn a_library_in_the_cache_that_somebody_could_have_changed_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let kept = cache.join(format!("chdb-26.7.3-stable.1-{os}-{arch}"));
    std::fs::create_dir_all(&kept).unwrap();
    let library = kept.join("libchdb.so");
    std::fs::write(&library, "a library of somebody else").unwrap();
    std::fs::write(kept.join("libchdb.so.sha256"), "0123").unwrap();
    let check = |file_mode: u32, folder_mode: u32, part: &str| {
        for (path, mode) in [(&library, file_mode), (&kept, folder_mode)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut engine = Program::spawn(
            command(&["clickhouse", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(folder.path().join("data"))
                .env("SEATMETER_CACHE_DIR", &cache),
        );
        assert_eq!(engine.wait(LONG).code(), Some(1));
        let stderr = engine.stderr();
        assert!(
            stderr.contains(part) && stderr.contains("remove") && stderr.lines().count() == 1,
            "{stderr}"
        );
    };
    check(0o755, 0o755, "has changed since it was fetched");
    check(0o777, 0o755, "others may write to");
    check(0o755, 0o775, "others may write to");
    let mode = std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the cache folder is closed");
}
