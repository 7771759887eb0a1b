//! Fetching the engine's library, with an npm that is missing or cannot be trusted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::LONG;
use crate::support::Program;
use crate::support::program::command;

/// Starts the engine with an empty cache folder and nothing but `programs` in its path; returns what it fails with.
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
    let left: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
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
    assert!(stderr.contains("is not the package that it should be") && stderr.contains("sha512-"), "{stderr}");
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
